"""What a person should read once about a registration: what its case warned of, and images that may not belong together."""

from __future__ import annotations

from ..io.dicom_identity import BY_HEADERS
from ..mrml.dicom import identity_mismatches
from ..mrml.registration import Registration


class Notices:
    """Sentences that are told until somebody has understood them."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._warned: list[str] = []
        self._understood: set[str] = set()

    def loaded(self, warnings: list[str]) -> None:
        """The registration was loaded from a case.json with these warnings. Headers that differ are told by the names of the X-rays."""
        self._warned = [sentence for sentence in warnings if not sentence.endswith(BY_HEADERS)]

    def warn(self, sentence: str) -> None:
        """Tell this, too."""
        self._warned.append(sentence)

    @property
    def told(self) -> list[str]:
        """What is to be told now."""
        return [
            sentence
            for sentence in [*identity_mismatches(self._registration), *self._warned]
            if sentence not in self._understood
        ]

    def understood(self) -> None:
        """Tell these no more."""
        self._understood.update(self.told)
