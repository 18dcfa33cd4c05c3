"""Segmentations in DICOM: SEG, the names of their segments and their frames as volumes, and RT Structure Sets.

SimpleITK stacks the frames of all segments as if they were one volume, so their positions are read
here.
Source: DICOM PS3.3 A.51, A.101 (label maps), C.8.20 (segments), C.7.6.16 (functional groups);
PS3.5 8.1.1 (bits).

A region of a structure set (PS3.3 C.8.8.5, C.8.8.6) has closed planar contours, in the planes of
slices of a CT. What an even number of them encloses is a hole.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .bone_names import Segment, one_line
from .child import ChildFailed, call
from .dicom_file import DicomFile, DicomFrame
from .dicom_image import BITS, frame_count, stored_pixels
from .image_source import check_room
from .reading import READING_BYTES, READING_S, affine_of, check_right_angles

if TYPE_CHECKING:
    import pydicom

#: Bits of a stored value.
SEGMENT_BITS = (1, *BITS)
#: How far a frame may lie off its place in an even stack, mm: headers round positions.
POSITION_TOLERANCE_MM = 0.1
#: Frames that are closer lie at one place, mm.
SAME_PLACE_MM = 0.01
ORIENTATION_TOLERANCE = 1e-3


class DicomSegmentation:
    """A DICOM segmentation, a `structures.Segmentation`: binary, fractional (from one half on) or a label map.

    Parameters
    ----------
    file
        Whose Modality is SEG.

    Raises
    ------
    InputError
        For one without segments, or of another kind.
    """

    named = True
    numbered = False

    def __init__(self, file: DicomFile) -> None:
        self.name: str | Path = file.path
        self._file = file
        self._kind = file.text("SegmentationType")
        if self._kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
            file.refuse(
                "is a DICOM segmentation of an unknown SegmentationType, expected BINARY, "
                "FRACTIONAL or LABELMAP; export it again."
            )
        found: dict[int, Segment] = {}
        for item in file.items("SegmentSequence"):
            numbers = file.numbers("SegmentNumber", item)
            if len(numbers) == 1 and 0 < numbers[0] < 1 << 16:  # of a label map 0 is the background
                n = int(numbers[0])
                name = one_line(str(file.value("SegmentLabel", item) or ""))
                found[n] = Segment(name or str(n), n, terminology=self._terminology(item))
        self.segments = list(found.values())
        if not found:
            file.refuse(
                "is a DICOM segmentation without segments, expected one or more; export it again."
            )

    def _terminology(self, segment: pydicom.Dataset) -> str:
        """Return what an item of SegmentSequence is of, as `Segment.terminology`."""
        kinds = self._file.items("SegmentedPropertyTypeCodeSequence", segment)
        if not kinds:
            return ""
        categories = self._file.items("SegmentedPropertyCategoryCodeSequence", segment)
        modifiers = self._file.items("SegmentedPropertyTypeModifierCodeSequence", kinds[0])
        codes = (self._code(items) for items in (categories, kinds, modifiers))
        return "~".join(["Segmentation category and type - DICOM master list", *codes])

    def _code(self, items: list[pydicom.Dataset]) -> str:
        """Return the first of some codes as scheme^value^meaning."""
        keys = "CodingSchemeDesignator", "CodeValue", "CodeMeaning"
        found = (str(self._file.value(key, items[0]) or "") if items else "" for key in keys)
        scheme, code, meaning = (re.sub(r"[~^|]", " ", each).strip() for each in found)
        if scheme == "SRT":  # the SNOMED RT codes that SNOMED CT replaced
            from pydicom.sr._snomed_dict import mapping

            scheme = "SCT"
            code = mapping["SRT"].get(code, "")
        return "^".join([scheme, code, meaning])

    def parts(self, numbers: dict[Segment, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield volumes with the numbers of these segments; those that overlap come in several.

        Raises
        ------
        InputError
            For frames that make no even stack, and pixels that cannot be read.
        """
        place, slices = self._stack
        shape = (max(slices) + 1, self._file.whole("Rows"), self._file.whole("Columns"))
        voxels = math.prod(shape)
        check_room(self._file.path, f"{voxels:.3g} voxels", 2 * voxels)
        if self._kind == "LABELMAP":
            yield self._label_map(numbers, shape, slices), place
            return
        volumes: list[np.ndarray] = []
        for segment, value in numbers.items():
            frames = [
                (slices[n], self._selected(n))
                for n in self._frames_of_segments.get(segment.label, ())
            ]
            volume = next(
                (each for each in volumes if not any(each[k][of].any() for k, of in frames)), None
            )
            if volume is None:
                volume = np.zeros(shape, np.uint8)
                volumes.append(volume)
            for k, of in frames:
                volume[k][of] = value
        for volume in volumes:
            yield volume, place

    def _label_map(
        self, numbers: dict[Segment, int], shape: tuple[int, int, int], slices: list[int]
    ) -> np.ndarray:
        values = np.zeros(shape, np.uint8)
        value_of = np.zeros(1 << 16, np.uint8)
        value_of[[segment.label for segment in numbers]] = list(numbers.values())
        for index, k in enumerate(slices):
            values[k] = value_of[stored_pixels(self._file, index)]
        return values

    def _selected(self, frame: int) -> np.ndarray:
        """Return bool (rows, columns), where a frame's segment is."""
        pixels = stored_pixels(self._file, frame, SEGMENT_BITS)
        if self._kind == "BINARY":
            return pixels != 0
        return 2 * pixels.astype(int) >= self._file.whole("MaximumFractionalValue", 255)

    @cached_property
    def _frames(self) -> list[DicomFrame]:
        """All frames, of which PerFrameFunctionalGroupsSequence has an item each."""
        count = frame_count(self._file)
        items = len(self._file.items("PerFrameFunctionalGroupsSequence"))
        if count > max(items, 1):
            self._file.refuse(
                f"the header states {count} frames, but describes {items}. Export it again."
            )
        return [DicomFrame(self._file, index) for index in range(count)]

    @cached_property
    def _frames_of_segments(self) -> dict[int, list[int]]:
        """The frames of each segment, by its number."""
        frames = defaultdict(list)
        for frame in self._frames:
            number = frame.number("ReferencedSegmentNumber", "SegmentIdentificationSequence")
            if number is None:
                self._file.refuse(
                    f"does not say of which segment its frame {frame.index + 1} is, expected that; "
                    "export it again."
                )
            frames[int(number)].append(frame.index)
        return frames

    @cached_property
    def _stack(self) -> tuple[np.ndarray, list[int]]:
        """(4, 4) from (i, j, k, 1) to LPS mm, and the slice k of each frame."""
        frames = self._frames
        axes = self._same(frames, 6, "ImageOrientationPatient", "PlaneOrientationSequence")
        spacing = self._same(frames, 2, "PixelSpacing", "PixelMeasuresSequence")
        along, down = axes.reshape(2, 3)
        direction = np.stack([along, down, np.cross(along, down)], 1)
        check_right_angles(self._file.path, direction)
        normal = direction[:, 2]
        place = ("ImagePositionPatient", "PlanePositionSequence")
        positions = np.array([frame.exactly(3, *place) for frame in frames])
        origin = positions[np.argmin(positions @ normal)]
        depths = (positions - origin) @ normal
        aside = np.linalg.norm(positions - origin - np.outer(depths, normal), axis=1).max()
        if aside > POSITION_TOLERANCE_MM:
            self._file.refuse(
                f"has frames that lie {aside:.3g} mm beside each other, expected slices of one "
                "volume; export it as an image (NIfTI, NRRD)."
            )
        step, slices = self._spaced(frames[0], depths)
        return affine_of((*spacing[::-1], step), tuple(origin), direction), slices

    def _spaced(self, frame: DicomFrame, depths: np.ndarray) -> tuple[float, list[int]]:
        """Return the distance of slices in mm, and the slice of each frame.

        Slices without a segment may be missing.
        """
        keys = ("SpacingBetweenSlices", "SliceThickness")
        given = [frame.number(key, "PixelMeasuresSequence") for key in keys]
        gaps = np.diff(np.sort(depths))
        gaps = gaps[gaps > SAME_PLACE_MM]
        if not len(gaps):
            return next((step for step in given if step and step > 0), 1.0), [0] * len(depths)
        for step in (given[0], float(gaps.min())):
            if not step or step <= 0:
                continue
            slices = np.rint(depths / step)
            fitted = float(
                slices @ depths / max(slices @ slices, 1.0)
            )  # the header's may be rounded
            if np.abs(depths - slices * fitted).max() <= min(POSITION_TOLERANCE_MM, 0.2 * step):
                return fitted, slices.astype(int).tolist()
        self._file.refuse(
            "has frames that are not evenly spaced, expected slices of one volume; export it as an "
            "image (NIfTI, NRRD)."
        )

    def _same(self, frames: list[DicomFrame], count: int, keyword: str, group: str) -> np.ndarray:
        """(count,) numbers that all frames have in common."""
        values = np.array([frame.exactly(count, keyword, group) for frame in frames])
        if np.abs(values - values[0]).max() > ORIENTATION_TOLERANCE:
            self._file.refuse(
                f"has frames that differ in {keyword}, expected slices of one volume; export it as "
                "an image (NIfTI, NRRD)."
            )
        return values[0]


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
