"""A registration that is kept under way until a test lets it go."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import ClassVar

import pytest


class Held:
    """The next registration waits until `let_go`, and then begins at a pose (4, 4), if there is one.   asked: the cases so far."""

    made: ClassVar[list[Held]] = []

    def __init__(self, pose=None) -> None:
        from MultiViewRegistrationLib import api

        self._go, self._pose, self._real, self.asked = threading.Event(), pose, api.register, []
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(api, "register", self._register)
        self.made.append(self)

    def let_go(self) -> None:
        self._go.set()

    @classmethod
    def release_all(cls) -> None:
        """At the end of a test: as it was before any."""
        while cls.made:
            held = cls.made.pop()
            held.let_go()
            held._patch.undo()

    def _register(self, case, *arguments, **options):
        self.asked.append(case)
        assert self._go.wait(20.0)
        return self._real(
            case if self._pose is None else replace(case, world_from_ct=self._pose), *arguments, **options
        )
