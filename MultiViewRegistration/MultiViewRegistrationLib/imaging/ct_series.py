"""The CT series in folders of DICOM files, and the slices of one in order.

Of the slices in a DICOM folder SimpleITK stacks whatever it is given: it straightens a tilted
gantry into a sheared patient and closes the gap of a missing slice without an error. So the headers
are checked here, before a pixel is read.
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
    """Return the files in a folder and those below it.

    Raises
    ------
    InputError
        For no such folder, and for too many files.
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
    """Return the folder of a DICOM export for its DICOMDIR, any other path as it is."""
    return path.parent if path.name.upper() == "DICOMDIR" else path


@dataclass(frozen=True)
class CTSeries:
    """A CT series of a folder.

    Attributes
    ----------
    number
        As it is called: SeriesNumber where that tells the folder's series apart, else its place in
        their list.
    slices
        How many there are.
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
    """Return the CT series in a folder, or, if it has no slices itself, in those below it.

    Those with most slices come first. Localizers are no series.

    Raises
    ------
    InputError
        For a header that is damaged, and for too many files.
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
    """Return the folder of the only CT series below a folder without slices of its own.

    Exports with a DICOMDIR are such folders. Any other path is returned as it is.
    """
    if not path.is_dir() or _ct_files(path)[0]:
        return path
    series = ct_series(path)
    return series[0].folder if len(series) == 1 else path


def ct_slices(folder: str | Path | Sequence[Path], series: str | None) -> list[Path]:
    """Files of the one CT series in a folder (not in its subfolders), or among these files, ordered along the slice normal.

    Localizers and other modalities are passed over.

    Parameters
    ----------
    series
        SeriesInstanceUID of the one that is meant, where there are several.

    Raises
    ------
    InputError
        For no CT slices, several series of which none is named, multi-frame files, missing or
        differing geometry, gantry tilt (by its tag or by the slices' positions), two slices at one
        position, and missing or unevenly spaced slices.
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
    """Return the CT's slices by name, and the number of other files."""
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
    """By SeriesInstanceUID, those with most slices first.

    Without those that are no slices at all, a report for one, beside others.
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
    """Return the usual distance of neighbouring slices of a series.

    None where the headers do not say it.
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
            f"{folder}: has no CT series {uid}, expected the UID of one of these ({listed}); "
            "correct ct_series."
        )
    raise InputError(
        f"{folder}: found {len(found)} CT series ({listed}), but one is expected; put its "
        "slices into a folder of their own, or choose it with --ct-series of mvreg case new."
    )


def _check_slice(file: DicomFile) -> None:
    for keyword, (count, _) in _GRID.items():
        if len(file.numbers(keyword)) != count:
            file.refuse(
                f"the DICOM slice has no usable {keyword}, without which it has no place in the "
                "patient; export the series again with its geometry."
            )
    if not file.compressed:
        expected = file.whole("Rows") * file.whole("Columns") * file.whole("BitsAllocated") // 8
        rest = file.path.stat().st_size - file.pixels_at if file.pixels_at else 0
        if rest < expected:
            file.refuse(
                f"the DICOM slice is cut short and cannot be read, its pixels need {expected} "
                f"bytes and {rest} are there; copy or export the series again."
            )


def _check_grid(folder: Path, slices: list[DicomFile]) -> None:
    first = slices[0]
    if len(slices) == 1:
        raise InputError(
            f"{folder}: found a single CT slice, but a volume is expected; give all slices of the "
            "series."
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
                    f"differ in {keyword}, but a volume needs it the same for all; leave out the "
                    "slices that do not belong."
                )
        tilt = file.numbers("GantryDetectorTilt")
        if len(tilt) and abs(tilt[0]) > TILT_TOLERANCE_DEG:
            raise _tilted(folder, f"{abs(tilt[0]):.1f} degrees by the header of {file.path.name}")


def _tilted(folder: Path, how_much: str) -> InputError:
    return InputError(
        f"{folder}: the CT was taken with a tilted gantry ({how_much}), but slices stacked at "
        "right angles are expected; convert it with a program that resamples tilted CTs (such as "
        "dcm2niix) and give that volume."
    )


def _stacked(folder: Path, slices: list[DicomFile]) -> list[Path]:
    """Return the slices' files by growing depth along their normal, if they are evenly spaced on a line along it."""
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
            f"{slices[narrowest + 1].path.name} lie at the same position, but one slice for each "
            "is expected; keep one copy, or one phase, of the series."
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
