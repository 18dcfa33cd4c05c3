"""A bent spine: each vertebra moves against its neighbour."""

import numpy as np
import pytest

from benchmarks.simulation.spine import SHIFT_MM, TURN_DEG, bend
from MultiViewRegistrationLib.geometry import rigid

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
