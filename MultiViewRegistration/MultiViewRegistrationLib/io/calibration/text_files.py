"""Text, XML and YAML files, read so that malicious content cannot do more than be refused."""

from __future__ import annotations

import re
from typing import Any, NoReturn
from xml.etree import ElementTree

from ...errors import InputError
from ..json_reader import printable

CALIBRATION = "a calibration file"  # for messages
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


MAX_DEPTH = 20
_YAML_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def parse_yaml(text: str, file: str) -> Any:
    """Parse YAML, and OpenCV's FileStorage, whose first line (%YAML:1.0) is no YAML.

    Tags are ignored and nothing is constructed: the result has dictionaries, lists, floats, texts and None.

    Raises
    ------
    InputError
        For text that is no YAML, for aliases, a key given twice, and where PyYAML is missing.
    """
    try:
        import yaml
    except ImportError:
        raise InputError(f"{file}: to read YAML needs the package PyYAML, which is missing; install PyYAML.") from None

    def refuse(what: str, node: yaml.Node) -> NoReturn:
        raise InputError(
            f"{file} has {what} in line {node.start_mark.line + 1}, expected plain YAML; correct it there."
        )

    seen: set[int] = set()

    def value_of(node: yaml.Node, depth: int = 0) -> Any:
        if id(node) in seen:
            refuse("an alias", node)
        if depth > MAX_DEPTH:
            refuse(f"more than {MAX_DEPTH} levels", node)
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            if node.style is None and _YAML_NUMBER.fullmatch(node.value):
                return float(node.value)
            return None if node.style is None and node.value in ("null", "~", "") else node.value
        if isinstance(node, yaml.SequenceNode):
            return [value_of(item, depth + 1) for item in node.value]
        values: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in values:
                refuse(f'"{printable(str(key.value))[:40]}" twice, or as a key', key)
            values[key.value] = value_of(item, depth + 1)
        return values

    lines = text.splitlines()
    body = "\n".join(["", *lines[1:]] if lines and lines[0].startswith("%YAML") else lines)
    try:
        root = yaml.compose(body, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise InputError(
            f"{file} cannot be read as YAML{where}, expected names with numbers; correct it there."
        ) from None
    if root is None:
        raise InputError(f"{file} is empty, expected a calibration; export it again.")
    return value_of(root)
