"""The patients, studies and series of the DICOM files in a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..imaging.ct_series import export_folder, files_below, slice_spacing_mm
from ..imaging.dicom_file import DicomFile, is_localizer, read_dicom
from .files import printable


@dataclass(frozen=True)
class Series:
    """The images of one series in one folder.

    Attributes
    ----------
    folder
        Relative to the folder that is listed.
    scouts
        How many of the images are localizers of a CT.
    spacing_mm
        Distance between the slices of a CT; None where unknown.
    """

    folder: Path
    uid: str
    number: str
    modality: str
    description: str
    images: int
    scouts: int
    spacing_mm: float | None

    def __str__(self) -> str:
        described = f' "{self.description}"' if self.description else ""
        count = f"{self.images} image{'s' * (self.images != 1)}"
        if self.scouts:
            count += f" ({self.scouts} scout{'s' * (self.scouts != 1)})"
        elif self.spacing_mm:
            count += f" {self.spacing_mm:.3g} mm apart"
        return f"{self.number or '-'}: {self.modality}{described}, {count}, in {printable(self.folder)}"


@dataclass(frozen=True)
class Study:
    """A study; `title` has its date and description."""

    title: str
    series: list[Series]


@dataclass(frozen=True)
class Patient:
    """A patient; `title` has name, ID and date of birth."""

    title: str
    studies: list[Study]


@dataclass
class FolderListing:
    """What a folder holds, and a sentence for each file that cannot be read."""

    patients: list[Patient] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict:
        """Return the listing without names, IDs, dates and descriptions of patients."""
        patients = []
        for patient in self.patients:
            studies = []
            for study in patient.studies:
                series = [
                    {
                        "folder": each.folder.as_posix(),
                        "series_uid": each.uid,
                        "number": each.number,
                        "modality": each.modality,
                        "images": each.images,
                        "scouts": each.scouts,
                    }
                    for each in study.series
                ]
                studies.append({"series": series})
            patients.append({"studies": studies})
        return {"patients": patients, "problems": self.problems}


def list_folder(folder: Path) -> FolderListing:
    """List the patients, studies and series of the DICOM files in a folder and those below it.

    Parameters
    ----------
    folder
        The folder, or the DICOMDIR in it.

    Raises
    ------
    InputError
        For no such folder, for too many files, and where none is DICOM.
    """
    folder = export_folder(folder)
    listing = FolderListing()
    by_series: dict[tuple[str, str, Path, str], list[DicomFile]] = defaultdict(list)
    for path in files_below(folder):
        if export_folder(path) != path:
            continue
        try:
            file = read_dicom(path)
            if file is not None:
                patient = _joined(file, "PatientName", "PatientID", "PatientBirthDate")
                study, series = _text(file, "StudyInstanceUID"), _text(file, "SeriesInstanceUID")
                by_series[patient, study, path.parent, series].append(file)
        except InputError as error:
            listing.problems.append(str(error))
    if not by_series and not listing.problems:
        raise InputError(f"{printable(folder)}: holds no DICOM files. Name another folder.")
    patients: dict[str, dict[str, list[list[DicomFile]]]] = {}
    for (patient, study, _parent, _uid), files in by_series.items():
        patients.setdefault(patient, {}).setdefault(study, []).append(files)
    for patient, studies in patients.items():
        listed = [_study(folder, series) for series in studies.values()]
        listing.patients.append(Patient(patient or "no name or ID", listed))
    return listing


def _study(folder: Path, series: Sequence[list[DicomFile]]) -> Study:
    title = _joined(series[0][0], "StudyDate", "StudyDescription")
    return Study(title or "no date or description", [_series(folder, files) for files in series])


def _series(folder: Path, files: list[DicomFile]) -> Series:
    first = files[0]
    modality = first.text("Modality")
    return Series(
        first.path.parent.relative_to(folder),
        _text(first, "SeriesInstanceUID"),
        _text(first, "SeriesNumber"),
        modality,
        _text(first, "SeriesDescription"),
        len(files),
        sum(map(is_localizer, files)),
        slice_spacing_mm(files) if modality == "CT" else None,
    )


def _joined(file: DicomFile, *keywords: str) -> str:
    return ", ".join(filter(None, (_text(file, keyword) for keyword in keywords)))


def _text(file: DicomFile, keyword: str) -> str:
    """Return a value on one line; a date as year-month-day."""
    text = printable(" ".join(str(file.value(keyword) or "").split()))
    if keyword.endswith("Date") and len(text) == 8:
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text
