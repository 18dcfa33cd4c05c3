"""Rigid 4x4 matrices as text, NumPy or JSON files, and start poses from files of other programs."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError, MissingInformation
from ..geometry import rigid
from .files import write_atomically
from .json_reader import JsonObject, describe, printable, read_bytes, read_json, read_text
from .transforms import AXES, DIRECTIONS, read_transform, turned

MAGIC, ZIP = b"\x93NUMPY", b"PK\x03\x04"
MAX_NUMBERS = 1_000_000  # in an array: 80,000 projection matrices
MAX_ARRAYS = 1000


def read_numpy(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays in a .npz by name, or the one in a .npy by the name of the file, of whatever type but objects.

    Raises
    ------
    InputError
        For arrays of Python objects, which are pickled, for those that are larger than MAX_NUMBERS or hold less
        than they claim, and for what is no NumPy file.
    """
    path, file = Path(path), printable(path)
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) == MAGIC:
                stream.seek(0)
                return {path.stem: _array(stream, file)}
            with zipfile.ZipFile(stream) as archive:
                arrays = {}
                for name in archive.namelist()[:MAX_ARRAYS]:
                    with archive.open(name) as member:
                        arrays[name.removesuffix(".npy")] = _array(member, f"{file}: {printable(name)}")
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
    """The array as float64.

    Raises
    ------
    InputError
        Beginning with `name`, for what is not of numbers.
    """
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
    if count * max(dtype.itemsize, 1) > 8 * MAX_NUMBERS:
        raise InputError(
            f"{name} claims {count} numbers, expected matrices of at most {MAX_NUMBERS}; choose another file."
        )
    data = stream.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise InputError(f"{name} ends before its last number, expected {count}; save it again.")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")


EXPECTED = "a 4x4 matrix: 16 numbers by rows"

_HEAD = re.compile(r"#\s*(\w+_from_\w+): .*\baxes (LPS|RAS)\b")
_COMMENT = re.compile(r"(#|%|//).*")
_BETWEEN = re.compile(r"[\s,;\[\]()]+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NPY_FIELD = re.compile(r"(\w+_from_\w+)_(lps|ras)_mm")


@dataclass(frozen=True, eq=False)
class NamedMatrix:
    """A rigid matrix with the names of its frames.

    name and axes are None where a file does not say them.

    Attributes
    ----------
    matrix
        (4, 4), mm.
    name
        Of its frames, as in "world_from_ct".
    axes
        Of both, "lps" or "ras".
    """

    matrix: np.ndarray
    name: str | None = None
    axes: str | None = None

    def in_axes(self, axes: str) -> NamedMatrix:
        """The same with other axes; its own must be known."""
        return self if axes == self.axes else NamedMatrix(turned(self.matrix), self.name, axes)

    @property
    def meaning(self) -> str:
        """A line for people, and for `read_named_matrix`."""
        target, source = self.name.split("_from_")
        return f"{self.name}: x_{target} = matrix @ x_{source}, mm, axes {self.axes.upper()}"


def write_text(path: str | os.PathLike, named: NamedMatrix, warning: str | None = None) -> None:
    """Four lines of four numbers, all digits, below comments that numpy.loadtxt skips.

    Parameters
    ----------
    warning
        A sentence that goes with it.
    """
    comments = [named.meaning, *([] if warning is None else [f"Override: {printable(' '.join(warning.split()))}"])]
    rows = [" ".join(repr(float(number)) for number in row) for row in named.matrix]
    write_atomically(path, "\n".join([*(f"# {comment}" for comment in comments), *rows]) + "\n")


def write_npy(path: str | os.PathLike, named: NamedMatrix, warning: str | None = None) -> None:
    """A record whose only field of numbers says what they are: `numpy.load(path)["world_from_ct_lps_mm"]` is (4, 4).

    With a `warning` it has a second field, "override".
    """
    fields = [(f"{named.name}_{named.axes}_mm", "<f8", (4, 4))]
    values = [named.matrix]
    if warning is not None:
        fields.append(("override", f"<U{len(warning)}"))
        values.append(warning)
    stream = io.BytesIO()
    np.save(stream, np.array(tuple(values), np.dtype(fields)), allow_pickle=False)
    write_atomically(path, stream.getvalue())


def write_json(path: str | os.PathLike, named: NamedMatrix, warning: str | None = None) -> None:
    """An object with the matrix under the name of its frames, "axes", "unit" and "meaning"; with a `warning` "override", too."""
    content = {
        named.name: named.matrix.tolist(),
        "axes": named.axes.upper(),
        "unit": "mm",
        "meaning": named.meaning,
        **({} if warning is None else {"override": warning}),
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_named_matrix(path: str | os.PathLike) -> NamedMatrix:
    """The matrix in a .npy or .json file, or in any text of 16 numbers, as it stands there; not checked to be rigid.

    Raises
    ------
    InputError
        For anything else. Pickles are never read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return _from_npy(path)
    return _from_json(path) if suffix == ".json" else _from_text(path)


def _from_text(path: str | os.PathLike) -> NamedMatrix:
    text = read_text(path, EXPECTED)
    words = [word for line in text.splitlines() for word in _BETWEEN.split(_COMMENT.sub(" ", line)) if word]
    strange = next((word for word in words if not _NUMBER.fullmatch(word)), None)
    if strange is not None:
        raise InputError(f"{printable(path)}: has {describe(strange[:30])} in it, expected {EXPECTED}; correct it.")
    if len(words) != 16:
        raise InputError(f"{printable(path)}: has {len(words)} numbers, expected {EXPECTED}; correct it.")
    head = _HEAD.search(text)
    name, axes = (head[1], head[2].lower()) if head else (None, None)
    return NamedMatrix(np.array(words, float).reshape(4, 4), name, axes)


def _from_npy(path: str | os.PathLike) -> NamedMatrix:
    array, name, axes = next(iter(read_numpy(path).values()), np.empty(0)), None, None
    if array.dtype.names and array.size == 1:
        matches = [match for match in map(_NPY_FIELD.fullmatch, array.dtype.names) if match]
        name, axes = matches[0].groups() if len(matches) == 1 else (None, None)
        array = array.reshape(())[matches[0][0]] if name else array
    if array.shape != (4, 4) or array.dtype.kind not in "fiu":
        raise InputError(
            f"{printable(path)}: is not a NumPy array of 4x4 numbers, expected that, without pickled objects; save it with "
            "numpy.save."
        )
    return NamedMatrix(np.array(array, float), name, axes)


def _from_json(path: str | os.PathLike) -> NamedMatrix:
    content = read_json(path)
    fields = JsonObject(printable(path), "", content if isinstance(content, dict) else {"matrix": content})
    names = [name for name in fields.values if re.fullmatch(r"\w+_from_\w+", name) and name != "reference_from_world"]
    if len(names) > 1:
        fields.refuse(names[0], f"is there beside {names[1]}", "one matrix", "remove the other")
    key = names[0] if names else "matrix"
    axes = None
    if fields.has("axes"):
        axes = fields.choice("axes", tuple(axis.upper() for axis in AXES)).lower()
    if fields.has("unit"):
        fields.choice("unit", ("mm",))
    return NamedMatrix(fields.array(key, (4, 4), "4 rows of 4 numbers"), names[0] if names else None, axes)


ITK_TEXT = b"#Insight Transform File"
ITK_ENDINGS = (".h5", ".hdf5", ".hdf", ".tfm")
AXES_MEANING = {"lps": "its axes are LPS (DICOM, ITK)", "ras": "RAS (Slicer's scene)"}
DIRECTION_MEANING = {
    "forward": "it takes points of the CT to the world",
    "resampling": "points of the world to the CT, ITK's way",
}


def read_start_pose(path: str | os.PathLike, frame: str | None = None, direction: str | None = None) -> np.ndarray:
    """Read world_from_ct from a file of another program.

    Parameters
    ----------
    path
        An ITK or Slicer transform (.tfm, .txt, .h5), or a 4x4 matrix as text, .npy or .json.
    frame
        "lps" or "ras", the axes of both sides.
    direction
        "forward" where the file takes points of the CT to the world, "resampling" where it takes points of the world to the
        CT, as ITK's resampling filters and Slicer's files do. Neither is ever guessed: both may be left out only where the
        file says them itself, as those of `mvreg export` do, and must not contradict it.

    Returns
    -------
    (4, 4) LPS mm. A centre of rotation is carried into the translation.

    Raises
    ------
    InputError
        Where the file cannot be read, or the transform is not rigid.
    MissingInformation
        Of "frame" or "direction", where neither the file nor the caller says it.
    """
    named = _read(path)
    frame = _agreed(path, "--frame", named.axes, frame, AXES_MEANING)
    known = _direction_in(path, named, "world_from_ct")
    return _posed(path, named, frame, _agreed(path, "--direction", known, direction, DIRECTION_MEANING))


def read_pose(path: str | os.PathLike, name: str, words: Sequence[str] = ()) -> np.ndarray:
    """Read the transform that `name` says, as "reference_from_world".

    Parameters
    ----------
    path
        A file as in `read_start_pose`.
    name
        Of the transform, target_from_source.
    words
        "lps" or "ras", the axes, which text, NumPy and JSON must have unless they say them, and ITK's files, always LPS,
        need not; "forward" (the default) where the file takes points as `name` says, "resampling" where it takes them back.

    Returns
    -------
    (4, 4) LPS mm. Errors as in `read_start_pose`.
    """
    unknown = [word for word in words if word not in (*AXES, *DIRECTIONS)]
    if unknown or len(words) > 2 or set(words) in (set(AXES), set(DIRECTIONS)):
        raise InputError(
            f"--{name.replace('_', '-')}: found {printable(' '.join(words))} behind the file, expected one of {', '.join(AXES)} "
            f"and one of {', '.join(DIRECTIONS)} at most; correct it."
        )
    named = _read(path)
    axes = named.axes or ("lps" if _is_itk(path) else None)
    frame = _agreed(path, "the word", axes, next((word for word in words if word in AXES), None), AXES_MEANING)
    known = _direction_in(path, named, name)
    given = next((word for word in words if word in DIRECTIONS), None if known else "forward")
    return _posed(path, named, frame, _agreed(path, "the word", known, given, DIRECTION_MEANING))


def _read(path: str | os.PathLike) -> NamedMatrix:
    return NamedMatrix(read_transform(path)) if _is_itk(path) else read_named_matrix(path)


def _is_itk(path: str | os.PathLike) -> bool:
    return Path(path).suffix.lower() in ITK_ENDINGS or read_bytes(path, "a transform").startswith(ITK_TEXT)


def _direction_in(path: str | os.PathLike, named: NamedMatrix, name: str) -> str | None:
    """The direction of a matrix by the names of its frames, where `name` is forward; None without names."""
    target, source = name.split("_from_")
    directions = {name: "forward", f"{source}_from_{target}": "resampling"}
    if named.name is not None and named.name not in directions:
        raise InputError(
            f"{printable(path)}: holds {named.name}, expected {' or '.join(directions)}; choose another file."
        )
    return directions.get(named.name)


def _posed(path: str | os.PathLike, named: NamedMatrix, axes: str, direction: str) -> np.ndarray:
    """The matrix, rigid, in LPS and forward."""
    matrix = rigid.check_rigid(named.matrix, f"The transform in {printable(path)}")
    matrix = turned(matrix) if axes == "ras" else matrix
    return rigid.inverse(matrix) if direction == "resampling" else matrix


def _agreed(
    path: str | os.PathLike, option: str, in_file: str | None, given: str | None, choices: dict[str, str]
) -> str:
    """What the file and the caller say, one of `choices`."""
    if in_file is None and given is None:
        (first, meaning), (second, other) = choices.items()
        raise MissingInformation(
            f"{printable(path)}: does not say whether {meaning} or {other}, and a wrong guess would not show; add {option} {first} or "
            f"{option} {second}.",
            option.removeprefix("--"),
        )
    if in_file and given and in_file != given:
        raise InputError(
            f"{printable(path)}: says {in_file} itself, expected the same as {option} {given}; leave out {option}, or choose another "
            "file."
        )
    return in_file or given
