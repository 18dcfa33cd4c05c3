"""DICOM's UIDs for the frames and images of a registration, and whether CT and X-rays belong to one patient."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import slicer

from ..imaging.dicom_file import is_dicom
from ..io.dicom_identity import (
    DicomImage,
    DicomOrigin,
    contradictions,
    frame_of_reference,
    image_origin,
    new_uid,
    read_identity,
    uid_of,
)
from .case import reference_from_world_of
from .fingerprint import of_geometry, of_volume
from .registration import Registration
from .xray import XRayView

#: The attribute of a CT with the UID of its frame.
FRAME_UID = "MultiViewRegistration.frameOfReferenceUID"
#: Parameters: of the worlds that the X-rays made, by their geometry, as JSON; of the tracker's frame.
WORLDS, REFERENCE = "worldUIDs", "referenceUID"
#: Where Slicer's DICOM module says from which files it made a volume.
INSTANCES = "DICOM.instanceUIDs"


def origin_of(registration: Registration) -> DicomOrigin:
    """Of the CT and the X-rays that are used. The CT's frame is that of its DICOM file, or one of its voxels; the tracker's is kept."""
    used = [view for view in registration.xrays if view.used]
    images = {view.name: image for view in used if (image := _image_origin(view))}
    tracked = reference_from_world_of(registration) is not None
    return DicomOrigin(_ct_uid(registration.ct), images, _kept_uid(registration, REFERENCE) if tracked else None)


def world_uid(registration: Registration) -> str:
    """Of the world that the geometry of the X-rays makes: another one where that is changed, the same again where it is changed back."""
    geometry = json.dumps(sorted(of_geometry(view) for view in registration.xrays if view.used))
    world = hashlib.sha256(geometry.encode()).hexdigest()
    known = json.loads(registration.parameter(WORLDS, "{}"))
    if world not in known:
        known[world] = new_uid()
        registration.node.SetParameter(WORLDS, json.dumps(known))
    return known[world]


def keep_frame_uid(ct, uid: str | None) -> None:
    """Keep the UID of a CT's frame with its volume node."""
    if uid:
        ct.SetAttribute(FRAME_UID, uid)


def dicom_content(image: DicomImage | None) -> dict:
    """What an `XRayView` keeps of its file's UIDs; nothing for what is no DICOM."""
    return {} if image is None else {"dicom": asdict(image)}


def file_of(volume) -> Path | None:
    """The first file from which Slicer's DICOM module made a volume, where it did, and knows it still."""
    database, instances = getattr(slicer, "dicomDatabase", None), volume.GetAttribute(INSTANCES)
    found = database.fileForInstance(instances.split()[0]) if database is not None and instances else ""
    return Path(found) if found and is_dicom(Path(found)) else None


def _kept_uid(registration: Registration, parameter: str) -> str:
    uid = registration.parameter(parameter)
    if not uid:
        uid = new_uid()
        registration.node.SetParameter(parameter, uid)
    return uid


def _ct_uid(ct) -> str:
    if not ct.GetAttribute(FRAME_UID):
        file = file_of(ct)
        keep_frame_uid(ct, file and frame_of_reference(file))
    return ct.GetAttribute(FRAME_UID) or uid_of(of_volume(ct))


def _image_origin(view: XRayView) -> DicomImage | None:
    kept = view.content.get("dicom")
    file = file_of(view.source) if kept is None and view.source is not None else None
    image = DicomImage(**kept) if kept else file and _origin_in(file)
    if image is None or image.frame is None:
        return image
    return replace(image, frame=view.content.get("frame") or 0)


@lru_cache(maxsize=64)
def _origin_in(file: Path) -> DicomImage | None:
    return image_origin(file, None)


#: The attribute of a node with a random word, by which what its header said is found as long as the program runs.
IDENTITY_KEY = "MultiViewRegistration.header"

_identities: dict[str, dict[str, str]] = {}


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
    remember_identity(ct, identity)
    keep_frame_uid(ct, uid)


def remember_identity(node, identity: dict[str, str]) -> None:
    """What `read_identity` found in the file of a CT or an X-ray; it stays in memory."""
    if identity:
        key = uuid.uuid4().hex
        _identities[key] = identity
        node.SetAttribute(IDENTITY_KEY, key)


def identity_mismatches(registration: Registration) -> list[str]:
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
    key = node.GetAttribute(IDENTITY_KEY)
    if key in _identities:
        return _identities[key]
    file = file_of(node)
    return _identity_in(file) if file else {}


@lru_cache(maxsize=64)  # it is asked for whenever the panel is shown
def _identity_in(file: Path) -> dict[str, str]:
    return read_identity(file)
