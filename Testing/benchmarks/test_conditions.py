"""The list of the protocol: any beginning of it holds some of everything, and cameras are as wrong as it says."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from phantom import make_ct, make_views

from benchmarks.protocol.cases import with_wrong_ct
from benchmarks.protocol.conditions import (
    BODIES,
    CONDITIONS,
    CT_ERRORS,
    GEOMETRY_ERRORS,
    INTERVALS,
    NUISANCES,
    ROUNDS,
    STATED,
    TOGETHER,
    calibrated,
    trials,
    turned,
)
from benchmarks.protocol.runs import cameras_off
from benchmarks.simulation.simulator import OVERLAYS, TAKEN
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.io.case import Case


def test_each_round_has_the_conditions_whose_turn_it_is_with_every_ct():
    listed = trials(5)
    assert [trial.number for trial in listed] == list(range(3245))  # as docs/tables say
    assert len(trials(5, BODIES)) == 2720
    times = Counter((trial.condition, trial.ct) for trial in listed)
    assert times == {
        (condition, ct): -(-ROUNDS // condition.every)
        for condition in CONDITIONS
        for ct in range(5)
    }
    first = listed[: 5 * len(CONDITIONS)]
    assert {(trial.condition, trial.ct) for trial in first} == {
        (each, ct) for each in CONDITIONS for ct in range(5)
    }
    assert {trial.condition.part for trial in first[:40]} == {"body", "bone"}


def test_each_condition_starts_from_everywhere():
    listed = trials(2)
    for ct in (0, 1):
        for condition in CONDITIONS:
            of_it = [trial for trial in listed if trial.condition == condition and trial.ct == ct]
            assert [trial.repeat for trial in of_it] == list(range(len(of_it)))
            assert len({trial.interval for trial in of_it}) == min(INTERVALS, len(of_it))


def test_the_same_seed_gives_the_same_list_and_another_another_order():
    assert trials(2) == trials(2)
    assert [trial.condition for trial in trials(2, seed=1)] != [
        trial.condition for trial in trials(2)
    ]


def test_all_that_is_named_is_there():
    names = {condition.name for condition in CONDITIONS}
    assert {*NUISANCES, *GEOMETRY_ERRORS, *CT_ERRORS} <= names
    assert all(condition.error in {None, *GEOMETRY_ERRORS, *CT_ERRORS} for condition in CONDITIONS)
    known = {*TAKEN, *OVERLAYS, "motion", "neighbours"}
    assert set(NUISANCES) <= known and {name for choices in TOGETHER for name in choices} <= known
    assert len({(condition.part, condition.name) for condition in CONDITIONS}) == len(CONDITIONS)
    geometries = {
        (each.part, each.views, each.apart_deg) for each in CONDITIONS if each.group == "geometry"
    }
    assert {views for _, views, _ in geometries} == {1, 2, 3}
    assert {15, 90} <= {apart for _, views, apart in geometries if views > 1}


@pytest.fixture(scope="module")
def views():
    return make_views(make_ct(), noise=0.0)


def off(views, wrong):
    return cameras_off([view.camera for view in views], [view.camera for view in wrong])


@pytest.mark.parametrize("name", GEOMETRY_ERRORS)
def test_something_is_wrong_and_the_case_says_so_where_it_is_stated(name, views):
    views = calibrated(np.random.default_rng(0), views)
    drawn = [GEOMETRY_ERRORS[name](np.random.default_rng(seed), views) for seed in range(4)]
    changed = [
        not np.array_equal(a.camera.projection_matrix, b.camera.projection_matrix)
        or not np.array_equal(a.xray.line_integrals, b.xray.line_integrals)
        for wrong in drawn
        for a, b in zip(views[-1:], wrong[-1:], strict=True)
    ]
    assert any(changed) and all(
        (wrong[1].rotation_sd_deg > 0) == (name in STATED) for wrong in drawn
    )
    if name != "angle sign":  # which may be wrong in all views
        for wrong in drawn:
            assert_array_equal(wrong[0].camera.camera_from_world, views[0].camera.camera_from_world)


@pytest.mark.parametrize(
    "known, pixels, percent", [(calibrated, 0.5, 0.1), (GEOMETRY_ERRORS["readings"], 3 / 0.58, 1.0)]
)
def test_principal_points_and_distances_are_as_wrong_as_the_case_says(
    known, pixels, percent, views
):
    off = []
    for seed in range(400):
        for given, true in zip(known(np.random.default_rng(seed), views), views, strict=True):
            assert (given.principal_point_sd_px, given.distance_sd_percent) == (
                pytest.approx(pixels),
                percent,
            )
            scale = given.camera.intrinsics[0, 0] / true.camera.intrinsics[0, 0]
            shift = given.camera.principal_point - true.camera.principal_point
            off.append([100 * (scale - 1), *shift])
    assert_allclose(np.std(off, axis=0), [percent, pixels, pixels], rtol=0.1)


def test_a_principal_point_is_three_to_eight_pixels_off_in_one_view_or_in_all(views):
    wrong = [
        GEOMETRY_ERRORS["principal point"](np.random.default_rng(seed), views) for seed in range(60)
    ]
    shifts = [
        [
            np.linalg.norm(b.camera.principal_point - a.camera.principal_point)
            for a, b in zip(views, each, strict=True)
        ]
        for each in wrong
    ]
    moved = np.array(shifts) > 0
    assert {tuple(each) for each in moved} == {(True, False), (False, True), (True, True)}
    assert 3 <= np.array(shifts)[moved].min() < 4 and 7 < np.array(shifts)[moved].max() <= 8


@pytest.mark.parametrize(
    "name, factors", [("mirrored ct", (-1, 1, 1)), ("ct scale", None), ("slice spacing", None)]
)
def test_a_wrong_ct_keeps_its_middle_and_the_errors_are_of_where_its_points_are(
    name, factors, views
):
    ct, targets = make_ct(), np.array([[10.0, -20, 30], [-25, 5, -10]])
    wrong_from_ct = CT_ERRORS[name](np.random.default_rng(3), ct.volume)
    middle = rigid.transform_points(
        ct.volume.ct_from_index, (np.array(ct.volume.values.shape[::-1]) - 1) / 2
    )
    assert_allclose(rigid.transform_points(wrong_from_ct, middle), middle, atol=1e-9)
    found = np.diag(wrong_from_ct[:3, :3])
    expected = factors or (
        found[2] if name == "ct scale" else 1,
        found[2] if name == "ct scale" else 1,
        found[2],
    )
    assert_allclose(found, expected, atol=1e-12)
    assert name == "mirrored ct" or 0.02 <= abs(found[2] - 1) <= 0.03
    truth = rigid.exp_se3(np.array([0.1, 0.2, -0.1, 5, 6, 7]))
    case = with_wrong_ct(
        Case((Body(ct),), views, targets=targets, truth_world_from_ct=truth), wrong_from_ct
    )
    there = rigid.transform_points(case.truth_world_from_ct, case.targets)
    assert_allclose(there, rigid.transform_points(truth, targets), atol=1e-9)
    assert metrics.mtre(truth, case.truth_world_from_ct, case.targets) == pytest.approx(
        np.linalg.norm(case.targets - targets, axis=1).mean()
    )


@pytest.mark.parametrize("name, degrees, mm", [("encoder 1", 1, 2), ("encoder 2", 2, 5)])
def test_encoders_are_off_by_what_they_say(name, degrees, mm, views):
    found = np.array(
        [off(views, GEOMETRY_ERRORS[name](np.random.default_rng(n), views)) for n in range(300)]
    )
    # Three normal numbers each: the mean square of the length is three variances.
    assert_allclose(np.sqrt((found**2).mean(axis=0) / 3), [degrees, mm], rtol=0.1)


def test_a_camera_that_turned_about_the_isocentre_sees_it_at_its_place(views):
    wrong = turned(np.random.default_rng(4), views)
    degrees, mm = off(views, wrong)
    assert 0.5 <= degrees <= 10 and 0.5 <= mm <= 10
    origin = [
        rigid.transform_points(view.camera.camera_from_world, np.zeros(3))
        for view in (views[1], wrong[1])
    ]
    assert np.linalg.norm(origin[0] - origin[1]) == pytest.approx(mm)


def test_how_far_cameras_are_off_is_told_against_the_first(views):
    """A world that has moved as a whole is none that is wrong."""
    moved = rigid.exp_se3(np.array([0.1, -0.2, 0.05, 20.0, -10, 5]))
    same = [
        replace(view.camera, camera_from_world=view.camera.camera_from_world @ moved)
        for view in views
    ]
    assert_allclose(cameras_off([view.camera for view in views], same), [0, 0], atol=1e-9)
