"""Whether DICOM headers tell of one patient, one side, one day: compared, and never told."""

from __future__ import annotations

import warnings
from pathlib import Path

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


def differences(case: CaseFile) -> list[str]:
    """A sentence for each of COMPARED in which the CT and X-rays of a case differ, as far as they are DICOM; it names the entries of the
    case, and no value."""
    entries = [("ct", case.ct.path), *((f"{view.field}.image", view.image.path) for view in case.views if view.image)]
    return [f"{shown(case.path)}: {sentence}" for sentence in contradictions([(entry, read_identity(path)) for entry, path in entries])]


def contradictions(entries: list[tuple[str, dict[str, str]]]) -> list[str]:
    """A sentence for each of COMPARED in which entries differ, given by their name and what `read_identity` found; it tells no value."""
    sentences = []
    for what in COMPARED:
        told = [(entry, found[what]) for entry, found in entries if what in found]
        others = [entry for entry, value in told if value != told[0][1]]
        if others:
            sentences.append(f"{' and '.join(others)} and {told[0][0]} are of different {what} by their DICOM headers; check that they "
                             "belong together.")
    return sentences


def read_identity(path: Path) -> dict[str, str]:
    """What is compared, as far as the header of a file or a folder's CT says it; nothing for files that are not DICOM. To be kept in memory
    alone."""
    files = [file for file in _files(path) if is_dicom(file)]
    if not files:
        return {}
    import pydicom  # takes a tenth of a second

    wanted = ["Modality", *(tag for tags in COMPARED.values() for tag in tags)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's quote what they warn of
        for file in files:
            try:
                header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=wanted)
                if path.is_dir() and header.get("Modality") != "CT":
                    continue
                values = {what: next(filter(None, (str(header.get(tag) or "").strip() for tag in tags)), "")
                          for what, tags in COMPARED.items()}
            except Exception:  # a damaged header is told of where the image is read
                continue
            return {what: value for what, value in values.items() if value and value not in BOTH_SIDES}
    return {}


def _files(path: Path) -> list[Path]:
    """A file, or the files of a folder."""
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def is_dicom(path: Path) -> bool:
    """By the prefix of PS3.10, 7.1."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:  # told of where the image is read
        return False
