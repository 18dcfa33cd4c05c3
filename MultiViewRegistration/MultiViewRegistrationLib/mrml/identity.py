"""Whose CT and X-rays are, and DICOM's UIDs for their frames and images."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import astuple, replace
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ..imaging.image_source import is_dicom
from ..io.case_file import DicomImage, DicomOrigin, is_of_content, new_uid, uid_of
from ..io.case_settings import SALT
from ..io.dicom_identity import (
    COMPARED,
    FRAMES,
    PATIENT,
    PATIENT_ID,
    SALT_BYTES,
    Mismatch,
    contradictions,
    frame_of_reference,
    image_origin,
    images_of,
    is_known,
    is_named,
    patient_digests,
    read_identity,
    reveals,
    same_patient,
    sentences,
    with_recorded,
)
from ..io.view_record import sha256_of
from ..translation import _
from .case import change_settings, settings_of
from .fingerprints import ct_fingerprint
from .nodes import nodes_of_class
from .registration import Registration
from .xray import XRayView

#: Header values that tell a patient, or their digests, see `dicom_identity.read_identity`.
Identity = dict[str, str]
#: Those of a CT, the UID of its frame, and its slices.
CTHeader = tuple[Identity, str | None, Sequence[DicomImage]]
#: The attributes of a CT with the UID of its frame, and with those of study, series, class and
#: instances of its slices.
FRAME_UID = "MultiViewRegistration.frameOfReferenceUID"
SLICES = "MultiViewRegistration.slices"
#: In the record: the UIDs of the worlds that the X-rays made, by their geometry; of the tracker's
#: frame.
WORLDS = "worldUIDs"
REFERENCE = "referenceUID"
#: Where Slicer's DICOM module says from which files it made a volume.
INSTANCES = "DICOM.instanceUIDs"


def origin_of(registration: Registration) -> DicomOrigin:
    """Return the UIDs of the X-rays that are used, and that which is kept of the tracker's frame."""
    used = registration.used_xrays
    images = {view.name: image for view in used if (image := _image_origin(view))}
    tracked = settings_of(registration).reference_from_world is not None
    return DicomOrigin(images, _kept_uid(registration, REFERENCE) if tracked else None)


def in_frame_of_ct(registration: Registration, view: XRayView) -> bool:
    """Return whether an X-ray is a localizer that lies where its header says, in the CT's own frame of reference."""
    record = view.record
    ct = registration.ct
    frame = record.header.frame_of_reference
    return bool(
        frame and ct is not None and record.kind == "slot_scan" and ct_uid(registration) == frame
    )


def true_pose(registration: Registration) -> np.ndarray | None:
    """Return the world_from_ct (4, 4) that the scanner had for all X-rays that are used, as its localizers of that CT; None for others."""
    used = registration.used_xrays
    return np.eye(4) if used and all(in_frame_of_ct(registration, view) for view in used) else None


def world_uid(registration: Registration) -> str:
    """Return the UID of the X-rays' world.

    It changes with their geometry, and is the same again where that is changed back.
    """
    world = sha256_of(sorted(view.record.geometry_fingerprint for view in registration.used_xrays))
    known = registration.kept(WORLDS, {})
    if world not in known:
        known = {**known, world: new_uid()}
        registration.keep(WORLDS, known)
    return known[world]


def keep_uids(ct: Any, uid: str | None, slices: Sequence[DicomImage] = ()) -> None:
    """Keep the UIDs of a CT's frame and of its slices with its volume node."""
    if uid:
        ct.SetAttribute(FRAME_UID, uid)
    if slices:
        instances = [each.sop_instance_uid for each in slices]
        ct.SetAttribute(SLICES, json.dumps([*astuple(slices[0])[:3], instances]))


def ct_images(registration: Registration) -> dict[str, tuple[DicomImage, ...]]:
    """Return the slices of the CT, "", and of the CTs of bones, by their names; none of what was no DICOM series."""
    return {name: _slices(ct) for name, ct in {"": registration.ct, **registration.apart}.items()}


def _slices(ct: Any) -> tuple[DicomImage, ...]:
    if kept := ct.GetAttribute(SLICES):
        study, series, sop_class, instances = json.loads(kept)
        return tuple(DicomImage(study, series, sop_class, uid) for uid in instances)
    first = _first_image(ct)
    instances = ct.GetAttribute(INSTANCES)
    return tuple(replace(first, sop_instance_uid=uid) for uid in instances.split()) if first else ()


def _first_image(volume: Any) -> DicomImage | None:
    """Return the first slice of a volume that Slicer's DICOM module has made."""
    file = file_of(volume)
    return None if file is None else _origin_in(file, None)


def file_of(volume: Any) -> Path | None:
    """Return the first file from which Slicer's DICOM module made a volume, where it did, and knows it still."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = volume.GetAttribute(INSTANCES)
    found = (
        database.fileForInstance(instances.split()[0]) if database is not None and instances else ""
    )
    return Path(found) if found and is_dicom(Path(found)) else None


def _kept_uid(registration: Registration, key: str) -> str:
    uid = registration.kept(key)
    if not uid:
        uid = new_uid()
        registration.keep(key, uid)
    return uid


def ct_uid(registration: Registration, name: str = "") -> str:
    """Return the UID of the frame of the CT, or of that of a bone or implant: of its DICOM file, or one of its voxels."""
    ct = registration.apart.get(name, registration.ct)
    if not ct.GetAttribute(FRAME_UID):
        file = file_of(ct)
        keep_uids(ct, None if file is None else frame_of_reference(file))
    return ct.GetAttribute(FRAME_UID) or uid_of(ct_fingerprint(registration, name))


def ct_header(registration: Registration) -> Identity:
    """Return what a segmentation of the CT is compared with, see `dicom_identity.read_volume`."""
    uid = ct_uid(registration)
    return {**_identity(registration.ct), **({} if is_of_content(uid) else {FRAMES: uid})}


def _image_origin(view: XRayView) -> DicomImage | None:
    image = view.record.dicom
    if image is None and view.source is not None:
        image = _first_image(view.source)
    if image is None or image.frame is None:
        return image
    return replace(image, frame=view.record.shown_frame)


_origin_in = lru_cache(maxsize=64)(image_origin)

#: The attribute of a node with a random word, the key of its header values while the program runs.
IDENTITY_KEY = "MultiViewRegistration.header"
#: The attribute of a node with the digests of its patient, as JSON: all of a scene have one salt.
DIGESTED = "MultiViewRegistration.patient"

_identities: dict[str, Identity] = {}


def header_of_ct(files: Sequence[Path]) -> CTHeader:
    """Return what `keep_header` keeps of a CT's files, in any thread; nothing for what is no DICOM."""
    first = files[0]
    if not is_dicom(first):
        return {}, None, ()
    return read_identity(first), frame_of_reference(first), images_of(files)


def keep_header(ct: Any, header: CTHeader) -> None:
    """Keep the UIDs with a CT's volume node, and whose it is in memory."""
    remember_identity(ct, header[0])
    keep_uids(ct, *header[1:])


def remember_identity(node: Any, identity: Identity) -> None:
    """Keep the result of `read_identity` for the file of a CT or an X-ray in memory, and digests of the patient with the node.

    Or the digests that a case.json has, where that is all.
    """
    if identity:
        key = uuid.uuid4().hex
        _identities[key] = identity
        node.SetAttribute(IDENTITY_KEY, key)
        _keep_digests(node, identity)


def copy_identity(of: Any, node: Any) -> None:
    """Have an image be known as of the same header as another one."""
    for attribute in (IDENTITY_KEY, DIGESTED):
        node.SetAttribute(attribute, of.GetAttribute(attribute))


def _keep_digests(node: Any, identity: Identity) -> None:
    volumes = nodes_of_class("vtkMRMLVolumeNode", node.GetScene())
    salts = (digests[SALT] for each in volumes if (digests := digests_of(each)))
    salt = identity.get(SALT) or next(salts, "") or secrets.token_hex(SALT_BYTES)
    if digests := patient_digests(identity, salt):
        node.SetAttribute(DIGESTED, json.dumps(digests))


def digests_of(node: Any) -> Identity:
    """Return the digests of an image's patient with their salt; {} for an unknown one."""
    return json.loads(node.GetAttribute(DIGESTED) or "{}")


#: In the record: the contradictions that were found while the headers were at hand, and the images
#: that a person said are of one patient, by `_header_key`.
CONTRADICTIONS = "headerContradictions"
SAME_PATIENT = "samePatient"


def identity_mismatches(registration: Registration) -> list[Mismatch]:
    """Return where the headers of the CT and the X-rays that are used contradict each other.

    A scene that was saved and loaded has no headers: it keeps, without a value, which images
    contradict each other in what, whatever is added, skipped or removed since.
    """
    images = _images(registration)
    live = contradictions([(key, identity) for _, key, identity in images if identity])
    kept = {tuple(each) for each in registration.kept(CONTRADICTIONS, [])}
    if not kept.issuperset(live):
        kept.update(live)
        registration.keep(CONTRADICTIONS, sorted(kept))
    found: list[tuple[str, str, str]] = []
    for (one, a, _one), (other, b, _other) in combinations(images, 2):
        found += [(what, one, other) for what, *keys in kept if set(keys) == {a, b}]
    return with_recorded(sentences(found), settings_of(registration).header_mismatch)


def patient_of(registration: Registration) -> str:
    """Return the PatientID of the CT and the X-rays, for the screen alone.

    "" where no header has one, where it is not known whose any of the images is, and of several
    patients.
    """
    known = _patients(registration)
    one = all(same_patient(a, b) for a, b in combinations(known, 2))
    if not one or not all(map(is_known, known)):
        return ""
    ids = {each[PATIENT_ID] for each in known if PATIENT_ID in each}
    return ids.pop() if len(ids) == 1 else ""


#: Whose new images are: of another patient than those that are there, of nobody knows whom; and
#: in the record a person's word that the latter are of this patient.
OTHER = "other"
UNKNOWN = "unknown"
SAID = "unknownAreOfPatient"
#: X-rays with a geometry that make a registration whole, beside its CT: further ones may begin
#: another patient's.
WHOLE_XRAYS = 2


def doubt_about(registration: Registration, identities: Sequence[Identity]) -> str:
    """Return OTHER or UNKNOWN where images may be of another patient than those that are there, else "".

    See `read_identity` for the values. A person who has put images of an unknown patient beside
    those of a known one has answered for further ones of either. Where all are unknown, it is asked
    once of a registration that is whole.
    """
    there = _patients(registration)
    if any(same_patient(*pair) is False for pair in product(there, identities)):
        return OTHER
    known = list(map(is_known, there))
    placed = sum(view.placed for view in registration.xrays)
    whole = registration.ct is not None and placed >= WHOLE_XRAYS
    nobodys = whole and not any(known) and not registration.kept(SAID)
    for new in identities if there else ():
        alike = any(same_patient(one, new) for one in there)
        if not alike if is_known(new) else all(known) or nobodys:
            return UNKNOWN
    return ""


def say_unknown_are_of_patient(registration: Registration) -> None:
    """Keep that a person says that images of nobody knows whom are of the patient of those that are there."""
    registration.keep(SAID, True)


def _patients(registration: Registration) -> list[Identity]:
    """Return what is known of the patient of each image, {} for nothing."""
    nodes = registration.bone_cts.values() or [registration.ct]
    known = [_identity(node) for node in nodes if node is not None]
    return [*known, *(_identity_of(view) for view in registration.xrays)]


def _identity_of(view: XRayView) -> Identity:
    return _identity(view.node) or _identity(view.source)


def may_name_patient(registration: Registration, text: str) -> bool:
    """Return whether a text has a part of a patient's name, ID or date of birth in it, as far as headers tell."""
    known = [each for each in _patients(registration) if is_named(each)]
    return not known or any(reveals(text, each) for each in known)


def recorded_patient(registration: Registration) -> dict[str, Identity]:
    """Return the digests of the patients of its images, see `CaseSettings`; {} of unknown ones."""
    known = {view.name: _identity_of(view) for view in registration.used_xrays}
    known[""] = _identity(registration.ct)
    salt = next((each[SALT] for each in reversed(known.values()) if SALT in each), "")
    return (
        {name: found for name, each in known.items() if (found := patient_digests(each, salt))}
        if salt
        else {}
    )


def say_same_patient(registration: Registration) -> None:
    """Keep that a person says that the CT and the X-rays that are used are of one patient, whatever their headers say."""
    change_settings(registration, same_patient=True)
    registration.keep(SAME_PATIENT, [key for _, key, _ in _images(registration)])


def said_same_patient(registration: Registration) -> bool:
    """Return whether a person said of every image that is used now that all are of one patient."""
    said = registration.kept(SAME_PATIENT, [])
    every = all(key in said for _, key, _ in _images(registration))
    return settings_of(registration).same_patient and every


def patients_in_doubt(registration: Registration) -> bool:
    """Return whether headers name different patients and no person has confirmed that they are one."""
    found = any(each.kind == PATIENT for each in identity_mismatches(registration))
    return found and not said_same_patient(registration)


def patients_in_words(registration: Registration) -> str:
    """Return the PatientID of the CT and of each used X-ray, and what else differs, for the screen alone.

    Returns
    -------
    str
        A line for each header value; "" where no header is at hand, as of a saved scene.
    """
    images = {"CT": _identity(registration.ct)}
    images |= {view.name: _identity_of(view) for view in registration.used_xrays}
    lines = []
    for what, compared in COMPARED.items():
        values = {each[what] for each in images.values() if what in each}
        if compared.kind == PATIENT and (len(values) > 1 or values and what == PATIENT_ID):
            named = (f"{name} {each.get(what, _('unknown'))}" for name, each in images.items())
            lines.append(f"{compared.tags[0]}: {', '.join(named)}")
    return "\n".join(lines)


def _images(registration: Registration) -> list[tuple[str, str, Identity]]:
    """Return name, `_header_key` and header values, if at hand, of the CT and the used X-rays that had a header."""
    nodes = [("CT", registration.ct)]
    for view in registration.used_xrays:
        node = view.node if _header_key(view.node) else view.source
        nodes.append((view.name, node))
    return [(name, key, _identity(node)) for name, node in nodes if (key := _header_key(node))]


def _header_key(node: Any) -> str:
    """Return the key by which an image is known as that of a header, also in a scene that was saved and loaded; "" without one."""
    if node is None:
        return ""
    instances = node.GetAttribute(INSTANCES)
    return node.GetAttribute(IDENTITY_KEY) or (sha256_of(instances) if instances else "")


def _identity(node: Any) -> Identity:
    """Return the header values of an image, if at hand, with its patient's digests."""
    if node is None:
        return {}
    known = _identities.get(node.GetAttribute(IDENTITY_KEY) or "", {})
    if not known and (file := file_of(node)):
        known = _identity_in(file)
        if not digests_of(node):
            _keep_digests(node, known)
    return {**known, **digests_of(node)}


_identity_in = lru_cache(maxsize=64)(read_identity)  # needed whenever the panel is shown
