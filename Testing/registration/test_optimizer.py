"""The curvature that a step shows, and what it saves."""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, off
from numpy.testing import assert_allclose
from scipy import ndimage

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.registration.objective import Objective
from MultiViewRegistrationLib.registration.optimizer import minimise
from MultiViewRegistrationLib.registration.problem import LEAST_CURVATURE, with_curvature
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector


def positive(rng):
    """A positive definite matrix (6, 6)."""
    root = rng.normal(size=(6, 6))
    return root @ root.T + 0.1 * np.eye(6)


@pytest.mark.parametrize("seed", range(5))
def test_the_hessian_has_the_curvature_that_the_last_step_showed(seed):
    rng = np.random.default_rng(seed)
    gauss_newton, true, step = positive(rng), positive(rng), rng.normal(size=6)
    changed = with_curvature(gauss_newton, step, true @ step, block=6)
    if step @ true @ step > LEAST_CURVATURE * (step @ gauss_newton @ step):
        assert_allclose(changed @ step, true @ step)
    assert np.linalg.eigvalsh(changed).min() > 0


def test_a_step_along_which_the_cost_bends_down_keeps_a_share_of_the_curvature():
    gauss_newton, step = np.diag([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 0, -1, 0, 0, 0])
    changed = with_curvature(gauss_newton, step, -gauss_newton @ step, block=6)
    assert step @ changed @ step == pytest.approx(LEAST_CURVATURE * (step @ gauss_newton @ step))
    assert np.linalg.eigvalsh(changed).min() > 0


def test_the_same_minimum_is_reached_in_fewer_steps(ct, views):
    """X-rays are smoother than the DRRs, which leaves residuals with derivatives of their own."""
    smooth = [
        view.with_xray(line_integrals=ndimage.gaussian_filter(view.xray.line_integrals, 2.0))
        for view in views
    ]
    settings = Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5)
    start = off(TRUE_POSE, [0.3, 0, 0], [0, 0.4, 0.3])
    objective = Objective(Projector(attenuation(ct)), smooth, settings, np.zeros(3))
    plain, quick = (
        minimise(objective, start, 30, 1e-3, second_order=second_order)
        for second_order in (False, True)
    )
    assert_allclose(quick.world_from_ct, plain.world_from_ct, atol=5e-3)
    least = min(plain.fit.cost, quick.fit.cost)
    # Not until the last step: where rounding ends a descent, each processor has its own.
    slow, fast = (
        sum(step.cost > least * (1 + 1e-4) for step in descent.steps) for descent in (plain, quick)
    )
    assert fast <= 0.6 * slow
