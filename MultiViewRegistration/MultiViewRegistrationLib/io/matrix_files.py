"""A rigid 4x4 matrix as text, NumPy or JSON file, with the names of its frames and their axes written in it."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .axes import AXES, turned
from .fields import Fields, found, read_json, shown
from .files import write_atomically
from .numpy_files import read_numpy

LONGEST_FILE = 1_000_000
EXPECTED = "a 4x4 matrix: 16 numbers by rows"

_HEAD = re.compile(r"#\s*(\w+_from_\w+): .*\baxes (LPS|RAS)\b")
_COMMENT = re.compile(r"(#|%|//).*")
_BETWEEN = re.compile(r"[\s,;\[\]()]+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NPY_FIELD = re.compile(r"(\w+_from_\w+)_(lps|ras)_mm")


@dataclass(frozen=True, eq=False)
class NamedMatrix:
    """matrix: (4, 4), mm.   name: of its frames, as in "world_from_ct".   axes: of both, "lps" or "ras".

    name and axes are None where a file does not say them.
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


def write_text(path: str | os.PathLike, named: NamedMatrix, caution: str | None = None) -> None:
    """Four lines of four numbers, all digits, below comments that numpy.loadtxt skips.   caution: a sentence that goes with it."""
    comments = [named.meaning, *([] if caution is None else [f"Override: {shown(' '.join(caution.split()))}"])]
    rows = [" ".join(repr(float(number)) for number in row) for row in named.matrix]
    write_atomically(path, "\n".join([*(f"# {comment}" for comment in comments), *rows]) + "\n")


def write_npy(path: str | os.PathLike, named: NamedMatrix, caution: str | None = None) -> None:
    """A record whose only field of numbers says what they are: `numpy.load(path)["world_from_ct_lps_mm"]` is (4, 4).

    With a `caution` it has a second field, "override".
    """
    fields = [(f"{named.name}_{named.axes}_mm", "<f8", (4, 4))]
    values = [named.matrix]
    if caution is not None:
        fields.append(("override", f"<U{len(caution)}"))
        values.append(caution)
    stream = io.BytesIO()
    np.save(stream, np.array(tuple(values), np.dtype(fields)), allow_pickle=False)
    write_atomically(path, stream.getvalue())


def write_json(path: str | os.PathLike, named: NamedMatrix, caution: str | None = None) -> None:
    """An object with the matrix under the name of its frames, "axes", "unit" and "meaning"; with a `caution` "override", too."""
    content = {
        named.name: named.matrix.tolist(),
        "axes": named.axes.upper(),
        "unit": "mm",
        "meaning": named.meaning,
        **({} if caution is None else {"override": caution}),
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_named_matrix(path: str | os.PathLike) -> NamedMatrix:
    """The matrix in a .npy or .json file, or in any text of 16 numbers, as it stands there; not checked to be rigid.

    Raises InputError for anything else. Pickles are never read.
    """
    suffix = Path(path).suffix.lower()
    try:
        size = os.path.getsize(path)
    except OSError as error:
        raise InputError(
            f"{shown(path)}: cannot be read ({error.strerror}), expected {EXPECTED}; check the path."
        ) from None
    if size > LONGEST_FILE:
        raise InputError(f"{shown(path)}: has {size} bytes, expected {EXPECTED}; choose another file.")
    if suffix == ".npy":
        return _from_npy(path)
    return _from_json(path) if suffix == ".json" else _from_text(path)


def _from_text(path: str | os.PathLike) -> NamedMatrix:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{shown(path)}: cannot be read ({error.strerror}), expected {EXPECTED}; check the path."
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{shown(path)}: is no text, expected {EXPECTED}; choose another file.") from None
    words = [word for line in text.splitlines() for word in _BETWEEN.split(_COMMENT.sub(" ", line)) if word]
    strange = next((word for word in words if not _NUMBER.fullmatch(word)), None)
    if strange is not None:
        raise InputError(f"{shown(path)}: has {found(strange[:30])} in it, expected {EXPECTED}; correct it.")
    if len(words) != 16:
        raise InputError(
            f"{shown(path)}: has {len(words) or 'no'} number{'s' * (len(words) != 1)}, expected {EXPECTED}; correct it."
        )
    head = _HEAD.search(text)
    said = (head[1], head[2].lower()) if head else (None, None)
    return NamedMatrix(np.array([float(word) for word in words]).reshape(4, 4), *said)


def _from_npy(path: str | os.PathLike) -> NamedMatrix:
    array, name, axes = next(iter(read_numpy(path).values()), np.empty(0)), None, None
    if array.dtype.names and array.size == 1:
        said = [match for match in map(_NPY_FIELD.fullmatch, array.dtype.names) if match]
        name, axes = said[0].groups() if len(said) == 1 else (None, None)
        array = array.reshape(())[said[0][0]] if name else array
    if array.shape != (4, 4) or array.dtype.kind not in "fiu":
        raise InputError(
            f"{shown(path)}: is not a NumPy array of 4x4 numbers, expected that, without pickled objects; save it with "
            "numpy.save."
        )
    return NamedMatrix(np.array(array, float), name, axes)


def _from_json(path: str | os.PathLike) -> NamedMatrix:
    content = read_json(path)
    fields = Fields(shown(path), "", content if isinstance(content, dict) else {"matrix": content})
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
