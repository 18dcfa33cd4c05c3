"""Cameras are as wrong as was asked for, and what is said of them is so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import make_ct, make_views

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.studies.conditions import GEOMETRY_ERRORS, turned
from MultiViewRegistrationLib.studies.protocol import cameras_off


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
