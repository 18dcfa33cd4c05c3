"""By which UIDs the CT and the X-rays of a case are known where they came from DICOM. Nothing of the patient is read."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..imaging.dicom_file import DicomFile, quiet, read_dicom
from .case_file import CaseFile

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


@dataclass(frozen=True)
class DicomImage:
    """frame: from 0, of a multi-frame image."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None


def new_uid() -> str:
    """A UID from a random UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def uid_of(sha256: str) -> str:
    """The UID of a frame that has none of its own: always the same for the same file (PS3.5 B.2, a UUID of version 8)."""
    number = int(sha256[:32], 16) & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62
    return f"2.25.{number}"


@dataclass(frozen=True)
class DicomOrigin:
    """ct_uid: FrameOfReferenceUID of the CT, or one of its own where it was no DICOM.   views: by the view's name, those that were.
    reference_uid: of a tracker's frame, where it has one already."""

    ct_uid: str = field(default_factory=new_uid)
    views: dict[str, DicomImage] = field(default_factory=dict)
    reference_uid: str | None = None


def dicom_origin(file: CaseFile, ct_sha256: str) -> DicomOrigin:
    """Of the files that a case names."""
    images = {view.name: image for view in file.views if (image := image_origin(view.image.path, view.frame))}
    return DicomOrigin(frame_of_reference(file.ct.path) or uid_of(ct_sha256), images)


def frame_of_reference(ct: Path) -> str | None:
    """FrameOfReferenceUID of a CT's file, or of the first in its folder that has one; None for what has none."""
    slices = sorted(path for path in ct.iterdir() if path.is_file()) if ct.is_dir() else [ct]
    found = (_uid(dicom, "FrameOfReferenceUID") for dicom in map(_header, slices) if dicom)
    return next(filter(None, found), None)


def image_origin(path: Path, frame: int | None) -> DicomImage | None:
    """By which UIDs an X-ray's file is known; None for what is no DICOM."""
    dicom = _header(path)
    try:
        uids = [_uid(dicom, key) for key in UIDS] if dicom else []
        if uids and all(uids):
            return DicomImage(*uids, frame=(frame or 0) if dicom.whole("NumberOfFrames", 1) > 1 else None)
    except InputError:  # as in _header
        pass
    return None


def _uid(dicom: DicomFile, key: str) -> str | None:
    """None for what is no UID: other programs would refuse an object that names it."""
    from pydicom.uid import UID

    with quiet():
        uid = UID(str(dicom.value(key) or ""))
    return str(uid) if uid.is_valid else None


def _header(path: Path) -> DicomFile | None:
    try:
        return read_dicom(path)
    except InputError:  # whether the image is broken, its own reader says
        return None
