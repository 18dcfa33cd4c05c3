"""The list of the protocol: any beginning of it holds some of everything, and cameras are as wrong as it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from phantom import make_ct, make_views

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.simulation.simulator import OVERLAYS, TAKEN
from MultiViewRegistrationLib.studies.conditions import (
    CONDITIONS,
    GEOMETRY_ERRORS,
    INTERVALS,
    MIN_REGISTRATIONS,
    NUISANCES,
    TOGETHER,
    trials,
    turned,
)
from MultiViewRegistrationLib.studies.protocol import cameras_off


@pytest.mark.parametrize("cts", [1, 2, 3])
def test_it_has_two_thousand_registrations_and_each_condition_as_often(cts):
    listed = trials(cts)
    assert MIN_REGISTRATIONS <= len(listed) < MIN_REGISTRATIONS + cts * len(CONDITIONS)
    assert [trial.number for trial in listed] == list(range(len(listed)))
    times = Counter((trial.condition, trial.ct) for trial in listed)
    assert len(times) == cts * len(CONDITIONS) and len(set(times.values())) == 1


def test_any_beginning_is_balanced():
    listed = trials(2)
    for end in range(1, len(listed), 7):
        times = Counter((trial.condition, trial.ct) for trial in listed[:end])
        assert max(times.values()) - (min(times.values()) if len(times) == 2 * len(CONDITIONS) else 0) <= 1
    assert {trial.condition.part for trial in listed[:12]} == {"body", "bone"}
    assert {trial.condition.group for trial in listed[:30]} == {"geometry", "nuisance", "geometry error"}


def test_each_condition_starts_from_everywhere():
    listed = trials(2)
    for ct in (0, 1):
        for condition in CONDITIONS:
            intervals = [trial.interval for trial in listed if trial.condition == condition and trial.ct == ct]
            assert set(intervals[:INTERVALS]) == set(range(INTERVALS))
    first_pass = Counter(trial.interval for trial in listed[: 2 * len(CONDITIONS)])
    assert max(first_pass.values()) - min(first_pass.values()) <= 6


def test_the_same_seed_gives_the_same_list_and_another_another_order():
    assert trials(2) == trials(2)
    assert [trial.condition for trial in trials(2, seed=1)] != [trial.condition for trial in trials(2)]


def test_all_that_is_named_is_there():
    names = {condition.name for condition in CONDITIONS}
    assert set(NUISANCES) | set(GEOMETRY_ERRORS) <= names
    known = {*TAKEN, *OVERLAYS, "motion", "neighbours"}
    assert set(NUISANCES) <= known and {name for choices in TOGETHER for name in choices} <= known
    assert len({(condition.part, condition.name) for condition in CONDITIONS}) == len(CONDITIONS)
    geometries = {(each.part, each.views, each.apart_deg) for each in CONDITIONS if each.group == "geometry"}
    assert {views for _, views, _ in geometries} == {1, 2, 3}
    assert {15, 90} <= {apart for _, views, apart in geometries if views > 1}


@pytest.fixture(scope="module")
def views():
    return make_views(make_ct(), noise=0.0)


def off(views, wrong):
    return cameras_off([view.camera for view in views], [view.camera for view in wrong])


@pytest.mark.parametrize("name", GEOMETRY_ERRORS)
def test_something_is_wrong_and_the_first_camera_stays(name, views):
    wrong = GEOMETRY_ERRORS[name](np.random.default_rng(1), views)
    np.testing.assert_array_equal(wrong[0].camera.camera_from_world, views[0].camera.camera_from_world)
    changed = [
        not np.array_equal(a.camera.projection_matrix, b.camera.projection_matrix)
        or not np.array_equal(a.xray.line_integrals, b.xray.line_integrals)
        for a, b in zip(views, wrong, strict=True)
    ]
    assert any(changed)
    assert (wrong[1].rotation_sd_deg > 0) == name.startswith("encoder")


@pytest.mark.parametrize("name, degrees, mm", [("encoder 1", 1, 2), ("encoder 2", 2, 5)])
def test_encoders_are_off_by_what_they_say(name, degrees, mm, views):
    found = np.array([off(views, GEOMETRY_ERRORS[name](np.random.default_rng(n), views)) for n in range(300)])
    # Three normal numbers each: the mean square of the length is three variances.
    np.testing.assert_allclose(np.sqrt((found**2).mean(axis=0) / 3), [degrees, mm], rtol=0.1)


def test_a_camera_that_turned_about_the_isocentre_sees_it_at_its_place(views):
    wrong = turned(np.random.default_rng(4), views)
    degrees, mm = off(views, wrong)
    assert 0.5 <= degrees <= 10 and 0.5 <= mm <= 10
    origin = [rigid.transform_points(view.camera.camera_from_world, np.zeros(3)) for view in (views[1], wrong[1])]
    assert np.linalg.norm(origin[0] - origin[1]) == pytest.approx(mm)


def test_how_far_cameras_are_off_is_told_against_the_first(views):
    """A world that has moved as a whole is none that is wrong."""
    moved = rigid.exp_se3(np.array([0.1, -0.2, 0.05, 20.0, -10, 5]))
    same = [replace(view.camera, camera_from_world=view.camera.camera_from_world @ moved) for view in views]
    np.testing.assert_allclose(cameras_off([view.camera for view in views], same), [0, 0], atol=1e-9)
