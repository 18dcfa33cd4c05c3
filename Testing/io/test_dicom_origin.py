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
    tags = {"SeriesInstanceUID": "1.2.7"}
    write_dicom(tmp_path / "run.dcm", frames, XA_IMAGE, **tags)
    write_dicom(tmp_path / "bad.dcm", frames, XA_IMAGE, **tags, StudyInstanceUID="1.2.no UID")
    case = tiny_case.changed(tiny_case.minimal(), "ct", "slices")
    for view, image in zip(case["views"], ("run.dcm", "bad.dcm"), strict=True):
        view |= {"image": image, "frame": 1}
    found = dicom_origin(CaseFile.read(write_case(case)))
    assert frame_of_reference(tmp_path / "slices") == "1.2.9"
    assert found.views.keys() == {"AP"}
    run = found.views["AP"]
    assert (run.frame, run.series_uid, run.sop_class_uid) == (1, "1.2.7", XA_IMAGE)


def test_other_files_have_no_uids_but_the_ct_a_lasting_one(load, tmp_path):
    case = load(tiny_case.minimal())
    assert case.dicom.views == {} and case.bodies[0].uid == uid_of(sha256(tmp_path / "ct.mha"))
