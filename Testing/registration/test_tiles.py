"""The fit split into tiles: it adds up to the whole, and its similarity is that of its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from phantom import TRUE_POSE, make_views
from scipy import ndimage

from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration import objective as module
from MultiViewRegistrationLib.registration.objective import TILE_SIDE, Objective, contrasts, tiles
from MultiViewRegistrationLib.registration.optimizer import minimise
from MultiViewRegistrationLib.registration.problem import moved
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector

ROBUST = Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5)


def split(ct, views, settings, pose=TRUE_POSE):
    objective = Objective(Projector(attenuation(ct)), views, settings, np.array([2.0, -3.0, 1.0]))
    projections = objective.project(pose)
    fit = objective.linearise(projections)
    return objective, fit, tiles(objective, projections)


def test_the_tiles_add_up_to_the_whole(ct, views):
    _, fit, parts = split(
        ct, views, ROBUST, moved(TRUE_POSE, np.array([0.01, 0, 0, 1.0, 0, 0]), np.zeros(3))
    )
    count = sum(fit.pixels)
    assert parts.pixels.sum() == count
    assert_allclose(
        parts.gradients.sum(axis=0) / count,
        fit.gradient,
        rtol=1e-3,
        atol=1e-4 * np.abs(fit.gradient).max(),
    )
    for view in range(2):
        of_view = parts.views == view
        assert_allclose(
            parts.gradients[of_view].sum(axis=0) / count, fit.by_view[view][0], rtol=2e-3, atol=1e-6
        )
        rows, columns = views[view].xray.valid.shape
        assert (parts.places[of_view] < [-(-columns // TILE_SIDE), -(-rows // TILE_SIDE)]).all()


def sharpness(ct, views, settings):
    """Of finite differences, and by how much the tiles' is off them, in units of that of Gauss and Newton; the least similarity."""
    objective, _, _ = split(ct, views, settings)
    pose = minimise(objective, TRUE_POSE, iterations=15, tolerance_mm=1e-3).world_from_ct
    projections = objective.project(pose)
    fit = objective.linearise(projections)
    ours = tiles(objective, projections).hessians.sum(axis=0) / sum(fit.pixels)
    measured = np.zeros((6, 6))
    for p, step in enumerate([4e-4] * 3 + [0.04] * 3):
        ahead, behind = (
            objective.linearise(
                objective.project(moved(pose, sign * step * np.eye(6)[p], objective.pivot))
            ).gradient
            for sign in (1, -1)
        )
        measured[p] = (ahead - behind) / (2 * step)
    measured, off = (
        np.linalg.eigvals(np.linalg.solve(fit.hessian, each)).real
        for each in (measured, ours - measured)
    )
    return measured, off, min(fit.similarity)


def test_the_hessian_is_that_of_finite_differences_where_gauss_and_newton_see_a_sharper_minimum(ct):
    """With noise that moves residuals beyond Cauchy's scale."""
    measured, off, _ = sharpness(ct, make_views(ct, noise=0.08), ROBUST)
    assert measured.min() > 0.3 and measured.max() < 0.75
    assert np.abs(off).max() < 0.15


def test_similarity_of_a_tile_is_that_of_its_pixels(ct, views):
    """All alike but one tile, in which the X-ray shows something else."""
    spoilt = views[0].xray.line_integrals.copy()
    spoilt[48:64, 64:80] += (
        np.random.default_rng(0).normal(scale=1.0, size=(16, 16)).astype(np.float32)
    )
    one = [replace(views[0], xray=XRay(spoilt, views[0].xray.valid)), views[1]]
    _, fit, parts = split(ct, one, ROBUST)
    place = (parts.views == 0) & (parts.places == [4, 3]).all(axis=1)
    assert parts.similarity[place] < 0.4
    near = (parts.views == 0) & (np.abs(parts.places - [4, 3]) <= 1).all(axis=1)
    assert np.median(parts.similarity[parts.comparable & ~near]) > 0.9
    assert (
        parts.similarity.min()
        <= min(fit.similarity)
        <= max(fit.similarity)
        <= parts.similarity.max()
    )


@pytest.mark.parametrize("sd", [0.02, 0.1])
def test_the_share_explained_by_noise_is_the_lost_correlation(sd):
    random = np.random.default_rng(1)
    rows, columns = np.indices((96, 96))
    clean = (1.5 * np.sin(rows / 5) * np.cos(columns / 6)).astype(np.float32)
    noisy = clean + sd * random.normal(size=clean.shape).astype(np.float32)
    found = module._explained(noisy, np.ones(clean.shape, np.float32), 0.0)
    local, local_clean = (image - ndimage.uniform_filter(image, 9) for image in (noisy, clean))
    true = [
        np.corrcoef(
            local[r : r + 16, c : c + 16].ravel(), local_clean[r : r + 16, c : c + 16].ravel()
        )[0, 1]
        for r in range(0, 96, 16)
        for c in range(0, 96, 16)
    ]
    assert np.median(found) == pytest.approx(np.median(true), abs=0.1)


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
    objective, _, parts = split(ct, [changed, views[1]], ROBUST)
    found = contrasts(objective, objective.project(TRUE_POSE), parts)
    there = (parts.views == 0) & (parts.places == place).all(axis=1)
    assert found[there] == pytest.approx(np.log2(5), abs=0.5)
    assert np.median(np.abs(found[~there & parts.comparable])) < 0.1
