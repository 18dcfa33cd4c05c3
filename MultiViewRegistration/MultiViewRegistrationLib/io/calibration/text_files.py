"""Text, XML and YAML files, read so that malicious content cannot do more than be refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

from ...errors import InputError
from ..json_reader import shown

LARGEST_FILE = 16 << 20  # bytes

_DOCTYPE = re.compile(r"<!DOCTYPE\s+\w+\s*>")  # names the root element and nothing else, as RTK writes it


def read_bytes(path: Path) -> bytes:
    """All of a file. InputError where it is none, cannot be read, or is larger than any calibration."""
    try:
        if not path.is_file():
            raise InputError(
                f"{shown(path)} cannot be read, as it is no file, expected a calibration file; check the path."
            )
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(
                f"{shown(path)} is larger than {LARGEST_FILE >> 20} MB, expected a calibration file; choose another file."
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read ({error.strerror}), expected a calibration file; check its permissions."
        ) from None


def text_of(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{file} is no text in UTF-8 and no other calibration file that is known, expected one; choose another "
            "file."
        ) from None


def xml_root(text: str, file: str) -> ElementTree.Element:
    """The root element. InputError for what is no XML, and for any declaration of a document type that does more than name the root."""
    if "<!ENTITY" in text or "<!DOCTYPE" in _DOCTYPE.sub("", text, count=1):
        raise InputError(
            f"{file} declares entities or a document type, expected plain XML; export it again without them."
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{file} is not XML ({error}), expected a whole file; export it again.") from None


DEEPEST = 20

_COMMENT = re.compile(r"(^|\s)#.*")
_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s:\[\]{},"'#&*!|>-][^:\[\]{},"']*?)\s*:(?:\s+|$)""")
_TAG = re.compile(r"^![^\s\[\]{},]*\s*")
_TOKEN = re.compile(r"""\s*(?:([\[\]{},:])|("[^"]*"|'[^']*')|([^\s\[\]{},:"'][^\[\]{},:"']*))""")

Line = tuple[int, str]  # indentation, content


def parse_yaml(text: str, file: str) -> Any:
    """Dictionaries, lists, numbers, texts, None. InputError for what is not in this part of YAML."""
    lines = _lines(text, file)
    if not lines:
        raise InputError(f"{file} is empty, expected a calibration; export it again.")
    value, rest = _block(lines, 0, lines[0][0], file, 0)
    if rest < len(lines):
        _refuse(lines[rest][1], file)
    return value


def _refuse(what: str, file: str) -> NoReturn:
    raise InputError(
        f'{file} cannot be read at "{shown(what.strip())[:40]}", expected names with numbers or lists of them; correct it '
        "there."
    )


def _lines(text: str, file: str) -> list[Line]:
    """Lines without comments, those within brackets joined."""
    lines: list[Line] = []
    depth = 0
    for line in text.splitlines():
        if line.startswith(("%YAML", "---", "...")):
            continue
        line = _COMMENT.sub("", line).rstrip()
        if not line.strip():
            continue
        if depth > 0:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {line.strip()}")
        elif "\t" in line[: len(line) - len(line.lstrip())]:
            _refuse(line, file)
        else:
            lines.append((len(line) - len(line.lstrip(" ")), line.strip()))
        depth += sum(line.count(c) for c in "[{") - sum(line.count(c) for c in "]}")
    return lines


def _block(lines: list[Line], i: int, indent: int, file: str, depth: int) -> tuple[Any, int]:
    """What stands at this indentation from line i on, and the line behind it."""
    if depth > DEEPEST:
        _refuse(lines[i][1], file)
    if lines[i][1].startswith("- ") or lines[i][1] == "-":
        return _sequence(lines, i, indent, file, depth)
    if _KEY.match(lines[i][1]):
        return _mapping(lines, i, indent, file, depth)
    return _value(lines[i][1], file), i + 1


def _sequence(lines: list[Line], i: int, indent: int, file: str, depth: int) -> tuple[list, int]:
    values = []
    while i < len(lines) and lines[i][0] == indent and (lines[i][1] == "-" or lines[i][1].startswith("- ")):
        content = lines[i][1][1:]
        if content.strip():  # what follows the dash is a block of its own, further in
            inner = indent + 1 + len(content) - len(content.lstrip())
            lines[i] = (inner, content.strip())
        elif i + 1 < len(lines) and lines[i + 1][0] > indent:
            i += 1
            inner = lines[i][0]
        else:
            _refuse(lines[i][1], file)
        value, i = _block(lines, i, inner, file, depth + 1)
        values.append(value)
    return values, i


def _mapping(lines: list[Line], i: int, indent: int, file: str, depth: int) -> tuple[dict, int]:
    values: dict[str, Any] = {}
    while i < len(lines) and lines[i][0] == indent and (match := _KEY.match(lines[i][1])):
        key = match[1].strip("\"'")
        if key in values:
            raise InputError(f'{file} has "{shown(key)[:40]}" twice, expected it once; keep one of the two.')
        content = _TAG.sub("", lines[i][1][match.end() :], count=1)
        i += 1
        if content:
            values[key] = _value(content, file)
        elif i < len(lines) and (lines[i][0] > indent or lines[i][0] == indent and lines[i][1].startswith("- ")):
            values[key], i = _block(lines, i, lines[i][0], file, depth + 1)
        else:
            values[key] = None
    return values, i


def _value(text: str, file: str) -> Any:
    """A scalar, or a list or mapping in brackets."""
    if text[0] in "&*|>":
        _refuse(text, file)
    if text[0] not in "[{":
        return _scalar(text)
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            _refuse(text[position:], file)
        tokens.append(match[1] or match[2] or match[3].strip())
        position = match.end()
    tokens.reverse()  # to be taken from the end
    value = _flow(tokens, file, 0)
    if tokens:
        _refuse(tokens[-1], file)
    return value


def _flow(tokens: list[str], file: str, depth: int) -> Any:
    token = tokens.pop() if tokens else _refuse("an open bracket", file)
    if token not in ("[", "{"):
        return _refuse(token, file) if token in ("]", "}", ",", ":") or token[0] in "&*" else _scalar(token)
    if depth > DEEPEST:
        _refuse(token, file)
    mapping, end = token == "{", "]" if token == "[" else "}"
    values: Any = {} if mapping else []
    while tokens and tokens[-1] != end:
        if mapping:
            key = tokens.pop().strip("\"'")
            if not tokens or tokens.pop() != ":":
                _refuse(key, file)
            values[key] = _flow(tokens, file, depth + 1)
        else:
            values.append(_flow(tokens, file, depth + 1))
        if tokens and tokens[-1] == ",":
            tokens.pop()
        elif not tokens or tokens[-1] != end:
            _refuse(tokens[-1] if tokens else "an open bracket", file)
    if not tokens:
        _refuse("an open bracket", file)
    tokens.pop()
    return values


def _scalar(text: str) -> Any:
    if text[0] in "\"'":
        return text[1:-1] if len(text) > 1 and text[-1] == text[0] else text
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text):
        return float(text)
    return None if text in ("null", "~", "") else text
