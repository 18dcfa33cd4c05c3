"""DICOM UIDs and patient identity of a case's files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..imaging.dicom_file import DicomFile, quiet, read_dicom
from .case_file import CaseFile, DicomImage, DicomOrigin, uid_of
from .files import printable

#: For each value that is compared: its tags (PS3.3 C.7.1.1, C.7.3.1, C.8.7.1, C.7.2.1); the first with a value counts.
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
    """A sentence for each of COMPARED in which entries differ, without the values.

    Parameters
    ----------
    entries
        Names, and what `read_identity` found.
    """
    sentences = []
    for what in COMPARED:
        known = [(entry, found[what]) for entry, found in entries if what in found]
        others = [entry for entry, value in known if value != known[0][1]]
        if others:
            sentences.append(f"{' and '.join(others)} and {known[0][0]} are of different {what} {BY_HEADERS}")
    return sentences


def read_identity(path: Path) -> dict[str, str]:
    """The values to compare in the header of a file or a folder's CT; nothing for files that are not DICOM. To be kept in memory
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
