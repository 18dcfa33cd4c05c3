"""Bones with a CT each, registered together.

`registration.bones` without a rest, and `assessment.together`.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from helpers.two_bones import BONES, bone_cts, error_mm, off, poses, xrays

from MultiViewRegistrationLib.assessment.bodies import BodyRegistration
from MultiViewRegistrationLib.assessment.checks import ambiguity
from MultiViewRegistrationLib.assessment.together import NO_EDGE, assess_together
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


def assessed(two, found):
    """Return the bones, assessed, of a registration of both."""
    singly = []
    for n, (anatomy, single, start) in enumerate(zip(two.anatomies, two.alone, two.starts)):
        assessment = assess(anatomy, two.views, single, start)
        body = Body(two.cts[n], BONES[n], uid=f"1.2.{n}")
        pose = single.world_from_ct
        singly.append(BodyRegistration(body, anatomy, pose, assessment, single.alternative))
    return assess_together(found, [NO_EDGE] * 2, singly).bodies


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
    for n, bone in enumerate(assessed(two, found)):
        assert bone.verdict == "check" and bone.moved is None
        assert bone.ct_uid == f"1.2.{n}" and bone.assessment.errors["position"].upper95_mm < 2


def test_a_bone_that_ends_elsewhere_than_alone_is_rejected(two, found):
    there = off(found.poses[0], two.cts[0], 0, 3, 1)
    first, second = assessed(two, replace(found, poses=[there, found.poses[1]]))
    assert (first.verdict, second.verdict) == ("reject", "check")
    finding = first.assessment.findings[0]
    assert (finding.code, finding.values["bone"]) == ("joint-pose-differs", BONES[0])
    assert finding.values["distance_mm"] == pytest.approx(3.0, abs=0.05)


def test_a_bone_that_x_rays_show_only_in_part_is_told_so(two, found):
    partly = replace(found, fit=replace(found.fit, shown=np.full_like(found.fit.shown, 0.55)))
    for bone in assessed(two, partly):
        (finding,) = (each for each in bone.assessment.findings if each.code == "partly-shown")
        assert finding.values["value"] == pytest.approx(0.55)


def test_another_pose_that_fits_nearly_as_well_is_told_of_its_bone(two, found):
    rivals = None, AlternativeSolution(two.true[1], 1.05, 4.0, 2.0)
    doubtful = [replace(each, alternative=rival) for each, rival in zip(two.alone, rivals)]
    first, second = assessed(two._replace(alone=doubtful), found)
    (finding,) = ambiguity(1.05, 4.0, 2.0)
    assert finding in second.assessment.findings and not first.assessment.has("ambiguous")


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
    for bone, other in zip(assessed(twice, found), ("again", BONES[0])):
        assert bone.verdict == "reject"
        (finding,) = (each for each in bone.assessment.findings if each.code == "bones-overlap")
        assert finding.values == {"bone": bone.name, "other": other}


def test_a_bone_that_no_view_shows_stays_and_is_rejected(two, bones):
    away = rigid.translation([0, 0, 400]) @ two.true[1]
    found = together(bones, two.views, [two.alone[0].world_from_ct, away])
    assert error_mm(two.cts[1], found.poses[1], away) < 1e-6
    assert error_mm(two.cts[0], found.poses[0], two.true[0]) < 0.1
    assert found.fit.shown[1].max() == 0
