"""Bones that are registered once more from where a person has put them, or judged there."""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import NAMES, write_case
from refusals import refuses

from MultiViewRegistrationLib import api
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spine")
    write_case(folder)
    return api.register(folder)


def poses(result) -> dict[str, np.ndarray]:
    return {bone.name: bone.world_from_ct for bone in result.together.bodies}


def apart_mm(result, before, name: str) -> float:
    bone = next(each for each in result.together.bodies if each.name == name)
    there = rigid.transform_points(before[name], bone.bone.surface)
    here = rigid.transform_points(bone.world_from_ct, bone.bone.surface)
    return float(np.linalg.norm(here - there, axis=1).max())


def test_a_bone_that_was_moved_is_found_again_and_the_others_stay(result):
    before = poses(result)
    shifted = rigid.translation([3.0, -2.0, 2.0]) @ before["L2"]
    again = api.register_bones(result, {**before, "L2": shifted})
    assert all(apart_mm(again, before, name) < 0.5 for name in NAMES)
    assert again.world_from_ct is result.world_from_ct
    assert again.verdict == result.verdict and again.reasons == result.reasons
    assert [bone.verdict for bone in again.together.bodies] == [
        bone.verdict for bone in result.together.bodies
    ]


def test_bones_are_judged_where_they_are_put_and_not_moved(result):
    before = poses(result)
    far = rigid.translation([12.0, 0.0, 0.0]) @ before["L1"]
    judged = api.assess(
        result.case, result.world_from_ct, result.anatomy, bone_poses={**before, "L1": far}
    )
    bones = {bone.name: bone for bone in judged.together.bodies}
    assert np.array_equal(bones["L1"].world_from_ct, far)
    for bone in bones.values():
        assert bone.verdict != "accept" and bone.predicted_tre_mm is None
        assert "was set, not registered" in bone.reasons[0]


def test_a_case_without_bones_has_none_to_register_again(result):
    alone = api.assess(result.case, result.world_from_ct, result.anatomy)
    assert not alone.together.bodies
    with refuses("structures: the case has none"):
        api.register_bones(
            replace(result, case=replace(result.case, bodies=(Body(result.case.ct),))), {}
        )
