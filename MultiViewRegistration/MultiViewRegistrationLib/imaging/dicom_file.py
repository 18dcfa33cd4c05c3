"""DICOM files: the header, read once, its values for one frame, the pixels' place in the file, and the slices of a CT in a folder.

Of the slices in a DICOM folder SimpleITK stacks whatever it is given: it straightens a tilted
gantry into a sheared patient, closes the gap of a missing slice, and before 2.5.4 (Slicer 5.10 has
2.5.2) makes up the end of a slice that was cut short, all without an error. So the headers are
checked here, before a pixel is read.
Source: DICOM PS3.3, C.7.6.2 (image plane) and C.8.2 (CT image).
"""

from __future__ import annotations

import mmap
import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from ..errors import InputError
from .image_source import is_dicom

if TYPE_CHECKING:
    import pydicom


IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
#: Header elements that are longer are left where they are, by the file's word on their length.
MAX_ELEMENT_BYTES = 64 << 20
#: As many as a long CT has slices, which are gone through for the CT and then for scouts; some 15
#: KiB each.
HEADERS_KEPT = 1000


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file but for its pixels.

    Attributes
    ----------
    header
        All attributes before the pixels.
    syntax
        UID of the transfer syntax.
    pixels_at
        Offset of the first byte of the pixels; None where the file ends before.
    pixels_length
        None where they are encapsulated.
    """

    path: Path
    header: pydicom.Dataset
    syntax: str
    pixels_at: int | None
    pixels_length: int | None

    @property
    def compressed(self) -> bool:
        """Whether the file's pixels are compressed."""
        return self.syntax not in (IMPLICIT, EXPLICIT, BIG_ENDIAN)

    def refuse(self, what: str) -> NoReturn:
        """Raise the InputError of what is wrong with it."""
        raise InputError(f"{self.path}: {what}")

    def value(self, keyword: str, within: pydicom.Dataset | None = None) -> Any:
        """Return the value of an attribute, None where it is missing or empty.

        Raises
        ------
        InputError
            Where it is damaged.
        """
        try:
            with quiet():
                value = (self.header if within is None else within).get(keyword)
        except Exception:  # of many kinds: the value is converted only here
            self.refuse(
                f"its DICOM attribute {keyword} is damaged, expected a value that DICOM allows; "
                "export the file again."
            )
        return None if value is None or isinstance(value, str) and not value.strip() else value

    def numbers(self, keyword: str, within: pydicom.Dataset | None = None) -> np.ndarray:
        """Return the values (n,) of a numeric attribute, none where it is missing or empty.

        Raises
        ------
        InputError
            Where one is no finite number.
        """
        value = self.value(keyword, within)
        try:
            numbers = np.array([] if value is None else value, np.float64).ravel()
        except (TypeError, ValueError):
            numbers = np.array([np.nan])
        if not np.isfinite(numbers).all():
            self.refuse(
                f"its DICOM attribute {keyword} is no number, expected one; export the file again."
            )
        return numbers

    def whole(self, keyword: str, default: int | None = None) -> int:
        """Return a whole number.

        Raises
        ------
        InputError
            Where it is missing, without a default, or something else.
        """
        numbers = self.numbers(keyword)
        if not len(numbers) and default is not None:
            return default
        if len(numbers) != 1 or numbers[0] % 1 or abs(numbers[0]) > UNDEFINED:
            self.refuse(
                f"has no usable DICOM attribute {keyword}, expected one whole number; export the "
                "file again."
            )
        return int(numbers[0])

    def text(self, keyword: str, within: pydicom.Dataset | None = None) -> str:
        """Return a code string in capitals, "" where it is missing."""
        value = self.value(keyword, within)
        return "" if value is None else str(value).strip().upper()

    def texts(self, keyword: str, within: pydicom.Dataset | None = None) -> list[str]:
        """Return the code strings of an attribute with several values."""
        value = self.value(keyword, within)
        values = [] if value is None else value
        if isinstance(value, str):
            values = [value]
        try:
            return [str(part).strip().upper() for part in values]
        except TypeError:
            return [str(values).strip().upper()]

    def items(self, keyword: str, within: pydicom.Dataset | None = None) -> list[pydicom.Dataset]:
        """Return the items of a sequence, none where it is missing."""
        import pydicom

        value = self.value(keyword, within)
        return list(value) if isinstance(value, pydicom.Sequence) else []

    @contextmanager
    def opened(self) -> Iterator[mmap.mmap]:
        """Open the bytes of the file, without reading them all."""
        with _mapped(self.path) as data:
            yield data


def read_dicom(path: str | os.PathLike) -> DicomFile | None:
    """Return a DICOM file but for its pixels, None for another file.

    It is read once, as long as it does not change; not to be changed.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    if not is_dicom(path):
        return None
    status = os.stat(path)
    return _read(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=HEADERS_KEPT)
def _read(path: str, *state: int) -> DicomFile:
    """state: of the file on disk, by which a changed one is read again."""
    import pydicom

    try:
        with _mapped(Path(path)) as data, quiet():
            meta = pydicom.filereader.read_file_meta_info(path)
            syntax = str(meta.get("TransferSyntaxUID", "")).strip()
            if syntax == DEFLATED:
                raise InputError(
                    f"{path}: is deflated as a whole, which is not read, expected another DICOM "
                    "transfer syntax; export it uncompressed."
                )
            data.seek(0)
            header = pydicom.dcmread(data, stop_before_pixels=True, defer_size=MAX_ELEMENT_BYTES)  # type: ignore[arg-type]
            header.file_meta = meta
            at, length, explicit = _pixels(data, data.tell(), syntax == BIG_ENDIAN)
    except InputError:
        raise
    except Exception:  # of many kinds where a header is broken
        raise InputError(
            f"{path}: its DICOM header is damaged, or the file ends early, expected a whole file; "
            "copy or export it again."
        ) from None
    return DicomFile(Path(path), header, syntax or (EXPLICIT if explicit else IMPLICIT), at, length)


def _pixels(data: mmap.mmap, at: int, big_endian: bool) -> tuple[int | None, int | None, bool]:
    """Offset and length of the pixels whose element begins at `at`, and whether its value representation is written."""
    order: Literal["big", "little"] = "big" if big_endian else "little"
    start = data[at : at + 12]
    if (
        len(start) < 8
        or int.from_bytes(start[:2], order) << 16 | int.from_bytes(start[2:4], order) != PIXEL_DATA
    ):
        return None, None, start[4:6].isalpha()
    explicit = start[4:6] in (b"OB", b"OW", b"UN")
    header = 12 if explicit else 8
    length = int.from_bytes(start[header - 4 : header], order)
    return at + header, None if length == UNDEFINED else length, explicit


def is_localizer(file: DicomFile) -> bool:
    """Return whether it is a CT scanner's projection image (scout, topogram, surview)."""
    return file.text("Modality") == "CT" and "LOCALIZER" in file.texts("ImageType")


def lies_down(file: DicomFile) -> bool:
    """Return whether a localizer's columns follow the table: its pixels are turned clockwise, upright, when they are read."""
    axes = file.numbers("ImageOrientationPatient")
    return is_localizer(file) and len(axes) == 6 and abs(axes[2]) > abs(axes[5])


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


_quiet_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings of pydicom quote the values that they warn of.

    One thread at a time, as the filters are the whole process's.
    """
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True, eq=False)
class DicomFrame:
    """A frame, from 0, of a DICOM file (PS3.3 C.7.6.16 for its functional groups).

    Each method takes the keyword of an attribute and those of the functional groups that may have
    it; where none does, the value for the whole image counts.

    Raises
    ------
    InputError
        For a damaged value.
    """

    file: DicomFile
    index: int = 0

    def numbers(self, keyword: str, *groups: str) -> np.ndarray:
        """(n,), none where it is missing."""
        return self.file.numbers(keyword, self._holder(keyword, groups))

    def number(self, keyword: str, *groups: str) -> float | None:
        """Return the only value; None where there is none, or several."""
        numbers = self.numbers(keyword, *groups)
        return float(numbers[0]) if len(numbers) == 1 else None

    def exactly(self, count: int, keyword: str, *groups: str) -> np.ndarray:
        """Return (count,); another number of values is refused."""
        numbers = self.numbers(keyword, *groups)
        if len(numbers) != count:
            self.file.refuse(
                f"does not say {keyword} of its frame {self.index + 1}, expected {count} "
                f"number{'s' * (count > 1)}; export it again."
            )
        return numbers

    def text(self, keyword: str, *groups: str) -> str:
        """Return the text of an element; "" without one."""
        return self.file.text(keyword, self._holder(keyword, groups))

    def texts(self, keyword: str, *groups: str) -> list[str]:
        """Return the texts of an element."""
        return self.file.texts(keyword, self._holder(keyword, groups))

    def group(self, name: str) -> pydicom.Dataset | None:
        """Return the first item of a functional group."""
        return next(iter(self.items(name)), None)

    def items(self, name: str) -> list[pydicom.Dataset]:
        """Return all items of a functional group."""
        return next(
            (items for macros in self._macros if (items := self.file.items(name, macros))), []
        )

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
        return [
            *per_frame[self.index : self.index + 1],
            *self.file.items("SharedFunctionalGroupsSequence")[:1],
        ]


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

    def __str__(self) -> str:
        apart = f" {self.spacing_mm:.3g} mm apart" if self.spacing_mm else ""
        named = f'"{self.description}", ' if self.description else ""
        return f"{self.number}: {named}{self.slices} slice{'s' * (self.slices != 1)}{apart}"


def ct_series(folder: str | Path) -> list[CTSeries]:
    """Return the CT series in a folder (not in its subfolders), those with most slices first.

    No localizers.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    return _listed(_by_series(_ct_files(Path(folder))[0]))


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
        raise InputError(
            f"{folder}: found no DICOM CT slices ({others} other files); name the folder that "
            "holds the slices themselves, subfolders are not searched."
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


def _listed(series: dict[str, list[DicomFile]]) -> list[CTSeries]:
    numbers = [str(files[0].value("SeriesNumber") or "") for files in series.values()]
    if len(set(numbers)) < len(numbers) or "" in numbers:
        numbers = [str(nth) for nth in range(1, 1 + len(numbers))]
    listed = []
    for number, (uid, files) in zip(numbers, series.items()):
        description = str(files[0].value("SeriesDescription") or "").strip()
        listed.append(CTSeries(number, uid, description, len(files), slice_spacing_mm(files)))
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
    listed = "; ".join(map(str, _listed(found)))
    if uid is not None:
        raise InputError(
            f"{folder}: has no CT series {uid}, expected the UID of one of these ({listed}); "
            "correct ct_series."
        )
    raise InputError(
        f"{folder}: found {len(found)} CT series ({listed}), but one is expected; choose one with "
        "--ct-series of mvreg case new, or put its slices into a folder of their own."
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
