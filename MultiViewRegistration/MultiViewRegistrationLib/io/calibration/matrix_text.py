"""Numbers and projection matrices as people type them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..json_reader import parse_numbers, printable, read_text
from .calibrated import MAX_MATRIX_ENTRY, CalibratedView, CalibrationOptions, from_matrix
from .named import MAX_VIEWS, views_of_arrays, views_of_named

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
#: What a case.json says: world LPS mm, integer pixel centres.
IN_LPS_MM = CalibrationOptions(unit="mm", axes="lps", first_pixel=0)

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
        camera_from_world; or a JSON object with one camera as `views_of_named` has it. Lines may end in a comment
        behind # or %, and a matrix may have a name in front ("P = ").
    name
        Begins the sentence where something is wrong.

    Raises
    ------
    InputError
        For anything else.
    """
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name} is not JSON ({error}), expected that, or {EXPECTED}; correct it.") from None
        views = views_of_named(content, name, "camera", IN_LPS_MM)
        if len(views) > 1:
            raise InputError(f"{name} has several cameras, expected one; add the views of a case instead.")
        return MatrixText(views[0].projection_matrix, views[0].size)
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
        pose = np.reshape([*numbers[9:], 0, 0, 0, 1][:16], (4, 4))
        return np.reshape(numbers[:9], (3, 3)) @ rigid.check_rigid(pose, f"{name}: camera_from_world")[:3]
    if count == 16 and np.allclose(numbers[12:], (0, 0, 0, 1)):
        numbers = numbers[:12]
    if len(numbers) != 12:
        raise InputError(f"{name} has {count or 'no'} number{'s' * (count != 1)}, expected {EXPECTED}; correct it.")
    return np.reshape(numbers, (3, 4))


def read_matrices(text: str, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """Views of numbers in rows: several matrices, 3 lines of 4 numbers, 4 lines of 4 (a fourth row of 0, 0, 0, 1, or OpenGL's), or a line
    of 12 each; or one in the ways of `read_matrix`, which has intrinsics and camera_from_world as well.

    Asks for `unit`, `axes` and `first_pixel` (OpenGL's for `size` instead of the last).
    """
    rows = _rows(text)
    if rows is not None:
        return views_of_arrays(rows[0] if len(rows) == 1 else rows, file, name, options)
    P = options.in_lps_mm(read_matrix(text, file).projection_matrix, file)
    return [from_matrix(file, name, P, options.size, signed=False)]


def _rows(text: str) -> np.ndarray | None:
    """The matrices (n, 3 or 4, 4) of a text in lines; None for a text that is not."""
    lines = [_BETWEEN.sub(" ", _COMMENT.sub("", line)).strip() for line in text.splitlines()]
    parsed = [parse_numbers(line, limit=MAX_MATRIX_ENTRY) for line in lines if line]
    lengths = {len(line or ()) for line in parsed}
    if len(lengths) != 1 or not lengths <= {4, 12, 16}:
        return None
    numbers = np.array(parsed)
    # where 3 and 4 rows a matrix would fit, every fourth row of four is 0, 0, 0, 1, or it is 3
    by_fours = numbers.size % 16 == 0 and (numbers.size % 12 or (numbers.reshape(-1, 4)[3::4] == (0, 0, 0, 1)).all())
    height = 4 if by_fours else 3
    if numbers.size % (4 * height) or numbers.size > MAX_VIEWS * 4 * height:
        return None
    return numbers.reshape(-1, height, 4)
