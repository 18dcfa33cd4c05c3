"""The patients, studies and series of the DICOM files in a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..imaging.ct_series import export_folder, files_below, slice_spacing_mm
from ..imaging.dicom_file import DicomFile, is_localizer, read_dicom
from .files import printable

PATIENT = ("PatientName", "PatientID", "PatientBirthDate")
STUDY = ("StudyDate", "StudyDescription", "StudyInstanceUID")


@dataclass(frozen=True)
class FolderListing:
    """What a folder holds.

    Attributes
    ----------
    series
        The images of each series in each folder, ordered by patient and study.
    problems
        A sentence for each file that cannot be read.
    """

    folder: Path
    series: list[list[DicomFile]]
    problems: list[str]

    @property
    def lines(self) -> Iterator[str]:
        """Lines for a terminal, with the names and IDs of patients."""
        last = ["", ""]
        for files in self.series:
            first = files[0]
            titles = [_joined(first, PATIENT), _joined(first, STUDY)]
            if titles[0] != last[0]:
                yield titles[0] or "no name or ID"
            if titles != last:
                yield f"  {_joined(first, STUDY[:-1]) or 'no date or description'}"
            yield f"    {self._described(files)}"
            last = titles
        yield from self.problems

    def _described(self, files: list[DicomFile]) -> str:
        first = files[0]
        named = " ".join(
            filter(None, (_text(first, "Modality"), _text(first, "SeriesDescription")))
        )
        count = f"{len(files)} image{'s' * (len(files) != 1)}"
        spacing_mm = slice_spacing_mm(files) if _text(first, "Modality") == "CT" else None
        if scouts := sum(map(is_localizer, files)):
            count += f" ({scouts} scout{'s' * (scouts != 1)})"
        elif spacing_mm:
            count += f" {spacing_mm:.3g} mm apart"
        number = _text(first, "SeriesNumber") or "-"
        return f"{number}: {named}, {count}, in {printable(self._place(files))}"

    def _place(self, files: list[DicomFile]) -> str:
        return files[0].path.parent.relative_to(self.folder).as_posix()

    def to_json(self) -> dict:
        """Return the listing without names, IDs, dates and descriptions; patients and studies are numbered."""
        patients = list(dict.fromkeys(_joined(files[0], PATIENT) for files in self.series))
        studies = list(dict.fromkeys(_joined(files[0], STUDY) for files in self.series))
        series = [
            {
                "patient": patients.index(_joined(files[0], PATIENT)) + 1,
                "study": studies.index(_joined(files[0], STUDY)) + 1,
                "folder": self._place(files),
                "series_uid": _text(files[0], "SeriesInstanceUID"),
                "number": _text(files[0], "SeriesNumber"),
                "modality": _text(files[0], "Modality"),
                "images": len(files),
                "scouts": sum(map(is_localizer, files)),
            }
            for files in self.series
        ]
        return {"series": series, "problems": self.problems}


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
    problems: list[str] = []
    series: dict[tuple[str, ...], list[DicomFile]] = defaultdict(list)
    for path in files_below(folder):
        if export_folder(path) != path:
            continue
        try:
            if file := read_dicom(path):
                uid = _text(file, "SeriesInstanceUID")
                key = _joined(file, PATIENT), _joined(file, STUDY), str(path.parent), uid
                series[key].append(file)
        except InputError as error:
            problems.append(str(error))
    if not series and not problems:
        raise InputError(f"{printable(folder)}: holds no DICOM files. Name another folder.")
    return FolderListing(folder, [series[key] for key in sorted(series)], problems)


def _joined(file: DicomFile, keywords: tuple[str, ...]) -> str:
    return ", ".join(filter(None, (_text(file, keyword) for keyword in keywords)))


def _text(file: DicomFile, keyword: str) -> str:
    """Return a value on one line; a date as year-month-day."""
    text = printable(" ".join(str(file.value(keyword) or "").split()))
    if keyword.endswith("Date") and len(text) == 8:
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text
