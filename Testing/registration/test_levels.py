"""Vertebrae one level up or down: `registration.register_bones`."""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import NAMES, POSE, anatomy, structures, unbent_views

from MultiViewRegistrationLib.assessment.neighbours import vertebra
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration import register_bones as registering
from MultiViewRegistrationLib.registration.bone import bones_of
from MultiViewRegistrationLib.registration.register_bones import other_levels, register_bones

NUMBERS = [vertebra(name) for name in NAMES]


@pytest.fixture(scope="module")
def found():
    return register_bones(anatomy(), bones_of(structures(), anatomy()), unbent_views(), POSE)


def test_vertebrae_that_are_right_fit_worse_one_level_further(found):
    up, down = other_levels(found, NUMBERS)
    assert up.up and not down.up
    assert min(up.unlikeness.min(), down.unlikeness.min()) > 1.3, (up.unlikeness, down.unlikeness)


def test_vertebrae_that_are_a_level_too_low_fit_better_one_level_up(found):
    step = found.world_from_ct[:3, :3] @ (found.bones[1].centroid - found.bones[0].centroid)
    lower = [rigid.translation(step) @ pose for pose in found.poses]
    up, _ = other_levels(replace(found, poses=lower), NUMBERS)
    assert up.unlikeness.max() < 0.8, up.unlikeness


def test_a_bone_that_comes_back_has_no_other_place(found, monkeypatch):
    """From so near that it is found again."""
    monkeypatch.setattr(registering, "ELSEWHERE_MM", 3.0)
    for other in other_levels(found, [None] * 4):
        assert np.isinf(other.unlikeness).all()


def test_bones_of_other_kinds_are_moved_along_the_body(found):
    (way,) = registering._steps(found, [NUMBERS[0], NUMBERS[1], None, None], up=True)
    assert np.linalg.norm(way[0]) > 20 and way[0] == pytest.approx(way[1])
    assert way[2] == pytest.approx(registering.ELSEWHERE_MM * found.world_from_ct[:3, 2])


def test_the_ways_go_to_the_neighbours(found):
    (up,), (down,) = (registering._steps(found, NUMBERS, up=each) for each in (True, False))
    poses = zip(found.poses, found.bones, strict=True)
    centres = np.array([rigid.transform_points(pose, bone.centroid) for pose, bone in poses])
    assert centres[1:] + up[1:] == pytest.approx(centres[:-1], abs=1e-9)
    assert centres[:-1] + down[:-1] == pytest.approx(centres[1:], abs=1e-9)
    assert (up[:, 2] > 0).all() and (down[:, 2] < 0).all()
