"""The cost over all views: its gradient, its masks, its independence of threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, make_ct, make_views, off
from scipy.stats import multivariate_normal

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.objective import Objective, PoseFit
from MultiViewRegistrationLib.registration.optimizer import moved
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector

SETTINGS = {
    "intensity": Settings(intensity_radius=6),
    "gradient": Settings(gradient_radius=6),
    "both, robust": Settings(intensity_radius=5, gradient_radius=7, cauchy=0.5),
}


@pytest.fixture(scope="module")
def scene():
    ct = make_ct()
    return Projector(attenuation(ct)), make_views(ct)


def cost_at(objective, pose):
    return objective.linearise(objective.project(pose)).cost


@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_is_that_of_finite_differences(scene, name):
    projector, views = scene
    objective = Objective(projector, views, SETTINGS[name], np.array([1.0, 2.0, 3.0]))
    pose = off(TRUE_POSE, [1.0, -1.5, 0.5], [2.0, 1.0, -3.0])
    here = objective.linearise(objective.project(pose))
    for p in range(6):
        step = 2e-3 if p < 3 else 0.1
        twist = np.eye(6)[p] * step
        ahead, behind = (
            objective.cost(objective.project(moved(pose, sign * twist, objective.pivot))) for sign in (1, -1)
        )
        # The gradient is of half the cost.
        largest = np.abs(here.gradient[:3] if p < 3 else here.gradient[3:]).max()
        assert (ahead - behind) / (4 * step) == pytest.approx(here.gradient[p], rel=0.05, abs=0.02 * largest)


def test_what_lies_outside_the_xrays_mask_does_not_matter(scene):
    projector, views = scene
    valid = views[0].xray.valid.copy()
    valid[:, :40] = False
    spoilt = np.where(valid, views[0].xray.line_integrals, 50.0).astype(np.float32)
    clean = [replace(views[0], xray=XRay(views[0].xray.line_integrals, valid)), views[1]]
    dirty = [replace(views[0], xray=XRay(spoilt, valid)), views[1]]
    costs = []
    for some in (clean, dirty):
        objective = Objective(projector, some, SETTINGS["both, robust"], np.zeros(3))
        costs.append(objective.linearise(objective.project(TRUE_POSE)))
    assert costs[0].cost == costs[1].cost
    assert costs[0].pixels[0] < costs[0].pixels[1]


def test_a_ct_outside_the_views_costs_infinitely(scene):
    projector, views = scene
    hidden = [replace(view, xray=XRay(view.xray.line_integrals, np.zeros_like(view.xray.valid))) for view in views]
    assert cost_at(Objective(projector, hidden, SETTINGS["gradient"], np.zeros(3)), TRUE_POSE) == np.inf


def evidence(similarity, shown) -> float:
    nothing = np.zeros(6), np.zeros((6, 6))
    return PoseFit(0.3, *nothing, shown, shown, similarity, (nothing, nothing)).evidence


def test_the_evidence_of_a_view_is_the_mutual_information_of_gaussians():
    alone = multivariate_normal(0).entropy()
    together = multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).entropy()
    assert evidence((0.6,), (1000,)) == pytest.approx(1000 * (2 * alone - together))
    assert evidence((0.6, 0.6), (700, 300)) == pytest.approx(evidence((0.6,), (1000,)))


def test_a_pose_that_fits_both_views_has_more_evidence_than_one_that_fits_one():
    assert evidence((0.9, 0.1), (1000, 1000)) < evidence((0.5, 0.5), (1000, 1000))
    assert evidence((0.24, 0.53), (8000, 16000)) < evidence((0.69, 0.69), (8300, 10))
