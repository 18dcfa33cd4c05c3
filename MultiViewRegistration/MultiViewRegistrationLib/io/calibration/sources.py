"""Text and XML files, read so that what they hold cannot do more than be wrong."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from ...errors import InputError
from ..fields import shown

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
