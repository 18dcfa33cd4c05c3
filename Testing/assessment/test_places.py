"""Tiles of an X-ray fit best where a right pose has them, whatever the grey values are."""

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, off
from scipy import ndimage, stats

from MultiViewRegistrationLib.assessment.places import (
    CHANCE_SHARE,
    CONCENTRATION,
    MIN_NCC_DIFFERENCE,
    best_fits,
    carried_risk,
    shares_at,
    shifted_sums,
)


def shares(anatomy, views, pose):
    objective = anatomy.objective(views, anatomy.levels(views, pose)[-1], pose)
    return shares_at(objective, pose)


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


@pytest.mark.parametrize(
    "curve",
    [lambda x: x, lambda x: np.sqrt(x - x.min()), lambda x: (x - x.min()) ** 2],
    ids=["as it is", "compressed", "stretched"],
)
def test_a_right_pose_has_the_tiles_in_place_under_any_tone_curve(anatomy, views, curve):
    changed = [
        replace(
            view,
            xray=replace(
                view.xray,
                line_integrals=curve(view.xray.line_integrals.astype(float)).astype(np.float32),
            ),
        )
        for view in views
    ]
    assert (shares(anatomy, changed, TRUE_POSE) > 0.5).all()
    far = off(TRUE_POSE, [20, -15, 10], [8, 6, -9])
    assert (shares(anatomy, changed, far) < 0.35).all()


def test_one_wrong_view_is_seen_in_its_own_share(anatomy, views):
    exchanged = [views[0], replace(views[1], xray=views[0].xray)]
    first, second = shares(anatomy, exchanged, TRUE_POSE)
    assert first > 0.7 > 0.35 > second


def test_the_risk_is_that_of_chance_in_the_worst_view():
    risks = [carried_risk(np.array([0.9, share])) for share in (0.4, 0.5, 0.8)]
    assert np.all(np.diff(risks) < 0) and risks[0] < 0.03 and risks[-1] < 0.001
    ahead = stats.beta.pdf(0.5, CONCENTRATION * CHANCE_SHARE, CONCENTRATION * (1 - CHANCE_SHARE))
    assert carried_risk(np.array([0.5])) == pytest.approx(ahead / (1 + ahead))


@pytest.mark.parametrize("share", [0.0, 0.34, np.nan])
def test_a_small_share_in_one_view_says_nothing(share):
    assert carried_risk(np.array([0.9, share])) == 1.0
