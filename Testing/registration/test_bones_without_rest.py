"""Bones with a CT each, registered together.

`registration.bones` without a rest, and `assessment.bodies`.
"""

from dataclasses import replace

import numpy as np
import pytest
from two_bones import BONES, bone_cts, error_mm, off, poses, xrays

from MultiViewRegistrationLib.assessment.bodies import NO_EDGE, Alone, judge_together
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration.bones import Bone
from MultiViewRegistrationLib.registration.pipeline import AlternativeSolution, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.problem import moved
from MultiViewRegistrationLib.registration.register_bones import (
    LEVELS_WITHOUT_REST,
    objective_at,
    register_bones,
)


@pytest.fixture(scope="module")
def two():
    """CTs, where they are, X-rays, and each as it is registered alone."""
    cts = bone_cts()
    true = poses(cts)
    views, anatomies = xrays(cts, true), [PreparedCT(ct) for ct in cts]
    starts = [
        off(pose, ct, 4, 4, seed) for seed, (pose, ct) in enumerate(zip(true, cts, strict=True))
    ]
    alone = [
        refine(anatomy, views, start) for anatomy, start in zip(anatomies, starts, strict=True)
    ]
    return cts, true, views, anatomies, alone, starts


@pytest.fixture(scope="module")
def bones(two):
    return [Bone.of_ct(name, anatomy) for name, anatomy in zip(BONES, two[3], strict=True)]


def judged(two, found):
    cts, _, views, anatomies, alone, starts = two
    singly = []
    for n, (anatomy, single, start) in enumerate(zip(anatomies, alone, starts, strict=True)):
        told = assess(anatomy, views, single, start)
        body = Body(cts[n], BONES[n], uid=f"1.2.{n}")
        singly.append(Alone(body, anatomy, single.world_from_ct, told, single.alternative))
    return judge_together(found, views, [NO_EDGE] * len(cts), singly).bodies


@pytest.fixture(scope="module")
def found(two, bones):
    """Both, registered together from where each ends alone."""
    return register_bones(None, bones, two[2], [each.world_from_ct for each in two[4]])


def test_bones_that_overlap_end_several_times_nearer_together_than_alone(two, found):
    cts, true, _, _, alone, _ = two
    for ct, single, pose, truth in zip(cts, alone, found.poses, true, strict=True):
        alone_mm = error_mm(ct, single.world_from_ct, truth)
        assert error_mm(ct, pose, truth) < min(0.02, 0.3 * alone_mm)
    for n, bone in enumerate(judged(two, found)):
        assert bone.verdict == "check" and bone.moved is None
        assert bone.ct_uid == f"1.2.{n}" and bone.predicted_tre_mm["upper95"] < 2


def test_gradient_is_that_of_the_cost_and_a_cut_end_is_not_compared(two):
    """By central differences. The first bone's CT ends within it."""
    (first, second), true, views, *_ = two
    values = first.volume.values[:, :, : first.volume.values.shape[2] // 2]
    half = CT(Volume(values, first.volume.ct_from_index), "relative")
    bones = [Bone.of_ct(*each) for each in zip(BONES, map(PreparedCT, (half, second)))]
    assert bones[0].cut.any() and not bones[1].cut.any()
    poses = [off(pose, ct, 1, 1, 7) for pose, ct in zip(true, (first, second))]
    level = LEVELS_WITHOUT_REST[1]
    objective = objective_at(None, bones, views, poses, [], level)
    fit = objective.linearise(poses, objective.shadows(poses))
    assert fit.shown[0].min() < 0.99
    for b, axis, step in ((0, 3, 0.02), (0, 2, 2e-3), (1, 5, 0.02), (1, 0, 2e-3)):
        costs = []
        for way in (step, -step):
            trial, pivot = list(poses), rigid.transform_points(poses[b], bones[b].centroid)
            trial[b] = moved(poses[b], way * np.eye(6)[axis], pivot)
            costs.append(objective.cost(objective.shadows(trial)))
        slope = (costs[0] - costs[1]) / (2 * step) / 2
        assert fit.gradient[6 * b + axis] == pytest.approx(slope, rel=0.08, abs=2e-4)


def test_a_bone_that_ends_elsewhere_than_alone_is_rejected(two, found):
    there = off(found.poses[0], two[0][0], 0, 3, 1)
    first, second = judged(two, replace(found, poses=[there, found.poses[1]]))
    assert (first.verdict, second.verdict) == ("reject", "check")
    assert f"Together with the others {BONES[0]} ends 3.0 mm" in first.reasons[0]


def test_a_bone_that_x_rays_show_only_in_part_is_told_so(two, found):
    partly = replace(found, fit=replace(found.fit, shown=np.full_like(found.fit.shown, 0.55)))
    for bone in judged(two, partly):
        assert f"The X-rays show only 55 % of {bone.name}." in bone.reasons


def test_another_pose_that_fits_nearly_as_well_is_told_of_its_bone(two, found):
    cts, true, views, anatomies, alone, starts = two
    rival = AlternativeSolution(true[1], 1.05, 4.0, 2.0)
    doubtful = [replace(alone[0], alternative=None), replace(alone[1], alternative=rival)]
    first, second = judged((cts, true, views, anatomies, doubtful, starts), found)
    told = "Ambiguous: another pose, 4.0 mm and 2.0 degrees away, fits nearly as well (evidence ratio 1.05)."
    assert told in second.reasons and told not in first.reasons


def test_bones_in_one_place_are_rejected(two, bones):
    """A bone that was taken for its like.

    Each is about where it is alone, only the two together are impossible.
    """
    cts, true, views, anatomies, alone, starts = two
    again = Bone.of_ct("again", anatomies[0])
    found = register_bones(
        None, [bones[0], again], views, [alone[0].world_from_ct, off(true[0], cts[0], 1, 1, 2)]
    )
    twice = cts[:1] * 2, true, views, anatomies[:1] * 2, alone[:1] * 2, starts[:1] * 2
    for bone, other in zip(judged(twice, found), ("again", BONES[0]), strict=True):
        assert bone.verdict == "reject"
        assert any(f"{bone.name} overlaps {other}:" in reason for reason in bone.reasons)


def test_a_bone_that_no_view_shows_stays_and_is_rejected(two, bones):
    cts, true, views, _, alone, _ = two
    away = true[1].copy()
    away[2, 3] += 400
    found = register_bones(None, bones, views, [alone[0].world_from_ct, away])
    assert error_mm(cts[1], found.poses[1], away) < 1e-6
    assert error_mm(cts[0], found.poses[0], true[0]) < 0.1
    assert found.fit.shown[1].max() == 0
