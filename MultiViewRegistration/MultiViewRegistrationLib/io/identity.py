"""Whether DICOM headers tell of one patient, one side, one day: compared, and never told."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..imaging.dicom_file import read_dicom
from .case_file import CaseFile
from .fields import shown

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
        f"{shown(case.path)}: {sentence}"
        for sentence in contradictions([(entry, read_identity(path)) for entry, path in entries])
    ]


def contradictions(entries: list[tuple[str, dict[str, str]]]) -> list[str]:
    """A sentence for each of COMPARED in which entries differ, given by their name and what `read_identity` found; it tells no value."""
    sentences = []
    for what in COMPARED:
        told = [(entry, found[what]) for entry, found in entries if what in found]
        others = [entry for entry, value in told if value != told[0][1]]
        if others:
            sentences.append(f"{' and '.join(others)} and {told[0][0]} are of different {what} {BY_HEADERS}")
    return sentences


def read_identity(path: Path) -> dict[str, str]:
    """What is compared, as far as the header of a file or a folder's CT says it; nothing for files that are not DICOM. To be kept in memory
    alone."""
    for file in _files(path):
        try:
            dicom = read_dicom(file)
            if dicom is None or path.is_dir() and dicom.text("Modality") != "CT":
                continue
            values = {
                what: next(filter(None, (str(dicom.value(tag) or "").strip() for tag in tags)), "")
                for what, tags in COMPARED.items()
            }
        except InputError:  # a damaged header is told of where the image is read
            continue
        return {what: value for what, value in values.items() if value and value not in BOTH_SIDES}
    return {}


def _files(path: Path) -> list[Path]:
    """A file, or the files of a folder."""
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
