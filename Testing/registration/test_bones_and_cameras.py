"""Cameras that are not known exactly, of a spine that has bent.

`registration.register_bones`.
"""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import POSE, START, anatomy, bent_case, structures, together
from finite_differences import changes, cost_of
from numpy.testing import assert_allclose
from phantom import free, misplaced

from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.registration.bone import bones_of, ties_of
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, CameraCorrections
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.problem import Problem, State
from MultiViewRegistrationLib.registration.register_bones import (
    LEVEL,
    correct_cameras,
    objective_at,
)


@pytest.fixture(scope="module")
def wrong():
    """The second camera is off by 1.2 degrees and 4 mm, and says that it may be."""
    first, second = bent_case().views
    off = misplaced(second, [0.8, -0.6, 0.7], [2.0, 3.0, -1.5])
    return [first, replace(off, rotation_sd_deg=1.0, translation_sd_mm=3.0)]


@pytest.fixture(scope="module")
def whole(wrong):
    return refine(anatomy(), wrong, START)


def corrected(whole, views, *more):
    return correct_cameras(anatomy(), structures(), views, CALIBRATED, whole, *more)


def errors_mm(bones):
    return [
        bone.bone.apart(bone.world_from_ct, POSE @ motion)
        for bone, motion in zip(bones, bent_case().motions, strict=True)
    ]


def test_bones_rest_and_camera_are_found_together(whole, wrong):
    true, fractions = bent_case().views, []
    found, poses = corrected(whole, wrong, lambda done: fractions.append(done.fraction))
    bones = together(structures(), found, poses=poses).bodies
    off, left = map(errors_mm, (together(structures(), whole).bodies, bones))
    assert np.mean(left) < 0.6 * np.mean(off) and max(left) < 0.5
    points = rigid.transform_points(POSE, np.concatenate([bone.bone.surface for bone in bones]))
    off_px, left_px = (
        np.linalg.norm(views[1].camera.project(points) - true[1].camera.project(points), axis=1)
        for views in (whole.views, found.views)
    )
    assert left_px.mean() < 0.6 * off_px.mean()
    assert fractions == sorted(fractions) and 0.4 < fractions[-1] <= 1
    assert np.array_equal(*(views[0].camera.camera_from_world for views in (true, found.views)))
    assert found.fit.min_similarity > 0.5


def test_exact_cameras_stay_and_so_do_those_that_nothing_ties(whole, wrong):
    for given in (bent_case().views, [wrong[0], free(wrong[1])]):
        assert corrected(whole, given) == (whole, None)


def test_false_cancels(whole, wrong):
    with pytest.raises(Cancelled):
        corrected(whole, wrong, lambda done: done.fraction < 0.41)


@pytest.mark.slow
def test_gradient_is_that_of_finite_differences(whole, wrong):
    """By the pose of the rest, of a bone, and by each correction, of cameras with free distances and principal points, too."""
    views = [replace(view, principal_point_sd_px=3.0) for view in wrong]
    bones = bones_of(structures(), anatomy())
    cameras = CameraCorrections(views, SharedUnknowns())
    pose = whole.world_from_ct
    given = objective_at(anatomy(), bones, views, pose, ties_of(bones), LEVEL, moving_rest=True)
    problem = Problem(given, cameras, given.ties)
    state = State(np.array([pose] * (1 + len(bones))), cameras.none)
    _, gradient, _ = problem.linearise(state, problem.evaluate(state))
    of_poses = np.tile(np.repeat([2e-4, 2e-2], 3), 1 + len(bones))
    small = np.append(of_poses, np.where(cameras.sd[cameras.free] < 1, 2e-4, 2e-2))
    steps = np.diag(small)[[*range(6), *range(of_poses.size - 6, len(gradient))]]
    expected = changes(cost_of(problem, state), steps) / 2
    assert_allclose(
        steps @ gradient, expected, rtol=0.05, atol=0.03 * np.abs(steps @ gradient).max()
    )
