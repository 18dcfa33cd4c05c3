"""Several bones at once: `registration.bones`, and what `assessment.bones` says of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from bent_spine import NAMES, bent, spine, xrays

from MultiViewRegistrationLib.assessment.bones import (
    motions_of,
    register_structures,
    vertebra,
)
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.imaging.structures import Structures
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.registration import bones as module
from MultiViewRegistrationLib.registration.bones import (
    LEVELS,
    Bone,
    BonesRegistration,
    Tie,
    objective_at,
    ties_of,
)
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


@pytest.fixture(scope="module")
def case():
    ct, labels = spine()
    world_from_ct = rigid.from_rotation_translation(
        rigid.exp_so3([0.05, -0.03, 0.04]), [3.0, -2.0, 5.0]
    )
    motions = bent(ct, labels)
    return (
        ct,
        Structures(NAMES, labels),
        motions,
        world_from_ct,
        xrays(ct, labels, motions, world_from_ct),
    )


@pytest.fixture(scope="module")
def whole(case):
    ct, _, _, world_from_ct, views = case
    anatomy = PreparedCT(ct)
    start = (
        rigid.from_rotation_translation(rigid.exp_so3([0.0, 0.1, 0.0]), [5.0, 5.0, -5.0])
        @ world_from_ct
    )
    return anatomy, refine(anatomy, views, start)


def errors_mm(poses, found, motions, world_from_ct) -> np.ndarray:
    """Mean distance of each bone's surface at a pose from where it is."""
    off = [
        rigid.transform_points(pose, bone.bone.surface)
        - rigid.transform_points(world_from_ct @ motion, bone.bone.surface)
        for pose, bone, motion in zip(poses, found.bones, motions, strict=True)
    ]
    return np.array([np.linalg.norm(each, axis=-1).mean() for each in off])


def test_every_vertebra_is_found_where_the_whole_ct_has_none_right(case, whole):
    _, structures, motions, world_from_ct, _ = case
    anatomy, refinement = whole
    found = register_structures(structures, anatomy, refinement, in_doubt=False)
    assert errors_mm([refinement.world_from_ct] * 4, found, motions, world_from_ct).max() > 2.0
    after = errors_mm([bone.world_from_ct for bone in found.bones], found, motions, world_from_ct)
    assert after.max() < 0.3, after
    for bone in found.bones:
        assert bone.verdict == "accept" and bone.reasons == [] and min(bone.similarity) > 0.8
        assert bone.predicted_tre_mm["upper95"] < 1.5


def test_a_mask_with_a_part_of_a_neighbour_that_moved_is_not_accepted(case, whole):
    _, structures, *_ = case
    anatomy, refinement = whole
    labels = structures.labels.copy()
    leaking = labels == 3
    leaking[: int(np.quantile(np.nonzero(leaking)[0], 0.6))] = False
    labels[leaking] = 2
    found = register_structures(Structures(NAMES, labels), anatomy, refinement, in_doubt=False)
    assert found.bones[1].verdict != "accept"
    assert "mask-of-two-bones" in [reason.code for reason in found.bones[1].reasons]
    assert "mm apart" in found.bones[1].reasons[0]


def test_progress_grows_to_the_end_and_false_cancels(case, whole):
    _, structures, _, _, _ = case
    anatomy, refinement = whole
    fractions = []
    register_structures(
        structures,
        anatomy,
        refinement,
        False,
        progress=lambda done: fractions.append(done.fraction),
    )
    assert len(fractions) > 6 and fractions == sorted(fractions) and fractions[-1] == 1
    with pytest.raises(Cancelled):
        register_structures(structures, anatomy, refinement, False, progress=lambda done: False)


def test_relative_motions_are_those_of_the_patient(case, whole):
    _, structures, motions, _, _ = case
    found = register_structures(structures, *whole, in_doubt=False)
    assert [(motion.name, motion.against) for motion in found.motions] == [
        ("T12", "L1"),
        ("L1", "L2"),
        ("L2", "L3"),
    ]
    for n, motion in enumerate(found.motions):
        true = rigid.inverse(motions[n + 1]) @ motions[n]
        assert motion.degrees == pytest.approx(np.degrees(rigid.rotation_angle(true)), abs=0.3)
        assert "degrees of" in motion.words


def test_gradient_and_hessian_are_those_of_the_cost(case, whole):
    """By central differences, the pixels that are compared staying the same.

    Gauss and Newton leave out second derivatives.
    """
    ct, structures, _, world_from_ct, views = case
    anatomy, _ = whole
    bones = [Bone(name, anatomy.attenuation(0), structures.mask(n)) for n, name in enumerate(NAMES)]
    objective = objective_at(anatomy, bones, views, world_from_ct, ties_of(bones), LEVELS[1])
    poses = [
        rigid.about(
            rigid.transform_points(world_from_ct, bone.centroid),
            rigid.exp_se3([0.01, 0, 0.01, 1, 0.5, 0]),
        )
        @ world_from_ct
        for bone in bones
    ]
    fit = objective.linearise(poses, objective.shadows(poses))
    for b, axis, step in ((0, 3, 0.05), (1, 0, 1e-3), (2, 5, 0.05), (3, 1, 1e-3)):
        costs = []
        for sign in (1, -1):
            twist = np.zeros(6)
            twist[axis] = sign * step
            moved = list(poses)
            moved[b] = module.moved(
                poses[b], twist, rigid.transform_points(poses[b], bones[b].centroid)
            )
            costs.append(objective.cost(objective.shadows(moved)))
        slope = (costs[0] - costs[1]) / (2 * step) / 2
        assert fit.gradient[6 * b + axis] == pytest.approx(slope, rel=0.05, abs=2e-5)
    assert np.allclose(fit.hessian, fit.hessian.T, rtol=1e-4, atol=1e-8)
    assert np.linalg.eigvalsh(fit.hessian).min() > -1e-6 * np.linalg.eigvalsh(fit.hessian).max()
    apart = fit.hessian[:6, 18:]  # T12 and L3 overlap in no view
    assert np.abs(apart).max() == 0 < np.abs(fit.hessian[:6, 6:12]).max()


def test_the_rest_is_rendered_where_it_is_compared_and_hardly_elsewhere(case, whole):
    """Beside the bones it is what the whole CT shows, and the fit does not depend on how much of it there is."""
    ct, structures, _, world_from_ct, views = case
    anatomy, _ = whole
    bones, level = module.bones_of(structures, anatomy), LEVELS[1]
    objective = objective_at(anatomy, bones, views, world_from_ct, ties_of(bones), level)
    everywhere = objective_at(
        anatomy,
        bones,
        views,
        world_from_ct,
        ties_of(bones),
        level._replace(settings=replace(level.settings, silhouette_mm=None)),
    )
    poses = [module.moved(world_from_ct, np.array([0, 0, 0, 8.0, 0, 0]), np.zeros(3))] * 4
    for there in ([world_from_ct] * 4, poses):
        fits = [each.linearise(there, each.shadows(there)) for each in (objective, everywhere)]
    assert fits[0].pixels < 0.6 * fits[1].pixels
    for v, view in enumerate(objective.views):
        projector = anatomy.projector(anatomy.level(objective.voxel_mm))
        true = projector.render(view.camera, world_from_ct).image
        for shadow in objective.shadows([world_from_ct] * 4)[v]:
            true[shadow.part] -= shadow.image
        compared = module._grown(objective._selected[v].mask, 1)
        assert np.abs(objective._rest[v].image - true)[compared].max() < 1e-5
        assert np.count_nonzero(objective._rest[v].image) < 0.8 * np.count_nonzero(true)
    everywhere.compare_as(objective)
    assert everywhere.cost(everywhere.shadows(poses)) == pytest.approx(
        objective.cost(objective.shadows(poses)), rel=1e-6
    )


def test_the_prior_is_differentiated_right():
    rng = np.random.default_rng(0)
    bones = [type("Any", (), {"centroid": rng.normal(size=3) * 30})() for _ in range(2)]
    objective = type("Any", (), {"bones": bones, "ties": [Tie(0, 1, rng.normal(size=3) * 20)]})()
    poses = [rigid.exp_se3(rng.normal(size=6) * [0.05, 0.05, 0.05, 2, 2, 2]) for _ in range(2)]
    gradient, hessian = np.zeros(12), np.zeros((12, 12))
    module.add_prior(objective, poses, 1.0, gradient, hessian)
    for n in range(12):
        costs = []
        for sign in (1, -1):
            twist = np.zeros(6)
            twist[n % 6] = sign * 1e-5
            moved = list(poses)
            b = n // 6
            moved[b] = module.moved(
                poses[b], twist, rigid.transform_points(poses[b], bones[b].centroid)
            )
            costs.append(module.prior_cost(objective, moved))
        assert gradient[n] == pytest.approx((costs[0] - costs[1]) / 4e-5, rel=0.03, abs=0.5)


def test_neighbours_are_the_nearest(case, whole):
    _, structures, _, _, _ = case
    anatomy, _ = whole
    bones = [Bone(NAMES[n], anatomy.attenuation(0), structures.mask(n)) for n in (2, 0, 3, 1)]
    ties = {frozenset((bones[tie.one].name, bones[tie.other].name)) for tie in ties_of(bones)}
    assert ties == {frozenset(pair) for pair in pairwise(NAMES)}


def test_a_bone_that_no_view_shows_stays_with_its_neighbours_and_is_called_not_shown(case, whole):
    ct, structures, motions, world_from_ct, views = case
    anatomy, refinement = whole
    lowest = bones_z(ct, structures, 0)
    shown = [view.xray.valid & below(view, lowest, world_from_ct) for view in views]
    cut = [
        replace(view, xray=replace(view.xray, valid=part))
        for view, part in zip(views, shown, strict=True)
    ]
    found = register_structures(structures, anatomy, replace(refinement, views=cut), in_doubt=False)
    assert (
        found.bones[0].verdict == "not shown"
        and "No X-ray shows enough of T12" in found.bones[0].reasons[0]
    )
    assert np.isfinite(found.bones[0].world_from_ct).all()
    assert (
        errors_mm([bone.world_from_ct for bone in found.bones], found, motions, world_from_ct)[
            2:
        ].max()
        < 0.4
    )


def bones_z(ct: CT, structures: Structures, n: int) -> float:
    """The lower end of a structure, CT mm."""
    k = np.argwhere(structures.mask(n))[:, 0].min()
    return float(rigid.transform_points(ct.volume.ct_from_index, np.array([0.0, 0.0, k - 2]))[2])


def below(view: View, z_mm: float, world_from_ct: np.ndarray) -> np.ndarray:
    """Pixels (rows, columns) that lie below a height of the CT."""
    line = view.camera.project(
        rigid.transform_points(world_from_ct, np.array([[0.0, 0, z_mm], [0, 0, z_mm - 30]]))
    )
    rows = np.arange(view.camera.size[1])[:, None] * np.ones(view.camera.size[0])
    return rows > line[0, 1] if line[1, 1] > line[0, 1] else rows < line[0, 1]


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
    bones = [type("Any", (), {"name": name, "surface": surface})() for name in ("L2", "L1")]
    poses = [
        np.eye(4),
        rigid.from_rotation_translation(rigid.exp_so3(np.radians(turn)), np.zeros(3)),
    ]
    found = BonesRegistration(bones, poses, None, [], [Tie(0, 1, np.zeros(3))], np.eye(4))
    (motion,) = motions_of(found)
    assert (motion.name, motion.against, motion.words) == ("L1", "L2", words)
    assert np.allclose([*motion.numbers.rotation_deg, *motion.numbers.shift_mm], [*turn, 0, 0, 0])
    front, left = np.array([0, -1.0, 0]), np.array([1.0, 0, 0])
    R = poses[1][:3, :3]
    checks = {
        "flexion": (R @ front)[2] < 0,
        "extension": (R @ front)[2] > 0,
        "bending to the left": (R @ left)[2] < 0,
    }
    checks |= {
        "turning to the left": (R @ front)[0] > 0,
        "turning to the right": (R @ front)[0] < 0,
    }
    assert checks[words.split(" degrees of ")[1].split(",")[0]]


def test_names_of_vertebrae():
    assert [
        vertebra(name) for name in ("C1", "T12", "vertebrae_L1", "L5", "radius", "L1 left")
    ] == [
        1,
        19,
        20,
        24,
        None,
        None,
    ]
