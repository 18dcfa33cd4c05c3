"""Views from named numbers (JSON, YAML, OpenCV FileStorage, .npz), from bare or OpenGL matrices, and from matrices as people type them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import InputError, naming
from ...geometry import rigid
from ...geometry.camera import Distortion, check_size
from ..files import MAX_SMALL_TEXT_BYTES, parse_numbers, printable, read_text
from ..transforms import BETWEEN, COMMENT, numbers_of
from .calibrated import (
    MAX_MATRIX_ENTRY,
    CalibratedView,
    CalibrationOptions,
    check_magnitude,
    from_matrix,
    from_parts,
)

#: Each meaning, and its names in lower case without _, - and spaces.
NAMES = {
    "matrix": ("projectionmatrix", "p", "proj", "projection", "pmatrix"),
    "intrinsics": ("cameramatrix", "intrinsics", "intrinsic", "intrinsicmatrix", "k", "m", "mtx"),
    "pose": ("camerafromworld", "extrinsics", "extrinsic", "extrinsicmatrix", "worldtocamera"),
    "poses": ("extrinsicparameters",),
    "rotation": ("r", "rotation", "rotationmatrix", "rmat", "rvec", "rvecs", "rotationvector"),
    "translation": ("t", "tvec", "tvecs", "translation", "translationvector"),
    "distortion": ("distortioncoefficients", "distcoeffs", "distortion", "dist", "d"),
    "size": ("imagesize", "size"),
    "columns": ("imagewidth", "width"),
    "rows": ("imageheight", "height"),
    "name": ("name", "cameraname"),
}
MEANING: dict[str, str] = {}
for _meaning, _names in NAMES.items():
    MEANING |= dict.fromkeys(_names, _meaning)
LISTS = ("views", "cameras", "images", "projections")
MAX_VIEWS = 10_000


def views_of_named(
    tree: Any, file: str, name: str, options: CalibrationOptions
) -> list[CalibratedView]:
    """Return the views in a dictionary.

    Itself one, or one for each dictionary or matrix in it, or in its list "views" or "cameras".

    A view has "projection_matrix", or "camera_matrix" with "R" and "t" (or "rvec" and "tvec", or
    "camera_from_world"), and may have "distortion_coefficients" and its image's size; NAMES has the
    names that are known. R and t take the world to the camera.

    Parameters
    ----------
    tree
        Dictionaries and lists as JSON or YAML have them, with arrays for matrices.
    file, name
        Of the file, for messages, and of a view without a name.
    options
        What the file cannot say.
    """
    if not isinstance(tree, dict):
        raise InputError(
            f"{file} has no names in it, expected those of a camera, as projection_matrix, or "
            "camera_matrix, R and t; add them."
        )
    views = _views(tree, file, name, options)
    if views is None:
        views = []
        for key, value in _entries(tree):
            if isinstance(value, dict):
                views += _views(value, file, key, options) or []
            elif (matrix := _matrix(value)) is not None:
                views += views_of_arrays(matrix, file, key, options)
    if not 0 < len(views) <= MAX_VIEWS:
        raise InputError(
            f"{file} has {len(views) or 'no'} cameras, expected some: projection_matrix, or "
            "camera_matrix with R and t; rename what it has."
        )
    return views


def views_of_arrays(
    matrices: np.ndarray, file: str, name: str, options: CalibrationOptions
) -> list[CalibratedView]:
    """Return the views of projection matrices.

    Parameters
    ----------
    matrices
        (3, 4), (4, 4) or with one axis before, world to pixels; a fourth row is 0, 0, 0, 1, or the
        matrix is OpenGL's.
    file, name
        For messages, and of the view, or with a number behind of the views.
    options
        What the file cannot say.
    """
    if (
        matrices.ndim not in (2, 3)
        or matrices.shape[-2:] not in ((3, 4), (4, 4))
        or len(matrices) > MAX_VIEWS
    ):
        raise InputError(
            f"{file}: {printable(name)} has the shape {matrices.shape}, expected 3x4 or 4x4 "
            "matrices; save it as those."
        )
    if matrices.ndim == 3:
        views = []
        for i, matrix in enumerate(matrices, start=1):
            views += views_of_arrays(matrix, file, f"{name} {i}", options)
        return views
    if len(matrices) == 4 and not np.allclose(matrices[3], (0, 0, 0, 1)):
        return [_view_of_opengl(matrices, file, name, options)]
    return [
        from_matrix(file, name, options.in_lps_mm(matrices[:3], file), options.size, signed=False)
    ]


def _view_of_opengl(
    matrix: np.ndarray, file: str, name: str, options: CalibrationOptions
) -> CalibratedView:
    """Return the view of a matrix (4, 4), projection @ modelview, that takes world to clip space.

    x / w runs from -1 at the image's left edge to 1 at its right, y / w from -1 at the bottom edge
    to 1 at the top, and w is positive before the source (OpenGL 4.6, 13.6 to 13.8). Edges are half
    a pixel beyond the centres of the outer pixels, so `size` is required, with `unit` and `axes`,
    and `projects_to`, as other programs end a 4x4 matrix in other ways.
    """
    options.require("projects_to", file)
    columns, rows = options.require("size", file)
    check_magnitude(matrix, f"{file}: {name}", MAX_MATRIX_ENTRY)
    pixels = np.array(
        [[columns / 2, 0, (columns - 1) / 2], [0, -rows / 2, (rows - 1) / 2], [0, 0, 1]]
    )
    P = pixels @ matrix[[0, 1, 3]] @ options.file_from_lps(file)
    return from_matrix(file, name, P, (columns, rows), signed=True)


def _matrix(value: Any) -> np.ndarray | None:
    """Return the array of what looks like one matrix or several, None for anything else."""
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        return None
    return (
        array
        if array.ndim in (2, 3)
        and array.shape[-2:] in ((3, 4), (4, 4))
        and np.isfinite(array).all()
        else None
    )


def _entries(tree: dict) -> list[tuple[str, Any]]:
    for key in tree:
        if key.lower() in LISTS and isinstance(tree[key], list):
            return [(f"view {i}", value) for i, value in enumerate(tree[key], start=1)]
    return list(tree.items())


def _parts(tree: dict, file: str) -> dict[str, Any]:
    """Return the dictionary's values, by meaning.

    Raises
    ------
    InputError
        Where two names mean the same.
    """
    parts: dict[str, Any] = {}
    for key, value in tree.items():
        meaning = MEANING.get(str(key).lower().replace("_", "").replace("-", "").replace(" ", ""))
        if (
            meaning is None
            or value is None
            or isinstance(value, dict)
            or isinstance(value, str) != (meaning == "name")
        ):
            continue
        if meaning in parts:
            raise InputError(
                f'{file} has {meaning} twice, the second time as "{printable(str(key))}"; keep one of the two.'
            )
        parts[meaning] = value
    return parts


def _views(
    tree: dict, file: str, name: str, options: CalibrationOptions
) -> list[CalibratedView] | None:
    """Return the views of one camera, one for each of its poses.

    None for a dictionary that is none.
    """
    parts = _parts(tree, file)
    name = str(parts.get("name", name))
    where = f"{file}: {printable(name)}"
    if not parts.keys() & {"matrix", "intrinsics"}:
        return None
    options = replace(options, size=_size(parts, where) or options.size)
    if "matrix" in parts:
        if "intrinsics" in parts:
            raise InputError(
                f"{where} has both a projection matrix and intrinsics, expected one of them (ROS "
                "has a matrix for rectified images that knows no world); keep the one with the "
                "pose."
            )
        matrix = _array(parts["matrix"], where, "projection_matrix")
        return views_of_arrays(
            matrix.reshape(-1, 4) if matrix.shape in ((12,), (16,)) else matrix, file, name, options
        )
    intrinsics = _array(parts["intrinsics"], where, "camera_matrix")
    intrinsics = rigid.check_numbers(
        intrinsics.reshape(3, 3) if intrinsics.size == 9 else intrinsics,
        (3, 3),
        f"{where}: camera_matrix",
    )
    intrinsics = options.pixels_at_0(where) @ intrinsics
    distortion = _distortion(parts, where)
    poses = [options.pose_in_lps_mm(pose, where) for pose in _poses(parts, where)]
    views = []
    for i, pose in enumerate(poses, start=1):
        view = printable(name if len(poses) == 1 else f"{name} {i}")
        views.append(from_parts(file, view, intrinsics, pose, options.size, distortion))
    return views


def _size(parts: dict[str, Any], where: str) -> tuple[int, int] | None:
    size = (
        [parts["columns"], parts["rows"]]
        if {"columns", "rows"} <= parts.keys()
        else parts.get("size")
    )
    if size is None:
        return None
    with naming(where):
        return check_size(_array(size, where, "image size").ravel())


def _distortion(parts: dict[str, Any], where: str) -> Distortion | None:
    coefficients = _array(parts.get("distortion", 0.0), where, "distortion_coefficients").ravel()
    with naming(where):
        return Distortion(coefficients) if coefficients.any() else None


def _poses(parts: dict[str, Any], where: str) -> list[np.ndarray]:
    """Return camera_from_world (4, 4) of each pose, in the file's unit."""
    if "pose" in parts:
        pose = _array(parts["pose"], where, "camera_from_world")
        pose = pose.reshape(-1, 4) if pose.size in (12, 16) else pose
        pose = np.vstack([pose, [0, 0, 0, 1]]) if pose.size == 12 else pose
        return [rigid.check_rigid(pose, f"{where}: camera_from_world")]
    if "poses" in parts:  # OpenCV's calibration sample: a row for each image, rvec and tvec
        rows = np.atleast_2d(_array(parts["poses"], where, "extrinsic_parameters"))
        rotations = rows[:, :3]
        translations = rows[:, 3:]
    elif {"rotation", "translation"} <= parts.keys():
        rotations = _array(parts["rotation"], where, "R")
        translations = _array(parts["translation"], where, "t")
    else:
        raise InputError(
            f"{where} has intrinsics but no pose, expected R and t that take the world to the "
            "camera; add them."
        )
    count = translations.size // 3
    if (
        not 0 < count <= MAX_VIEWS
        or translations.size != 3 * count
        or rotations.size not in (3 * count, 9 * count)
    ):
        raise InputError(
            f"{where} has {rotations.size} numbers in R and {translations.size} in t, expected 9 "
            "(or 3 of a rotation vector) and 3 for each pose; correct them."
        )
    is_vector = rotations.size == 3 * count
    matrices = (
        rigid.exp_so3(rotations.reshape(count, 3)) if is_vector else rotations.reshape(count, 3, 3)
    )
    poses = rigid.from_rotation_translation(matrices, translations.reshape(count, 3))
    return [rigid.check_rigid(pose, f"{where}: R and t") for pose in poses]


def _array(values: Any, where: str, what: str) -> np.ndarray:
    """Return the values as finite float64."""
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not (np.abs(array) <= MAX_MATRIX_ENTRY).all():
        raise InputError(
            f"{where}: {what} is no list of finite numbers, expected those; correct it."
        )
    return array


_TYPED_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?")


def read_number(text: str, name: str) -> float:
    """Read the number in a text.

    Parameters
    ----------
    name
        Begins the sentence where something is wrong.

    Raises
    ------
    InputError
        For anything that is none, and for separators of thousands, which cannot be distinguished
        from decimals.
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
    "12 numbers (a 3x4 projection matrix), or 9 and 12 or 16 (intrinsics 3x3, then "
    "camera_from_world), with nothing but spaces, commas and brackets between"
)
#: What a case.json says: world LPS mm, integer pixel centres.
IN_LPS_MM = CalibrationOptions(unit="mm", axes="lps", first_pixel=0)

_NAME = re.compile(r"[A-Za-z_]\w*\s*[:=]")  # "P =", "K:"
_BUT_COMMAS = re.compile(r"[\s;|()\[\]{}]+")
#: Of numbers: a projection matrix; with a last row 0 0 0 1; intrinsics and one of these.
COUNTS = (12, 16, 21, 25)


def read_matrix_file(path: str | os.PathLike) -> CalibratedView:
    """Read a matrix from a text or JSON file, as `read_matrix`."""
    return read_matrix(read_text(path, EXPECTED, MAX_SMALL_TEXT_BYTES), printable(path))


def read_matrix(
    text: str, file: str = "The text", name: str = "camera", options: CalibrationOptions = IN_LPS_MM
) -> CalibratedView:
    """Read the matrix in a text.

    Parameters
    ----------
    text
        12 numbers by rows; 16 with 0 0 0 1 as the last four; 9 of the intrinsics and then 12 or 16
        of camera_from_world; or a JSON object with one camera as `views_of_named` has it. Lines may
        end in a comment behind # or %, and a matrix may have a name in front ("P = ").
    file
        Begins the sentence where something is wrong.
    name
        Of the view.
    options
        What the text does not say.

    Raises
    ------
    InputError
        For anything else.
    """
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{file} is not JSON ({error}), expected that, or {EXPECTED}; correct it."
            ) from None
        views = views_of_named(content, file, name, options)
        if len(views) > 1:
            raise InputError(
                f"{file} has several cameras, expected one; add the views of a case instead."
            )
        return views[0]
    if len(text) > MAX_SMALL_TEXT_BYTES:
        raise InputError(
            f"{file} has too much text for one matrix, expected {EXPECTED}; correct it."
        )
    numbers = _NAME.sub(" ", COMMENT.sub(" ", text))
    words = [word for word in BETWEEN.split(numbers) if word]
    with_commas = [word for word in _BUT_COMMAS.split(numbers) if word]
    if len(words) not in COUNTS and len(with_commas) in COUNTS:
        words = [word.replace(",", ".") for word in with_commas]  # decimal commas
    numbers_read = numbers_of(words, file, EXPECTED)
    count = len(numbers_read)
    if count in (21, 25):
        intrinsics = options.pixels_at_0(file) @ np.reshape(numbers_read[:9], (3, 3))
        pose = np.reshape([*numbers_read[9:], 0, 0, 0, 1][:16], (4, 4))
        pose = options.pose_in_lps_mm(rigid.check_rigid(pose, f"{file}: camera_from_world"), file)
        return from_parts(file, name, intrinsics, pose, options.size)
    is_square = count == 16 and np.allclose(numbers_read[12:], (0, 0, 0, 1))
    if count != 12 and not is_square:
        raise InputError(
            f"{file} has {count or 'no'} number{'s' * (count != 1)}, expected {EXPECTED}; correct "
            "it."
        )
    return views_of_arrays(np.reshape(numbers_read[:12], (3, 4)), file, name, options)[0]


def read_matrices(
    text: str, file: str, name: str, options: CalibrationOptions
) -> list[CalibratedView]:
    """Return the views of numbers in rows.

    There are several matrices, of 3 lines of 4 numbers, 4 lines of 4 (a fourth row of 0, 0, 0, 1,
    or OpenGL's), or a line of 12 each; or one in the ways of `read_matrix`, which has intrinsics
    and camera_from_world as well.

    Requires `unit`, `axes` and `first_pixel` (OpenGL's for `size` instead of the last).
    """
    rows = _rows(text)
    if rows is not None:
        return views_of_arrays(rows[0] if len(rows) == 1 else rows, file, name, options)
    return [read_matrix(text, file, name, options)]


def _rows(text: str) -> np.ndarray | None:
    """Return the matrices (n, 3 or 4, 4) of a text in lines; None for a text that is not."""
    lines = [BETWEEN.sub(" ", COMMENT.sub("", line)).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    first = parse_numbers(lines[0], limit=MAX_MATRIX_ENTRY) if lines else None
    if first is None or len(first) not in (4, 12, 16) or len(lines) > 4 * MAX_VIEWS:
        return None
    parsed = [parse_numbers(line, len(first), MAX_MATRIX_ENTRY) for line in lines]
    if None in parsed:
        return None
    numbers = np.array(parsed)
    # where 3 and 4 rows a matrix would fit, every fourth row of four is 0, 0, 0, 1, or it is 3
    by_fours = numbers.size % 16 == 0 and (
        numbers.size % 12 or (numbers.reshape(-1, 4)[3::4] == (0, 0, 0, 1)).all()
    )
    height = 4 if by_fours else 3
    if numbers.size % (4 * height) or numbers.size > MAX_VIEWS * 4 * height:
        return None
    return numbers.reshape(-1, height, 4)
