"""DICOM headers of different patients or sides warn, and no value is shown."""

import hashlib
import shutil
import warnings
from types import MappingProxyType

import numpy as np
import pydicom
import pytest
from helpers.file_io import read_json, write_json
from helpers.planted_dicom import SECRETS, write_ct, write_xray
from helpers.segmentation_files import write_seg
from imaging.dicom_files import CT_IMAGE, write_dicom, write_series
from tiny_case import DISTANCE, PLACE, case_of_arrays, minimal

from MultiViewRegistrationLib import Case, CaseFile
from MultiViewRegistrationLib.assessment.records import NOTE
from MultiViewRegistrationLib.io import dicom_identity
from MultiViewRegistrationLib.io.case_file import is_of_content
from MultiViewRegistrationLib.io.case_writer import anonymise
from MultiViewRegistrationLib.io.dicom_identity import (
    BIRTH_DATE,
    mismatches_of,
    patient_digests,
    reveals,
    same_patient,
    study_name,
)

PATIENTS, SEXES, NAMED = "patients (PatientID)", "sexes (PatientSex)", "patients (PatientName)"
BORN = "dates of birth (PatientBirthDate)"
PATIENT = {NAMED: "PLANTAGENET ELEONORE", PATIENTS: "PID-77419-X", BORN: "19310407"}
ALL = "AP and LAT and CT"
SIDES = "sides of the body (laterality)"


HU = np.where(DISTANCE < 4, 900, -1000)


@pytest.fixture(autouse=True)
def quick_digests(monkeypatch):
    """SHA-256 in place of scrypt, which takes 0.1 s."""

    def digest(text, salt):
        return hashlib.sha256(f"{salt}{text}".encode()).hexdigest()[:32]

    monkeypatch.setattr(dicom_identity, "_digest", digest)


@pytest.fixture
def dicom_case(tmp_path):
    """A function: writes a case of DICOM files with these names and tags, and the path of its case.json."""

    def write(ct="ct", image="{}.dcm", others=None, tags=MappingProxyType({}), **more):
        write_ct(tmp_path / ct, HU, PLACE, **tags.get("ct", {}))
        content = minimal() | {"ct": ct} | more
        if others:
            added = write_ct(tmp_path / "others", HU, PLACE, **others)
            content["ct_series"] = pydicom.dcmread(next(added.iterdir())).SeriesInstanceUID
            for path in added.iterdir():  # after those of the first series
                shutil.copy(path, tmp_path / ct / f"z{path.name}")
        for number, (view, key) in enumerate(zip(content["views"], ("ap", "lateral"))):
            view["image"] = image.format(view["name"])
            pixels = np.random.default_rng(number).integers(2000, 4000, (16, 20))
            write_xray(tmp_path / view["image"], pixels, **tags.get(key, {}))
        write_json(tmp_path / "case.json", content)
        return tmp_path / "case.json"

    return write


@pytest.fixture
def header_warnings(dicom_case):
    """A function: what loading a case warns of whose headers have these tags, after the usual ones."""

    def load(**tags):
        path = dicom_case(tags=tags)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Case.load(path)
        return [str(warning.message) for warning in caught]

    return load


@pytest.mark.parametrize(
    "tags, what, entries",
    [
        ({"ct": {"PatientID": "OTHER-1"}}, PATIENTS, ALL),
        ({"ap": {"ImageLaterality": "R"}}, SIDES, "AP and CT"),
        ({"lateral": {"PatientSex": "M"}, "ap": {"PatientSex": "O"}}, SEXES, "LAT and CT"),
        ({"ct": {"PatientName": "Smith^John"}}, NAMED, ALL),
        ({"ct": {"PatientID": ""}, "ap": {"PatientID": "OTHER-1"}}, PATIENTS, "LAT and AP"),
    ],
)
def test_different_patients_warn_without_a_value(header_warnings, tags, what, entries):
    (sentence,) = header_warnings(**tags)
    assert sentence.endswith(
        f": {entries} are of different {what} by their DICOM headers; check that they belong "
        "together."
    )
    assert not any(value in sentence for value in [*SECRETS, "OTHER-1", "20240228"])


@pytest.mark.filterwarnings("ignore")
def test_from_arrays_compares_the_frame_of_reference_of_a_segmentation(
    case_folder, tmp_path, monkeypatch
):
    shutil.copytree(case_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    write_series(tmp_path / "ct", HU.astype(np.int16), PLACE, FrameOfReferenceUID="1.2.3.4")
    seg = write_seg("seg.dcm", {"L1": DISTANCE < 3}, PLACE, FrameOfReferenceUID="1.2.3.5")
    case = case_of_arrays(ct="ct", labels=seg)
    assert [mismatch.finding.code for mismatch in case.mismatches] == ["other-frame"]


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {
            "ct": {"PatientID": "Anonymized", "PatientBirthDate": "19000101"},
            "ap": {"PatientID": "0000"},
        },
        {"ct": {"PatientName": "ELEONORE PLANTAGENET"}, "ap": {"PatientName": "Plantagenêt^E^^"}},
        {"ap": {"ImageLaterality": "U"}, "lateral": {"ImageLaterality": "B"}},
        {"ct": {"PatientID": "", "StudyDate": "", "Laterality": ""}},
    ],
)
def test_equal_or_missing_values_do_not_warn(header_warnings, tags):
    assert header_warnings(**tags) == []


@pytest.mark.parametrize(
    "tags, name",
    [
        ({"StudyDescription": "Hip, left", "BodyPartExamined": "PELVIS"}, "Hip, left"),
        ({"BodyPartExamined": "PELVIS"}, "PELVIS"),
        # Of Secret^Person.
        ({"StudyDescription": "CT for PERSON", "BodyPartExamined": "PELVIS"}, "PELVIS"),
        ({"StudyDescription": "pelvis 2024-02-28"}, "scans"),
    ],
)
def test_a_study_is_named_without_who_the_patient_is(tmp_path, tags, name):
    path = tmp_path / "ct.dcm"
    write_dicom(path, np.zeros((2, 2), np.int16), CT_IMAGE, Modality="CT", **tags)
    assert study_name(path, "scans") == name
    assert study_name(path, "SECRET_PERSON_ct") in ("", name)
    path.write_bytes(b"no DICOM")
    assert study_name(path, "SECRET_PERSON_ct") == "SECRET_PERSON_ct"


def test_different_days_are_a_note_of_the_case(dicom_case):
    case = Case.load(dicom_case(tags={"ct": {"StudyDate": "20240228"}}))
    (note,) = case.identity_notes
    assert (note.code, note.severity) == ("other-day", NOTE) and not case.identity_findings
    assert note.values["statement"] == (
        "AP and LAT and CT were taken on different days (StudyDate) by their DICOM headers."
    )


@pytest.mark.filterwarnings("ignore")
def test_the_header_is_that_of_the_series_which_the_case_names(dicom_case):
    (finding,) = Case.load(dicom_case(others={"PatientID": "OTHER-1"})).identity_findings
    assert "patients (PatientID)" in finding.values["statement"]


@pytest.mark.filterwarnings("ignore")
def test_names_of_files_with_the_patient_in_them_give_way_to_roles(dicom_case):
    inputs = Case.load(dicom_case(ct="Plantagênet_CT", image="19310407-{}.dcm")).inputs
    assert set(inputs) == {"case.json", "CT", "X-ray 1", "X-ray 2"}


@pytest.mark.parametrize("name", ["07041931_AP.dcm", "pid77419x.dcm", "a-eleonore.dcm", "AP.dcm"])
def test_a_name_reveals_the_patient_in_any_spelling(name):
    assert reveals(name, PATIENT) == (name != "AP.dcm")


@pytest.mark.filterwarnings("ignore")
def test_a_copy_without_headers_is_as_doubtful(dicom_case, tmp_path):
    path = dicom_case(others={"PatientID": "OTHER-1", "StudyDate": "20190101"})
    written = anonymise(path, tmp_path / "copy").path
    case = Case.load(written)
    assert read_json(written)["header_mismatch"] == {"patient": True, "day": True}
    (finding,), (note,) = case.identity_findings, case.identity_notes
    assert (finding.code, note.code) == ("patient-mismatch", "other-day")
    assert "different patients" in finding.values["statement"]
    assert "different days" in note.values["statement"]


@pytest.mark.filterwarnings("ignore")
def test_an_anonymised_copy_has_no_uids_of_images(dicom_case, tmp_path):
    path = dicom_case()
    written = anonymise(path, tmp_path / "copy").path
    original, copy = Case.load(path), Case.load(written)
    assert original.dicom.views.keys() == {"AP", "LAT"} and not copy.dicom.views
    assert is_of_content(copy.bodies[0].uid)


A = {PATIENTS: "A-1", NAMED: "ALPHA ANNA", BIRTH_DATE: "19500101"}
B = {PATIENTS: "B-2", NAMED: "BETA BERTA", BIRTH_DATE: "19600202"}
SALT = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("view, named", [(A, False), (B, True), ({}, False)])
def test_a_case_with_digests_of_two_patients_is_named(case_folder, view, named):
    ct, ap = (
        {key: each for key, each in patient_digests(who, SALT).items() if key != "salt"}
        for who in (A, view)
    )
    kept = {"patient_digests": {"salt": SALT, "ct": ct, "views": {"AP": ap}}}
    file = CaseFile.from_json(case_folder / "case.json", minimal() | kept)
    assert [each.kind for each in mismatches_of(file)] == ["patient"] * named


@pytest.mark.parametrize(
    "other, same",
    [
        (A, True),
        (A | {NAMED: "GAMMA ANNA"}, True),  # after a marriage: ID and date are equal
        ({**A, PATIENTS: "B-2"}, False),  # of the same name, born on the same day
        (B, False),
        ({BIRTH_DATE: A[BIRTH_DATE]}, None),
    ],
)
def test_digests_tell_equal_from_different_without_a_name(other, same):
    digests, salted_otherwise = patient_digests(A, SALT), patient_digests(other, SALT[::-1])
    assert same_patient(digests, other) is same is same_patient(other, digests)
    assert same_patient(digests, other | salted_otherwise) is same
    assert same_patient(digests, salted_otherwise) is None
    assert not any(value in str(digests) for value in A.values())
