"""The cost over all views: its masks, its evidence and scores; its gradient is held by test_cameras."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, cut_tube, make_views, masked, off
from numpy.testing import assert_allclose
from scipy import ndimage
from scipy.stats import multivariate_normal

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.registration.objective import Objective, PoseFit, Scorer, outliers
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector, cut_ends

INTENSITY = Settings(intensity_radius=6)
BOTH_ROBUST = Settings(intensity_radius=5, gradient_radius=7, cauchy=0.5)


@pytest.fixture(scope="module")
def scene(ct, views):
    return Projector(attenuation(ct)), views


def test_what_lies_outside_the_xrays_mask_does_not_matter(scene):
    projector, (first, second) = scene
    clean = masked(first, np.arange(128) >= 40)
    image = np.where(clean.xray.valid, first.xray.line_integrals, np.float32(50.0))
    dirty = clean.with_xray(line_integrals=image)
    costs = []
    for view in (clean, dirty):
        objective = Objective(projector, [view, second], BOTH_ROBUST, np.zeros(3))
        costs.append(objective.linearise(objective.project(TRUE_POSE)))
    assert costs[0].cost == costs[1].cost
    assert costs[0].pixels[0] < costs[0].pixels[1]


@pytest.fixture(scope="module")
def tube():
    """A tube that goes on beyond both ends of its CT, and an X-ray of it."""
    mu = attenuation(cut_tube())
    return Projector(mu, cut_ends(mu)), make_views(cut_tube(), ((0, 0),), size=64)


def test_rays_through_a_cut_end_are_not_compared_nor_their_neighbours(tube):
    projector, views = tube
    objective = Objective(projector, views, INTENSITY, np.zeros(3))
    seen = projector.seen(views[0].camera, TRUE_POSE) > 0
    fit = objective.linearise(objective.project(TRUE_POSE))
    inside = ndimage.binary_erosion(seen, np.ones((3, 3)))
    assert fit.pixels == (inside.sum(),) and 0.1 < inside.mean() < 0.9 < fit.similarity[0]


@pytest.mark.parametrize(
    "silhouette_mm, pixels, shown, finite",
    [
        (None, (400, 0), (60, 0), True),
        (None, (399, 0), (60, 0), False),
        (None, (400, 0), (0, 0), False),
        (5.0, (20, 29), (20, 29), False),
    ],
)
def test_too_few_pixels_too_small_a_share_or_air_alone_cost_infinitely(
    scene, silhouette_mm, pixels, shown, finite
):
    """Two X-rays of 5,000 valid pixels each; of a structure no share is asked for."""
    half = np.arange(128 * 128).reshape(128, 128) < 5000
    some = [masked(view, half) for view in scene[1]]
    settings = Settings(intensity_radius=4, silhouette_mm=silhouette_mm)
    nothing = (8.0, np.zeros(6), np.zeros((6, 6)), 0.5, np.zeros(2))
    fit = Objective(scene[0], some, settings, np.zeros(3))._fit([nothing, nothing], pixels, shown)
    assert fit.cost == (16.0 / sum(pixels) if finite else np.inf)


def test_only_what_shows_the_ct_is_shown_and_a_view_without_it_is_not_the_least_similar(scene):
    objective = Objective(*scene, INTENSITY, np.zeros(3))
    (drr, _) = projections = objective.project(TRUE_POSE)
    fit = objective.linearise(projections)
    inside = drr.image[1:-1, 1:-1]
    assert fit.shown[0] == np.count_nonzero(inside > 0.05) < 0.8 * fit.pixels[0]
    assert fit.pixels[0] == inside.size
    for shown, least in (((100, 49), 0.9), ((100, 50), 0.2), ((49, 0), 0)):
        assert replace(fit, similarity=(0.9, 0.2), shown=shown).min_similarity == least


@pytest.mark.parametrize("with_tools", [True, False])
def test_tools_are_outliers_with_a_rim_about_them_and_noise_is_none(scene, with_tools):
    projector, views = scene
    some, tool = [], np.zeros((128, 128), bool)
    tool[20:108, 46:60] = tool[60:74, 10:118] = with_tools
    for view in views:
        image = view.xray.line_integrals.copy()
        image[tool] += np.random.default_rng(1).normal(2.0, 1.0, tool.sum()).astype(np.float32)
        some.append(view.with_xray(line_integrals=image))
    objective = Objective(projector, some, BOTH_ROBUST, np.zeros(3))
    projections = objective.project(TRUE_POSE)
    objective.linearise(projections)
    found = outliers(objective, projections)
    assert (found is not None) == with_tools
    rim = ndimage.binary_dilation(tool, np.ones((3, 3))) & ~tool
    beyond = ~ndimage.binary_dilation(tool, np.ones((3, 3)), iterations=9)
    for marked in found or ():
        assert marked[tool].mean() > 0.85 and marked[rim].mean() > 0.65
        assert not marked[beyond].any()


def evidence(similarity, shown):
    return PoseFit(cost=0.3, by_view=(), pixels=shown, shown=shown, similarity=similarity).evidence


def test_the_evidence_of_a_view_is_the_mutual_information_of_gaussians():
    alone = multivariate_normal(0).entropy()
    together = multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).entropy()
    assert evidence((0.6,), (1000,)) == pytest.approx(1000 * (2 * alone - together))
    assert evidence((0.6, 0.6), (700, 300)) == pytest.approx(evidence((0.6,), (1000,)))


def test_a_pose_that_fits_both_views_has_more_evidence_than_one_that_fits_one():
    assert evidence((0.9, 0.1), (1000, 1000)) < evidence((0.5, 0.5), (1000, 1000))
    assert evidence((0.24, 0.53), (8000, 16000)) < evidence((0.69, 0.69), (8300, 10))


CUT = np.array([False, False, False, False, True, True])
POSES = np.stack([off(TRUE_POSE, [4 * n, -n, 2 * n], [n, -2 * n, 3 * n]) for n in range(6)])


@pytest.fixture(scope="module")
def pooled(views):
    """The first with a collimator on the left."""
    first, second = (view.pooled(4) for view in views)
    return [masked(first, np.arange(32) > 5), second]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(intensity_radius=5, gradient_radius=4),
        Settings(gradient_radius=4, silhouette_mm=6),
    ],
)
def test_a_score_is_the_similarity_that_the_objective_has_there(ct, pooled, settings):
    projector = Projector(attenuation(ct), CUT)
    objective = Objective(projector, pooled, settings, TRUE_POSE[:3, 3])
    expected = []
    for pose in POSES:
        fit = objective.linearise(objective.project(pose, jacobian=True))
        shares = [
            1.0 if settings.silhouette_mm else pixels / view.xray.valid.sum()
            for pixels, view in zip(fit.pixels, objective.views)
        ]
        expected.append(fit.similarity * np.sqrt(shares))
    scores = Scorer(projector, pooled, settings, np.zeros(3)).scores(POSES)
    assert_allclose(scores.T, expected, atol=2e-3)
    assert scores.mean(axis=0).argmax() == 0
