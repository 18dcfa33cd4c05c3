"""CTs with slices that lie aside, and ones that X-rays do not tell from their mirror images."""

import numpy as np
import pytest
import scipy
from helpers.bent_spine import POSE, START, spine, xrays

from MultiViewRegistrationLib.assessment import verdict_reasons
from MultiViewRegistrationLib.assessment.verdict_reasons import (
    LIMITS,
    aside_mm,
    evidence_ratio,
    mirror_of,
    slices_aside,
)
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


def coughed(mm, edge):
    """The spine whose slices 40 to 55 lie aside by columns, entered and left within so many slices."""
    volume = spine()[0].volume
    values = volume.values.copy()
    for k in range(len(values)):
        share = np.clip(min(k - 40, 55 - k) / max(edge, 1) + 1, 0, 1)
        shift = share * mm / volume.spacing_mm[0]
        values[k] = scipy.ndimage.shift(values[k], (0, shift), order=1, mode="nearest")
    return PreparedCT(CT(Volume(values, volume.ct_from_index)))


def at(anatomy, slices):
    finest = anatomy.attenuation(0)
    return rigid.transform_points(finest.ct_from_index, np.array([[30.0, 30.0, slices]]))


def test_slices_that_were_taken_while_the_patient_coughed_are_named():
    anatomy = coughed(6.0, 4)
    [reason] = slices_aside(anatomy, at(anatomy, 48))
    assert reason.code == "ct-slices-aside" and "6 mm aside" in reason
    assert slices_aside(anatomy, at(anatomy, 12)) == []  # none of them is at this target


def test_a_ct_of_a_patient_who_lay_still_has_no_slices_aside():
    assert not aside_mm(coughed(0.0, 0).attenuation(0)).any()


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
    monkeypatch.setattr(verdict_reasons, "mirror_of", lambda *points: wrong @ mirror_of(*points))
    ct, labels = spine()
    if symmetric:
        values = (ct.volume.values + ct.volume.values[:, :, ::-1]) / 2
        ct = CT(Volume(values, ct.volume.ct_from_index))
    anatomy = PreparedCT(ct)
    views = xrays(ct, labels * 0, [], POSE)
    found = refine(anatomy, views, START)
    told = evidence_ratio(anatomy, found.views, found, START) >= LIMITS.mirror_ratio
    assert told != symmetric
