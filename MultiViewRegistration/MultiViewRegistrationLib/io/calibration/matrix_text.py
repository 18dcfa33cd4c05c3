"""Numbers and projection matrices as people type them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..json_reader import printable, read_text
from .calibrated import CalibratedView, CalibrationOptions, from_matrix, in_lps_mm
from .named import MAX_VIEWS, views_of_arrays

_TYPED_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?")


def read_number(text: str, name: str) -> float:
    """The number in a text.

    Parameters
    ----------
    name
        Begins the sentence where something is wrong.

    Raises
    ------
    InputError
        For anything that is none, and for separators of thousands, which cannot be told from decimals.
    """
    typed = text.strip().replace("\N{MINUS SIGN}", "-")
    if _TYPED_NUMBER.fullmatch(typed):
        return float(typed.replace(",", "."))
    if len(re.findall(r"[.,]", typed)) > 1 and re.fullmatch(r"[-+\d.,]+", typed):
        raise InputError(
            f'{name}: "{text.strip()}" has more than one point or comma; write it with one, before the decimals.'
        )
    raise InputError(f'{name}: found "{text.strip()}", expected a number; correct it.')


EXPECTED = (
    "12 numbers (a 3x4 projection matrix), or 9 and 12 or 16 (intrinsics 3x3, then camera_from_world), with nothing but spaces, "
    "commas and brackets between"
)

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NAME = re.compile(r"[A-Za-z_]\w*\s*[:=]")  # "P =", "K:"
_COMMENT = re.compile(r"[#%].*")
_BETWEEN, _BUT_COMMAS = re.compile(r"[\s,;|()\[\]{}]+"), re.compile(r"[\s;|()\[\]{}]+")
#: Of numbers: a projection matrix; with a last row 0 0 0 1; intrinsics and one of these.
COUNTS = (12, 16, 21, 25)


@dataclass(frozen=True, eq=False)
class MatrixText:
    """A projection matrix as text has it.

    Attributes
    ----------
    projection_matrix
        (3, 4), world mm to pixels, at any scale and sign.
    size
        (columns, rows) of its image, where the text says.
    """

    projection_matrix: np.ndarray
    size: tuple[int, int] | None = None


def read_matrix_file(path: str | os.PathLike) -> MatrixText:
    """`read_matrix` of a text or JSON file."""
    return read_matrix(read_text(path, EXPECTED), printable(path))


def read_matrix(text: str, name: str = "The text") -> MatrixText:
    """The matrix in a text.

    Parameters
    ----------
    text
        12 numbers by rows; 16, of which the last four are 0 0 0 1; 9 of the intrinsics and then 12 or 16 of
        camera_from_world; or a JSON object with "projection_matrix", or with "intrinsics" and "camera_from_world",
        or with one of these in "camera" or in its only view. Lines may end in a comment behind # or %, and a matrix
        may have a name in front ("P = ").
    name
        Begins the sentence where something is wrong.

    Raises
    ------
    InputError
        For anything else.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text, name)
    numbers = _NAME.sub(" ", _COMMENT.sub(" ", text))
    words = [word for word in _BETWEEN.split(numbers) if word]
    with_commas = [word for word in _BUT_COMMAS.split(numbers) if word]
    if len(words) not in COUNTS and len(with_commas) in COUNTS:
        words = [word.replace(",", ".") for word in with_commas]  # decimal commas
    strange = next((word for word in words if not _NUMBER.fullmatch(word)), None)
    if strange is not None:
        raise InputError(f'{name} has "{strange[:30]}" in it, expected {EXPECTED}; correct it.')
    return MatrixText(_from_numbers([float(word) for word in words], name))


def _from_numbers(numbers: list[float], name: str) -> np.ndarray:
    count = len(numbers)
    if count in (21, 25):
        pose = np.reshape(numbers[9:], (-1, 4))
        return _product(np.reshape(numbers[:9], (3, 3)), pose if count == 25 else np.vstack([pose, [0, 0, 0, 1]]), name)
    if count == 16 and np.allclose(numbers[12:], (0, 0, 0, 1)):
        numbers = numbers[:12]
    if len(numbers) != 12:
        raise InputError(f"{name} has {count or 'no'} number{'s' * (count != 1)}, expected {EXPECTED}; correct it.")
    return np.reshape(numbers, (3, 4))


def _from_json(text: str, name: str) -> MatrixText:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({error}), expected that, or {EXPECTED}; correct it.") from None
    views = content.get("views")
    if isinstance(views, list) and len(views) == 1 and isinstance(views[0], dict):
        content = views[0]
    if isinstance(content.get("camera"), dict):
        content = content["camera"]
    try:
        if "projection_matrix" in content:
            return MatrixText(np.array(content["projection_matrix"], float).reshape(3, 4))
        intrinsics = np.array(content["intrinsics"], float).reshape(3, 3)
        pose = np.array(content["camera_from_world"], float).reshape(4, 4)
        size = content.get("size")
        size = None if size is None else (int(size[0]), int(size[1]))
    except (KeyError, IndexError, TypeError, ValueError):
        several = (
            " (a case with several views: add its views instead)" if isinstance(views, list) and len(views) > 1 else ""
        )
        raise InputError(
            f'{name} has no camera{several}, expected "projection_matrix" as 3 rows of 4 numbers, or "intrinsics" and '
            '"camera_from_world" as 3x3 and 4x4; correct it.'
        ) from None
    return MatrixText(_product(intrinsics, pose, name), size)


def _product(intrinsics: np.ndarray, camera_from_world: np.ndarray, name: str) -> np.ndarray:
    return intrinsics @ rigid.check_rigid(camera_from_world, f"{name}: camera_from_world")[:3]


def read_matrices(text: str, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """Views of numbers in rows: several matrices, 3 lines of 4 numbers, 4 lines of 4 (a fourth row of 0, 0, 0, 1, or OpenGL's), or a line
    of 12 each; or one in the ways of `matrix_text.read_matrix`, which has intrinsics and camera_from_world as well.

    Asks for `unit`, `axes` and `first_pixel` (OpenGL's for `size` instead of the last).
    """
    rows = _rows(text)
    if rows is not None:
        return views_of_arrays(rows[0] if len(rows) == 1 else rows, file, name, options)
    P = in_lps_mm(read_matrix(text, file).projection_matrix, options, file)
    return [from_matrix(file, name, P, options.size, signed=False)]


def _rows(text: str) -> np.ndarray | None:
    """The matrices (n, 3 or 4, 4) of a text in lines; None for a text that is not."""
    lines = [[word for word in _BETWEEN.split(_COMMENT.sub("", line)) if word] for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines or len({len(line) for line in lines}) != 1 or len(lines[0]) not in (4, 12, 16):
        return None
    try:
        numbers = np.array(lines, float)
    except ValueError:
        return None
    count = numbers.size
    height = 4 if count % 16 == 0 and (count % 12 or _fourth_rows(numbers)) else 3
    if count % (4 * height) or count // (4 * height) > MAX_VIEWS or not np.isfinite(numbers).all():
        return None
    return numbers.reshape(-1, height, 4)


def _fourth_rows(numbers: np.ndarray) -> bool:
    """Whether every fourth row of four is 0, 0, 0, 1, where 3 and 4 rows a matrix would fit."""
    return bool((numbers.reshape(-1, 4)[3::4] == (0, 0, 0, 1)).all())
