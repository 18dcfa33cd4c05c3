"""RT Structure Sets: the contours of regions as volumes.

DICOM PS3.3 C.8.8.5, C.8.8.6. A region has closed planar contours, in the planes of slices of a CT.
What an even number of them encloses is a hole.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from .child import ChildFailed, call
from .dicom_file import DicomFile
from .image_source import check_room
from .reading import READING_BYTES, READING_S
from .segment_names import Segment, one_line

#: Side of the pixels in which contours are filled, mm.
PIXEL_MM = 1.0
#: Points of a contour lie so near to its plane, and planes that are closer are one, mm.
FLAT_MM = 0.1
#: Of a region: more than a whole body of 600 x 400 mm has in slices of 1 mm.
MAX_VOXELS = 1 << 29


class StructureSet:
    """An RT Structure Set, a `structures.Segmentation` of regions with their numbers as labels.

    Parameters
    ----------
    file
        Whose Modality is RTSTRUCT.

    Raises
    ------
    InputError
        For one without contours.
    """

    named = True
    numbered = False

    def __init__(self, file: DicomFile) -> None:
        self.name: str | Path = file.path
        self._file = file
        called = {}
        for item in file.items("StructureSetROISequence"):
            for number in file.numbers("ROINumber", item):
                called[int(number)] = one_line(str(file.value("ROIName", item) or ""))
        self.segments = [Segment(called.get(n) or str(n), n) for n in sorted(self._contours)]
        if not self.segments:
            file.refuse(
                "is an RT Structure Set without closed planar contours, expected those of one or "
                "more regions; export it again."
            )

    def parts(self, numbers: dict[Segment, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield a volume for each region.

        Raises
        ------
        InputError
            For contours that lie in no common planes.
        """
        for region, value in numbers.items():
            yield self._filled(self._contours[region.label], value)

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
        every = np.concatenate(contours)[:, :2]
        low = every.min(axis=0) - PIXEL_MM
        columns, rows = np.ceil((every.max(axis=0) - low) / PIXEL_MM) + 2
        slices = np.rint((heights - planes[0]) / step)
        shape = [slices.max() + 1, rows, columns]
        voxels = math.prod(map(float, shape))
        if not voxels <= MAX_VOXELS:  # nor is it a number
            self._file.refuse(
                f"has a region of {rows:.3g} x {columns:.3g} mm in {shape[0]:.3g} slices, expected "
                "no more than a body; export it again, and leave that region out."
            )
        sizes = [int(size) for size in shape]
        check_room(self._file.path, f"{sizes[0]} slices", 2 * int(voxels))
        polygons = [((contour[:, :2] - low) / PIXEL_MM).tolist() for contour in contours]
        try:
            filled = call(
                f"{__name__}:fill",
                [polygons, slices.astype(int).tolist(), sizes, value],
                READING_BYTES + int(voxels),
                READING_S,
            )
        except ChildFailed:
            self._file.refuse(
                "has contours that take too long to fill, or too much memory; export it again with "
                "fewer points."
            )
        place = np.diag([PIXEL_MM, PIXEL_MM, step, 1.0])
        place[:3, 3] = [*low, planes[0]]
        return filled.data.reshape(sizes), place


def _distinct(heights: np.ndarray) -> np.ndarray:
    """Return heights in order, those that are nearly alike once."""
    ordered = np.sort(heights)
    return ordered[np.insert(np.diff(ordered) > FLAT_MM, 0, True)]


def fill(
    polygons: list[list[list[float]]], slices: list[int], shape: list[int], value: int
) -> tuple[None, memoryview]:
    """Return a volume (uint8) with a value within polygons of (column, row), each in a slice, in a child process.

    A pixel's centre is within by how many sides lie to its left, of all polygons (even-odd rule).
    """
    filled = np.zeros(shape, np.uint8)
    for polygon, k in zip(polygons, slices, strict=True):
        _toggle(filled[k], np.array(polygon), value)
    for k in set(slices):
        np.bitwise_xor.accumulate(filled[k], axis=1, out=filled[k])
    return None, filled.data


def _toggle(pixels: np.ndarray, polygon: np.ndarray, value: int) -> None:
    """Change the first pixel of each row (rows, columns) that lies right of a side of a polygon, for each."""
    rows, columns = pixels.shape
    following = np.roll(polygon, -1, axis=0)
    ends = np.sort([polygon[:, 1], following[:, 1]], axis=0)
    first, end = np.ceil(ends).clip(0, rows).astype(int)
    side = np.repeat(np.arange(len(polygon)), end - first)
    row = np.arange(len(side)) + np.repeat(end - np.cumsum(end - first), end - first)
    x, y = polygon[side].T
    along_x, along_y = (following - polygon)[side].T
    at = np.ceil(x + (row - y) * along_x / along_y).clip(0)
    shown = at < columns
    index = row[shown] * columns + at[shown].astype(int)
    np.bitwise_xor.at(pixels.reshape(-1), index, np.uint8(value))
