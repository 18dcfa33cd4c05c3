"""The search's quasi-random points: scipy's, which is slow to import."""

import numpy as np
import pytest
from scipy.stats import qmc

from MultiViewRegistrationLib.registration.optimizer import Sobol


@pytest.mark.parametrize("seed", [0, 1, 2026])
def test_the_points_are_those_of_scipy(seed):
    ours, theirs = Sobol(seed), qmc.Sobol(6, seed=seed)
    for count in (256, 256, 512, 1024):
        assert np.array_equal(ours.random(count), theirs.random(count))
