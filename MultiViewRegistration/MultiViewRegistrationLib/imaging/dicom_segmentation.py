"""DICOM segmentations (SEG): the names of their segments, and their frames as volumes.

SimpleITK stacks the frames of all segments as if they were one volume, so their positions are read
here. Source: DICOM PS3.3 A.51, A.101 (label maps), C.8.20 (segments), C.7.6.16 (functional groups);
PS3.5 8.1.1 (bits).
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

from .dicom_file import DicomFile, DicomFrame
from .dicom_image import BITS, frame_count, stored_pixels
from .image_source import check_room
from .reading import affine_of, check_right_angles
from .segment_names import Segment, one_line

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
        if scheme == "SRT":  # SNOMED's codes of before 2018
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
            frames = [(slices[n], self._selected(n)) for n in self._frames.get(segment.label, ())]
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
    def _frames(self) -> dict[int, list[int]]:
        """The frames of each segment, by its number."""
        frames = defaultdict(list)
        for index in range(frame_count(self._file)):
            number = DicomFrame(self._file, index).number(
                "ReferencedSegmentNumber", "SegmentIdentificationSequence"
            )
            if number is None:
                self._file.refuse(
                    f"does not say of which segment its frame {index + 1} is, expected that; "
                    "export it again."
                )
            frames[int(number)].append(index)
        return frames

    @cached_property
    def _stack(self) -> tuple[np.ndarray, list[int]]:
        """(4, 4) from (i, j, k, 1) to LPS mm, and the slice k of each frame."""
        frames = [DicomFrame(self._file, index) for index in range(frame_count(self._file))]
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
