"""The fit split into tiles: it adds up to the whole, and its similarity is that of its pixels."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.finite_differences import changes
from helpers.phantom import TRUE_POSE, make_views
from numpy.testing import assert_allclose
from scipy import ndimage

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.registration.objective import Objective
from MultiViewRegistrationLib.registration.optimizer import minimise
from MultiViewRegistrationLib.registration.problem import moved
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.registration.tiles import TILE_SIDE, contrasts, tiled_fit
from MultiViewRegistrationLib.rendering.drr import Projector

ROBUST = Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5)


def split(ct, views, settings, pose=TRUE_POSE):
    objective = Objective(Projector(attenuation(ct)), views, settings, np.array([2.0, -3.0, 1.0]))
    return tiled_fit(objective, pose)


def test_the_tiles_add_up_to_the_whole(ct, views):
    near = moved(TRUE_POSE, np.array([0.01, 0, 0, 1.0, 0, 0]), np.zeros(3))
    here = split(ct, views, ROBUST, near)
    fit, parts = here.fit, here.split
    gradients = parts.gradients / sum(fit.pixels)
    assert parts.pixels.sum() == sum(fit.pixels)
    least = 1e-4 * np.abs(fit.gradient).max()
    assert_allclose(gradients.sum(axis=0), fit.gradient, rtol=1e-3, atol=least)
    for view in range(2):
        own = gradients[parts.views == view].sum(axis=0)
        assert_allclose(own, fit.by_view[view][0], rtol=2e-3, atol=1e-6)
        rows, columns = views[view].xray.valid.shape
        places = parts.places[parts.views == view]
        assert (places < [-(-columns // TILE_SIDE), -(-rows // TILE_SIDE)]).all()


@pytest.mark.slow
def test_the_hessian_is_that_of_finite_differences_where_gauss_and_newton_see_a_sharper_minimum(ct):
    """With noise that moves residuals beyond Cauchy's scale; in units of that of Gauss and Newton."""
    objective = split(ct, make_views(ct, noise=0.08), ROBUST).objective
    pose = minimise(objective, TRUE_POSE, iterations=15, tolerance_mm=1e-3).world_from_ct
    here = tiled_fit(objective, pose)
    ours = here.split.hessians.sum(axis=0) / here.pixels

    def gradient(step):
        near = objective.project(moved(pose, step, objective.pivot))
        return objective.linearise(near).gradient

    sizes = np.repeat([4e-4, 0.04], 3)
    expected = changes(gradient, np.diag(sizes)) / sizes[:, None]
    measured, off = (
        np.linalg.eigvals(np.linalg.solve(here.fit.hessian, each)).real
        for each in (expected, ours - expected)
    )
    assert measured.min() > 0.3 and measured.max() < 0.75
    assert np.abs(off).max() < 0.15


def test_similarity_of_a_tile_is_that_of_its_pixels(ct, views):
    """All alike but one tile, in which the X-ray shows something else."""
    spoilt = views[0].xray.line_integrals.copy()
    noise = np.random.default_rng(0).normal(scale=1.0, size=(16, 16))
    spoilt[48:64, 64:80] += noise.astype(np.float32)
    one = [views[0].with_xray(line_integrals=spoilt), views[1]]
    here = split(ct, one, ROBUST)
    fit, parts = here.fit, here.split
    steps = np.abs(parts.places - [4, 3]).max(axis=1) + 2 * parts.views
    assert parts.similarity[steps == 0] < 0.4
    assert np.median(parts.similarity[parts.comparable & (steps > 1)]) > 0.9
    similarity = [parts.similarity.min(), *sorted(fit.similarity), parts.similarity.max()]
    assert similarity == sorted(similarity)


def test_contrast_is_that_of_a_tile_against_the_gain_of_its_view(ct, views):
    """One view has three times the gain, and one of its tiles five times as much detail."""
    column, row = place = 3, 2
    xray = views[0].xray
    image = 3 * xray.line_integrals
    here = np.s_[
        TILE_SIDE * row : TILE_SIDE * (row + 1), TILE_SIDE * column : TILE_SIDE * (column + 1)
    ]
    image[here] += 4 * (image[here] - ndimage.uniform_filter(image, 9)[here])
    changed = replace(views[0], xray=replace(xray, line_integrals=image))
    there = split(ct, [changed, views[1]], ROBUST)
    found, parts = contrasts(there), there.split
    there = (parts.views == 0) & (parts.places == place).all(axis=1)
    assert found[there] == pytest.approx(np.log2(5), abs=0.5)
    assert np.median(np.abs(found[~there & parts.comparable])) < 0.1
