"""Projection matrices as bare numbers, in text."""

from __future__ import annotations

import re

import numpy as np

from ..matrix_text import read_matrix
from .calibrated import Calibrated, Given, from_matrix, in_contract
from .named import MOST_VIEWS, views_of_arrays

KIND = "a text of numbers"
_COMMENT = re.compile(r"[#%].*")
_BETWEEN = re.compile(r"[\s,;|()\[\]{}]+")


def read_matrices(text: str, file: str, name: str, given: Given) -> list[Calibrated]:
    """Views of numbers in rows: several matrices, 3 lines of 4 numbers, 4 lines of 4 (a fourth row of 0, 0, 0, 1, or OpenGL's), or a line
    of 12 each; or one in the ways of `matrix_text.read_matrix`, which has intrinsics and camera_from_world as well.

    Asks for `unit`, `axes` and `first_pixel` (OpenGL's for `size` instead of the last).
    """
    rows = _rows(text)
    if rows is not None:
        return views_of_arrays(rows[0] if len(rows) == 1 else rows, file, name, given)
    P = in_contract(read_matrix(text, file).projection_matrix, given, file, KIND)
    return [from_matrix(file, name, P, given.size, signed=False)]


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
    if count % (4 * height) or count // (4 * height) > MOST_VIEWS or not np.isfinite(numbers).all():
        return None
    return numbers.reshape(-1, height, 4)


def _fourth_rows(numbers: np.ndarray) -> bool:
    """Whether every fourth row of four is 0, 0, 0, 1, where 3 and 4 rows a matrix would fit."""
    return bool((numbers.reshape(-1, 4)[3::4] == (0, 0, 0, 1)).all())
