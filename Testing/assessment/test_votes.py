"""Votes of image tiles: which tiles fit best at a pose, and which pixels something outside the CT covers."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import bent_spine
from helpers.bent_spine import POSE, spine, xrays
from helpers.phantom import TRUE_POSE, off
from scipy import ndimage, stats

from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.features import compute_features
from MultiViewRegistrationLib.assessment.votes import (
    CHANCE_FRACTION,
    CONCENTRATION,
    MIN_NCC_DIFFERENCE,
    best_fits,
    fractions_at,
    shifted_sums,
    vote_risk,
)
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.pipeline import refine

START = rigid.translation([4.0, 3.0, -3.0]) @ POSE


def assess(views):
    refinement = refine(bent_spine.anatomy(), views, START)
    return verdict.assess(bent_spine.anatomy(), views, refinement, START)


def half_displaced(mm):
    """Return X-rays of the spine with its upper half displaced to the left."""
    moved = rigid.translation([mm, 0.0, 0.0])
    return xrays(*spine(), [moved, moved, np.eye(4), np.eye(4)], POSE)


@pytest.mark.quick_variants("8.0")
@pytest.mark.parametrize("mm", [3.0, 8.0])
def test_displaced_bone_does_not_count_as_covered(mm):
    views, bone = half_displaced(mm), bent_spine.anatomy().bone_points()
    refinement = refine(bent_spine.anatomy(), views, START)
    features = compute_features(bent_spine.anatomy(), views, refinement, START, bone)
    for view in features.uncovered(views):
        pixels = view.camera.project(rigid.transform_points(POSE, bone))
        column, row = np.rint(pixels).astype(int).T
        assert view.xray.valid[row, column].mean() > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("mm", [0.0, 6.0])
def test_displaced_bone_is_found_behind_tools(mm):
    """Bars cover the upper half; bone is visible between them."""
    points = bent_spine.anatomy().bone_points()
    upper = points[points[:, 2] > np.median(points[:, 2])]
    covered, bars = [], []
    for view in half_displaced(mm):
        pixels = view.camera.project(rigid.transform_points(POSE, upper))
        (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
        row, column = np.indices(view.xray.line_integrals.shape)
        inside = (row >= top) & (row <= bottom) & (column >= left) & (column <= right)
        bars.append(inside & (column % 40 < 8))
        image = view.xray.line_integrals + 3.0 * bars[-1]
        xray = replace(view.xray, line_integrals=image.astype(np.float32))
        covered.append(replace(view, xray=xray))
    assessment = assess(covered)
    assert (assessment.verdict == "accept") == (mm == 0)
    features = assessment.evidence.features
    for view, bar in zip(features.uncovered(covered), bars, strict=True):
        assert view.xray.valid[bar].mean() < 0.1


def fractions(anatomy, views, pose):
    objective = anatomy.objective(views, anatomy.levels(views, pose)[-1], pose)
    return fractions_at(objective, pose)


def test_a_tile_that_is_moved_fits_better_out_of_place():
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(80, 64)), 2.0)
    xray = image.copy()
    xray[:, 32:] = np.roll(image, (2, -3), (0, 1))[:, 32:]
    there, elsewhere = (
        each[1:-1] for each in best_fits(shifted_sums(image, xray, np.ones(image.shape)))
    )
    assert there.shape == (3, 4)
    assert there[:, 0] == pytest.approx(1) and (elsewhere[:, 0] < 0.95).all()
    assert elsewhere[:, 2] == pytest.approx(1) and (there[:, 2] < 0.95).all()


def test_a_tile_with_one_straight_edge_fits_as_well_along_it():
    edge = np.tile(np.tanh(np.arange(-24, 24) / 3.0), (48, 1))
    there, elsewhere = best_fits(shifted_sums(edge, edge, np.ones_like(edge)))
    assert there[1, 1] - elsewhere[1, 1] < MIN_NCC_DIFFERENCE


@pytest.mark.parametrize("curve", [lambda x: np.sqrt(x - x.min()), lambda x: (x - x.min()) ** 2])
def test_a_right_pose_has_the_tiles_in_place_under_any_tone_curve(anatomy, views, curve):
    images = [curve(view.xray.line_integrals) for view in views]
    each = zip(views, images, strict=True)
    changed = [view.with_xray(line_integrals=image) for view, image in each]
    assert (fractions(anatomy, changed, TRUE_POSE) > 0.5).all()
    far = off(TRUE_POSE, [20, -15, 10], [8, 6, -9])
    assert (fractions(anatomy, changed, far) < 0.35).all()


def test_a_wrong_view_has_a_small_fraction(anatomy, views):
    exchanged = [views[0], replace(views[1], xray=views[0].xray)]
    first, second = fractions(anatomy, exchanged, TRUE_POSE)
    assert first > 0.7 > 0.35 > second


def test_the_risk_is_that_of_chance_in_the_worst_view():
    risks = [vote_risk(np.array([0.9, share])) for share in (0.4, 0.5, 0.8)]
    assert np.all(np.diff(risks) < 0) and risks[0] < 0.03 and risks[-1] < 0.001
    ahead = stats.beta.pdf(
        0.5, CONCENTRATION * CHANCE_FRACTION, CONCENTRATION * (1 - CHANCE_FRACTION)
    )
    assert vote_risk(np.array([0.5])) == pytest.approx(ahead / (1 + ahead))


@pytest.mark.parametrize("share", [0.34, np.nan])
def test_a_small_share_in_one_view_says_nothing(share):
    assert vote_risk(np.array([0.9, share])) == 1.0
