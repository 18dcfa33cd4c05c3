"""Bones with a CT each, registered together.

`registration.bones` without a rest, and `assessment.together`.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from helpers.two_bones import BONES, bone_cts, error_mm, off, poses, xrays

from MultiViewRegistrationLib.assessment.bodies import Alone
from MultiViewRegistrationLib.assessment.together import NO_EDGE, judge_together
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.registration.bone import Background, Bone, air
from MultiViewRegistrationLib.registration.optimizer import AlternativeSolution, Refinement
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.register_bones import (
    register_bones,
)


class Two(NamedTuple):
    """CTs, where they are, X-rays, and each as it is registered alone from its start."""

    cts: list[CT]
    true: list[np.ndarray]
    views: list[View]
    anatomies: list[PreparedCT]
    alone: list[Refinement]
    starts: list[np.ndarray]


@pytest.fixture(scope="module")
def two():
    cts = bone_cts()
    true = poses(cts)
    views = xrays(cts, true)
    anatomies = [PreparedCT(ct) for ct in cts]
    starts = [off(pose, ct, 4, 4, seed) for seed, (pose, ct) in enumerate(zip(true, cts))]
    alone = [refine(anatomy, views, start) for anatomy, start in zip(anatomies, starts)]
    return Two(cts, true, views, anatomies, alone, starts)


@pytest.fixture(scope="module")
def bones(two):
    return [Bone.of_ct(*each) for each in zip(BONES, two.anatomies)]


def judged(two, found):
    singly = []
    for n, (anatomy, single, start) in enumerate(zip(two.anatomies, two.alone, two.starts)):
        told = assess(anatomy, two.views, single, start)
        body = Body(two.cts[n], BONES[n], uid=f"1.2.{n}")
        singly.append(Alone(body, anatomy, single.world_from_ct, told, single.alternative))
    return judge_together(found, [NO_EDGE] * 2, singly).bodies


def together(bones, views, starts):
    return register_bones(Background(air(), starts[0]), views, bones, poses=starts)


@pytest.fixture(scope="module")
def found(two, bones):
    """Both, registered together from where each ends alone."""
    return together(bones, two.views, [each.world_from_ct for each in two.alone])


@pytest.mark.slow
def test_bones_that_overlap_end_several_times_nearer_together_than_alone(two, found):
    for ct, single, pose, truth in zip(two.cts, two.alone, found.poses, two.true):
        alone_mm = error_mm(ct, single.world_from_ct, truth)
        assert error_mm(ct, pose, truth) < min(0.02, 0.3 * alone_mm)
    for n, bone in enumerate(judged(two, found)):
        assert bone.verdict == "check" and bone.moved is None
        assert bone.ct_uid == f"1.2.{n}" and bone.predicted_tre_mm["upper95"] < 2


def test_a_bone_that_ends_elsewhere_than_alone_is_rejected(two, found):
    there = off(found.poses[0], two.cts[0], 0, 3, 1)
    first, second = judged(two, replace(found, poses=[there, found.poses[1]]))
    assert (first.verdict, second.verdict) == ("reject", "check")
    assert f"Together with the others {BONES[0]} ends 3.0 mm" in first.reasons[0]


def test_a_bone_that_x_rays_show_only_in_part_is_told_so(two, found):
    partly = replace(found, fit=replace(found.fit, shown=np.full_like(found.fit.shown, 0.55)))
    for bone in judged(two, partly):
        assert f"The X-rays show only 55 % of {bone.name}." in bone.reasons


def test_another_pose_that_fits_nearly_as_well_is_told_of_its_bone(two, found):
    rivals = None, AlternativeSolution(two.true[1], 1.05, 4.0, 2.0)
    doubtful = [replace(each, alternative=rival) for each, rival in zip(two.alone, rivals)]
    first, second = judged(two._replace(alone=doubtful), found)
    told = "Ambiguous: another pose, 4.0 mm and 2.0 degrees away, fits nearly as well (evidence ratio 1.05)."
    assert told in second.reasons and told not in first.reasons


@pytest.mark.slow
def test_bones_in_one_place_are_rejected(two, bones):
    """A bone that was taken for its like.

    Each is about where it is alone, only the two together are impossible.
    """
    again = Bone.of_ct("again", two.anatomies[0])
    near = off(two.true[0], two.cts[0], 1, 1, 2)
    starts = [two.alone[0].world_from_ct, near]
    found = together([bones[0], again], two.views, starts)
    twice = Two(*(2 * each[:1] for each in two))._replace(views=two.views)
    for bone, other in zip(judged(twice, found), ("again", BONES[0])):
        assert bone.verdict == "reject"
        assert any(f"{bone.name} overlaps {other}:" in reason for reason in bone.reasons)


def test_a_bone_that_no_view_shows_stays_and_is_rejected(two, bones):
    away = rigid.translation([0, 0, 400]) @ two.true[1]
    found = together(bones, two.views, [two.alone[0].world_from_ct, away])
    assert error_mm(two.cts[1], found.poses[1], away) < 1e-6
    assert error_mm(two.cts[0], found.poses[0], two.true[0]) < 0.1
    assert found.fit.shown[1].max() == 0
