"""NumPy files that nobody vouches for: what a header claims is checked before anything is read, and nothing is ever unpickled."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError
from .fields import shown

MAGIC, ZIP = b"\x93NUMPY", b"PK\x03\x04"
MOST_NUMBERS = 1_000_000  # in an array: 80,000 projection matrices
MOST_ARRAYS = 1000


def read_numpy(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays in a .npz by name, or the one in a .npy by the name of the file, of whatever type but objects.

    InputError for arrays of Python objects, which are pickled, for those that are larger than MOST_NUMBERS or hold less than they claim,
    and for what is no NumPy file.
    """
    path, file = Path(path), shown(path)
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) == MAGIC:
                stream.seek(0)
                return {path.stem: _array(stream, file)}
            with zipfile.ZipFile(stream) as archive:
                arrays = {}
                for name in archive.namelist()[:MOST_ARRAYS]:
                    with archive.open(name) as member:
                        arrays[name.removesuffix(".npy")] = _array(member, f"{file}: {shown(name)}")
                return arrays
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}), expected a NumPy file; check the path.") from None
    except (
        Exception
    ):  # zipfile, zlib, struct and NumPy's parser of headers each have their own, tokenize.TokenError for one
        raise InputError(
            f"{file} cannot be read as a NumPy file, expected a whole .npy or .npz; save it again."
        ) from None


def numbers(array: np.ndarray, name: str) -> np.ndarray:
    """The array as float64. InputError, beginning with `name`, for what is not of numbers."""
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} holds {array.dtype}, expected numbers; save it as an array of floats.")
    return array.astype(float)


def _array(stream: BinaryIO, name: str) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read_header(stream)
    if dtype.hasobject:
        raise InputError(f"{name} holds Python objects, expected numbers; save it as an array of floats.")
    count = int(np.prod(shape, dtype=object))
    if count * max(dtype.itemsize, 1) > 8 * MOST_NUMBERS:
        raise InputError(
            f"{name} claims {count} numbers, expected matrices of at most {MOST_NUMBERS}; choose another file."
        )
    data = stream.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise InputError(f"{name} ends before its last number, expected {count}; save it again.")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")
