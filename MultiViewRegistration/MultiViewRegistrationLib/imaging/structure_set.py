"""RT Structure Sets: the contours of regions as volumes.

DICOM PS3.3 C.8.8.5, C.8.8.6. A region has closed planar contours, in the planes of slices of a CT.
What an even number of them encloses is a hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from .dicom_file import DicomFile
from .image_source import check_room

#: Side of the pixels in which contours are filled, mm.
PIXEL_MM = 1.0
#: Points of a contour lie so near to its plane, and planes that are closer are one, mm.
FLAT_MM = 0.1


class StructureSet:
    """An RT Structure Set, used as a `DicomSegmentation`.

    Parameters
    ----------
    file
        Whose Modality is RTSTRUCT.

    Attributes
    ----------
    names
        Of its regions, by their numbers; "" where it has none.

    Raises
    ------
    InputError
        For one without contours.
    """

    def __init__(self, file: DicomFile) -> None:
        self.path: Path = file.path
        self._file = file
        named = {}
        for item in file.items("StructureSetROISequence"):
            for number in file.numbers("ROINumber", item):
                named[int(number)] = str(file.value("ROIName", item) or "")
        self.names = {number: named.get(number, "") for number in sorted(self._contours)}
        if not self.names:
            file.refuse(
                "is an RT Structure Set without closed planar contours, expected those of one or "
                "more regions; export it again."
            )

    def volumes(self, numbers: dict[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Volumes (uint8), one for each region, and (4, 4) from their (i, j, k, 1) to LPS mm.

        Parameters
        ----------
        numbers
            The value that each region gets, by its number.

        Raises
        ------
        InputError
            For contours that lie in no common planes.
        """
        for region, value in numbers.items():
            yield self._filled(self._contours[region], value)

    @cached_property
    def _contours(self) -> dict[int, list[np.ndarray]]:
        """The contours (N, 3) of each region, LPS mm."""
        found: dict[int, list[np.ndarray]] = defaultdict(list)
        for item in self._file.items("ROIContourSequence"):
            numbers = self._file.numbers("ReferencedROINumber", item)
            for contour in self._file.items("ContourSequence", item):
                points = self._file.numbers("ContourData", contour)
                closed = self._file.text("ContourGeometricType", contour) == "CLOSED_PLANAR"
                if closed and len(numbers) == 1 and len(points) >= 9 and len(points) % 3 == 0:
                    found[int(numbers[0])].append(points.reshape(-1, 3))
        return dict(found)

    def _filled(self, contours: list[np.ndarray], value: int) -> tuple[np.ndarray, np.ndarray]:
        heights = np.array([contour[:, 2].mean() for contour in contours])
        if max(np.ptp(contour[:, 2]) for contour in contours) > FLAT_MM:
            self._file.refuse(
                "has contours that do not lie across the body's axis, expected axial ones; export "
                "it again on an axial CT."
            )
        planes = _distinct(heights)
        step = float(np.diff(planes).min()) if len(planes) > 1 else PIXEL_MM
        every = np.concatenate(contours)
        low = every.min(axis=0) - PIXEL_MM
        columns, rows = np.ceil((every.max(axis=0) - low)[:2] / PIXEL_MM).astype(int) + 2
        count = round((planes[-1] - planes[0]) / step) + 1
        check_room(self.path, f"{count} slices", count * int(rows) * int(columns))
        volume = np.zeros((count, rows, columns), bool)
        for contour, height in zip(contours, heights, strict=True):
            volume[round((height - planes[0]) / step)] ^= inside(
                (contour[:, :2] - low[:2]) / PIXEL_MM, (int(rows), int(columns))
            )
        place = np.diag([PIXEL_MM, PIXEL_MM, step, 1.0])
        place[:3, 3] = [*low[:2], planes[0]]
        return volume.astype(np.uint8) * np.uint8(value), place


def _distinct(heights: np.ndarray) -> np.ndarray:
    """Return heights in order, those that are nearly alike once."""
    ordered = np.sort(heights)
    return ordered[np.insert(np.diff(ordered) > FLAT_MM, 0, True)]


def inside(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return which pixel centres (rows, columns) lie within a polygon (N, 2) of (column, row), bool.

    By how many of its sides lie to the left of each (even-odd rule).
    """
    rows, columns = shape
    crossed = np.zeros((rows, columns + 1), int)
    height = np.arange(rows)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        met = np.flatnonzero((height >= min(y0, y1)) & (height < max(y0, y1)))
        at = np.ceil(x0 + (height[met] - y0) * (x1 - x0) / ((y1 - y0) or 1.0))
        np.add.at(crossed, (met, np.clip(at, 0, columns).astype(int)), 1)
    return crossed.cumsum(axis=1)[:, :columns] % 2 == 1
