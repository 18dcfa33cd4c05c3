"""By which UIDs DICOM knows the frames and the images of a registration: always the same ones, also in a scene that was saved."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import slicer

from ..imaging.dicom_file import is_dicom
from ..io.dicom_identity import DicomImage, DicomOrigin, frame_of_reference, image_origin, new_uid, uid_of
from .case import reference_from_world_of
from .fingerprint import of_geometry, of_volume
from .registration import Registration
from .xray import XRayView

#: The attribute of a CT with the UID of its frame.
FRAME = "MultiViewRegistration.frameOfReferenceUID"
#: Parameters: of the worlds that the X-rays made, by their geometry, as JSON; of the tracker's frame.
WORLDS, REFERENCE = "worldUIDs", "referenceUID"
#: Where Slicer's DICOM module says from which files it made a volume.
INSTANCES = "DICOM.instanceUIDs"


def origin_of(registration: Registration) -> DicomOrigin:
    """Of the CT and the X-rays that are used. The CT's frame is that of its DICOM file, or one of its voxels; the tracker's is kept."""
    used = [view for view in registration.xrays if view.used]
    images = {view.name: image for view in used if (image := _image(view))}
    tracked = reference_from_world_of(registration) is not None
    return DicomOrigin(_ct_uid(registration.ct), images, _kept(registration, REFERENCE) if tracked else None)


def world_uid(registration: Registration) -> str:
    """Of the world that the geometry of the X-rays makes: another one where that is changed, the same again where it is changed back."""
    geometry = json.dumps(sorted(of_geometry(view) for view in registration.xrays if view.used))
    world = hashlib.sha256(geometry.encode()).hexdigest()
    known = json.loads(registration.parameter(WORLDS, "{}"))
    if world not in known:
        known[world] = new_uid()
        registration.node.SetParameter(WORLDS, json.dumps(known))
    return known[world]


def keep_frame(ct, uid: str | None) -> None:
    """Keep the UID of a CT's frame with its volume node."""
    if uid:
        ct.SetAttribute(FRAME, uid)


def content_of(image: DicomImage | None) -> dict:
    """What an `XRayView` keeps of its file's UIDs; nothing for what is no DICOM."""
    return {} if image is None else {"dicom": asdict(image)}


def file_of(volume) -> Path | None:
    """The first file from which Slicer's DICOM module made a volume, where it did, and knows it still."""
    database, instances = getattr(slicer, "dicomDatabase", None), volume.GetAttribute(INSTANCES)
    found = database.fileForInstance(instances.split()[0]) if database is not None and instances else ""
    return Path(found) if found and is_dicom(Path(found)) else None


def _kept(registration: Registration, parameter: str) -> str:
    uid = registration.parameter(parameter)
    if not uid:
        uid = new_uid()
        registration.node.SetParameter(parameter, uid)
    return uid


def _ct_uid(ct) -> str:
    if not ct.GetAttribute(FRAME):
        file = file_of(ct)
        keep_frame(ct, file and frame_of_reference(file))
    return ct.GetAttribute(FRAME) or uid_of(of_volume(ct))


def _image(view: XRayView) -> DicomImage | None:
    kept = view.content.get("dicom")
    file = file_of(view.source) if kept is None and view.source is not None else None
    image = DicomImage(**kept) if kept else file and _origin_in(file)
    if image is None or image.frame is None:
        return image
    return replace(image, frame=view.content.get("frame") or 0)


@lru_cache(maxsize=64)
def _origin_in(file: Path) -> DicomImage | None:
    return image_origin(file, None)
