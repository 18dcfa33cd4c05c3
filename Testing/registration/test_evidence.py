"""By which answers are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from MultiViewRegistrationLib.registration.objective import PoseFit


def evidence(similarity, shown) -> float:
    nothing = np.zeros(6), np.zeros((6, 6))
    return PoseFit(0.3, *nothing, shown, shown, similarity, (nothing, nothing)).evidence


def test_one_view_tells_as_much_as_a_gaussian_variable_of_another():
    alone = multivariate_normal(0).entropy()
    together = multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).entropy()
    assert evidence((0.6,), (1000,)) == pytest.approx(1000 * (2 * alone - together))
    assert evidence((0.6, 0.6), (700, 300)) == pytest.approx(evidence((0.6,), (1000,)))


def test_a_pose_that_looks_like_one_xray_has_less_than_one_that_looks_like_both():
    assert evidence((0.9, 0.1), (1000, 1000)) < evidence((0.5, 0.5), (1000, 1000))
    assert evidence((0.24, 0.53), (8000, 16000)) < evidence((0.69, 0.69), (8300, 10))


def test_a_pose_that_hides_the_ct_has_little():
    assert evidence((0.95, 0.95), (100, 100)) < evidence((0.6, 0.6), (1000, 1000))
    assert evidence((0.0, 0.0), (0, 0)) == 0.0


def test_what_is_no_better_than_chance_counts_as_chance():
    assert evidence((0.8, -0.9), (1000, 100)) == evidence((0.8, 0.05), (1000, 100)) > 0
    assert np.isfinite(evidence((1.0, 1.0), (1000, 1000)))
