"""The cost over all views: its gradient, its masks, its independence of threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, make_ct, make_views, off
from scipy import ndimage
from scipy.stats import multivariate_normal

from MultiViewRegistrationLib.imaging.ct import CT, Volume, attenuation
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.objective import Objective, PoseFit, outliers
from MultiViewRegistrationLib.registration.optimizer import moved
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector, cut_ends

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
            objective.cost(objective.project(moved(pose, sign * twist, objective.pivot)))
            for sign in (1, -1)
        )
        # The gradient is of half the cost.
        largest = np.abs(here.gradient[:3] if p < 3 else here.gradient[3:]).max()
        assert (ahead - behind) / (4 * step) == pytest.approx(
            here.gradient[p], rel=0.05, abs=0.02 * largest
        )


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


def cut_tube():
    """A tube that goes on beyond both ends of its CT, and an X-ray of it."""
    tube = np.full((24, 30, 30), -1000.0, np.float32)
    tube[:, 8:22, 8:22] = 100 + 60 * np.random.default_rng(2).normal(size=(24, 14, 14))
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-43, -43, -34]
    ct = CT(Volume(tube, affine))
    return Projector(attenuation(ct), cut_ends(attenuation(ct))), make_views(ct, ((0, 0),), size=64)


def test_rays_through_a_cut_end_are_not_compared_nor_their_neighbours():
    projector, views = cut_tube()
    objective = Objective(projector, views, SETTINGS["intensity"], np.zeros(3))
    seen = projector.seen(views[0].camera, TRUE_POSE) > 0
    fit = objective.linearise(objective.project(TRUE_POSE))
    inside = ndimage.binary_erosion(seen, np.ones((3, 3)))
    assert fit.pixels == (inside.sum(),) and 0.1 < inside.mean() < 0.9 < fit.similarity[0]


def test_a_cost_is_over_the_pixels_that_were_selected_also_where_they_are_not_comparable_any_more():
    """With what the DRR shows there, and the neighbours that gradients need."""
    projector, views = cut_tube()
    objective = Objective(projector, views, SETTINGS["gradient"], np.zeros(3))
    objective.linearise(objective.project(TRUE_POSE))
    pose = off(TRUE_POSE, [0, 0, 0], [0, 0, 9.0])
    (projection,) = objective.project(pose)
    whole = projector.render(views[0].camera, pose).image
    assert (projection.comparable[objective.masks[0] > 0] == 0).sum() > 50
    assert objective.cost([replace(projection, image=whole)]) == pytest.approx(
        objective.cost([projection]), rel=1e-6
    )


def test_a_ct_outside_the_views_costs_infinitely(scene):
    projector, views = scene
    hidden = [
        replace(view, xray=XRay(view.xray.line_integrals, np.zeros_like(view.xray.valid)))
        for view in views
    ]
    assert (
        cost_at(Objective(projector, hidden, SETTINGS["gradient"], np.zeros(3)), TRUE_POSE)
        == np.inf
    )


def test_too_few_pixels_too_small_a_share_or_air_alone_cost_infinitely(scene):
    """Two X-rays of 5,000 valid pixels each; of a structure no share is asked for."""
    projector, views = scene
    half = np.zeros(views[0].xray.valid.shape, bool)
    half.ravel()[:5000] = True
    some = [replace(view, xray=XRay(view.xray.line_integrals, half)) for view in views]
    nothing = (8.0, np.zeros(6), np.zeros((6, 6)), 0.5, np.zeros(2))
    for silhouette_mm, pixels, shown, finite in (
        (None, (400, 0), (60, 0), True),
        (None, (399, 0), (60, 0), False),
        (None, (400, 0), (0, 0), False),
        (5.0, (20, 30), (20, 30), True),
        (5.0, (20, 29), (20, 29), False),
    ):
        objective = Objective(
            projector, some, Settings(intensity_radius=4, silhouette_mm=silhouette_mm), np.zeros(3)
        )
        fit = objective._fit([nothing, nothing], pixels, shown)
        assert np.isfinite(fit.cost) == finite
        assert not finite or fit.cost == 16.0 / sum(pixels)


def test_only_what_shows_the_ct_is_shown_and_a_view_without_it_is_not_the_least_similar(scene):
    projector, views = scene
    objective = Objective(projector, views, SETTINGS["intensity"], np.zeros(3))
    (drr, _) = projections = objective.project(TRUE_POSE)
    fit = objective.linearise(projections)
    inside = drr.image[1:-1, 1:-1]
    assert (
        fit.shown[0] == np.count_nonzero(inside > 0.05) < 0.8 * fit.pixels[0]
        and fit.pixels[0] == inside.size
    )
    assert replace(fit, similarity=(0.9, 0.2), shown=(100, 49)).min_similarity == 0.9
    assert replace(fit, similarity=(0.9, 0.2), shown=(100, 50)).min_similarity == 0.2
    assert replace(fit, shown=(49, 0)).min_similarity == 0


def test_tools_are_outliers_with_a_rim_about_them_and_noise_is_none(scene):
    projector, views = scene
    found, tools = [], []
    for with_tools in (False, True):
        some = []
        for view in views:
            image, tool = view.xray.line_integrals.copy(), np.zeros(view.xray.valid.shape, bool)
            tool[20:108, 46:60] = tool[60:74, 10:118] = with_tools
            image[tool] += np.random.default_rng(1).normal(2.0, 1.0, tool.sum()).astype(np.float32)
            some.append(replace(view, xray=XRay(image, view.xray.valid)))
            tools.append(tool)
        objective = Objective(projector, some, SETTINGS["both, robust"], np.zeros(3))
        projections = objective.project(TRUE_POSE)
        objective.linearise(projections)
        found.append(outliers(objective, projections))
    assert found[0] is None
    for marked, tool in zip(found[1], tools[2:], strict=True):
        assert (
            marked[tool].mean() > 0.85
            and marked[ndimage.binary_dilation(tool, np.ones((3, 3))) & ~tool].mean() > 0.65
        )
        assert not marked[~ndimage.binary_dilation(tool, np.ones((3, 3)), iterations=9)].any()


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
