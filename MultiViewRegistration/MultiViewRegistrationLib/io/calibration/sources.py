"""Text, XML and NumPy files, read so that what they hold cannot do more than be wrong."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import numpy as np

from ...errors import InputError
from ..fields import shown

LARGEST_FILE = 16 << 20  # bytes
MOST_NUMBERS = 1_000_000  # in an array: 80,000 projection matrices

_DOCTYPE = re.compile(r"<!DOCTYPE\s+\w+\s*>")  # names the root element and nothing else, as RTK writes it


def read_bytes(path: Path) -> bytes:
    """All of a file. InputError where it is none, cannot be read, or is larger than any calibration."""
    try:
        if not path.is_file():
            raise InputError(f"{shown(path)} cannot be read, as it is no file, expected a calibration file; check the path.")
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{shown(path)} is larger than {LARGEST_FILE >> 20} MB, expected a calibration file; choose another file.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror}), expected a calibration file; check its permissions.") from None


def text_of(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{file} is no text in UTF-8 and no other calibration file that is known, expected one; choose another "
                         "file.") from None


def xml_root(text: str, file: str) -> ElementTree.Element:
    """The root element. InputError for what is no XML, and for any declaration of a document type that does more than name the root."""
    if "<!ENTITY" in text or "<!DOCTYPE" in _DOCTYPE.sub("", text, count=1):
        raise InputError(f"{file} declares entities or a document type, expected plain XML; export it again without them.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{file} is not XML ({error}), expected a whole file; export it again.") from None


def numpy_arrays(path: Path, data: bytes) -> dict[str, np.ndarray]:
    """The arrays in a .npz by name, or the one in a .npy by the name of the file. Never a pickle.

    InputError for arrays that are not of numbers, are larger than MOST_NUMBERS, or hold less than they claim.
    """
    file = shown(path)
    try:
        with path.open("rb") as stream:
            if data.startswith(b"\x93NUMPY"):
                return {path.stem: _array(stream, file)}
            with zipfile.ZipFile(stream) as archive:
                arrays = {}
                for name in archive.namelist():
                    with archive.open(name) as member:
                        arrays[name.removesuffix(".npy")] = _array(member, f"{file}: {shown(name)}")
                return arrays
    except InputError:
        raise
    except Exception:  # zipfile, zlib, struct and the parser of the header each have their own
        raise InputError(f"{file} cannot be read as a NumPy file, expected a whole .npy or .npz; save it again.") from None


def _array(stream: BinaryIO, name: str) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read_header(stream)
    if dtype.kind not in "iuf":
        raise InputError(f"{name} holds {'Python objects' if dtype.hasobject else dtype}, expected numbers; save it as an array of floats.")
    count = int(np.prod(shape, dtype=object))
    if count > MOST_NUMBERS:
        raise InputError(f"{name} claims {count} numbers, expected matrices of at most {MOST_NUMBERS}; choose another file.")
    data = stream.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise InputError(f"{name} ends before its last number, expected {count}; save it again.")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C").astype(float)
