"""Several bones at once: `registration.bones`, and what `assessment.bodies` says of them."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from bent_spine import NAMES, POSE, START, bent, spine, together, xrays
from phantom import masked

from MultiViewRegistrationLib.assessment.bodies import Alone, register_together
from MultiViewRegistrationLib.assessment.neighbours import motions_of, vertebra
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.imaging.structures import Structures
from MultiViewRegistrationLib.registration import bones as module
from MultiViewRegistrationLib.registration.bones import Tie, ties_of
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.problem import add_prior, moved, prior_cost
from MultiViewRegistrationLib.registration.register_bones import (
    LEVELS,
    BonesRegistration,
    objective_at,
)


@pytest.fixture(scope="module")
def case():
    ct, labels = spine()
    motions = bent(ct, labels)
    return Structures(NAMES, labels), motions, xrays(ct, labels, motions, POSE)


@pytest.fixture(scope="module")
def whole(case):
    anatomy = PreparedCT(spine()[0])
    return anatomy, refine(anatomy, case[2], START)


@pytest.fixture(scope="module")
def found(case, whole):
    """The bones, and how far their registration said it was."""
    fractions = []
    told = together(case[0], *whole, progress=lambda done: fractions.append(done.fraction))
    return told, fractions


def errors_mm(poses, found, motions) -> np.ndarray:
    """Mean distance of each bone's surface at a pose from where it is."""
    off = []
    for pose, bone, motion in zip(poses, found.bodies, motions, strict=True):
        there = rigid.transform_points(POSE @ motion, bone.bone.surface)
        off.append(rigid.transform_points(pose, bone.bone.surface) - there)
    return np.array([np.linalg.norm(each, axis=-1).mean() for each in off])


def poses_of(found):
    return [bone.world_from_ct for bone in found.bodies]


def test_every_vertebra_is_found_where_the_whole_ct_has_none_right(case, whole, found):
    _, motions, _ = case
    told, _ = found
    assert errors_mm([whole[1].world_from_ct] * 4, told, motions).max() > 2.0
    assert errors_mm(poses_of(told), told, motions).max() < 0.3
    for bone in told.bodies:
        assert (
            bone.verdict == "accept" and bone.reasons == [] and min(bone.similarity.values()) > 0.8
        )
        assert bone.predicted_tre_mm["upper95"] < 1.5


def test_a_mask_with_a_part_of_a_neighbour_that_moved_is_not_accepted(case, whole):
    labels = case[0].labels.copy()
    leaking = labels == 3
    leaking[: int(np.quantile(np.nonzero(leaking)[0], 0.6))] = False
    labels[leaking] = 2
    bone = together(Structures(NAMES, labels), *whole).bodies[1]
    assert bone.verdict != "accept" and "mm apart" in bone.reasons[0]
    assert "mask-of-two-bones" in [reason.code for reason in bone.reasons]


def test_progress_grows_to_the_end_and_false_cancels(case, whole, found):
    _, fractions = found
    assert len(fractions) > 6 and fractions == sorted(fractions) and fractions[-1] == 1
    with pytest.raises(Cancelled):
        together(case[0], *whole, progress=lambda done: False)


def test_relative_motions_are_those_of_the_patient(case, found):
    _, motions, _ = case
    told = found[0].motions
    assert [(motion.name, motion.against) for motion in told] == list(pairwise(NAMES))
    for n, motion in enumerate(told):
        true = rigid.inverse(motions[n + 1]) @ motions[n]
        assert motion.degrees == pytest.approx(np.degrees(rigid.rotation_angle(true)), abs=0.3)
        assert "degrees of" in motion.words


def test_motions_are_off_as_much_as_is_said_of_noisy_x_rays(case):
    """Turns against each other, over their medians and bounds."""
    structures, motions, _ = case
    ct, labels = spine()
    anatomy = PreparedCT(ct)
    views = xrays(ct, labels, motions, POSE, noise=0.05)
    registered = refine(anatomy, views, POSE)
    judged = assess(anatomy, views, registered, POSE)
    alone = Alone(Body(ct, bones=structures), anatomy, registered.world_from_ct, judged)
    told = register_together([alone], registered.views)
    off = []
    for (upper, lower), motion, true in zip(
        pairwise(poses_of(told)), told.motions, pairwise(motions), strict=True
    ):
        error = rigid.inverse(lower) @ upper @ rigid.inverse(true[0]) @ true[1]
        off.append(np.degrees(rigid.rotation_angle(error)) / motion.error_deg)
    assert 0.4 < np.median(off, axis=0)[0] < 1.5
    assert np.max(off, axis=0)[1] < 1


def turned(bones, poses, b: int, axis: int, step: float):
    """The poses, one of them turned or shifted about its bone's middle."""
    centre = rigid.transform_points(poses[b], bones[b].centroid)
    there = moved(poses[b], step * np.eye(6)[axis], centre)
    return [*poses[:b], there, *poses[b + 1 :]]


@pytest.fixture(scope="module")
def objective(case, whole):
    structures, _, views = case
    bones = module.bones_of(structures, whole[0])
    return objective_at(whole[0], bones, views, POSE, ties_of(bones), LEVELS[1])


def test_gradient_and_hessian_are_those_of_the_cost(objective):
    """By central differences, the pixels that are compared staying the same.

    Gauss and Newton leave out second derivatives.
    """
    bones, off = objective.bones, rigid.exp_se3([0.01, 0, 0.01, 1, 0.5, 0])
    centres = [rigid.transform_points(POSE, bone.centroid) for bone in bones]
    poses = [rigid.about(centre, off) @ POSE for centre in centres]
    fit = objective.linearise(poses, objective.shadows(poses))
    for b, axis, step in ((0, 3, 0.05), (1, 0, 1e-3), (2, 5, 0.05), (3, 1, 1e-3)):
        ends = [turned(bones, poses, b, axis, sign * step) for sign in (1, -1)]
        ahead, behind = (objective.cost(objective.shadows(end)) for end in ends)
        slope = (ahead - behind) / (2 * step) / 2
        assert fit.gradient[6 * b + axis] == pytest.approx(slope, rel=0.05, abs=2e-5)
    assert np.allclose(fit.hessian, fit.hessian.T, rtol=1e-4, atol=1e-8)
    least, *_, most = np.linalg.eigvalsh(fit.hessian)
    assert least > -1e-6 * most
    apart = fit.hessian[:6, 18:]  # T12 and L3 overlap in no view
    assert np.abs(apart).max() == 0 < np.abs(fit.hessian[:6, 6:12]).max()


def test_the_rest_is_rendered_where_it_is_compared_and_hardly_elsewhere(whole, objective):
    """Beside the bones it is what the whole CT shows."""
    anatomy, there = whole[0], [POSE] * 4
    objective.linearise(there, objective.shadows(there))
    for v, view in enumerate(objective.views):
        projector = anatomy.projector(anatomy.level(objective.voxel_mm))
        true = projector.render(view.camera, POSE).image
        for shadow in objective.shadows(there)[v]:
            true[shadow.part] -= shadow.image
        compared = module._grown(objective._selected[v].mask, 1)
        assert np.abs(objective._rest[v].image - true)[compared].max() < 1e-5
        assert np.count_nonzero(objective._rest[v].image) < 0.8 * np.count_nonzero(true)


def test_the_prior_is_differentiated_right():
    rng = np.random.default_rng(0)
    bones = [SimpleNamespace(centroid=rng.normal(size=3) * 30) for _ in range(2)]
    ties = [Tie(0, 1, rng.normal(size=3) * 20)]
    poses = [rigid.exp_se3(rng.normal(size=6) * [0.05, 0.05, 0.05, 2, 2, 2]) for _ in range(2)]
    gradient, hessian = np.zeros(12), np.zeros((12, 12))
    pivots = [
        rigid.transform_points(pose, bone.centroid) for pose, bone in zip(poses, bones, strict=True)
    ]
    add_prior(ties, poses, pivots, 1.0, gradient, hessian)
    for n in range(12):
        ends = [turned(bones, poses, *divmod(n, 6), sign * 1e-5) for sign in (1, -1)]
        ahead, behind = (prior_cost(ties, end) for end in ends)
        assert gradient[n] == pytest.approx((ahead - behind) / 4e-5, rel=0.03, abs=0.5)


def test_neighbours_are_the_nearest(objective):
    bones = [objective.bones[n] for n in (2, 0, 3, 1)]
    ties = {frozenset((bones[tie.one].name, bones[tie.other].name)) for tie in ties_of(bones)}
    assert ties == {frozenset(pair) for pair in pairwise(NAMES)}


def test_a_bone_that_no_view_shows_stays_with_its_neighbours_and_is_called_not_shown(
    case, whole, found
):
    structures, motions, views = case
    anatomy, refinement = whole
    surface = found[0].bodies[0].bone.surface
    cut = []
    for view in views:
        lowest = view.camera.project(rigid.transform_points(POSE, surface))[:, 1].max() + 3
        cut.append(masked(view, np.arange(view.camera.size[1])[:, None] > lowest))
    told = together(structures, anatomy, replace(refinement, views=cut))
    first = told.bodies[0]
    assert first.verdict == "not shown" and np.isfinite(first.world_from_ct).all()
    assert "No X-ray shows enough of T12" in first.reasons[0]
    assert errors_mm(poses_of(told), told, motions)[2:].max() < 0.4


def test_a_bone_of_which_one_view_shows_enough_may_have_a_right_overlay_and_no_place_in_the_room(
    case, whole
):
    structures, _, views = case
    anatomy, registered = whole
    judged = assess(anatomy, views, registered, START)
    camera = views[1].camera
    middle = camera.project(rigid.transform_points(POSE, [[0.0, 0.0, 58.0]]))[0, 1]
    cut = masked(views[1], np.arange(camera.size[1])[:, None] > middle)
    alone = Alone(Body(spine()[0], bones=structures), anatomy, registered.world_from_ct, judged)
    first = register_together([alone], [registered.views[0], cut]).bodies[0]
    assert (first.overlay, first.room) == ("accept", "check")
    assert [reason.code for reason in first.reasons] == ["one-view"]


@pytest.mark.parametrize(
    "turn, words",
    [
        ([4, 0, 0], "4.0 degrees of flexion"),
        ([-4, 0, 0], "4.0 degrees of extension"),
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
    found = BonesRegistration(bones, poses, None, [], [Tie(0, 1, np.zeros(3))], np.eye(4))
    (motion,) = motions_of(found)
    assert (motion.name, motion.against, motion.words) == ("L1", "L2", words)
    assert np.allclose([*motion.numbers.rotation_deg, *motion.numbers.shift_mm], [*turn, 0, 0, 0])


@pytest.mark.parametrize(
    "name, number",
    [("C1", 1), ("T12", 19), ("vertebrae_L1", 20), ("L5", 24), ("radius", None), ("L1 left", None)],
)
def test_names_of_vertebrae(name, number):
    assert vertebra(name) == number
