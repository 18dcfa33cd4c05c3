"""DICOM UIDs and patient identity of a case's files."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..imaging.dicom_file import DicomFile, quiet, read_dicom
from .case_file import CaseFile
from .json_reader import printable

#: By what is compared: its tags (PS3.3 C.7.1.1, C.7.3.1, C.8.7.1, C.7.2.1), of which the first with a value counts.
COMPARED = {
    "patients (PatientID)": ("PatientID",),
    "sides of the body (laterality)": ("ImageLaterality", "Laterality"),
    "days (StudyDate)": ("StudyDate",),
}
#: An unpaired part, or both sides, contradicts neither.
BOTH_SIDES = ("U", "B")


#: How each of the sentences below ends.
BY_HEADERS = "by their DICOM headers; check that they belong together."


def differences(case: CaseFile) -> list[str]:
    """A sentence for each of COMPARED in which the CT and X-rays of a case differ, as far as they are DICOM; it names the entries of the
    case, and no value."""
    entries = [("ct", case.ct.path), *((f"{view.field}.image", view.image.path) for view in case.views if view.image)]
    return [
        f"{printable(case.path)}: {sentence}"
        for sentence in contradictions([(entry, read_identity(path)) for entry, path in entries])
    ]


def contradictions(entries: list[tuple[str, dict[str, str]]]) -> list[str]:
    """A sentence for each of COMPARED in which entries differ, given by their name and what `read_identity` found; it tells no value."""
    sentences = []
    for what in COMPARED:
        known = [(entry, found[what]) for entry, found in entries if what in found]
        others = [entry for entry, value in known if value != known[0][1]]
        if others:
            sentences.append(f"{' and '.join(others)} and {known[0][0]} are of different {what} {BY_HEADERS}")
    return sentences


def read_identity(path: Path) -> dict[str, str]:
    """What is compared, as far as the header of a file or a folder's CT says it; nothing for files that are not DICOM. To be kept in memory
    alone."""
    for dicom in _headers(path):
        if path.is_dir() and dicom.text("Modality") != "CT":
            continue
        with suppress(InputError):  # as in _headers
            values = {
                what: next(filter(None, (str(dicom.value(tag) or "").strip() for tag in tags)), "")
                for what, tags in COMPARED.items()
            }
            return {what: value for what, value in values.items() if value and value not in BOTH_SIDES}
    return {}


def _headers(path: Path) -> Iterator[DicomFile]:
    """Of a DICOM file, or of those in a folder; one that is damaged is reported where the image is read."""
    for file in sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]:
        with suppress(InputError):
            if (dicom := read_dicom(file)) is not None:
                yield dicom


UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


@dataclass(frozen=True)
class DicomImage:
    """The UIDs by which a DICOM image is known.

    Attributes
    ----------
    frame
        From 0, of a multi-frame image.
    """

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
    """The UIDs by which a case's CT and X-rays are known.

    Attributes
    ----------
    ct_uid
        FrameOfReferenceUID of the CT, or one of its own where it was no DICOM.
    views
        By the view's name, those that were.
    reference_uid
        Of a tracker's frame, where it has one already.
    """

    ct_uid: str = field(default_factory=new_uid)
    views: dict[str, DicomImage] = field(default_factory=dict)
    reference_uid: str | None = None


def dicom_origin(file: CaseFile, ct_sha256: str) -> DicomOrigin:
    """Of the files that a case names."""
    images = {view.name: image for view in file.views if (image := image_origin(view.image_path, view.frame))}
    return DicomOrigin(frame_of_reference(file.ct.path) or uid_of(ct_sha256), images)


def frame_of_reference(ct: Path) -> str | None:
    """FrameOfReferenceUID of a CT's file, or of the first in its folder that has one; None for what has none."""
    return next(filter(None, (_uid(dicom, "FrameOfReferenceUID") for dicom in _headers(ct))), None)


def image_origin(path: Path, frame: int | None) -> DicomImage | None:
    """By which UIDs an X-ray's file is known; None for what is no DICOM."""
    for dicom in _headers(path):
        with suppress(InputError):
            study, series, sop_class, instance = (_uid(dicom, key) for key in UIDS)
            several = dicom.whole("NumberOfFrames", 1) > 1
            if study and series and sop_class and instance:
                return DicomImage(study, series, sop_class, instance, (frame or 0) if several else None)
    return None


def _uid(dicom: DicomFile, key: str) -> str | None:
    """None for what is no UID: other programs would refuse an object that names it."""
    from pydicom.uid import UID

    with quiet():
        uid = UID(str(dicom.value(key) or ""))
    return str(uid) if uid.is_valid else None
