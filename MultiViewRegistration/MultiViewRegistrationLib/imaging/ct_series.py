"""CT series in folders of DICOM files, and the ordered slices of a series.

SimpleITK stacks any list of slices without an error: a tilted gantry results in a sheared volume,
and the gap of a missing slice is closed. Therefore the headers are checked here before pixels are read.
Source: DICOM PS3.3, C.7.6.2 (image plane) and C.8.2 (CT image).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import InputError
from .dicom_file import DicomFile, is_localizer, read_dicom

TILT_TOLERANCE_DEG = 0.1
POSITION_TOLERANCE_MM = 0.1  # headers round positions to 0.1 mm at worst
#: What places a slice: how many numbers, and how far those of two slices of a volume may differ;
#: None for any.
_GRID = {
    "ImagePositionPatient": (3, None),
    "ImageOrientationPatient": (6, 1e-3),
    "PixelSpacing": (2, 1e-3),
    "Rows": (1, 0),
    "Columns": (1, 0),
}


#: A folder with more files is not searched.
MAX_FILES = 20_000


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders.

    Raises
    ------
    InputError
        If the folder does not exist or has too many files.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder. Name the folder of the DICOM files.")
    paths = list(islice(filter(Path.is_file, folder.rglob("*")), MAX_FILES + 1))
    if len(paths) > MAX_FILES:
        raise InputError(
            f"{folder}: holds more than {MAX_FILES} files. Name the folder of one study."
        )
    return sorted(paths)


def export_folder(path: Path) -> Path:
    """Return the folder of a DICOMDIR; any other path is returned unchanged."""
    return path.parent if path.name.upper() == "DICOMDIR" else path


@dataclass(frozen=True)
class CTSeries:
    """A CT series in a folder.

    Attributes
    ----------
    number
        SeriesNumber if it is unique in the folder, otherwise the position in the list of series.
    slices
        Number of slices.
    """

    number: str
    uid: str
    description: str
    slices: int
    spacing_mm: float | None
    folder: Path

    def __str__(self) -> str:
        apart = f" {self.spacing_mm:.3g} mm apart" if self.spacing_mm else ""
        named = f'"{self.description}", ' if self.description else ""
        return f"{self.number}: {named}{self.slices} slice{'s' * (self.slices != 1)}{apart}"


def ct_series(folder: str | Path) -> list[CTSeries]:
    """Return the CT series in a folder, or in its subfolders if it contains no slices.

    Series with the most slices come first. Localizers are excluded.

    Raises
    ------
    InputError
        If a header is damaged or there are too many files.
    """
    folder = Path(folder)
    slices = _ct_files(folder)[0] or _ct_files(files_below(folder))[0]
    series: list[list[DicomFile]] = []
    for files in _by_series(slices).values():
        by_folder = defaultdict(list)
        for file in files:
            by_folder[file.path.parent].append(file)
        series += by_folder.values()
    return _listed(sorted(series, key=len, reverse=True))


def ct_folder(path: Path) -> Path:
    """Return the folder of the only CT series in the subfolders of a folder without slices.

    Exports with a DICOMDIR are such folders. Any other path is returned unchanged.
    """
    if not path.is_dir() or _ct_files(path)[0]:
        return path
    series = ct_series(path)
    return series[0].folder if len(series) == 1 else path


def ct_slices(folder: str | Path | Sequence[Path], series: str | None) -> list[Path]:
    """Return the files of a CT series in a folder (without subfolders) or list of files, ordered along the slice normal.

    Localizers and other modalities are ignored.

    Parameters
    ----------
    series
        SeriesInstanceUID of the series; required if there are several.

    Raises
    ------
    InputError
        If there are no CT slices, several series and `series` selects none, multi-frame files,
        missing or inconsistent geometry, a gantry tilt (in the header or in the slice positions),
        two slices at one position, or missing or unevenly spaced slices.
    """
    slices, others = _ct_files(Path(folder) if isinstance(folder, (str, Path)) else folder)
    folder = Path(folder) if isinstance(folder, (str, Path)) else folder[0].parent
    if not slices:
        below = ct_series(folder)
        listed = "; ".join(f"{each}, in {each.folder}" for each in below)
        what = f"of the {len(below)} CT series below it ({listed})" if below else "with the slices"
        raise InputError(
            f"{folder}: found no DICOM CT slices ({others} other files). Name the folder {what}."
        )
    slices = _one_series(folder, slices, series)
    for file in slices:
        if file.whole("NumberOfFrames", 1) > 1:
            file.refuse(
                "a multi-frame DICOM CT, but one file for each slice is expected; export the "
                "series as single slices, or convert it to NIfTI or NRRD."
            )
        _check_slice(file)
    _check_grid(folder, slices)
    return _stacked(folder, slices)


def _ct_files(folder: Path | Sequence[Path]) -> tuple[list[DicomFile], int]:
    """Return the CT slices ordered by file name, and the number of other files."""
    paths = sorted(
        p for p in (folder.iterdir() if isinstance(folder, Path) else folder) if p.is_file()
    )
    files = []
    for path in paths:
        file = read_dicom(path)
        if file and file.text("Modality") == "CT" and not is_localizer(file):
            files.append(file)
    return files, len(paths) - len(files)


def _by_series(slices: list[DicomFile]) -> dict[str, list[DicomFile]]:
    """Return the slices by SeriesInstanceUID, the series with the most slices first.

    Objects that are not slices, such as a dose report, are excluded if there are other series.
    """
    found = defaultdict(list)
    for file in slices:
        found[str(file.value("SeriesInstanceUID") or "")].append(file)
    placed = {uid: files for uid, files in found.items() if any(map(_has_place, files))}
    return dict(sorted((placed or found).items(), key=lambda item: -len(item[1])))


def _has_place(file: DicomFile) -> bool:
    return len(file.numbers("ImagePositionPatient")) > 0


def _listed(series: Collection[list[DicomFile]]) -> list[CTSeries]:
    numbers = [str(files[0].value("SeriesNumber") or "") for files in series]
    if len(set(numbers)) < len(numbers) or "" in numbers:
        numbers = [str(nth) for nth in range(1, 1 + len(numbers))]
    listed = []
    for number, files in zip(numbers, series, strict=True):
        first = files[0]
        uid = str(first.value("SeriesInstanceUID") or "")
        description = str(first.value("SeriesDescription") or "").strip()
        spacing_mm = slice_spacing_mm(files)
        listed.append(CTSeries(number, uid, description, len(files), spacing_mm, first.path.parent))
    return listed


def slice_spacing_mm(files: list[DicomFile]) -> float | None:
    """Return the median distance between neighbouring slices of a series, mm.

    None if the headers do not state the positions.
    """
    axes = files[0].numbers("ImageOrientationPatient")
    positions = [file.numbers("ImagePositionPatient") for file in files]
    if len(files) < 2 or len(axes) != 6 or any(len(position) != 3 for position in positions):
        return None
    return float(np.median(np.diff(np.sort(np.array(positions) @ np.cross(axes[:3], axes[3:])))))


def _one_series(folder: Path, slices: list[DicomFile], uid: str | None) -> list[DicomFile]:
    found = _by_series(slices)
    if uid is None and len(found) == 1:
        return next(iter(found.values()))
    if uid in found:
        return found[uid]
    listed = "; ".join(map(str, _listed(found.values())))
    if uid is not None:
        raise InputError(
            f"{folder}: has no CT series {uid}, but these: {listed}; set ct_series to the UID of one "
            "of them."
        )
    raise InputError(
        f"{folder}: found {len(found)} CT series ({listed}), but one is expected; put its "
        "slices into a folder of their own, or choose it with --ct-series of mvreg case new."
    )


def _check_slice(file: DicomFile) -> None:
    for keyword, (count, _) in _GRID.items():
        if len(file.numbers(keyword)) != count:
            file.refuse(
                f"{keyword} is missing or invalid, so the position of the slice is unknown; export "
                "the series again with its geometry."
            )
    if not file.compressed:
        expected = file.whole("Rows") * file.whole("Columns") * file.whole("BitsAllocated") // 8
        rest = file.path.stat().st_size - file.pixels_at if file.pixels_at else 0
        if rest < expected:
            file.refuse(
                f"the slice is truncated: it has {rest} of {expected} bytes of pixel data; copy or "
                "export the series again."
            )


def _check_grid(folder: Path, slices: list[DicomFile]) -> None:
    first = slices[0]
    if len(slices) == 1:
        raise InputError(
            f"{folder}: contains a single CT slice instead of a volume; provide all slices of "
            "the series."
        )
    for file in slices:
        for keyword, (_, tolerance) in _GRID.items():
            same = (
                tolerance is None
                or np.abs(file.numbers(keyword) - first.numbers(keyword)).max() <= tolerance
            )
            if not same:
                raise InputError(
                    f"{folder}: the slices {first.path.name} and {file.path.name} of one series "
                    f"differ in {keyword}; remove the slices that do not belong to the volume."
                )
        tilt = file.numbers("GantryDetectorTilt")
        if len(tilt) and abs(tilt[0]) > TILT_TOLERANCE_DEG:
            raise _tilted(folder, f"{abs(tilt[0]):.1f} degrees by the header of {file.path.name}")


def _tilted(folder: Path, how_much: str) -> InputError:
    return InputError(
        f"{folder}: the CT was acquired with a tilted gantry ({how_much}), which is not "
        "supported; resample it to an orthogonal volume, for example with dcm2niix."
    )


def _stacked(folder: Path, slices: list[DicomFile]) -> list[Path]:
    """Return the slice files sorted along the slice normal; raise InputError unless they are evenly spaced along it."""
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
            f"{folder}: the slices {slices[narrowest].path.name} and "
            f"{slices[narrowest + 1].path.name} have the same position; "
            "keep one copy, or one phase, of the series."
        )
    aside = np.linalg.norm(
        positions - positions[0] - np.outer(depth - depth[0], normal), axis=1
    ).max()
    if aside > POSITION_TOLERANCE_MM + np.tan(np.radians(TILT_TOLERANCE_DEG)) * length:
        raise _tilted(
            folder,
            f"{np.degrees(np.arctan2(aside, length)):.1f} degrees by the positions of its slices",
        )
    index = np.arange(len(depth))
    uneven = np.abs(depth - np.polyval(np.polyfit(index, depth, 1), index)).max()
    if uneven > min(POSITION_TOLERANCE_MM, 0.2 * spacing):
        widest = int(np.argmax(np.abs(gaps - spacing)))
        raise InputError(
            f"{folder}: the slices are not evenly spaced ({gaps[widest]:.2f} mm between "
            f"{slices[widest].path.name} and {slices[widest + 1].path.name}, {spacing:.2f} mm "
            "elsewhere), so slices are missing or of several series; give a complete series."
        )
    return [item.path for item in slices]
