"""DICOM UIDs and patient identity of a case's files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..imaging.dicom_file import DicomFile, quiet, read_dicom
from .case_file import CaseFile, DicomImage, DicomOrigin, uid_of

PATIENT, SIDE, DAY = "patient", "side", "day"


class Compared(NamedTuple):
    """A value of the headers: its kind, its tags, the first with a value counts, and the values that contradict no other."""

    kind: str
    tags: tuple[str, ...]
    neutral: tuple[str, ...] = ()


PATIENT_ID = "patients (PatientID)"
#: PS3.3 C.7.1.1, C.7.3.1, C.8.7.1, C.7.2.1. Neutral are a sex other than male or female, an unpaired part and both sides.
COMPARED = {
    PATIENT_ID: Compared(PATIENT, ("PatientID",)),
    "dates of birth (PatientBirthDate)": Compared(PATIENT, ("PatientBirthDate",)),
    "sexes (PatientSex)": Compared(PATIENT, ("PatientSex",), ("O", "U")),
    "sides of the body (laterality)": Compared(SIDE, ("ImageLaterality", "Laterality"), ("U", "B")),
    "days (StudyDate)": Compared(DAY, ("StudyDate",)),
}


class Mismatch(NamedTuple):
    """A value of the DICOM headers in which CT and X-rays of a case differ.

    Attributes
    ----------
    kind
        PATIENT, SIDE or DAY.
    sentence
        Names the entries and what differs, never a value.
    """

    kind: str
    sentence: str


#: How each of the sentences below ends.
BY_HEADERS = "by their DICOM headers; check that they belong together."


def mismatches_of(case: CaseFile) -> list[Mismatch]:
    """The mismatches between the CT and X-rays of a case, as far as they are DICOM, by the names of the views."""
    entries = [("CT", case.ct.path), *((view.name, view.image.path) for view in case.views if view.image)]
    return mismatches([(entry, read_identity(path)) for entry, path in entries])


def mismatches(entries: Sequence[tuple[str, dict[str, str]]]) -> list[Mismatch]:
    """A mismatch for each of COMPARED in which entries differ.

    Parameters
    ----------
    entries
        Names, and what `read_identity` found.
    """
    found = []
    for what, compared in COMPARED.items():
        known = [(entry, values[what]) for entry, values in entries if what in values]
        others = [entry for entry, value in known if value != known[0][1]]
        if others:
            sentence = f"{' and '.join(others)} and {known[0][0]} are of different {what} {BY_HEADERS}"
            found.append(Mismatch(compared.kind, sentence))
    return found


def read_identity(path: Path) -> dict[str, str]:
    """The values to compare in the header of a file or a folder's CT; nothing for files that are not DICOM. To be kept in memory
    alone."""
    for dicom in _headers(path):
        if path.is_dir() and dicom.text("Modality") != "CT":
            continue
        with suppress(InputError):  # as in _headers
            values = {what: _first_value(dicom, compared.tags) for what, compared in COMPARED.items()}
            return {what: value for what, value in values.items() if value and value not in COMPARED[what].neutral}
    return {}


def _first_value(dicom: DicomFile, tags: Sequence[str]) -> str:
    """As it is compared: the case of letters, spaces and leading zeros are no difference."""
    values = (str(dicom.value(tag) or "").strip().upper().lstrip("0") for tag in tags)
    return next(filter(None, values), "")


def _headers(path: Path) -> Iterator[DicomFile]:
    """The headers of a DICOM file, or of those in a folder; a damaged one is reported where the image is read."""
    for file in sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]:
        with suppress(InputError):
            if (dicom := read_dicom(file)) is not None:
                yield dicom


UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


def dicom_origin(file: CaseFile, ct_sha256: str) -> DicomOrigin:
    """The UIDs of the files that a case names."""
    images = {view.name: image for view in file.views if (image := image_origin(view.image_path, view.frame))}
    return DicomOrigin(frame_of_reference(file.ct.path, file.ct_series) or uid_of(ct_sha256), images)


def frame_of_reference(ct: Path, series: str | None = None) -> str | None:
    """FrameOfReferenceUID of a CT's file, or of the first in its folder, of this series if one is named, that has one; else None."""
    headers = (file for file in _headers(ct) if series in (None, file.value("SeriesInstanceUID")))
    return next(filter(None, (_uid(dicom, "FrameOfReferenceUID") for dicom in headers)), None)


def image_origin(path: Path, frame: int | None) -> DicomImage | None:
    """The UIDs of an X-ray's file; None for a file that is not DICOM."""
    for dicom in _headers(path):
        with suppress(InputError):
            study, series, sop_class, instance = (_uid(dicom, key) for key in UIDS)
            several = dicom.whole("NumberOfFrames", 1) > 1
            if study and series and sop_class and instance:
                return DicomImage(study, series, sop_class, instance, (frame or 0) if several else None)
    return None


def _uid(dicom: DicomFile, key: str) -> str | None:
    """The UID, or None for an invalid one: other programs would refuse an object that names it."""
    from pydicom.uid import UID

    with quiet():
        uid = UID(str(dicom.value(key) or ""))
    return str(uid) if uid.is_valid else None


#: What names a study, the first that says anything; and whose values no part of a name may be.
DESCRIPTIONS = ("StudyDescription", "BodyPartExamined")
IDENTITIES = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "AccessionNumber",
    "ReferringPhysicianName",
)
#: Characters of a part of an identity, at least; and digits in a row, which may be a date or a number of a patient.
MIN_PART, MANY_DIGITS = 3, re.compile(r"\d{4}")


def study_name(path: Path, otherwise: str) -> str:
    """What the study of a file is called on a screen: what its DICOM header says of it, or `otherwise`; "" where both may tell who the
    patient is. Of a file that is not DICOM `otherwise`."""
    for dicom in _headers(path):
        identity = " ".join(_said(dicom, tag) for tag in IDENTITIES)
        parts = [part for part in re.findall(r"[^\W_]+", identity.casefold()) if len(part) >= MIN_PART]
        names = (*(_said(dicom, tag) for tag in DESCRIPTIONS), otherwise)
        safe = (
            name for name in names if not (MANY_DIGITS.search(name) or any(part in name.casefold() for part in parts))
        )
        return next(filter(None, safe), "")
    return otherwise


def _said(dicom: DicomFile, tag: str) -> str:
    with suppress(InputError):
        return " ".join(str(dicom.value(tag) or "").split())
    return ""
