"""CTs that X-rays do not distinguish from their mirror images: `assessment.mirror`."""

import numpy as np
import pytest
from helpers.bent_spine import POSE, START, spine, xrays

from MultiViewRegistrationLib.assessment import mirror
from MultiViewRegistrationLib.assessment.mirror import (
    MIN_EVIDENCE_RATIO,
    evidence_ratio,
    mirror_of,
)
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


def test_the_mirror_of_symmetric_points_is_found_though_they_are_turned():
    points = np.random.default_rng(0).normal(size=(900, 3)) * [60, 30, 90]
    turned = rigid.turn_and_shift([0.0, 0.1, 0.05], np.array([9.0, 2, 5]))
    body = rigid.transform_points(turned, np.concatenate([points, points * [-1, 1, 1]]))
    apart = rigid.transform_points(mirror_of(body, body), body) - np.roll(body, 900, axis=0)
    assert np.abs(apart).max() < 1e-6


@pytest.mark.quick_variants("True-0")
@pytest.mark.parametrize("turned_deg", [0, 20])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_body_is_told_from_its_mirror_image_unless_its_sides_are_alike(
    symmetric, turned_deg, monkeypatch
):
    """Also where points of bone in the X-rays' fields find the mirror badly."""
    wrong = rigid.exp_se3([0, 0, np.radians(turned_deg), 0, 0, 0])
    monkeypatch.setattr(mirror, "mirror_of", lambda *points: wrong @ mirror_of(*points))
    ct, labels = spine()
    if symmetric:
        values = (ct.volume.values + ct.volume.values[:, :, ::-1]) / 2
        ct = CT(Volume(values, ct.volume.ct_from_index))
    anatomy = PreparedCT(ct)
    views = xrays(ct, labels * 0, [], POSE)
    found = refine(anatomy, views, START)
    told = evidence_ratio(anatomy, found.views, found, START) >= MIN_EVIDENCE_RATIO
    assert told != symmetric
