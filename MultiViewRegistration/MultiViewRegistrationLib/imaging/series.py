"""The slices of a CT in a DICOM folder, refused unless they make a regular, rectangular grid.

SimpleITK stacks whatever it is given: it straightens a tilted gantry into a sheared patient, closes the gap of a
missing slice, and before 2.5.4 (Slicer 5.10 has 2.5.2) makes up the end of a slice that was cut short, all without
an error. So the headers are checked here, before a pixel is read.
Source: DICOM PS3.3, C.7.6.2 (image plane) and C.8.2 (CT image).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from ..errors import InputError
from .dicom_file import DicomFile, read_dicom

TILT_TOLERANCE_DEG = 0.1
POSITION_TOLERANCE_MM = 0.1  # headers round positions to 0.1 mm at worst
#: What places a slice: how many numbers, and how far those of two slices of a volume may differ; None for any.
_GRID = {
    "ImagePositionPatient": (3, None),
    "ImageOrientationPatient": (6, 1e-3),
    "PixelSpacing": (2, 1e-3),
    "Rows": (1, 0),
    "Columns": (1, 0),
}


def ct_slices(folder: str | Path) -> list[Path]:
    """Files of the one CT series in a folder (not in its subfolders), ordered along the slice normal.

    Localizers and other modalities are passed over.

    Raises
    ------
    InputError
        For no CT slices, several series, multi-frame files, missing or differing geometry, gantry tilt (by its tag
        or by the slices' positions), two slices at one position, and missing or unevenly spaced slices.
    """
    folder = Path(folder)
    slices, others = [], 0
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        file = read_dicom(path)
        if file is None or file.text("Modality") != "CT" or "LOCALIZER" in file.texts("ImageType"):
            others += 1
            continue
        if file.whole("NumberOfFrames", 1) > 1:
            file.refuse(
                "a multi-frame DICOM CT, but one file for each slice is expected; export the series as single slices, or "
                "convert it to NIfTI or NRRD."
            )
        _check_slice(file)
        slices.append(file)
    if not slices:
        raise InputError(
            f"{folder}: found no DICOM CT slices ({others} other files); name the folder that holds the slices themselves, "
            "subfolders are not searched."
        )
    _check_one_series(folder, slices)
    return _stacked(folder, slices)


def _check_slice(file: DicomFile) -> None:
    for keyword, (count, _) in _GRID.items():
        if len(file.numbers(keyword)) != count:
            file.refuse(
                f"the DICOM slice has no usable {keyword}, without which it has no place in the patient; export the series again "
                "with its geometry."
            )
    if not file.compressed:
        expected = file.whole("Rows") * file.whole("Columns") * file.whole("BitsAllocated") // 8
        rest = file.path.stat().st_size - file.pixels_at if file.pixels_at else 0
        if rest < expected:
            file.refuse(
                f"the DICOM slice is cut short and cannot be read, its pixels need {expected} bytes and {rest} are there; copy or "
                "export the series again."
            )


def _check_one_series(folder: Path, slices: list[DicomFile]) -> None:
    series = defaultdict(list)
    for file in slices:
        series[file.value("SeriesInstanceUID")].append(file.value("SeriesNumber"))
    if len(series) > 1:
        found = sorted(series.values(), key=len, reverse=True)
        listed = ", ".join(f"number {numbers[0]} with {len(numbers)} slices" for numbers in found)
        raise InputError(
            f"{folder}: found {len(series)} CT series ({listed}), but one is expected; put the slices of the one to "
            "register into a folder of their own."
        )
    first = slices[0]
    if len(slices) == 1:
        raise InputError(f"{folder}: found a single CT slice, but a volume is expected; give all slices of the series.")
    for file in slices:
        for keyword, (_, tolerance) in _GRID.items():
            same = tolerance is None or np.abs(file.numbers(keyword) - first.numbers(keyword)).max() <= tolerance
            if not same:
                raise InputError(
                    f"{folder}: the slices {first.path.name} and {file.path.name} of one series differ in {keyword}, but a "
                    "volume needs it the same for all; leave out the slices that do not belong."
                )
        tilt = file.numbers("GantryDetectorTilt")
        if len(tilt) and abs(tilt[0]) > TILT_TOLERANCE_DEG:
            raise _tilted(folder, f"{abs(tilt[0]):.1f} degrees by the header of {file.path.name}")


def _tilted(folder: Path, how_much: str) -> InputError:
    return InputError(
        f"{folder}: the CT was taken with a tilted gantry ({how_much}), but slices stacked at right angles are expected; "
        "convert it with a program that resamples tilted CTs (such as dcm2niix) and give that volume."
    )


def _stacked(folder: Path, slices: list[DicomFile]) -> list[Path]:
    """The slices' files by growing depth along their normal, if they are evenly spaced on a line along it."""
    normal = np.cross(*slices[0].numbers("ImageOrientationPatient").reshape(2, 3))
    slices = sorted(slices, key=lambda item: item.numbers("ImagePositionPatient") @ normal)
    positions = np.array([item.numbers("ImagePositionPatient") for item in slices])
    depth = positions @ normal
    gaps = np.diff(depth)
    spacing = float(np.median(gaps))
    length = depth[-1] - depth[0]

    narrowest = int(np.argmin(gaps))
    if gaps[narrowest] < 0.01:
        raise InputError(
            f"{folder}: the slices {slices[narrowest].path.name} and {slices[narrowest + 1].path.name} lie at the same "
            "position, but one slice for each is expected; keep one copy, or one phase, of the series."
        )
    aside = np.linalg.norm(positions - positions[0] - np.outer(depth - depth[0], normal), axis=1).max()
    if aside > POSITION_TOLERANCE_MM + np.tan(np.radians(TILT_TOLERANCE_DEG)) * length:
        raise _tilted(folder, f"{np.degrees(np.arctan2(aside, length)):.1f} degrees by the positions of its slices")
    index = np.arange(len(depth))
    uneven = np.abs(depth - np.polyval(np.polyfit(index, depth, 1), index)).max()
    if uneven > min(POSITION_TOLERANCE_MM, 0.2 * spacing):
        widest = int(np.argmax(np.abs(gaps - spacing)))
        raise InputError(
            f"{folder}: the slices are not evenly spaced ({gaps[widest]:.2f} mm between {slices[widest].path.name} and "
            f"{slices[widest + 1].path.name}, {spacing:.2f} mm elsewhere), so slices are missing or of several series; give "
            "a complete series."
        )
    return [item.path for item in slices]
