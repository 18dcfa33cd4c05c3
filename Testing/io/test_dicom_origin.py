"""By which UIDs a case's CT and X-rays are known, from files built tag by tag."""

import numpy as np
import pytest
import tiny_case
from imaging.dicom_files import XA_IMAGE, write_dicom, write_series

from MultiViewRegistrationLib.io.case_file import CaseFile, uid_of
from MultiViewRegistrationLib.io.dicom_identity import dicom_origin, frame_of_reference
from MultiViewRegistrationLib.io.files import sha256


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_dicom_files_are_known_by_their_uids(write_case, tmp_path):
    place, frames = np.diag([1.0, 1, 2, 1]), np.zeros((3, 16, 20), np.uint16)
    slices = np.zeros((3, 4, 4), np.int16)
    write_series(tmp_path / "slices", slices, place, FrameOfReferenceUID="1.2.9")
    tags = {"SeriesInstanceUID": "1.2.7", "StudyInstanceUID": "1.2.6"}
    bad = tags | {"StudyInstanceUID": "1.2.no UID"}
    for name, pixels, told in (
        ("run", frames, tags),
        ("one", frames[0], tags),
        ("bad", frames, bad),
    ):
        write_dicom(tmp_path / f"{name}.dcm", pixels, XA_IMAGE, **told)
    case = tiny_case.changed(tiny_case.minimal(), "ct", "slices")
    case["views"][0] |= {"image": "run.dcm", "frame": 1}
    case["views"][1] |= {"image": "one.dcm"}
    found = dicom_origin(CaseFile.read(write_case(case)))
    assert frame_of_reference(tmp_path / "slices") == "1.2.9"
    assert found.views.keys() == {"AP", "LAT"}
    run, one = found.views["AP"], found.views["LAT"]
    assert (run.study_uid, run.series_uid, run.sop_class_uid) == ("1.2.6", "1.2.7", XA_IMAGE)
    assert (run.frame, one.frame) == (1, None) and one.sop_instance_uid != run.sop_instance_uid
    case["views"][1] |= {"image": "bad.dcm", "frame": 2}
    assert "LAT" not in dicom_origin(CaseFile.read(write_case(case))).views


def test_other_files_have_no_uids_but_the_ct_a_lasting_one(load, tmp_path):
    case = load(tiny_case.minimal())
    assert case.dicom.views == {} and case.bodies[0].uid == uid_of(sha256(tmp_path / "ct.mha"))
