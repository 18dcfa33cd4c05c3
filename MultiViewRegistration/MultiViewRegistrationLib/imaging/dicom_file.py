"""DICOM files: the header, read once, its values for one frame, and the pixels' place in the file."""

from __future__ import annotations

import mmap
import os
import threading
import warnings
from collections.abc import Iterator
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
