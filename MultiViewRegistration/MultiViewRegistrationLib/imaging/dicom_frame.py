"""What a DICOM file says of one frame: in the functional groups of that frame, in those shared by all, or for the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .dicom_file import DicomFile

if TYPE_CHECKING:  # the panel opens without pydicom
    import pydicom


@dataclass(frozen=True, eq=False)
class DicomFrame:
    """A frame, from 0, of a DICOM file (PS3.3 C.7.6.16 for its functional groups).

    Each method takes the keyword of an attribute and those of the functional groups that may have it; where none does, the value for the
    whole image counts. InputError for a damaged value.
    """

    file: DicomFile
    index: int = 0

    def numbers(self, keyword: str, *groups: str) -> np.ndarray:
        """(n,), none where it is missing."""
        return self.file.numbers(keyword, self._holder(keyword, groups))

    def number(self, keyword: str, *groups: str) -> float | None:
        """The only value; None where there is none, or several."""
        numbers = self.numbers(keyword, *groups)
        return float(numbers[0]) if len(numbers) == 1 else None

    def text(self, keyword: str, *groups: str) -> str:
        return self.file.text(keyword, self._holder(keyword, groups))

    def texts(self, keyword: str, *groups: str) -> list[str]:
        return self.file.texts(keyword, self._holder(keyword, groups))

    def group(self, name: str) -> pydicom.Dataset | None:
        """The first item of a functional group."""
        for macros in self._macros:
            if items := self.file.items(name, macros):
                return items[0]
        return None

    def items(self, name: str) -> list[pydicom.Dataset]:
        """All items of a functional group."""
        return next((items for macros in self._macros if (items := self.file.items(name, macros))), [])

    def _holder(self, keyword: str, groups: tuple[str, ...]) -> pydicom.Dataset:
        for name in groups:
            group = self.group(name)
            if group is not None and self.file.value(keyword, group) is not None:
                return group
        return self.file.header

    @cached_property
    def _macros(self) -> list[pydicom.Dataset]:
        """The items that hold the functional groups: of this frame, and of all."""
        per_frame = self.file.items("PerFrameFunctionalGroupsSequence")
        return [*per_frame[self.index : self.index + 1], *self.file.items("SharedFunctionalGroupsSequence")[:1]]
