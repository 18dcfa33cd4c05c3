"""The demo's bent spine: each vertebra moves against its neighbour, and errors are those of its own truth."""

from types import SimpleNamespace

import numpy as np
import pytest

from MultiViewRegistrationLib.cli.demo import bone_errors
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.simulation.spine import SHIFT_MM, TURN_DEG, bend

CENTRES = [np.array([0.0, 3 * n, -25 * n]) for n in range(5)]


@pytest.mark.parametrize("seed", range(20))
def test_each_vertebra_moves_against_its_neighbour_within_the_limits(seed):
    motions = bend(np.random.default_rng(seed), CENTRES)
    assert np.array_equal(motions[2], np.eye(4))
    for n in (0, 1, 3, 4):
        neighbour = n + 1 if n < 2 else n - 1
        relative = rigid.inverse(motions[neighbour]) @ motions[n]
        joint = (CENTRES[n] + CENTRES[neighbour]) / 2
        shift = np.linalg.norm(rigid.transform_points(relative, joint) - joint)
        assert TURN_DEG[0] <= np.degrees(rigid.rotation_angle(relative)) <= TURN_DEG[1]
        assert SHIFT_MM[0] <= shift <= SHIFT_MM[1]


def test_motions_are_drawn_anew():
    first, second = (bend(np.random.default_rng(seed), CENTRES) for seed in (1, 2))
    assert not np.allclose(first[0], second[0], atol=0.01)


def test_the_error_of_a_bone_is_that_of_its_own_pose_and_its_own_truth():
    def shifted(x: float) -> np.ndarray:
        return rigid.from_rotation_translation(np.eye(3), np.array([x, 0.0, 0.0]))

    shape = SimpleNamespace(surface=np.random.default_rng(0).normal(size=(30, 3)))
    bones = [
        SimpleNamespace(name=name, verdict="check", bone=shape, world_from_ct=shifted(x))
        for name, x in (("T8", 1.0), ("T9", 5.0))
    ]
    result = SimpleNamespace(world_from_ct=shifted(0.0), structures=SimpleNamespace(bones=bones))
    errors = bone_errors(result, {"T8": shifted(3.0), "T9": shifted(5.5)})
    assert [each.name for each in errors] == ["T8", "T9"]
    assert [each.whole_ct_mm for each in errors] == pytest.approx([3.0, 5.5])
    assert [each.own_mm for each in errors] == pytest.approx([2.0, 0.5])
    assert bone_errors(SimpleNamespace(world_from_ct=np.eye(4), structures=None), {}) == []
