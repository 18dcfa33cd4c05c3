"""A DICOM export with a DICOMDIR, as hospitals hand it out: found wherever its folder is given, and listed."""

import json
import shutil

import numpy as np
import pytest
from helpers.planted_dicom import SECRETS, write_ct, write_xray
from pydicom.fileset import FileSet
from tiny_case import DISTANCE, PLACE, case_of_arrays, minimal

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging.dicom_file import read_dicom
from MultiViewRegistrationLib.io import dicom_list
from MultiViewRegistrationLib.io.case_file import CaseFile
from MultiViewRegistrationLib.io.dicom_identity import read_identity

HU = np.where(DISTANCE < 4, 900, -1000)
VIEWS = " ".join(
    f"--view {name} {name.lower()}.mha --projection-matrix {name}.txt --intensity linear"
    for name in ("AP", "LAT")
)


@pytest.fixture
def export(case_folder, tmp_path, monkeypatch):
    """A function that writes an export of CTs with these tags in `export`, and X-rays beside it."""
    shutil.copytree(case_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for view in minimal()["views"]:
        np.savetxt(f"{view['name']}.txt", view["projection_matrix"])

    def write(*series):
        files = FileSet()
        for number, tags in enumerate(series, start=2):
            folder = tmp_path / f"source{number}"
            write_ct(folder, HU, PLACE, SeriesNumber=number, InstanceNumber=1, **tags)
            for path in folder.iterdir():
                files.add(path)
        files.write(tmp_path / "export")
        return tmp_path / "export"

    return write


def test_case_new_finds_the_ct_of_a_dicomdir(export):
    folder = export({})
    assert main(f"case new --ct export/DICOMDIR {VIEWS} --out case.json".split()) == 0
    case = CaseFile.read("case.json")
    assert case.first.ct.path.resolve().parents[2] == folder


def test_a_case_and_arrays_take_the_folder_of_an_export(export, tmp_path):
    folder = export({})
    (tmp_path / "case.json").write_text(json.dumps(minimal() | {"ct": "export"}))
    case = CaseFile.read(tmp_path / "case.json")
    assert read_identity(case.first.ct.path)  # so that patients are compared
    assert case_of_arrays(ct=str(folder)).ct.volume.values.shape == HU.shape


def test_case_list_prints_patients_studies_and_series(export, capsys):
    folder = export({}, {"PatientID": "SECOND-2"})
    write_xray(folder / "xray.dcm", PatientID="SECOND-2")
    assert main("case list export".split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "Plantagenet^Eleonore, PID-77419-X, 1931-04-07",
        "Plantagenet^Eleonore, SECOND-2, 1931-04-07",
    ]
    assert any("CT Aufnahme Plantagenet, 12 images 4 mm apart, in PT0" in each for each in lines)


def test_case_list_as_json_has_no_identity(export, capsys):
    export({})
    assert main("case list export --json".split()) == 0
    printed = capsys.readouterr()
    (series,) = json.loads(printed.out)["series"]
    assert (series["images"], series["modality"], series["scouts"]) == (12, "CT", 0)
    assert not any(each in printed.out + printed.err for each in SECRETS)


def test_case_list_names_files_that_cannot_be_read(export, monkeypatch):
    def refuse_one(path):
        if path.name == "IM000000":
            raise InputError(f"{path}: its DICOM header is damaged.")
        return read_dicom(path)

    monkeypatch.setattr(dicom_list, "read_dicom", refuse_one)
    listing = dicom_list.list_folder(export({}))
    assert len(listing.series[0]) == 11
    assert len(listing.problems) == 1 and "IM000000" in listing.problems[0]
