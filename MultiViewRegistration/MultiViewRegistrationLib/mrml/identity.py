"""Whether the CT and the X-rays of a registration are one patient's: compared by their DICOM headers, of which a scene keeps nothing."""

from __future__ import annotations

import uuid
from functools import lru_cache
from pathlib import Path

from ..imaging.dicom_file import is_dicom
from ..io.dicom_identity import contradictions, frame_of_reference, read_identity
from .dicom_origin import file_of, keep_frame
from .registration import Registration

#: The attribute of a node with a random word, by which what its header said is found as long as the program runs.
KEY = "MultiViewRegistration.header"

_told: dict[str, dict[str, str]] = {}


def header_of_ct(path: Path) -> tuple[dict[str, str], str | None]:
    """What `keep_header` keeps of a CT's file or folder, in any thread: whose it is, and the UID of its frame; nothing for what is no
    DICOM."""
    files = path.iterdir() if path.is_dir() else [path]
    if not any(is_dicom(file) for file in files if file.is_file()):
        return {}, None
    return read_identity(path), frame_of_reference(path)


def keep_header(ct, header: tuple[dict[str, str], str | None]) -> None:
    """Keep the UID with a CT's volume node, and whose it is in memory."""
    identity, uid = header
    remember(ct, identity)
    keep_frame(ct, uid)


def remember(node, identity: dict[str, str]) -> None:
    """What `read_identity` found in the file of a CT or an X-ray; it stays in memory."""
    if identity:
        key = uuid.uuid4().hex
        _told[key] = identity
        node.SetAttribute(KEY, key)


def mismatches(registration: Registration) -> list[str]:
    """A sentence, without any value, for each of patient, side and day in which the CT and the X-rays that are used differ."""
    views = [view for view in registration.xrays if view.used]
    entries = [
        ("CT", _identity(registration.ct)),
        *((view.name, _identity(view.node) or _identity(view.source)) for view in views),
    ]
    return contradictions(entries)


def _identity(node) -> dict[str, str]:
    if node is None:
        return {}
    key = node.GetAttribute(KEY)
    if key in _told:
        return _told[key]
    file = file_of(node)
    return _read(file) if file else {}


@lru_cache(maxsize=64)  # it is asked for whenever the panel is shown
def _read(file: Path) -> dict[str, str]:
    return read_identity(file)
