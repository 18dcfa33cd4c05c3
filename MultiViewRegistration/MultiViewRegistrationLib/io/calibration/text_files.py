"""XML and YAML of calibrations as plain trees, read so that malicious content cannot do more than be refused."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ...errors import InputError
from ..json_reader import printable

CALIBRATION = "a calibration file"  # for messages
MAX_DEPTH = 20
OPENCV_MATRIX = {"rows", "cols", "data"}
_DOCTYPE = re.compile(r"<!DOCTYPE\s+\w+\s*>")  # names the root element and nothing else, as RTK writes it


def xml_root(text: str, file: str) -> ElementTree.Element:
    """The root element.

    Raises
    ------
    InputError
        For what is no XML, and for any declaration of a document type that does more than name the root.
    """
    if "<!ENTITY" in text or "<!DOCTYPE" in _DOCTYPE.sub("", text, count=1):
        raise InputError(
            f"{file} declares entities or a document type, expected plain XML; export it again without them."
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{file} is not XML ({error}), expected a whole file; export it again.") from None


def tree_of_xml(element: ElementTree.Element, file: str, depth: int = 0) -> Any:
    """What an element of OpenCV's FileStorage holds, as `with_arrays` takes it; `_` elements are those of a list."""
    _check_depth(depth, file)
    children = [(child.tag, tree_of_xml(child, file, depth + 1)) for child in element]
    if not children:
        return (element.text or "").strip().strip('"')
    if all(tag == "_" for tag, _ in children):
        return [child for _, child in children]
    tree = dict(children)
    if len(tree) < len(children):
        raise InputError(f"{file} has a name twice in <{printable(element.tag)[:40]}>, expected it once; keep one.")
    return tree


def tree_of_yaml(text: str, file: str) -> Any:
    """YAML, and OpenCV's FileStorage, whose first line (%YAML:1.0) is no YAML, as `with_arrays` takes it.

    Tags are ignored and nothing is constructed: the result has dictionaries, lists and texts.

    Raises
    ------
    InputError
        For text that is no YAML, for aliases, a key given twice, and where PyYAML is missing.
    """
    try:
        import yaml
    except ImportError:
        raise InputError(f"{file}: to read YAML needs the package PyYAML, which is missing; install PyYAML.") from None

    class Loader(yaml.BaseLoader):
        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise yaml.MarkedYAMLError(problem="has an alias", problem_mark=self.peek_event().start_mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node, deep=False):
            mapping = super().construct_mapping(node, deep=True)
            if len(mapping) < len(node.value):
                raise yaml.MarkedYAMLError(problem="has a name twice", problem_mark=node.start_mark)
            return mapping

    lines = text.splitlines()
    body = "\n".join(["", *lines[1:]] if lines and lines[0].startswith("%YAML") else lines)
    try:
        tree = yaml.load(body, Loader)  # which makes texts alone
    except (yaml.YAMLError, RecursionError) as error:
        mark, problem = getattr(error, "problem_mark", None), str(getattr(error, "problem", ""))
        where = "" if mark is None else f" in line {mark.line + 1}"
        what = problem if problem.startswith("has ") else "cannot be read as YAML"
        raise InputError(f"{file} {what}{where}, expected plain YAML; correct it there.") from None
    if not tree:
        raise InputError(f"{file} is empty, expected a calibration; export it again.")
    return tree


def with_arrays(tree: Any, file: str, depth: int = 0) -> Any:
    """The tree with numbers in place of texts that are, None for nothing, and arrays in place of OpenCV's matrices.

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


def has_opencv_matrix(tree: Any, depth: int = 0) -> bool:
    """Whether there is a matrix as OpenCV and ROS write it: rows, cols, data."""
    if depth > MAX_DEPTH or not isinstance(tree, (dict, list)):
        return False
    if isinstance(tree, dict) and tree.keys() >= OPENCV_MATRIX:
        return True
    return any(has_opencv_matrix(value, depth + 1) for value in (tree.values() if isinstance(tree, dict) else tree))


def _value(text: str) -> Any:
    """A number, a list of them, None or text."""
    if text in ("null", "~", ""):
        return None
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return text
    return numbers[0] if len(numbers) == 1 else numbers


def _check_depth(depth: int, file: str) -> None:
    if depth > MAX_DEPTH:
        raise InputError(f"{file} is nested more than {MAX_DEPTH} deep, expected a calibration; choose another file.")
