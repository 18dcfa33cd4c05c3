"""OpenCV's FileStorage: its matrices in YAML, XML and JSON as arrays."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError
from ..fields import shown

ROOT = "opencv_storage"
MATRIX = {"rows", "cols", "data"}
DEEPEST = 20


def is_opencv(tree: Any, depth: int = 0) -> bool:
    """Whether there is a matrix as OpenCV and ROS write it: rows, cols, data."""
    if depth > DEEPEST or not isinstance(tree, (dict, list)):
        return False
    if isinstance(tree, dict) and tree.keys() >= MATRIX:
        return True
    return any(is_opencv(value, depth + 1) for value in (tree.values() if isinstance(tree, dict) else tree))


def with_arrays(tree: Any, file: str, depth: int = 0) -> Any:
    """The tree with an array (rows, cols) in place of each matrix. InputError where one has not as many numbers as it claims."""
    if depth > DEEPEST:
        raise InputError(f"{file} is nested more than {DEEPEST} deep, expected a calibration; choose another file.")
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
    if depth > DEEPEST:
        raise InputError(f"{file} is nested more than {DEEPEST} deep, expected a calibration; choose another file.")
    children = list(element)
    if not children:
        return _words((element.text or "").strip())
    if all(child.tag == "_" for child in children):
        return [tree_of_xml(child, file, depth + 1) for child in children]
    tree: dict[str, Any] = {}
    for child in children:
        if child.tag in tree:
            tag, parent = shown(child.tag)[:40], shown(element.tag)[:40]
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
