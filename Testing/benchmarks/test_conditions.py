"""The list of the protocol: any beginning of it holds some of everything, cameras are as wrong as it says, and cases are what they say."""

from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import read_json, read_values
from helpers.phantom import make_ct, make_views
from helpers.refusals import refuses
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.make_cases import random_case
from benchmarks.protocol.cases import with_wrong_ct
from benchmarks.protocol.conditions import (
    CONDITIONS,
    CT_ERRORS,
    GEOMETRY_ERRORS,
    NUISANCES,
    ROUNDS,
    STATED,
    TOGETHER,
    calibrated,
    trials,
)
from benchmarks.protocol.runs import cameras_off
from benchmarks.simulation.cases import (
    SEARCH,
    Patient,
    random_cameras,
    start_poses,
)
from benchmarks.simulation.simulator import OVERLAYS, TAKEN
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.io.case import Case


def test_trials_repeat_conditions_for_every_ct():
    listed = trials(5)
    assert [trial.number for trial in listed] == list(range(3245))  # as docs/tables say
    times = Counter((trial.condition, trial.ct) for trial in listed)
    assert times == {
        (condition, ct): -(-ROUNDS // condition.every)
        for condition in CONDITIONS
        for ct in range(5)
    }
    first = listed[: 5 * len(CONDITIONS)]
    assert {(trial.condition, trial.ct) for trial in first} == set(times)


def test_conditions_use_known_nuisances_and_errors():
    assert all(condition.error in {None, *GEOMETRY_ERRORS, *CT_ERRORS} for condition in CONDITIONS)
    known = {*TAKEN, *OVERLAYS, "motion", "neighbours"}
    assert {*NUISANCES, *(name for choices in TOGETHER for name in choices)} <= known
    assert len({(condition.part, condition.name) for condition in CONDITIONS}) == len(CONDITIONS)


@pytest.fixture(scope="module")
def views():
    return make_views(make_ct(), noise=0.0)


def off(views, wrong):
    return cameras_off([view.camera for view in views], [view.camera for view in wrong])


@pytest.mark.parametrize("name", GEOMETRY_ERRORS)
def test_geometry_error_changes_last_view(name, views):
    views = calibrated(np.random.default_rng(0), views)
    drawn = [GEOMETRY_ERRORS[name](np.random.default_rng(seed), views) for seed in range(4)]
    said = lambda view: np.append(view.camera.projection_matrix, view.xray.line_integrals)  # noqa: E731
    assert any((said(wrong[-1]) != said(views[-1])).any() for wrong in drawn)
    assert {wrong[1].rotation_sd_deg > 0 for wrong in drawn} == {name in STATED}


@pytest.mark.parametrize(
    "known, pixels, percent", [(calibrated, 0.5, 0.1), (GEOMETRY_ERRORS["readings"], 3 / 0.58, 1.0)]
)
def test_camera_errors_have_stated_standard_deviations(known, pixels, percent, views):
    off = []
    for seed in range(150):
        for given, true in zip(known(np.random.default_rng(seed), views), views, strict=True):
            said = given.principal_point_sd_px, given.distance_sd_percent
            assert said == pytest.approx((pixels, percent))
            scale = given.camera.intrinsics[0, 0] / true.camera.intrinsics[0, 0]
            shift = given.camera.principal_point - true.camera.principal_point
            off.append([100 * (scale - 1), *shift])
    assert_allclose(np.std(off, axis=0), [percent, pixels, pixels], rtol=0.15)


@pytest.mark.parametrize(
    "name, factors",
    [("mirrored ct", lambda _: (-1, 1, 1)), ("slice spacing", lambda share: (1, 1, share))],
)
def test_ct_error_keeps_centre_and_moves_targets(name, factors, views):
    ct, targets = make_ct(), np.array([[10.0, -20, 30], [-25, 5, -10]])
    wrong_from_ct = CT_ERRORS[name](np.random.default_rng(3), ct.volume)
    middle = np.zeros(3)  # of the phantom
    assert_allclose(rigid.transform_points(wrong_from_ct, middle), middle, atol=1e-9)
    found = np.diag(wrong_from_ct[:3, :3])
    assert_allclose(found, factors(found[2]), atol=1e-12)
    assert name == "mirrored ct" or 0.02 <= abs(found[2] - 1) <= 0.03
    truth = rigid.exp_se3(np.array([0.1, 0.2, -0.1, 5, 6, 7]))
    right = Case((Body(ct),), views, targets=targets, truth_world_from_ct=truth)
    case = with_wrong_ct(right, wrong_from_ct)
    there = rigid.transform_points(case.truth_world_from_ct, case.targets)
    assert_allclose(there, rigid.transform_points(truth, targets), atol=1e-9)
    assert metrics.mtre(truth, case.truth_world_from_ct, case.targets) == pytest.approx(
        np.linalg.norm(case.targets - targets, axis=1).mean()
    )


def test_encoder_error_has_stated_standard_deviation(views):
    draw = GEOMETRY_ERRORS["encoder 2"]
    found = np.array([off(views, draw(np.random.default_rng(n), views)) for n in range(150)])
    # Three normal numbers each: the mean square of the length is three variances.
    assert_allclose(np.sqrt((found**2).mean(axis=0) / 3), [2, 5], rtol=0.15)


def test_start_poses_have_stratified_errors_within_search_range():
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


@pytest.mark.parametrize("separation", [(90, 90), (35, 55), (5, 5)])
def test_random_cameras_have_requested_separation(separation):
    """Also where they are nearer than their cranial angles could differ."""
    for seed in range(30):
        first, *others = random_cameras(np.random.default_rng(seed), 3, separation)
        for other in others:
            cosine = first.camera_from_world[2, :3] @ other.camera_from_world[2, :3]
            assert separation[0] - 1e-4 <= np.degrees(np.arccos(cosine)) <= separation[1] + 1e-4
        assert separation[0] < 30 or not np.allclose(others[0].source, others[1].source, atol=100)


@pytest.fixture(scope="module")
def patient(tmp_path_factory, rtk):
    """A phantom: a tilted CT of an elliptic cylinder with tubes of bone and a bead of metal."""
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


def test_bead_is_dark_where_the_truth_puts_it(patient, tmp_path):
    case = read_json(random_case(tmp_path, patient, seed=5))
    assert case["world_from_ct"] == read_json(tmp_path / "starts.json")["starts"][-1]
    bead = rigid.transform_points(np.array(case["truth"]["world_from_ct"]), patient.bead)
    for view in case["views"]:
        image = read_values(tmp_path / view["image"]).astype(float)
        u, v = np.rint(Camera(**view["camera"]).project(bead)).astype(int)
        around = np.log(image[v - 40 : v + 41, u - 40 : u + 41] + 1)
        dark_v, dark_u = (
            np.argwhere(around < (around.min() + np.median(around)) / 2).mean(axis=0) - 40
        )
        assert np.hypot(dark_u, dark_v) < 2


def test_xrays_of_truncated_case_show_the_whole_body(patient, tmp_path):
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


def test_ct_without_bone_is_rejected(patient, tmp_path, monkeypatch):
    monkeypatch.setattr(patient, "bone_points", patient.bone_points[:10])
    with refuses("points of bone that all views show, expected at least 30"):
        random_case(tmp_path, patient, seed=1)
