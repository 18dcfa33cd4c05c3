"""Views from named numbers: JSON, YAML, OpenCV FileStorage, .npz, and OpenGL matrices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.distortion import Distortion
from ..json_reader import printable
from .calibrated import (
    MAX_MATRIX_ENTRY,
    CalibratedView,
    CalibrationOptions,
    check_magnitude,
    file_from_lps,
    from_matrix,
    from_parts,
    in_lps_mm,
    pose_in_lps_mm,
    with_first_pixel_at_0,
)


def view_of_opengl(matrix: np.ndarray, file: str, name: str, options: CalibrationOptions) -> CalibratedView:
    """The view of a matrix (4, 4), projection @ modelview, that takes world to clip space.

    x / w runs from -1 at the image's left edge to 1 at its right, y / w from -1 at the bottom edge to 1 at the top, and w is positive
    before the source (OpenGL 4.6, 13.6 to 13.8). Edges are half a pixel beyond the centres of the outer pixels, so `size` is asked for,
    with `unit` and `axes`, and `projects_to`, as other programs end a 4x4 matrix in other ways.
    """
    options.require("projects_to", file)
    columns, rows = options.require("size", file)
    check_magnitude(matrix, f"{file}: {name}", MAX_MATRIX_ENTRY)
    pixels = np.array([[columns / 2, 0, (columns - 1) / 2], [0, -rows / 2, (rows - 1) / 2], [0, 0, 1]])
    P = pixels @ matrix[[0, 1, 3]] @ file_from_lps(options, file)
    return from_matrix(file, name, P, (columns, rows), signed=True)


ROOT = "opencv_storage"
MATRIX = {"rows", "cols", "data"}
MAX_DEPTH = 20


def is_opencv(tree: Any, depth: int = 0) -> bool:
    """Whether there is a matrix as OpenCV and ROS write it: rows, cols, data."""
    if depth > MAX_DEPTH or not isinstance(tree, (dict, list)):
        return False
    if isinstance(tree, dict) and tree.keys() >= MATRIX:
        return True
    return any(is_opencv(value, depth + 1) for value in (tree.values() if isinstance(tree, dict) else tree))


def with_arrays(tree: Any, file: str, depth: int = 0) -> Any:
    """The tree with an array (rows, cols) in place of each matrix.

    Raises
    ------
    InputError
        Where one has not as many numbers as it claims.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"{file} is nested more than {MAX_DEPTH} deep, expected a calibration; choose another file.")
    if isinstance(tree, list):
        return [with_arrays(value, file, depth + 1) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if not tree.keys() >= MATRIX:
        return {key: with_arrays(value, file, depth + 1) for key, value in tree.items()}
    try:
        data = np.asarray(tree["data"], float)
        rows, columns = float(tree["rows"]), float(tree["cols"])
    except (TypeError, ValueError):
        raise InputError(
            f"{file} has a matrix without numbers in its rows, cols or data, expected them; save it again."
        ) from None
    if data.ndim != 1 or data.size != rows * columns:
        raise InputError(
            f"{file} has a matrix of {rows:g} rows and {columns:g} columns with {data.size} numbers, expected rows * cols of "
            "them; save it again."
        )
    return data.reshape(int(rows), int(columns))


def tree_of_xml(element: Element, file: str, depth: int = 0) -> Any:
    """What an element of FileStorage's XML holds; `_` elements are those of a list."""
    if depth > MAX_DEPTH:
        raise InputError(f"{file} is nested more than {MAX_DEPTH} deep, expected a calibration; choose another file.")
    children = list(element)
    if not children:
        return _words((element.text or "").strip())
    if all(child.tag == "_" for child in children):
        return [tree_of_xml(child, file, depth + 1) for child in children]
    tree: dict[str, Any] = {}
    for child in children:
        if child.tag in tree:
            tag, parent = printable(child.tag)[:40], printable(element.tag)[:40]
            raise InputError(f"{file} has <{tag}> twice in <{parent}>, expected it once; keep one of the two.")
        tree[child.tag] = tree_of_xml(child, file, depth + 1)
    if isinstance(tree.get("data"), float):  # a matrix of one
        tree["data"] = [tree["data"]]
    return tree


def _words(text: str) -> Any:
    """A number, a list of them, or text."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return text.strip('"')
    return numbers[0] if len(numbers) == 1 else numbers


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
MEANING = {name: meaning for meaning, names in NAMES.items() for name in names}
LISTS = ("views", "cameras", "images", "projections")
MAX_VIEWS = 10_000


def read_opencv(content: Any, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """The views of a FileStorage, its tree or XML's root element. OpenCV's first pixel has its centre at (0, 0)."""
    tree = content if isinstance(content, (dict, list)) else tree_of_xml(content, file)
    first_pixel = 0 if options.first_pixel is None else options.first_pixel
    return views_of_named(with_arrays(tree, file), file, name, replace(options, first_pixel=first_pixel))


def views_of_named(tree: Any, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """The views in a dictionary: itself one, or one for each dictionary or matrix in it, or in its list "views" or "cameras".

    A view has "projection_matrix", or "camera_matrix" with "R" and "t" (or "rvec" and "tvec", or "camera_from_world"), and may
    have "distortion_coefficients" and its image's size; NAMES has the names that are known. R and t take the world to the camera.

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
            f"{file} has no names in it, expected those of a camera, as projection_matrix, or camera_matrix, R and t; add "
            "them."
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
            f"{file} has {len(views) or 'no'} cameras, expected some: projection_matrix, or camera_matrix with R and t; "
            "rename what it has."
        )
    return views


def views_of_arrays(matrices: np.ndarray, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView]:
    """The views of projection matrices.

    Parameters
    ----------
    matrices
        (3, 4), (4, 4) or with one axis before, world to pixels; a fourth row is 0, 0, 0, 1, or the matrix is OpenGL's.
    file, name
        For messages, and of the view, or with a number behind of the views.
    options
        What the file cannot say.
    """
    if matrices.ndim not in (2, 3) or matrices.shape[-2:] not in ((3, 4), (4, 4)) or len(matrices) > MAX_VIEWS:
        raise InputError(
            f"{file}: {printable(name)} has the shape {matrices.shape}, expected 3x4 or 4x4 matrices; save it as those."
        )
    if matrices.ndim == 3:
        return [
            view
            for i, matrix in enumerate(matrices, start=1)
            for view in views_of_arrays(matrix, file, f"{name} {i}", options)
        ]
    if len(matrices) == 4 and not np.allclose(matrices[3], (0, 0, 0, 1)):
        return [view_of_opengl(matrices, file, name, options)]
    return [from_matrix(file, name, in_lps_mm(matrices[:3], options, file), options.size, signed=False)]


def _matrix(value: Any) -> np.ndarray | None:
    """The array of what looks like one matrix or several, None for anything else."""
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        return None
    return array if array.ndim in (2, 3) and array.shape[-2:] in ((3, 4), (4, 4)) and np.isfinite(array).all() else None


def _entries(tree: dict) -> list[tuple[str, Any]]:
    for key in tree:
        if key.lower() in LISTS and isinstance(tree[key], list):
            return [(f"view {i}", value) for i, value in enumerate(tree[key], start=1)]
    return list(tree.items())


def _parts(tree: dict, file: str) -> dict[str, Any]:
    """What the dictionary has, by meaning. InputError where two names mean one."""
    parts: dict[str, Any] = {}
    for key, value in tree.items():
        meaning = MEANING.get(str(key).lower().replace("_", "").replace("-", "").replace(" ", ""))
        if meaning is None or value is None or isinstance(value, dict) or isinstance(value, str) != (meaning == "name"):
            continue
        if meaning in parts:
            raise InputError(
                f'{file} has {meaning} twice, the second time as "{printable(str(key))}", expected it once; keep one of the two.'
            )
        parts[meaning] = value
    return parts


def _views(tree: dict, file: str, name: str, options: CalibrationOptions) -> list[CalibratedView] | None:
    """The views of one camera, one for each of its poses; None for a dictionary that is none."""
    parts = _parts(tree, file)
    name = str(parts.get("name", name))
    where = f"{file}: {printable(name)}"
    if not parts.keys() & {"matrix", "intrinsics"}:
        return None
    options = replace(options, size=_size(parts, where) or options.size)
    if "matrix" in parts:
        if "intrinsics" in parts:
            raise InputError(
                f"{where} has both a projection matrix and intrinsics, expected one of them (ROS has a matrix for rectified "
                "images that knows no world); keep the one with the pose."
            )
        matrix = _array(parts["matrix"], where, "projection_matrix")
        return views_of_arrays(matrix.reshape(-1, 4) if matrix.shape in ((12,), (16,)) else matrix, file, name, options)
    intrinsics = with_first_pixel_at_0(options, where) @ _array(parts["intrinsics"], where, "camera_matrix", (3, 3))
    distortion = _distortion(parts, where)
    poses = [pose_in_lps_mm(pose, options, where) for pose in _poses(parts, where)]
    names = [name] if len(poses) == 1 else [f"{name} {i}" for i in range(1, len(poses) + 1)]
    return [
        from_parts(file, printable(view), intrinsics, pose, options.size, distortion)
        for view, pose in zip(names, poses, strict=True)
    ]


def _size(parts: dict[str, Any], where: str) -> tuple[int, int] | None:
    size = [parts["columns"], parts["rows"]] if {"columns", "rows"} <= parts.keys() else parts.get("size")
    if size is None:
        return None
    numbers = _array(size, where, "image size").ravel()
    if numbers.shape != (2,) or (numbers < 1).any() or (numbers % 1).any():
        raise InputError(f"{where}: image size is no two whole numbers above 0, expected columns and rows; correct it.")
    return int(numbers[0]), int(numbers[1])


def _distortion(parts: dict[str, Any], where: str) -> Distortion | None:
    if "distortion" not in parts:
        return None
    coefficients = _array(parts["distortion"], where, "distortion_coefficients").ravel()
    try:
        return Distortion(coefficients) if coefficients.any() else None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _poses(parts: dict[str, Any], where: str) -> list[np.ndarray]:
    """camera_from_world (4, 4) of each pose, in the file's unit."""
    if "pose" in parts:
        pose = _array(parts["pose"], where, "camera_from_world")
        rows = np.vstack([pose.reshape(-1, 4), [0, 0, 0, 1]]) if pose.size == 12 else pose.reshape(-1)
        return [rigid.check_rigid(_shaped(rows, where, "camera_from_world", (4, 4)), f"{where}: camera_from_world")]
    if "poses" in parts:  # OpenCV's calibration sample: a row for each image, rvec and tvec
        rows = _array(parts["poses"], where, "extrinsic_parameters")
        rows = _shaped(rows, where, "extrinsic_parameters", (len(rows) if rows.ndim == 2 else 1, 6))
        rotations, translations = rows[:, :3], rows[:, 3:]
    elif {"rotation", "translation"} <= parts.keys():
        rotations, translations = _array(parts["rotation"], where, "R"), _array(parts["translation"], where, "t")
    else:
        raise InputError(
            f"{where} has intrinsics but no pose, expected R and t that take the world to the camera; add them."
        )
    count = translations.size // 3
    if not 0 < count <= MAX_VIEWS or translations.size != 3 * count or rotations.size not in (3 * count, 9 * count):
        raise InputError(
            f"{where} has {rotations.size} numbers in R and {translations.size} in t, expected 9 (or 3 of a rotation "
            "vector) and 3 for each pose; correct them."
        )
    is_vector = rotations.size == 3 * count
    matrices = rigid.exp_so3(rotations.reshape(count, 3)) if is_vector else rotations.reshape(count, 3, 3)
    poses = rigid.from_rotation_translation(matrices, translations.reshape(count, 3))
    return [rigid.check_rigid(pose, f"{where}: R and t") for pose in poses]


def _array(values: Any, where: str, what: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """The values as finite float64, in a shape if one is given."""
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not (np.abs(array) <= MAX_MATRIX_ENTRY).all():
        raise InputError(f"{where}: {what} is no list of finite numbers, expected those; correct it.")
    return array if shape is None else _shaped(array, where, what, shape)


def _shaped(array: np.ndarray, where: str, what: str, shape: tuple[int, ...]) -> np.ndarray:
    if array.size != np.prod(shape):
        rows, columns = shape
        raise InputError(
            f"{where}: {what} has {array.size} numbers, expected {rows} row{'s' * (rows > 1)} of {columns}; correct it."
        )
    return array.reshape(shape)
