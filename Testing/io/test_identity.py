"""DICOM headers of different patients, sides or days warn, and no value is shown."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from imaging.dicom_files import CT_IMAGE, write_dicom
from planted_dicom import SECRETS, write_ct, write_xray
from tiny_case import minimal

from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.dicom_identity import study_name

PATIENTS, SEXES = "patients (PatientID)", "sexes (PatientSex)"
SIDES, DAYS = "sides of the body (laterality)", "days (StudyDate)"


@pytest.fixture
def header_warnings(tmp_path):
    """A function: what loading a case warns of whose headers have these tags, after the usual ones."""

    def load(ct: dict | None = None, ap: dict | None = None, lateral: dict | None = None) -> list[str]:
        random = np.random.default_rng(1)
        hu = np.where(np.linalg.norm(np.indices((12, 12, 12)) - 5.5, axis=0) < 4, 900, -1000)
        affine = np.diag([4.0, 4, 4, 1])
        affine[:3, 3] = -22
        write_ct(tmp_path / "ct", hu, affine, **(ct or {}))
        content = {**minimal(), "ct": "ct"}
        for view, tags in zip(content["views"], (ap, lateral), strict=True):
            view["image"] = f"{view['name']}.dcm"
            write_xray(tmp_path / view["image"], random.integers(2000, 4000, (16, 20)), **(tags or {}))
        (tmp_path / "case.json").write_text(json.dumps(content))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Case.load(tmp_path)
        return [str(warning.message) for warning in caught]

    return load


@pytest.mark.parametrize(
    "tags, what, entries",
    [
        ({"ct": {"PatientID": "OTHER-1"}}, PATIENTS, "AP and LAT and CT"),
        ({"lateral": {"PatientID": "OTHER-1"}}, PATIENTS, "LAT and CT"),
        ({"ap": {"ImageLaterality": "R"}}, SIDES, "AP and CT"),
        ({"ct": {"Laterality": "R"}}, SIDES, "AP and LAT and CT"),
        ({"ct": {"StudyDate": "20240228"}}, DAYS, "AP and LAT and CT"),
        ({"ct": {"PatientBirthDate": "19411212"}}, "dates of birth (PatientBirthDate)", "AP and LAT and CT"),
        ({"lateral": {"PatientSex": "M"}, "ct": {"PatientSex": "F"}, "ap": {"PatientSex": "O"}}, SEXES, "LAT and CT"),
        ({"ct": {"PatientID": ""}, "ap": {"PatientID": "OTHER-1"}}, PATIENTS, "LAT and AP"),
    ],
)
def test_a_difference_is_one_sentence_without_a_value(header_warnings, tags, what, entries):
    (sentence,) = header_warnings(**tags)
    assert sentence.endswith(
        f": {entries} are of different {what} by their DICOM headers; check that they belong together."
    )
    assert not any(value in sentence for value in [*SECRETS, "OTHER-1", "20240228"])


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"ct": {"PatientID": " 00pid-77419-x "}},
        {
            "ct": {"Laterality": ""},
            "ap": {"Laterality": "", "ImageLaterality": "U"},
            "lateral": {"ImageLaterality": "B"},
        },
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
        ({}, "scans"),
        ({"StudyDescription": "CT for PERSON", "BodyPartExamined": "PELVIS"}, "PELVIS"),  # of Secret^Person
        ({"StudyDescription": "pelvis 4711"}, "scans"),
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
