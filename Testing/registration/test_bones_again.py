"""Bones that are registered once more from where a person has put them, or judged there."""

from dataclasses import replace

import numpy as np
import pytest
from bent_spine import write_case
from refusals import refuses

from MultiViewRegistrationLib import api
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spine")
    write_case(folder)
    return api.register(folder)


def with_one_moved(result, name: str, shift_mm) -> dict[str, np.ndarray]:
    poses = {bone.name: bone.world_from_ct for bone in result.together.bodies}
    return poses | {name: rigid.translation(shift_mm) @ poses[name]}


def test_a_bone_that_was_moved_is_found_again_and_the_others_stay(result):
    again = api.register_bones(result, with_one_moved(result, "L2", [3.0, -2.0, 2.0]))
    for bone, before in zip(again.together.bodies, result.together.bodies, strict=True):
        assert bone.bone.apart(bone.world_from_ct, before.world_from_ct) < 0.3
        assert bone.verdict == before.verdict
    assert again.world_from_ct is result.world_from_ct
    assert (again.verdict, again.reasons) == (result.verdict, result.reasons)


def test_bones_are_judged_where_they_are_put_and_not_moved(result):
    poses = with_one_moved(result, "L1", [12.0, 0.0, 0.0])
    judged = api.assess(result.case, result.world_from_ct, result.anatomy, bone_poses=poses)
    for bone in judged.together.bodies:
        assert np.array_equal(bone.world_from_ct, poses[bone.name])
        assert bone.verdict != "accept" and bone.predicted_tre_mm is None
        assert "was set, not registered" in bone.reasons[0]


def test_a_case_without_bones_has_none_to_register_again(result):
    alone = replace(result.case, bodies=(Body(result.case.ct),))
    with refuses("structures: the case has none"):
        api.register_bones(replace(result, case=alone), {})
