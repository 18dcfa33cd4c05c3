"""Several bones at once, also from a level off and by wrong cameras: `registration.register_bones`, and what is said of them."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.bent_spine import (
    NAMES,
    POSE,
    START,
    anatomy,
    background,
    bent_case,
    errors_mm,
    structures,
    together,
    unbent_views,
    xrays,
)
from helpers.finite_differences import changes, cost_of, half_cost
from helpers.phantom import free, misplaced
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.assessment.joint_motion import motions_of, vertebra
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.imaging.xray import CALIBRATED, SharedUnknowns
from MultiViewRegistrationLib.registration import register_bones as registering
from MultiViewRegistrationLib.registration.cameras import CameraCorrections
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.problem import (
    Problem,
    State,
    Tie,
    add_prior,
    beside_neighbours,
    moved,
    prior_cost,
)
from MultiViewRegistrationLib.registration.register_bones import (
    LEVEL,
    LEVELS,
    correct_cameras,
    found_again_mm,
    objective_at,
    other_levels,
    register_bones,
)


@pytest.fixture(scope="module")
def whole():
    return refine(anatomy(), bent_case().views, START)


@pytest.mark.slow
def test_each_vertebra_of_a_bent_spine_is_registered(whole):
    assessment = assess(anatomy(), bent_case().views, whole, START)
    bones = together(structures(), whole, assessment).bodies
    assert max(errors_mm(bones, [whole.world_from_ct] * 4)) > 2.0
    assert max(errors_mm(bones)) < 0.3
    for bone in bones:
        assert (bone.verdict, bone.assessment.findings) == ("accept", ())
        assert min(bone.similarity.values()) > 0.8
        assert bone.assessment.errors["position"].upper95_mm < 1.5


@pytest.mark.slow
def test_a_mask_with_a_part_of_a_neighbour_that_moved_is_not_accepted(whole):
    labels = bent_case().labels.copy()
    leaking = labels == 3
    leaking[: int(np.quantile(np.nonzero(leaking)[0], 0.6))] = False
    labels[leaking] = 2
    bone = together(Structures(NAMES, labels), whole).bodies[1]
    assert bone.verdict != "accept" and bone.assessment.has("mask-of-two-bones")


@pytest.mark.slow
def test_rejected_bone_is_registered_again_from_its_neighbours_pose(whole):
    """The start of the last bone is outside the capture range of the finest level."""
    away = rigid.translation([0.0, 30.0, -30.0]) @ whole.world_from_ct
    starts = [*[whole.world_from_ct] * 3, away]
    fractions = []
    told = together(
        structures(), whole, poses=starts, progress=lambda done: fractions.append(done.fraction)
    )
    assert max(errors_mm(told.bodies)) < 0.3
    assert {bone.verdict for bone in told.bodies} == {"accept"}
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_lost_bodies_begin_at_the_nearest_one_along_the_ties():
    chain = [Tie(n, n + 1, np.zeros(3)) for n in range(4)]
    poses = [rigid.translation([n, 0.0, 0.0]) for n in range(5)]
    begun = beside_neighbours(poses, {0, 2, 3}, chain)
    assert [pose[0, 3] for pose in begun] == [1, 1, 1, 4, 4]


@pytest.mark.slow
def test_motions_are_off_as_much_as_is_said_of_noisy_x_rays():
    """Turns against each other, over their medians and bounds."""
    ct, labels, motions, _ = bent_case()
    views = xrays(ct, labels, motions, POSE, noise=0.05)
    registered = refine(anatomy(), views, POSE)
    told = together(structures(), registered, assess(anatomy(), views, registered, POSE))
    poses, off = [bone.world_from_ct for bone in told.bodies], []
    for (upper, lower), motion, true in zip(
        pairwise(poses), told.motions, pairwise(motions), strict=True
    ):
        error = rigid.inverse(lower) @ upper @ rigid.inverse(true[0]) @ true[1]
        off.append(np.degrees(rigid.rotation_angle(error)) / np.array(motion.error_deg))
    assert 0.4 < np.median(off, axis=0)[0] < 1.5
    assert np.max(off, axis=0)[1] < 1


@pytest.fixture(scope="module")
def objective():
    return objective_at(background(), bent_case().views, LEVELS[1])


def test_gradient_and_hessian_are_those_of_the_cost(objective):
    """The pixels that are compared staying the same. Gauss and Newton leave out second derivatives."""
    off = rigid.exp_se3([0.01, 0, 0.01, 1, 0.5, 0])
    poses = [rigid.about(pivot, off) @ POSE for pivot in objective.pivots([POSE] * 4)]
    fit = objective.linearise(poses, objective.shadows(poses))
    steps = np.diag(np.tile([1e-3, 1e-3, 1e-3, 0.05, 0.05, 0.05], 4))[[3, 6, 17, 19]]
    found = changes(half_cost(objective, poses), steps)
    assert found == pytest.approx(steps @ fit.gradient, rel=0.05, abs=1e-6)
    assert np.allclose(fit.hessian, fit.hessian.T, rtol=1e-4, atol=1e-8)
    least, *_, most = np.linalg.eigvalsh(fit.hessian)
    assert least > -1e-6 * most
    apart = fit.hessian[:6, 18:]  # T12 and L3 overlap in no view
    assert np.abs(apart).max() == 0 < np.abs(fit.hessian[:6, 6:12]).max()


def test_the_prior_is_differentiated_right():
    rng = np.random.default_rng(0)
    pivots = rng.normal(size=(2, 3)) * 30
    ties = [Tie(0, 1, rng.normal(size=3) * 20)]
    poses = [rigid.exp_se3(rng.normal(size=6) * [0.05, 0.05, 0.05, 2, 2, 2]) for _ in range(2)]
    gradient = np.zeros(12)
    add_prior(ties, poses, pivots, 1.0, gradient, np.zeros((12, 12)))

    def half(twists):
        each = zip(poses, twists.reshape(2, 6), pivots, strict=True)
        return prior_cost(ties, [moved(*one) for one in each]) / 2

    steps = 1e-5 * np.eye(12)
    assert changes(half, steps) == pytest.approx(steps @ gradient, rel=0.03, abs=5e-6)


@pytest.mark.parametrize(
    "turn, words",
    [
        ([0, 3, 0], "3.0 degrees of bending to the left"),
        ([0, 0, -2], "2.0 degrees of turning to the right"),
        ([1, 0.2, 2], "2.0 degrees of turning to the left, 1.0 degrees of flexion"),
    ],
)
def test_words(turn, words):
    """In LPS: in flexion the front of the upper vertebra goes down, in bending to the left its left side does, and in turning to the left
    its front goes left."""
    ends = np.diag([20.0, 15.0, 10.0])
    surface = np.concatenate([ends, -ends])
    bones = [SimpleNamespace(name=name, surface=surface) for name in ("L2", "L1")]
    poses = [np.eye(4), rigid.exp_se3([*np.radians(turn), 0, 0, 0])]
    found = SimpleNamespace(bones=bones, poses=poses, ties=[Tie(0, 1, np.zeros(3))])
    (motion,) = motions_of(found)
    assert (motion.name, motion.against, motion.words) == ("L1", "L2", words)
    assert np.allclose([*motion.numbers.rotation_deg, *motion.numbers.shift_mm], [*turn, 0, 0, 0])


@pytest.mark.parametrize(
    "name, number",
    [("T12", 19), ("vertebrae_L1", 20), ("radius", None), ("L1 left", None)],
)
def test_names_of_vertebrae(name, number):
    assert vertebra(name) == number


NUMBERS = [vertebra(name) for name in NAMES]


def registered(views):
    return register_bones(background(), views)


@pytest.fixture(scope="module")
def unbent():
    return registered(unbent_views())


def test_bones_that_x_rays_show_are_found_again(unbent):
    before = [pose.copy() for pose in unbent.poses]
    assert found_again_mm(unbent).max() < 0.3
    assert np.array_equal(unbent.poses, before)


@pytest.mark.slow
def test_what_x_rays_leave_open_is_not():
    """Images of noise have minima everywhere."""
    rng, noise = np.random.default_rng(3), []
    for view in unbent_views():
        image = rng.normal(size=view.xray.line_integrals.shape).astype(np.float32)
        noise.append(view.with_xray(line_integrals=image))
    assert found_again_mm(registered(noise)).min() > 1


def test_vertebrae_that_are_right_fit_worse_one_level_further(unbent):
    others = other_levels(unbent, NUMBERS)
    assert np.min(others) > 1.3, others


def test_vertebrae_that_are_a_level_too_low_fit_better_one_level_up(unbent):
    step = unbent.world_from_ct[:3, :3] @ (unbent.bones[1].centroid - unbent.bones[0].centroid)
    lower = [rigid.translation(step) @ pose for pose in unbent.poses]
    up, _ = other_levels(replace(unbent, poses=lower), NUMBERS)
    assert up.max() < 0.8, up


def test_a_bone_that_comes_back_has_no_other_place(unbent, monkeypatch):
    """From so near that it is unbent again."""
    monkeypatch.setattr(registering, "ELSEWHERE_MM", 3.0)
    assert np.isinf(other_levels(unbent, [None] * 4)).all()


@pytest.fixture(scope="module")
def wrong():
    """The second camera is off by 1.2 degrees and 4 mm, and says that it may be."""
    first, second = bent_case().views
    off = misplaced(second, [0.8, -0.6, 0.7], [2.0, 3.0, -1.5])
    return [first, replace(off, rotation_sd_deg=1.0, translation_sd_mm=3.0)]


@pytest.fixture(scope="module")
def misled(wrong):
    return refine(anatomy(), wrong, START)


def corrected(misled, views, *more):
    return correct_cameras(anatomy(), structures(), views, CALIBRATED, misled, *more)


@pytest.mark.slow
def test_joint_registration_corrects_bones_and_camera(misled, wrong):
    true, fractions = bent_case().views, []
    found, poses = corrected(misled, wrong, lambda done: fractions.append(done.fraction))
    bones = together(structures(), found, poses=poses).bodies
    off, left = map(errors_mm, (together(structures(), misled).bodies, bones))
    assert np.mean(left) < 0.6 * np.mean(off) and max(left) < 0.5
    points = rigid.transform_points(POSE, np.concatenate([bone.bone.surface for bone in bones]))
    off_px, left_px = (
        np.linalg.norm(views[1].camera.project(points) - true[1].camera.project(points), axis=1)
        for views in (misled.views, found.views)
    )
    assert left_px.mean() < 0.6 * off_px.mean()
    assert fractions == sorted(fractions) and 0.4 < fractions[-1] <= 1
    assert np.array_equal(*(views[0].camera.camera_from_world for views in (true, found.views)))
    assert found.fit.min_similarity > 0.5


def test_exact_cameras_stay_and_so_do_those_that_nothing_ties(misled, wrong):
    for given in (bent_case().views, [wrong[0], free(wrong[1])]):
        assert corrected(misled, given) == (misled, None)


def test_false_cancels(misled, wrong):
    with pytest.raises(Cancelled):
        corrected(misled, wrong, lambda done: done.fraction < 0.41)


@pytest.mark.slow
def test_gradient_is_that_of_finite_differences(misled, wrong):
    """By the pose of the rest, of a bone, and by each correction, of cameras with free distances and principal points, too."""
    views = [replace(view, principal_point_sd_px=3.0) for view in wrong]
    cameras = CameraCorrections(views, SharedUnknowns())
    pose = misled.world_from_ct
    behind = background(pose)
    given = objective_at(behind._replace(moves=True), views, LEVEL)
    problem = Problem(given, cameras, given.ties)
    bones = behind.bones
    state = State(np.array([pose] * (1 + len(bones))), cameras.none)
    _, gradient, _ = problem.linearise(state, problem.evaluate(state))
    of_poses = np.tile(np.repeat([2e-4, 2e-2], 3), 1 + len(bones))
    small = np.append(of_poses, np.where(cameras.sd[cameras.free] < 1, 2e-4, 2e-2))
    steps = np.diag(small)[[*range(6), *range(of_poses.size - 6, len(gradient))]]
    expected = changes(cost_of(problem, state), steps) / 2
    assert_allclose(
        steps @ gradient, expected, rtol=0.05, atol=0.03 * np.abs(steps @ gradient).max()
    )
