"""Cameras that are not known exactly, of a spine that has bent.

`registration.register_bones`.
"""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import NAMES, POSE, START, bent, spine, together, xrays
from numpy.testing import assert_allclose
from phantom import free, misplaced

from MultiViewRegistrationLib.assessment.metrics import target_errors
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.structures import Structures
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.registration.bones import bones_of, ties_of
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, CameraCorrections
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.problem import Problem, State
from MultiViewRegistrationLib.registration.register_bones import (
    LEVEL,
    correct_cameras,
    objective_at,
)


@pytest.fixture(scope="module")
def case():
    """A bent spine whose second camera is off by 1.2 degrees and 4 mm, and says that it may be."""
    ct, labels = spine()
    motions = bent(ct, labels)
    views = xrays(ct, labels, motions, POSE)
    off = misplaced(views[1], [0.8, -0.6, 0.7], [2.0, 3.0, -1.5])
    wrong = [views[0], replace(off, rotation_sd_deg=1.0, translation_sd_mm=3.0)]
    anatomy, structures = PreparedCT(ct), Structures(NAMES, labels)
    return anatomy, structures, motions, views, wrong, refine(anatomy, wrong, START)


def errors_mm(bones, found, motions):
    errors = []
    for bone, told, motion in zip(bones, found.bodies, motions, strict=True):
        away = target_errors(told.world_from_ct, POSE @ motion, bone.surface)
        errors.append(away.mean())
    return errors


def test_bones_rest_and_camera_are_found_together(case):
    anatomy, structures, motions, views, wrong, whole = case
    bones, fractions = bones_of(structures, anatomy), []
    corrected, poses = correct_cameras(
        anatomy, structures, wrong, CALIBRATED, whole, lambda done: fractions.append(done.fraction)
    )
    before = together(structures, anatomy, whole)
    after = together(structures, anatomy, corrected, poses=poses)
    off, left = (errors_mm(bones, found, motions) for found in (before, after))
    assert np.mean(left) < 0.6 * np.mean(off) and max(left) < 0.5
    points = rigid.transform_points(POSE, np.concatenate([bone.surface for bone in bones]))
    true = views[1].camera.project(points)
    off_px, left_px = (
        np.linalg.norm(found.views[1].camera.project(points) - true, axis=1).mean()
        for found in (whole, corrected)
    )
    assert left_px < 0.6 * off_px
    assert fractions == sorted(fractions) and 0.4 < fractions[-1] <= 1
    first = corrected.views[0].camera.camera_from_world
    assert np.array_equal(first, wrong[0].camera.camera_from_world)
    assert corrected.fit.min_similarity > 0.5


def test_exact_cameras_stay_and_so_do_those_that_nothing_ties(case):
    anatomy, structures, _, views, wrong, whole = case
    for given in (views, [wrong[0], free(wrong[1])]):
        assert correct_cameras(anatomy, structures, given, CALIBRATED, whole) == (whole, None)


def test_false_cancels(case):
    anatomy, structures, _, _, wrong, whole = case
    with pytest.raises(Cancelled):
        correct_cameras(
            anatomy, structures, wrong, CALIBRATED, whole, lambda done: done.fraction < 0.41
        )


@pytest.mark.slow
def test_gradient_is_that_of_finite_differences(case):
    """By the pose of the rest, of a bone, and by each correction, of cameras with free distances and principal points, too."""
    anatomy, structures, _, _, wrong, whole = case
    views = [replace(view, principal_point_sd_px=3.0) for view in wrong]
    bones, cameras = bones_of(structures, anatomy), CameraCorrections(views, SharedUnknowns())
    pose = whole.world_from_ct
    given = objective_at(anatomy, bones, views, pose, ties_of(bones), LEVEL, moving_rest=True)
    problem = Problem(given, cameras, given.ties)
    state = State(np.array([pose] * (1 + len(bones))), cameras.none)
    _, gradient, _ = problem.linearise(state, problem.evaluate(state))

    def cost(twist):
        trial = problem.moved(state, twist)
        return problem.cost(trial, problem.evaluate(trial))

    of_poses = np.tile(np.repeat([2e-4, 2e-2], 3), 1 + len(bones))
    small = np.append(of_poses, np.where(cameras.sd[cameras.free] < 1, 2e-4, 2e-2))
    numbers = [*range(6), *range(of_poses.size - 6, len(gradient))]
    twists = np.diag(small)[numbers]
    expected = [(cost(twist) - cost(-twist)) / 4 for twist in twists]  # of half the cost
    found = twists @ gradient
    assert_allclose(found, expected, rtol=0.05, atol=0.03 * np.abs(found).max())
