"""DICOM UIDs and patient identity of a case's files."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..assessment.records import CAUTION, NOTE, Finding
from ..errors import InputError
from ..imaging.ct_series import ct_slices
from ..imaging.dicom_file import DicomFile, quiet, read_dicom
from ..known import without_empty
from .case_file import CaseFile, DicomImage, DicomOrigin
from .case_settings import MISMATCH_KINDS, SALT

if TYPE_CHECKING:
    from pydicom import Dataset

    from .view_record import ViewRecord

PATIENT, SIDE, DAY, FRAME = MISMATCH_KINDS
FINDING_CODES = {
    PATIENT: "patient-mismatch",
    SIDE: "different-sides",
    DAY: "other-day",
    FRAME: "other-frame",
}
KIND_WORDS = {
    PATIENT: "CT and X-rays are of different patients",
    SIDE: "CT and X-rays are of different sides of the body",
    DAY: "CT and X-rays were taken on different days",
    FRAME: "CT and segmentation are of different frames of reference",
}


class Compared(NamedTuple):
    """A value of the headers: its kind, its tags, the first with a value counts, and the values that contradict no other."""

    kind: str
    tags: tuple[str, ...]
    neutral: tuple[str, ...] = ()


PATIENT_ID = "patients (PatientID)"
PATIENT_NAME = "patients (PatientName)"
BIRTH_DATE = "dates of birth (PatientBirthDate)"
#: Patients of whom an entry has digests alone, and frames of CTs and segmentations.
UNNAMED = "patients"
FRAMES = "frames of reference (FrameOfReferenceUID)"
#: What stands where a value was taken out or never known: nothing follows from it.
PLACEHOLDERS = (
    "ANON ANONYM ANONYMOUS ANONYMIZED ANONYMISED DEIDENTIFIED REMOVED UNKNOWN NONE NA".split()
)
#: PS3.3 C.7.1.1, C.7.3.1, C.8.7.1, C.7.2.1. Neutral are a sex other than male or female, an
#: unpaired part and both sides.
COMPARED = {
    PATIENT_ID: Compared(PATIENT, ("PatientID",)),
    PATIENT_NAME: Compared(PATIENT, ("PatientName",)),
    BIRTH_DATE: Compared(PATIENT, ("PatientBirthDate",), ("19000101",)),
    UNNAMED: Compared(PATIENT, ()),
    "sexes (PatientSex)": Compared(PATIENT, ("PatientSex",), ("O", "U")),
    "sides of the body (laterality)": Compared(SIDE, ("ImageLaterality", "Laterality"), ("U", "B")),
    "days (StudyDate)": Compared(DAY, ("StudyDate",)),
    FRAMES: Compared(FRAME, ()),
}


class MismatchWarning(str):
    """A warning about a mismatch; a session derives these from its scene itself."""


class Mismatch(NamedTuple):
    """A value of the DICOM headers in which CT and X-rays of a case differ.

    Attributes
    ----------
    kind
        PATIENT, SIDE, DAY or FRAME.
    sentence
        Names the entries and what differs, never a value.
    """

    kind: str
    sentence: str

    @property
    def finding(self) -> Finding:
        """Finding on the mismatch: a note if only the study dates differ, otherwise a caution."""
        severity = NOTE if self.kind == DAY else CAUTION
        return Finding(FINDING_CODES[self.kind], severity, values={"statement": self.sentence})


def _sentence(kind: str, statement: str) -> str:
    """Return a statement as a sentence; every mismatch except the day of a preoperative CT must be checked."""
    check = "" if kind == DAY else "; check that they belong together"
    return f"{statement} by their DICOM headers{check}."


def mismatches_of(case: CaseFile) -> list[Mismatch]:
    """Find the mismatches between the CT and X-rays of a case, as far as they are DICOM, by the names of the views."""
    views = [(view.name, view_identity(case, view)) for view in case.views if view.image]
    first, *others = case.bodies
    segmentations = {"the labels": first.labels, "the mask": first.mask}
    labels = [(name, read_volume(file.path)) for name, file in segmentations.items() if file]
    more = [(f"the CT of {body.name}", read_identity(body.ct.path)) for body in others]
    ct = {**case.patient_digests.get("", {}), **read_volume(first.ct.path, first.series)}
    found = mismatches([("CT", ct), *more, *labels, *views])
    return with_recorded(found, case.header_mismatch)


def view_identity(case: CaseFile, view: ViewRecord) -> dict[str, str]:
    """Return what `read_identity` does of a view's image, with the digests that the case has of it."""
    return {**case.patient_digests.get(view.name, {}), **read_identity(view.image_path)}


def with_recorded(found: list[Mismatch], recorded: Mapping[str, bool]) -> list[Mismatch]:
    """Add those of a case's `header_mismatch` of which its own files say nothing.

    They were written without headers.
    """
    kinds = {each.kind for each in found}
    more = [kind for kind in MISMATCH_KINDS if recorded.get(kind) and kind not in kinds]
    return [*found, *(Mismatch(kind, _sentence(kind, KIND_WORDS[kind])) for kind in more)]


def mismatches(entries: Sequence[tuple[str, dict[str, str]]]) -> list[Mismatch]:
    """Find a mismatch for each of COMPARED in which entries differ.

    Parameters
    ----------
    entries
        Names, and what `read_identity` found.
    """
    return sentences(contradictions(entries))


def contradictions(entries: Sequence[tuple[str, dict[str, str]]]) -> list[tuple[str, str, str]]:
    """Return one of COMPARED and the names of two entries, for all that differ in it.

    Those whose values share no word, and whose digests say so.
    """
    found = []
    for what, ((one, ours), (other, theirs)) in product(COMPARED, combinations(entries, 2)):
        if _differ(what, ours, theirs):
            found.append((what, one, other))
    return found


def _differ(what: str, one: dict[str, str], other: dict[str, str]) -> bool:
    if what == UNNAMED:
        return not (is_named(one) and is_named(other)) and same_patient(one, other) is False
    shared = what in one and what in other
    return shared and set(one[what].split()).isdisjoint(other[what].split())


def sentences(found: Sequence[tuple[str, str, str]]) -> list[Mismatch]:
    """Return a mismatch for each of COMPARED in what `contradictions` found, of the first entry in it with others."""
    mismatched = []
    named = [pair for what, *pair in found if what in (PATIENT_ID, PATIENT_NAME, BIRTH_DATE)]
    told = [each for each in found if each[0] != UNNAMED or list(each[1:]) not in named]
    for what, compared in COMPARED.items():
        pairs = [(one, other) for each, one, other in told if each == what]
        others = [other for one, other in pairs if one == pairs[0][0]]
        if others:
            verb = "were taken on" if compared.kind == DAY else "are of"
            names = " and ".join([*others, pairs[0][0]])
            sentence = _sentence(compared.kind, f"{names} {verb} different {what}")
            mismatched.append(Mismatch(compared.kind, sentence))
    return mismatched


def doubt_about_segmentation(ct: dict[str, str], path: Path) -> str:
    """Return why a segmentation may not be of a CT, by their headers as `mismatches_of` compares them; "" for nothing.

    Parameters
    ----------
    ct
        Of `read_volume`, or digests.
    """
    own = read_volume(path)
    found = mismatches([("CT", ct), (path.name, own)])
    asked = [each.sentence for each in found if each.kind in (PATIENT, FRAME)]
    same_frame = ct.get(FRAMES) == own.get(FRAMES) is not None
    if not asked and not same_frame and is_known(own) and same_patient(ct, own) is None:
        return f"Nothing tells whether {path.name} and the CT are of one patient."
    return " ".join(asked)


def read_volume(path: Path, series: str | None = None) -> dict[str, str]:
    """Return what `read_identity` does of a CT or a segmentation, with its frame of reference."""
    identity = read_identity(path, series)
    uid = frame_of_reference(path, series)
    return {**identity, FRAMES: uid} if uid else identity


# The patient without a name: what files keep

#: What each digest is of.
DIGESTS = {
    "id_name": (PATIENT_ID, PATIENT_NAME),
    "id_birth": (PATIENT_ID, BIRTH_DATE),
    "name_birth": (PATIENT_NAME, BIRTH_DATE),
    "id": (PATIENT_ID,),
    "name": (PATIENT_NAME,),
}
SALT_BYTES = 16  # NIST SP 800-132
#: scrypt (RFC 7914) takes 32 MiB and about a tenth of a second for each guess. An ID, a name or a
#: date alone could be guessed all the same, so that a digest is of two of them where there are two.
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 1 << 26, "dklen": 16}


def patient_digests(identity: Mapping[str, str], salt: str) -> dict[str, str]:
    """Return the salt, hexadecimal, and the digests of a patient, or nothing for an unknown one.

    Parameters
    ----------
    identity
        Of `read_identity`, or digests, which are returned where they have this salt.
    """
    if not is_named(identity):
        keys = identity.keys() & {SALT, *DIGESTS}
        return {key: identity[key] for key in keys} if identity.get(SALT) == salt else {}
    known = [key for key, whats in DIGESTS.items() if all(what in identity for what in whats)]
    pairs = [key for key in known if len(DIGESTS[key]) > 1]
    digests = {SALT: salt}
    for key in pairs or known:
        values = (" ".join(sorted(identity[what].split())) for what in DIGESTS[key])
        digests[key] = _digest("\n".join([key, *values]), salt)
    return digests


@lru_cache(maxsize=256)  # the same patient's images
def _digest(text: str, salt: str) -> str:
    return hashlib.scrypt(text.encode(), salt=bytes.fromhex(salt), **SCRYPT).hex()


def is_known(identity: Mapping[str, str]) -> bool:
    """Return whether an identity tells one patient from another."""
    return SALT in identity or is_named(identity)


def is_named(identity: Mapping[str, str]) -> bool:
    """Return whether an identity was read in a header, and has a name or an ID."""
    return PATIENT_ID in identity or PATIENT_NAME in identity


def same_patient(one: dict[str, str], other: dict[str, str]) -> bool | None:
    """Return whether two identities, read or digests, are of one patient; None where that is not known."""
    if is_named(one) and is_named(other):
        if any(_differ(what, one, other) for what in (PATIENT_ID, PATIENT_NAME, BIRTH_DATE)):
            return False
        return True if {PATIENT_ID, PATIENT_NAME} & one.keys() & other.keys() else None
    salt = next(each for each in (one, other) if not is_named(each)).get(SALT)
    if salt is None:
        return None
    ours, theirs = (patient_digests(each, salt) for each in (one, other))
    shared = [key for key in DIGESTS if key in ours and key in theirs]
    # A name may be written otherwise, and two patients share a name and a date of birth.
    decisive = [key for key in shared if PATIENT_ID in DIGESTS[key]] or shared
    return any(ours[key] == theirs[key] for key in decisive) if shared else None


def read_identity(path: Path, series: str | None = None) -> dict[str, str]:
    """Read the values to compare in the header of a file or a folder's CT.

    To be kept in memory alone.

    Parameters
    ----------
    series
        The series in the folder that is meant.

    Returns
    -------
    dict[str, str]
        Values by their names; none for files that are not DICOM.
    """
    for dicom in _headers(path):
        if path.is_dir() and dicom.text("Modality") != "CT":
            continue
        with suppress(InputError):  # as in _headers
            if series not in (None, dicom.value("SeriesInstanceUID")):
                continue
            identity = {}
            for what, compared in COMPARED.items():
                value = _first_value(dicom, compared.tags)
                if value and value not in compared.neutral:
                    identity[what] = value
            return identity
    return {}


def _first_value(dicom: DicomFile, tags: Sequence[str]) -> str:
    values = (_comparable(str(dicom.value(tag) or ""), tag) for tag in tags)
    return next(filter(None, values), "")


def _comparable(value: str, tag: str) -> str:
    """Return a value as it is compared.

    A name counts by its words, without accents and initials; in others case, spaces and leading
    zeros are no difference. A name that is written the other way round or in full, or after a
    marriage, shares a word with the one before.
    """
    words = plain_words(value)
    if all(word in PLACEHOLDERS or not word.strip("X0") for word in words):
        return ""
    if tag == "PatientName":
        return " ".join(word for word in words if len(word) > 1 or not word.isascii())
    return "".join(value.split()).upper().lstrip("0")


def plain_words(text: str) -> list[str]:
    """Return runs of letters and digits, in capitals without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", plain.upper())


def reveals(file_name: str, identity: dict[str, str]) -> bool:
    """Return whether the name of a file has in it a word of the patient's name, the ID or the date of birth of `read_identity`."""
    words = plain_words(file_name)
    joined = "".join(words)
    parts = re.findall(r"[^\W\d_]+|\d+", " ".join(words))
    born = identity.get(BIRTH_DATE, "")
    secrets = [
        *identity.get(PATIENT_NAME, "").split(),
        "".join(plain_words(identity.get(PATIENT_ID, ""))),
        *(born, f"{born[6:]}{born[4:6]}{born[:4]}", f"{born[4:]}{born[:4]}"),
    ]
    known = {secret for secret in secrets if len(secret) > 1}
    return bool(known & {*parts}) or any(len(each) > 3 and each in joined for each in known)


def _headers(path: Path) -> Iterator[DicomFile]:
    """Return the headers of a DICOM file, or of those in a folder.

    A damaged one is reported where the image is read.
    """
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with suppress(InputError):
            if dicom := read_dicom(file):
                yield dicom


UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


def dicom_origin(file: CaseFile) -> DicomOrigin:
    """Return the UIDs of the X-rays that a case names."""
    origins = {view.name: image_origin(view.image_path, view.frame) for view in file.views}
    return DicomOrigin(without_empty(origins))


def frame_of_reference(ct: Path, series: str | None = None) -> str | None:
    """Return the FrameOfReferenceUID of a CT's file, or of the first in its folder that has one.

    None without any.

    Parameters
    ----------
    series
        The series in the folder that is meant.
    """
    headers = (file for file in _headers(ct) if series in (None, file.value("SeriesInstanceUID")))
    return next(filter(None, map(_frame_uid, headers)), None)


def _frame_uid(dicom: DicomFile) -> str | None:
    """Return the UID; of an RT Structure Set each region names it (PS3.3 C.8.8.5)."""
    regions = dicom.items("StructureSetROISequence")
    named = (_uid(dicom, "ReferencedFrameOfReferenceUID", item) for item in regions)
    return _uid(dicom, "FrameOfReferenceUID") or next(filter(None, named), None)


def image_origin(path: Path, frame: int | None) -> DicomImage | None:
    """Return the UIDs of an X-ray's file; None for a file that is not DICOM."""
    for dicom in _headers(path):
        with suppress(InputError):
            study, series, sop_class, instance = (_uid(dicom, key) for key in UIDS)
            several = dicom.whole("NumberOfFrames", 1) > 1
            if study and series and sop_class and instance:
                return DicomImage(
                    study, series, sop_class, instance, (frame or 0) if several else None
                )
    return None


def ct_images(path: Path, series: str | None = None) -> tuple[DicomImage, ...]:
    """Return the UIDs of the slices of a CT; none of one that is no DICOM series. Parameters as of `ct_slices`."""
    slices = ct_slices(path, series) if path.is_dir() else ()
    return images_of(slices)


def images_of(slices: Sequence[Path]) -> tuple[DicomImage, ...]:
    """Return the UIDs of those of these files that are DICOM."""
    return tuple(filter(None, (image_origin(path, None) for path in slices)))


def _uid(dicom: DicomFile, key: str, item: Dataset | None = None) -> str | None:
    """Return the UID, or None for an invalid one.

    Other programs would refuse an object that names it.
    """
    from pydicom.uid import UID

    with quiet():
        uid = UID(str(dicom.value(key, item) or ""))
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
#: Characters of a part of an identity, at least; and digits in a row, which may be a date or a
#: number of a patient.
MIN_PART, MANY_DIGITS = 3, re.compile(r"\d{4}")


def study_name(path: Path, otherwise: str) -> str:
    """Return what the study of a file is called on a screen.

    What its DICOM header says of it, or `otherwise`.

    It is "" where both may tell who the patient is, and `otherwise` of a file that is not DICOM.
    """
    for dicom in _headers(path):
        identity = " ".join(_said(dicom, tag) for tag in IDENTITIES)
        parts = [
            part for part in re.findall(r"[^\W_]+", identity.casefold()) if len(part) >= MIN_PART
        ]
        names = (*(_said(dicom, tag) for tag in DESCRIPTIONS), otherwise)
        for name in names:
            secret = MANY_DIGITS.search(name) or any(part in name.casefold() for part in parts)
            if name and not secret:
                return name
        return ""
    return otherwise


def _said(dicom: DicomFile, tag: str) -> str:
    with suppress(InputError):
        return " ".join(str(dicom.value(tag) or "").split())
    return ""
