import numpy as np
import pytest
import SimpleITK as sitk
from file_io import read_json, read_values
from numpy.testing import assert_allclose, assert_array_equal
from refusals import refuses

from benchmarks.make_cases import random_case
from benchmarks.simulation.cases import (
    SEARCH,
    Patient,
    random_cameras,
    random_pose,
    start_poses,
    write_case,
)
from benchmarks.simulation.simulator import chord_lengths, random_implant, random_shutters
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.io.case import Case


def test_starts_have_errors_in_equal_steps_and_lie_in_the_search_range():
    rng = np.random.default_rng(0)
    targets = rng.uniform(-80, 80, (30, 3)) + [200, 100, 900]
    truth = rigid.exp_se3(np.array([0.1, -0.2, 0.05, -200, -90, -880]))
    starts = start_poses(truth, targets, rng, count=40)
    true = rigid.transform_points(truth, targets)
    errors = [
        np.linalg.norm(rigid.transform_points(start, targets) - true, axis=1).mean()
        for start in starts
    ]
    assert_array_equal(np.floor(np.array(errors) / 22 * 40), np.arange(40))
    for start in starts:
        assert np.degrees(rigid.rotation_distance(start, truth)) < SEARCH["rotation_deg"]
        moved = rigid.transform_points(start, targets.mean(0)) - true.mean(0)
        assert np.linalg.norm(moved) < SEARCH["translation_mm"]


@pytest.mark.parametrize("separation", [(90, 90), (35, 55), (15, 15), (5, 5)])
def test_views_are_as_far_apart_as_asked(separation):
    """Also where they are nearer than their cranial angles could differ."""
    for seed in range(30):
        first, *others = random_cameras(np.random.default_rng(seed), 3, separation)
        for other in others:
            cosine = first.camera_from_world[2, :3] @ other.camera_from_world[2, :3]
            assert separation[0] - 1e-4 <= np.degrees(np.arccos(cosine)) <= separation[1] + 1e-4
        assert separation[0] < 30 or not np.allclose(others[0].source, others[1].source, atol=100)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A phantom: a tilted CT of an elliptic cylinder with tubes of bone and a bead of metal."""
    pytest.importorskip(
        "itk.rtkJosephForwardProjectionImageFilterPython",
        reason='needs itk-rtk: pip install -e ".[bench]"',
    )
    k, j, i = np.indices((60, 70, 90))
    hu = np.where(np.hypot((i - 45) / 40, (j - 35) / 30) < 1, 40, -1000).astype(np.int16)
    for x, y in ((45, 50), (25, 30), (62, 25)):
        radius = np.hypot(i - x, j - y)
        hu[(radius > 3) & (radius < 6)] = 900
    hu[(i - 45) ** 2 + (j - 30) ** 2 + (k - 30) ** 2 < 9] = 12000
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((2.5, 2.5, 3.0))
    image.SetOrigin((-100, 50, 400))
    image.SetDirection(rigid.exp_so3(np.array([0.1, 0.05, -0.2])).ravel().tolist())
    path = tmp_path_factory.mktemp("phantom") / "ct.nii.gz"
    sitk.WriteImage(image, str(path))
    patient = Patient(path, couch=False)
    patient.bead = np.array(image.TransformContinuousIndexToPhysicalPoint((45.0, 30.0, 30.0)))
    return patient


def test_a_case_is_what_it_says(patient, tmp_path):
    path = random_case(
        tmp_path / "case",
        patient,
        seed=3,
        views=3,
        separation_deg=(35, 55),
        nuisances=("round field", "wires"),
    )
    assert {file.name for file in path.parent.iterdir()} == {
        "case.json",
        "starts.json",
        "view1.mha",
        "view2.mha",
        "view3.mha",
    }
    case, starts = (
        read_json(path),
        read_json(path.parent / "starts.json")["starts"],
    )
    assert case["version"] == 1 and case["ct"] == str(patient.ct_path)
    assert case["world_from_ct"] == starts[-1]
    truth = rigid.check_rigid(case["truth"]["world_from_ct"], "truth")
    targets = rigid.transform_points(truth, np.array(case["targets"]))
    assert targets.shape == (30, 3)
    for view in case["views"]:
        image = sitk.ReadImage(str(path.parent / view["image"]))
        assert image.GetPixelID() == sitk.sitkUInt16 and image.GetSpacing() == (0.58, 0.58)
        camera = Camera(**view["camera"])
        assert (np.linalg.norm(camera.project(targets) - 255.5, axis=1) < 256).all()


def test_a_case_about_a_nominal_pose_starts_there(patient, tmp_path):
    rng = np.random.default_rng(4)
    pose = random_pose(patient.centre, rng)
    nominal = random_pose(patient.centre, rng)
    ranges = {
        "search": {"rotation_deg": 25, "translation_mm": 40},
        "training": {"roll_deg": 20, "beam_mm": 0},
    }
    about = {"world_from_ct": nominal.tolist(), **ranges}
    path = write_case(tmp_path, patient, random_cameras(rng, 1, (90, 90)), pose, rng, about=about)
    assert {file.name for file in tmp_path.iterdir()} == {"case.json", "view1.mha"}
    case = Case.load(path)
    assert case.search == ranges["search"] and case.training == ranges["training"]
    assert_allclose(case.world_from_ct, nominal, atol=1e-12)
    assert_allclose(case.truth_world_from_ct, pose, atol=1e-12)


def test_the_bead_is_dark_where_the_truth_puts_it(patient, tmp_path):
    case = read_json(random_case(tmp_path, patient, seed=5))
    bead = rigid.transform_points(np.array(case["truth"]["world_from_ct"]), patient.bead)
    for view in case["views"]:
        image = read_values(tmp_path / view["image"]).astype(float)
        u, v = np.rint(Camera(**view["camera"]).project(bead)).astype(int)
        around = np.log(image[v - 40 : v + 41, u - 40 : u + 41] + 1)
        dark_v, dark_u = (
            np.argwhere(around < (around.min() + np.median(around)) / 2).mean(axis=0) - 40
        )
        assert np.hypot(dark_u, dark_v) < 2


def test_the_xrays_of_a_truncated_case_show_the_whole_body(patient, tmp_path):
    case = read_json(random_case(tmp_path / "part", patient, 3, truncated=True, views=1))
    random_case(tmp_path / "whole", patient, 3, views=1)
    assert case["ct"] == "ct.nii.gz"
    part = sitk.ReadImage(str(tmp_path / "part" / "ct.nii.gz"))
    for point in case["targets"]:
        index = np.array(part.TransformPhysicalPointToContinuousIndex(point))
        assert (index > 1).all() and (index < np.array(part.GetSize()) - 2).all()
    logs = [
        np.log(read_values(tmp_path / name / "view1.mha") + 1.0).ravel()
        for name in ("part", "whole")
    ]
    assert np.corrcoef(*logs)[0, 1] > 0.98  # noise, gain and offset differ


def test_shutters_cover_a_quarter_to_nearly_a_half_unevenly():
    drawn = np.array([random_shutters(np.random.default_rng(seed)) for seed in range(200)])
    left, top, right, bottom = drawn.T / 512
    covered = 1 - (1 - left - right) * (1 - top - bottom)
    assert 0.245 < covered.min() < 0.27 and 0.43 < covered.max() < 0.455
    assert (drawn >= 0).all() and (np.abs(left - right) + np.abs(top - bottom) > 0.1).mean() > 0.7


@pytest.mark.parametrize("seed", range(2))
def test_an_implant_is_cm_thick_and_within_the_first_views_field(seed):
    rng = np.random.default_rng(seed)
    (camera,) = random_cameras(rng, 1, (90, 90))
    thickness = sum(chord_lengths(camera, part) for part in random_implant(rng))
    assert thickness.max() > 12 and 0.02 < (thickness > 3).mean() < 0.25
    middle = np.argwhere(thickness > 3).mean(axis=0)
    assert (np.abs(middle - 255.5) < 160).all()


def test_a_ct_without_bone_is_refused(patient, tmp_path, monkeypatch):
    monkeypatch.setattr(patient, "bone_points", patient.bone_points[:10])
    with refuses("points of bone that all views show, expected at least 30"):
        random_case(tmp_path, patient, seed=1)
