"""Exported files, read by programs that are not ours.

SimpleITK, slicer-core, NumPy, pydicom, dciodvfy.
"""

import json

import numpy as np
import pydicom
import pytest
from handed_result import (
    CT_UID,
    OVERRIDE,
    WORLD_UID,
    assessment_content,
    dicom_views,
    pose,
    write_result,
)
from helpers.file_io import read_json
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import refusal

from MultiViewRegistrationLib.assessment.records import POSITION, Finding
from MultiViewRegistrationLib.io.navigation import POSE_FORMATS
from MultiViewRegistrationLib.io.navigation.exports import export_files, write_together
from MultiViewRegistrationLib.io.result_json import RegistrationExport
from MultiViewRegistrationLib.io.transforms import AXES, DIRECTIONS, read_start_pose

POSE, REFERENCE = pose(1), pose(2)
POINTS = np.c_[np.random.default_rng(3).uniform(-1000, 1000, (20, 3)), np.ones(20)]
TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def exported(tmp_path):
    """A function: the files, by name, of a result with these changes."""

    def export(*kinds, **changes):
        exported = RegistrationExport.read(write_result(tmp_path / "result", **changes).parent)
        files = export_files(exported, kinds or POSE_FORMATS, DIRECTIONS, AXES)
        written = write_together(files, tmp_path / "out", exported.path)
        return {file.name: file for file in written}

    return export


def text_of(file):
    """What a file of any kind says."""
    if file.suffix == ".npy":
        return str({key: np.load(file)[key] for key in np.load(file).dtype.names})
    return file.read_bytes().decode("utf-8", "ignore")


@pytest.mark.parametrize("kind", ["tfm", "h5"])
def test_slicer_moves_the_ct_into_the_world_with_the_resampling_file(
    exported, slicer_storage, tmp_path, kind
):
    """And what it saves then is read as the resampling direction."""
    file = exported(kind, **DOUBTFUL, override=OVERRIDE)[f"world_from_ct.resampling.{kind}"]
    node, storage = slicer_storage("LinearTransform", "Transform", file)
    assert storage.ReadData(node)
    import slicer

    matrix = slicer.util.arrayFromTransformMatrix(node, toWorld=True)
    assert_allclose(TURN @ matrix @ TURN @ POINTS.T, POSE @ POINTS.T, atol=1e-9)
    storage.SetFileName(str(tmp_path / f"saved.{kind}"))
    assert storage.WriteData(node)
    found = read_start_pose(tmp_path / f"saved.{kind}", "lps", "resampling")
    assert_allclose(found @ POINTS.T, POSE @ POINTS.T, atol=1e-9)


def test_all_files_state_override_verdict_and_risk_but_no_name(exported):
    changes = {"override": OVERRIDE, "reference_from_world": REFERENCE, **DOUBTFUL}
    files = exported(views=dicom_views(), **changes)
    assert len(files) == 34
    stated = ["check", RISK.rstrip("."), "ab12cd34, 56ef78ab", f"world {WORLD_UID}"]
    for name, file in files.items():
        assert all(part in text_of(file) for part in stated), (name, text_of(file))
        said = "An X-ray was replaced" if name.endswith(".dcm") else OVERRIDE
        assert said in text_of(file) or json.loads(file.read_bytes())["override"] == said
        assert b"Doe" not in file.read_bytes() and "Doe" not in name
    assert not any(OVERRIDE in text_of(file) for file in exported(override=None).values())


RISK = "Expected error of the 3D position 3.1 mm (95 %: 7.0 mm)."
DOUBTFUL = {
    **assessment_content("check", position=(3.14, 7.0), overlay=(0.2, 0.4)),
    "case": {"file": "Doe.json", "images": ["ab12cd34" * 8, "56ef78ab" * 8]},
}


def test_exports_state_the_expected_error_of_the_3d_position_alone(exported):
    finding = Finding("cameras-uncertain", uses=POSITION)
    content = assessment_content("check", [finding], position=(3.14, 7.0), overlay=(0.2, 0.4))
    assert content["uses"]["overlay"]["verdict"] == "accept"
    for file in exported(**content, views=dicom_views()).values():
        text = text_of(file)
        assert "check" in text and "accept" not in text.lower() and RISK.rstrip(".") in text


def test_an_error_that_is_withheld_is_not_exported(exported):
    content = assessment_content("check", position=(0.6, 1.4))
    file = exported("json", **content)["world_from_ct.lps.json"]
    assert "risk" not in read_json(file)


@pytest.mark.parametrize(
    "changes",
    [
        {"views": dicom_views(frame=None), "override": OVERRIDE},
        {"views": dicom_views(), "reference_from_world": REFERENCE},
    ],
)
def test_dciodvfy_accepts_the_registration(exported, dciodvfy, changes):
    for file in exported("dicom", **changes).values():
        assert dciodvfy(file, "SpatialRegistration") == []


def test_pydicom_reads_the_frames_and_matrices(exported):
    data = pydicom.dcmread(exported("dicom", views=dicom_views())["world_from_ct.dcm"])
    assert data.FrameOfReferenceUID == WORLD_UID and data.Modality == "REG"
    world, ct = data.RegistrationSequence
    assert (world.FrameOfReferenceUID, ct.FrameOfReferenceUID) == (WORLD_UID, CT_UID)
    assert_array_equal(matrix_of(world), np.eye(4))
    assert_allclose(POINTS @ matrix_of(ct).T, POINTS @ POSE.T, atol=1e-9)
    images = world.ReferencedImageSequence
    instances = [image.ReferencedSOPInstanceUID for image in images]
    assert instances == ["1.2.3.5.1.1", "1.2.3.5.1.1", "1.2.3.6.1.1"]
    assert [image.get("ReferencedFrameNumber") for image in images] == [3, 8, None]
    studies = data.StudiesContainingOtherReferencedInstancesSequence
    assert [study.StudyInstanceUID for study in studies] == ["1.2.3.5", "1.2.3.6"]
    assert data.PatientName == data.PatientID == "" and "check" in data.ContentDescription


def matrix_of(item):
    matrix = item.MatrixRegistrationSequence[0].MatrixSequence[0]
    return np.array(matrix.FrameOfReferenceTransformationMatrix, float).reshape(4, 4)


def test_a_tracker_gets_an_object_in_its_own_frame(exported, tmp_path):
    files = exported("dicom", reference_from_world=REFERENCE)
    data = pydicom.dcmread(files["reference_from_ct.dcm"])
    tracker, world, ct = data.RegistrationSequence
    assert data.FrameOfReferenceUID == tracker.FrameOfReferenceUID not in (WORLD_UID, CT_UID)
    kept = read_json(tmp_path / "result" / "result.json")["frame_of_reference_uid"]
    assert kept == {"world": WORLD_UID, "ct": CT_UID, "reference": data.FrameOfReferenceUID}
    assert_allclose(POINTS @ matrix_of(world).T, POINTS @ REFERENCE.T, atol=1e-9)
    assert_allclose(POINTS @ matrix_of(ct).T, POINTS @ (REFERENCE @ POSE).T, atol=1e-9)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"world_from_ct": [[1]]}, "world_from_ct"),
        ({"frame_of_reference_uid": {"world": "1.2; rm"}}, "UID"),
        ({"override": 3}, "override"),
        ({"views": [{"name": "a", "dicom": {"study_uid": "x"}}]}, "study_uid"),
    ],
)
def test_invalid_results_are_refused(tmp_path, changes, word):
    assert word in refusal(RegistrationExport.read, write_result(tmp_path, **changes))
