"""A registration under way: what it began from, and what happens in the scene that makes an end of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic

import numpy as np

from ..jobs.progress import TimeLeft, left_in_words
from ..mrml.background_task import Worker
from ..mrml.fingerprint import fingerprint, of_geometry
from ..mrml.registration import CT_TRANSFORM, Registration
from .preparation import PREPARING


@dataclass(frozen=True)
class Asked:
    """What was asked for.   start: one of session.STARTS.   refinement: "joint" or a published one.   seed: of a search."""

    start: str
    refinement: str
    seed: int


class Run:
    """One registration from the pose and the inputs that the scene has now.

    worker: does it.   preparing: gives what the CT is being made ready by, in words.   told: what was warned of before it began.
    fingerprint, geometry: of the inputs; the latter by the view's name.
    progress: the last `registration.pipeline.Progress`, None before the first.   left: the time, in words.
    """

    def __init__(
        self, registration: Registration, asked: Asked, worker: Worker, preparing: Callable[[], str], told: list[str]
    ) -> None:
        self._registration, self.asked, self.worker, self.told = registration, asked, worker, told
        self._preparing = preparing
        self.fingerprint = fingerprint(registration)
        self.geometry = {view.name: of_geometry(view) for view in registration.xrays}
        self.progress, self.left, self._time_left = None, "", TimeLeft()
        self._before = self._shown = registration.world_from_ct
        self._nodes = self._inputs()
        self._began = monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return monotonic() - self._began

    @property
    def stage(self) -> str:
        """What is being done, in a few words."""
        return self.progress.stage if self.progress else self._preparing() or PREPARING

    def show(self, progress) -> None:
        """Take the CT to the pose that a `registration.pipeline.Progress` tells."""
        self.progress = progress
        self.left = left_in_words(self._time_left.seconds(progress.fraction))
        self._registration.world_from_ct = self._shown = progress.world_from_ct

    def obstacle(self) -> str:
        """Why it makes no sense to go on, a sentence; "" while it does."""
        for what, node, now in self._nodes:
            if now() is not node:
                return f"The registration was stopped, as {what} was removed or replaced."
        if self._moved():
            return "The registration was stopped, as the CT was moved."
        return ""

    def put_back(self) -> None:
        """Take the CT back to where it was, unless somebody else moved it, or it is there no more."""
        if self._registration.scene is not None and not self.obstacle():
            self._registration.world_from_ct = self._before

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """The CT lies where it was meanwhile, unless somebody else moved it."""
        if self.obstacle():
            yield
            return
        self._registration.world_from_ct = self._before
        try:
            yield
        finally:
            self._registration.world_from_ct = self._shown

    def _moved(self) -> bool:
        return not np.allclose(self._shown, self._registration.world_from_ct, rtol=0, atol=1e-6)

    def _inputs(self) -> list:
        """Without which there is nothing to register, or nothing to show it on: what it is, the node, and a look at what is there."""
        registration = self._registration
        looks = [
            ("the CT", lambda: registration.ct),
            ("the CT's transform", lambda: registration.node.GetNodeReference(CT_TRANSFORM)),
        ]
        looks += [(view.name, partial(_still, registration, view.node)) for view in registration.xrays if view.used]
        return [(what, look(), look) for what, look in looks]


def _still(registration: Registration, node):
    """An X-ray's node, None once it is no X-ray of the registration."""
    return node if any(view.node is node for view in registration.xrays) else None
