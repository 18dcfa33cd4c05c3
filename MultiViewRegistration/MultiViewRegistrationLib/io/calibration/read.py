"""One way to read a calibration, whatever wrote it. Malicious XML or YAML is refused."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ...errors import InputError
from ..files import JsonObject, decode, printable, read_bytes, read_json
from ..hdf5 import MAGIC
from ..transforms import NUMPY, ZIP, read_numpy
from ..view_record import ViewRecord
from . import from_beads, matrices, programs
from .calibrated import CALIBRATION, CalibratedView, CalibrationOptions, from_matrix, xml_root

FORMATS = (
    "cameras",
    "case",
    "json",
    "mayacam",
    "numpy",
    "opencv",
    "plus",
    "rtk",
    "text",
    "transform",
    "xreg",
    "yaml",
)
MAX_TEXT_BYTES = 4 << 20  # 10,000 projection matrices have 3 MB
XML_ROOTS = {programs.RTK_ROOT: "rtk", "opencv_storage": "opencv", programs.PLUS_ROOT: "plus"}


def read_calibration(
    path: str | os.PathLike, format: str | None = None, **options: Any
) -> list[CalibratedView]:
    """Read the views of a calibration file.

    Parameters
    ----------
    path
        Of the file.
    format
        One of FORMATS, to insist on it; by default it is found from the file's content.
    **options
        What the file cannot say, the fields of `CalibrationOptions`. What a format does not ask for
        may be left out.

    Raises
    ------
    InputError
        For a file that cannot be read, is of another format, or contradicts itself.
    MissingInformation
        For what neither the file nor the options say; it names what it may be set to.
    """
    if format is not None and format not in FORMATS:
        raise InputError(
            f"format: found {format!r}, expected one of {', '.join(FORMATS)}; choose one of these."
        )
    path = Path(path)
    known = CalibrationOptions(**options)
    recognised, content = _recognise(path)
    if format not in (None, recognised):
        raise InputError(
            f"{printable(path)} is of the format {recognised}, expected {format}; leave the format "
            "out, or choose another file."
        )
    views = [
        view.settled(printable(path), known) for view in _views(recognised, content, path, known)
    ]
    names = [view.name for view in views]
    for i, name in enumerate(names):
        if names.count(name) > 1:
            views[i] = replace(views[i], name=f"{name} {i + 1}")
    return views


def recognised_format(path: str | os.PathLike) -> str:
    """Tell the format, one of FORMATS, by the content of a file.

    Raises
    ------
    InputError
        For a file that cannot be read.
    """
    return _recognise(Path(path))[0]


def _recognise(path: Path) -> tuple[str, Any]:
    """Tell the format, and return it with the file as it is parsed so far.

    Of large files only the beginning is read.
    """
    file = printable(path)
    begin = b""
    if path.is_file():
        with path.open("rb") as stream:
            begin = stream.read(programs.HEAD)
    if begin.startswith(MAGIC):
        return ("transform" if programs.is_transform(begin) else "xreg"), None
    data = programs.header_of(path) or read_bytes(path, CALIBRATION)
    if not data:
        raise InputError(f"{file} is empty, expected a calibration; export it again.")
    if data.startswith((NUMPY, ZIP)):
        return "numpy", None
    if programs.is_sequence(data):
        return "plus", data
    if programs.is_transform(data):
        return "transform", None
    text = decode(data, file, CALIBRATION)
    if text.lstrip().startswith("<"):
        root = xml_root(text, file)
        if root.tag not in XML_ROOTS:
            raise InputError(
                f"{file} is XML of <{printable(root.tag)[:40]}>, expected "
                f"<{'>, <'.join(XML_ROOTS)}>; choose another file."
            )
        recognised = XML_ROOTS[root.tag]
        return recognised, tree_of_xml(root, file) if recognised == "opencv" else root
    if _is_json(text):
        content = read_json(path)
        if isinstance(content, dict) and content.get("format") == from_beads.FORMAT:
            return "cameras", content
        if (
            isinstance(content, dict)
            and "version" in content
            and isinstance(content.get("views"), list)
        ):
            return "case", content
        return ("opencv" if has_opencv_matrix(content) else "json"), content
    if len(data) > MAX_TEXT_BYTES:
        raise InputError(
            f"{file} is larger than {MAX_TEXT_BYTES >> 20} MB, expected {CALIBRATION}; choose another "
            "file."
        )
    if programs.is_mayacam(text):
        return "mayacam", text
    if _is_yaml(text):
        tree = tree_of_yaml(text, file)
        return ("opencv" if has_opencv_matrix(tree) else "yaml"), tree
    return "text", text


def _is_json(text: str) -> bool:
    """Return whether a text is meant as JSON: an object, or a list that is.

    Brackets round a matrix are text as well.
    """
    start = text.lstrip()[:1]
    if start != "[":
        return start == "{"
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_yaml(text: str) -> bool:
    """Return whether a line has a name and a colon, and more names than a matrix's "P:" before a block of numbers."""
    if text.startswith(("%YAML", "---")):
        return True
    lines = [line for line in map(str.strip, text.splitlines()) if not line.startswith(("#", "%"))]
    has_name = any(line[:1].isalpha() and ":" in line for line in lines)
    return has_name and not any(re.match(r"[+.\d]|-\d", line) for line in lines)


def _views(
    recognised: str, content: Any, path: Path, options: CalibrationOptions
) -> list[CalibratedView]:
    file = printable(path)
    name = printable(path.stem)
    match recognised:
        case "xreg":
            return programs.read_xreg(path)
        case "rtk":
            return programs.read_rtk(content, file, options)
        case "transform":
            return programs.read_tracked(path, options)
        case "plus":
            return programs.read_plus(content, file, options)
        case "mayacam":
            return programs.read_mayacam(content, file, name, options)
        case "cameras":
            return from_beads.read_cameras(content, file)
        case "case":
            return _views_of_case(content, file)
        case "text":
            return matrices.read_matrices(content, file, name, options)
        case "numpy":
            content = read_numpy(path)
            content = content.get(path.stem, content) if len(content) == 1 else content
        case "opencv":
            first_pixel = (
                0 if options.first_pixel is None else options.first_pixel
            )  # as OpenCV has it
            content = with_arrays(content, file)
            options = replace(options, first_pixel=first_pixel)
        case "yaml":
            content = with_arrays(content, file)
        case _:
            if isinstance(content, list):
                content = _bare(content, file)
    if isinstance(content, np.ndarray):
        return matrices.views_of_arrays(content, file, name, options)
    return matrices.views_of_named(content, file, name, options)


def _bare(content: list, file: str) -> np.ndarray:
    try:
        return np.asarray(content, float)
    except (TypeError, ValueError):
        raise InputError(
            f"{file} is a list, but not of 3x4 matrices, expected those; write it as rows of "
            "numbers."
        ) from None


def _views_of_case(content: dict, file: str) -> list[CalibratedView]:
    """Return the geometry of each view of a case.json, which says all of it."""
    views = []
    for fields in JsonObject(file, "", content).sections("views", "a list of one or more views"):
        record = ViewRecord.read(fields)
        name = fields.text("name", "a name for the view")
        camera = record.own_camera
        if camera is None:
            views.append(from_matrix(file, name, record.geometry, signed=False))
        else:
            matrix = camera.projection_matrix  # a slot scan has none
            views.append(CalibratedView(name, matrix, camera.size, camera, record.distortion))
    return views


MAX_DEPTH = 20
MAX_YAML_VALUES = 100_000  # PyYAML takes 16 us for each
OPENCV_MATRIX = {"rows", "cols", "data"}


def tree_of_xml(element: ElementTree.Element, file: str, depth: int = 0) -> Any:
    """Return the content of an element of OpenCV's FileStorage, as `with_arrays` takes it.

    `_` elements are those of a list.
    """
    _check_depth(depth, file)
    children = [(child.tag, tree_of_xml(child, file, depth + 1)) for child in element]
    if not children:
        return (element.text or "").strip().strip('"')
    if all(tag == "_" for tag, _ in children):
        return [child for _, child in children]
    tree = dict(children)
    if len(tree) < len(children):
        raise InputError(f"{file} has a name twice in <{printable(element.tag)[:40]}>; keep one.")
    return tree


def tree_of_yaml(text: str, file: str) -> Any:
    """Parse YAML, and OpenCV's FileStorage, whose first line (%YAML:1.0) is no YAML, for `with_arrays`.

    Tags are ignored and nothing is constructed: the result has dictionaries, lists and texts.

    Raises
    ------
    InputError
        For text that is no YAML, for aliases, a key given twice, and where PyYAML is missing.
    """
    try:
        import yaml
    except ImportError:
        raise InputError(
            f"{file}: to read YAML needs the package PyYAML, which is missing; install PyYAML."
        ) from None

    class Loader(yaml.BaseLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.MarkedYAMLError(
                    problem="has an alias", problem_mark=self.peek_event().start_mark
                )
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict:
            mapping = super().construct_mapping(node, deep=True)
            if len(mapping) < len(node.value):
                raise yaml.MarkedYAMLError(problem="has a name twice", problem_mark=node.start_mark)
            return mapping

    if text.count(",") + text.count("\n") > MAX_YAML_VALUES:
        raise InputError(
            f"{file} has more than {MAX_YAML_VALUES:,} values, expected {CALIBRATION}; choose another "
            "file."
        )
    lines = text.splitlines()
    body = "\n".join(["", *lines[1:]] if lines and lines[0].startswith("%YAML") else lines)
    try:
        tree = yaml.load(body, Loader)  # which makes texts alone
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", ""))
        where = "" if mark is None else f" in line {mark.line + 1}"
        what = problem if problem.startswith("has ") else "cannot be read as YAML"
        raise InputError(f"{file} {what}{where}, expected plain YAML; correct it there.") from None
    if not tree:
        raise InputError(f"{file} is empty, expected a calibration; export it again.")
    return tree


def with_arrays(tree: Any, file: str, depth: int = 0) -> Any:
    """Return the tree with numbers in place of texts that are some, None for nothing, and arrays in place of OpenCV's matrices.

    Raises
    ------
    InputError
        Where a matrix has not as many numbers as it claims, or the tree is deeper than MAX_DEPTH.
    """
    _check_depth(depth, file)
    if isinstance(tree, str):
        return _value(tree)
    if isinstance(tree, list):
        return [with_arrays(value, file, depth + 1) for value in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: with_arrays(value, file, depth + 1) for key, value in tree.items()}
    if not tree.keys() >= OPENCV_MATRIX:
        return tree
    try:
        data = np.atleast_1d(np.asarray(tree["data"], float))
        rows = float(tree["rows"])
        columns = float(tree["cols"])
    except (TypeError, ValueError):
        raise InputError(
            f"{file} has a matrix without numbers in its rows, cols or data, expected them; save "
            "it again."
        ) from None
    if data.ndim != 1 or data.size != rows * columns:
        raise InputError(
            f"{file} has a matrix of {rows:g} rows and {columns:g} columns with {data.size} "
            "numbers, expected rows * cols of them; save it again."
        )
    return data.reshape(int(rows), int(columns))


def has_opencv_matrix(tree: Any, depth: int = 0) -> bool:
    """Return whether there is a matrix as OpenCV and ROS write it: rows, cols, data."""
    if depth > MAX_DEPTH or not isinstance(tree, (dict, list)):
        return False
    if isinstance(tree, dict) and tree.keys() >= OPENCV_MATRIX:
        return True
    values = tree.values() if isinstance(tree, dict) else tree
    return any(has_opencv_matrix(value, depth + 1) for value in values)


def _value(text: str) -> Any:
    """Return a number, a list of them, None or text."""
    if text in ("null", "~", ""):
        return None
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return text
    return numbers[0] if len(numbers) == 1 else numbers


def _check_depth(depth: int, file: str) -> None:
    if depth > MAX_DEPTH:
        raise InputError(
            f"{file} is nested more than {MAX_DEPTH} deep, expected a calibration; choose another "
            "file."
        )
