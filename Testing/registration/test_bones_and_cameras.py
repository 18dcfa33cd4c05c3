"""Cameras that are not known exactly, of a spine that has bent.

`registration.bones_and_cameras`.
"""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import NAMES, POSE, START, bent, spine, xrays

from MultiViewRegistrationLib.assessment.bones import register_structures
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.structures import Structures
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.registration.bones import bones_of, objective_at, ties_of
from MultiViewRegistrationLib.registration.bones_and_cameras import (
    LEVEL,
    _Problem,
    _State,
    correct_cameras,
)
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, CameraCorrections
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


@pytest.fixture(scope="module")
def case():
    """A bent spine whose second camera is off by 1.2 degrees and 4 mm, and says that it may be."""
    ct, labels = spine()
    motions = bent(ct, labels)
    views = xrays(ct, labels, motions, POSE)
    off = rigid.from_rotation_translation(
        rigid.exp_so3(np.radians([0.8, -0.6, 0.7])), [2.0, 3.0, -1.5]
    )
    moved = replace(views[1].camera, camera_from_world=views[1].camera.camera_from_world @ off)
    wrong = [views[0], replace(views[1], camera=moved, rotation_sd_deg=1.0, translation_sd_mm=3.0)]
    anatomy, structures = PreparedCT(ct), Structures(NAMES, labels)
    return anatomy, structures, motions, views, wrong, refine(anatomy, wrong, START)


def errors_mm(bones, poses, motions):
    return [
        np.linalg.norm(
            rigid.transform_points(pose, bone.surface)
            - rigid.transform_points(POSE @ motion, bone.surface),
            axis=1,
        ).mean()
        for bone, pose, motion in zip(bones, poses, motions, strict=True)
    ]


def test_bones_rest_and_camera_are_found_together(case):
    anatomy, structures, motions, views, wrong, whole = case
    bones, fractions = bones_of(structures, anatomy), []
    corrected, poses = correct_cameras(
        anatomy, structures, wrong, CALIBRATED, whole, lambda done: fractions.append(done.fraction)
    )
    before = register_structures(structures, anatomy, whole, False)
    after = register_structures(structures, anatomy, corrected, False, poses=poses)
    mm = [
        errors_mm(bones, [bone.world_from_ct for bone in found.bones], motions)
        for found in (before, after)
    ]
    assert np.mean(mm[1]) < 0.6 * np.mean(mm[0]) and max(mm[1]) < 0.5, mm
    points = rigid.transform_points(POSE, np.concatenate([bone.surface for bone in bones]))
    pixels = [
        np.linalg.norm(
            registered.views[1].camera.project(points) - views[1].camera.project(points), axis=1
        ).mean()
        for registered in (whole, corrected)
    ]
    assert pixels[1] < 0.6 * pixels[0], pixels
    assert fractions == sorted(fractions) and 0.4 < fractions[-1] <= 1
    assert corrected.views[0].camera is wrong[0].camera or np.array_equal(
        corrected.views[0].camera.camera_from_world, wrong[0].camera.camera_from_world
    )
    assert corrected.fit.min_similarity > 0.5


def test_exact_cameras_stay_and_so_do_those_that_nothing_ties(case):
    anatomy, structures, _, views, wrong, whole = case
    assert correct_cameras(anatomy, structures, views, CALIBRATED, whole) == (whole, None)
    untied = [wrong[0], replace(wrong[1], rotation_sd_deg=None, translation_sd_mm=None)]
    assert correct_cameras(anatomy, structures, untied, CALIBRATED, whole) == (whole, None)


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
    given = objective_at(anatomy, bones, views, pose, ties_of(bones), LEVEL)
    step = _Problem(anatomy, given, cameras)
    state = _State(pose, [pose] * len(bones), cameras.none)
    here = step._at(state)
    shadows = here.shadows(state.poses)
    fit, gradient, _ = step._linearised(here, shadows, state)

    def cost(twist):
        trial = step.moved(state, twist)
        there = step._at(trial)
        there.compare_as(here)
        return there.cost(there.shadows(trial.poses))

    small = np.concatenate(
        [
            np.tile(np.repeat([2e-4, 2e-2], 3), 1 + len(bones)),
            np.where(cameras.sd[cameras.free] < 1, 2e-4, 2e-2),
        ]
    )
    numbers = [*range(12), *range(6 + 6 * len(bones), len(gradient))]
    expected = []
    for n in numbers:
        twist = np.zeros(len(gradient))
        twist[n] = small[n]
        expected.append((cost(twist) - cost(-twist)) / (4 * small[n]))  # of half the cost
    scale = small[numbers]
    found = gradient[numbers]
    np.testing.assert_allclose(
        found * scale,
        np.array(expected) * scale,
        rtol=0.05,
        atol=0.03 * np.abs(found * scale).max(),
    )
