"""The slices of a CT in a DICOM folder, refused unless they make a regular, rectangular grid.

SimpleITK stacks whatever it is given: it straightens a tilted gantry into a sheared patient, closes the gap of a
missing slice, and before 2.5.4 (Slicer 5.10 has 2.5.2) makes up the end of a slice that was cut short, all without
an error. So the headers are checked here, before a pixel is read.
Source: DICOM PS3.3, C.7.6.2 (image plane) and C.8.2 (CT image).
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ..errors import InputError

TILT_TOLERANCE_DEG = 0.1
POSITION_TOLERANCE_MM = 0.1  # headers round positions to 0.1 mm at worst

_GRID_TAGS = {
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
    "Rows": 1,
    "Columns": 1,
}
_TAGS = [
    *_GRID_TAGS,
    "Modality",
    "ImageType",
    "NumberOfFrames",
    "SeriesInstanceUID",
    "SeriesNumber",
    "GantryDetectorTilt",
    "BitsAllocated",
]
_UNCOMPRESSED = ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian


@dataclass(frozen=True, eq=False)
class _Slice:
    """path: of the file; tilt_deg: of the gantry, by its tag; grid: the numbers of each of _GRID_TAGS."""

    path: Path
    tilt_deg: float
    grid: dict[str, np.ndarray]

    @property
    def position(self) -> np.ndarray:
        return self.grid["ImagePositionPatient"]


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
    slices = [_slice(path, header) for path, header in _only_series(folder, _ct_headers(folder))]
    _check_same_grid(folder, slices)
    for item in slices:
        if abs(item.tilt_deg) > TILT_TOLERANCE_DEG:
            raise _tilted(folder, f"{abs(item.tilt_deg):.1f} degrees by the header of {item.path.name}")
    return _stacked(folder, slices)


def _ct_headers(folder: Path) -> list[tuple[Path, pydicom.Dataset]]:
    found, others = [], 0
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        header, rest = _header(path)
        if header is None or header.get("Modality") != "CT" or "LOCALIZER" in (header.get("ImageType") or []):
            others += 1
        elif int(header.get("NumberOfFrames") or 1) > 1:
            raise InputError(
                f"{path}: a multi-frame DICOM CT, but one file for each slice is expected; export the series as single "
                "slices, or convert it to NIfTI or NRRD."
            )
        else:
            _check_complete(path, header, rest)
            found.append((path, header))
    if not found:
        raise InputError(
            f"{folder}: found no DICOM CT slices ({others} other files); name the folder that holds the slices themselves, "
            "subfolders are not searched."
        )
    return found


def _header(path: Path) -> tuple[pydicom.Dataset | None, int]:
    """What stands before the pixels, None in a file that is not DICOM, and how many bytes follow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as stream:
                header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)
                return header, path.stat().st_size - stream.tell()
        except (pydicom.errors.InvalidDicomError, EOFError, OSError):
            return None, 0


def _check_complete(path: Path, header: pydicom.Dataset, rest: int) -> None:
    if header.file_meta.get("TransferSyntaxUID") not in _UNCOMPRESSED:
        return
    expected = np.prod(np.concatenate([_numbers(header, tag) for tag in ("Rows", "Columns", "BitsAllocated")])) / 8
    rest -= 8  # tag and length of the pixels, at least
    if rest < expected:
        raise InputError(
            f"{path}: the DICOM slice is cut short and cannot be read, its pixels need {expected:.0f} bytes and {rest} are there; copy "
            "or export the series again."
        )


def _only_series(folder: Path, headers: list[tuple[Path, pydicom.Dataset]]) -> list[tuple[Path, pydicom.Dataset]]:
    series = defaultdict(list)
    for _, header in headers:
        series[header.get("SeriesInstanceUID")].append(header.get("SeriesNumber"))
    if len(series) > 1:
        found = sorted(series.values(), key=len, reverse=True)
        listed = ", ".join(f"number {numbers[0]} with {len(numbers)} slices" for numbers in found)
        raise InputError(
            f"{folder}: found {len(series)} CT series ({listed}), but one is expected; put the slices of the one to "
            "register into a folder of their own."
        )
    if len(headers) == 1:
        raise InputError(f"{folder}: found a single CT slice, but a volume is expected; give all slices of the series.")
    return headers


def _slice(path: Path, header: pydicom.Dataset) -> _Slice:
    grid = {}
    for tag, length in _GRID_TAGS.items():
        grid[tag] = _numbers(header, tag)
        if len(grid[tag]) != length or not np.isfinite(grid[tag]).all():
            raise InputError(
                f"{path}: the DICOM slice has no usable {tag}, without which it has no place in the patient; export the "
                "series again with its geometry."
            )
    tilt = _numbers(header, "GantryDetectorTilt")
    return _Slice(path, tilt[0] if len(tilt) else 0.0, grid)


def _numbers(header: pydicom.Dataset, tag: str) -> np.ndarray:
    """The values of a tag, none where it is missing, empty or not numeric."""
    try:
        value = header.get(tag)
        return np.array([] if value is None or value == "" else value, dtype=float).ravel()
    except (TypeError, ValueError):
        return np.array([])


def _check_same_grid(folder: Path, slices: list[_Slice]) -> None:
    first = slices[0]
    for item in slices[1:]:
        for tag, tolerance in (
            ("Rows", 0),
            ("Columns", 0),
            ("PixelSpacing", 1e-3),
            ("ImageOrientationPatient", 1e-3),
        ):
            if not np.allclose(item.grid[tag], first.grid[tag], rtol=0, atol=tolerance):
                raise InputError(
                    f"{folder}: the slices {first.path.name} and {item.path.name} of one series differ in {tag}, but a "
                    "volume needs it the same for all; leave out the slices that do not belong."
                )


def _tilted(folder: Path, how_much: str) -> InputError:
    return InputError(
        f"{folder}: the CT was taken with a tilted gantry ({how_much}), but slices stacked at right angles are expected; "
        "convert it with a program that resamples tilted CTs (such as dcm2niix) and give that volume."
    )


def _stacked(folder: Path, slices: list[_Slice]) -> list[Path]:
    """The slices' files by growing depth along their normal, if they are evenly spaced on a line along it."""
    normal = np.cross(*slices[0].grid["ImageOrientationPatient"].reshape(2, 3))
    slices = sorted(slices, key=lambda item: item.position @ normal)
    positions = np.array([item.position for item in slices])
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
