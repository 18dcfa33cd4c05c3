"""What a person should read once about a registration: what its case warned of, and images that may not belong together."""

from __future__ import annotations

import os

from ..io.case_file import CaseFile
from ..io.identity import differences
from .identity import mismatches
from .registration import Registration
from .warned import warned


class Notices:
    """Sentences that are told until somebody has understood them."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._warned: list[str] = []
        self._understood: set[str] = set()

    def loaded(self, case: str | os.PathLike, warnings: list[str]) -> None:
        """The registration was loaded from a case.json with these warnings. Headers that differ are told by the names of the X-rays."""
        with warned():
            different = differences(CaseFile.read(case))
        self._warned = [sentence for sentence in warnings if sentence not in different]

    @property
    def told(self) -> list[str]:
        """What is to be told now."""
        return [sentence for sentence in [*mismatches(self._registration), *self._warned] if sentence not in self._understood]

    def understood(self) -> None:
        """Tell these no more."""
        self._understood.update(self.told)
