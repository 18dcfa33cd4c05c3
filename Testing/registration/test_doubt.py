"""Trying along the direction of which a regressor is least certain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_model import FakeModel
from phantom import TRUE_POSE, error_mm, off

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.doubt import LEFT, refine_along_least_certain_axis
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.regressor.initialise import DOUBT_MM, predict_poses


def astray(view, anatomy, mm):
    """The true pose moved along a view's beam, and a covariance that is wide along it alone."""
    centre = rigid.transform_points(TRUE_POSE, anatomy.centroid)
    beam = (centre - view.camera.source) / np.linalg.norm(centre - view.camera.source)
    covariance = np.diag([1e-6] * 3 + [0.04] * 3)
    covariance[3:, 3:] += abs(mm) ** 2 / 2 * np.outer(beam, beam)
    return off(TRUE_POSE, [0, 0, 0], mm * beam), covariance


@pytest.mark.parametrize("mm", [-20.0, 12.0, 30.0])
@pytest.mark.parametrize("alone", [True, False])
def test_it_finds_the_place_along_the_beam(anatomy, views, mm, alone):
    shown = views[:1] if alone else views
    pose, covariance = astray(views[0], anatomy, mm)
    found, left = refine_along_least_certain_axis(anatomy, shown, pose, covariance)
    assert error_mm(found, TRUE_POSE) < 0.3 * abs(mm)  # half a step of the tries, and what they tell
    assert np.linalg.eigvalsh(left)[-1] == pytest.approx(LEFT**2 * np.linalg.eigvalsh(covariance)[-1], rel=0.01)
    assert np.linalg.eigvalsh(left)[0] > 0


def test_where_nothing_of_the_ct_is_shown_the_pose_stays(anatomy, views):
    beside, covariance = off(TRUE_POSE, [0, 0, 0], [0, 0, 400]), np.diag([1e-6] * 3 + [4.0, 1.0, 1.0])
    found, left = refine_along_least_certain_axis(anatomy, views, beside, covariance)
    assert np.array_equal(found, beside) and np.array_equal(left, covariance)


def test_only_a_body_of_which_the_model_is_unsure_is_moved(anatomy, views, ct):
    def said(expects_mm, of):
        model = FakeModel(TRUE_POSE, anatomy.centroid, together_mm=expects_mm, expects_mm=expects_mm)
        return model.candidates(views, None), predict_poses(model, of, views, None)

    for expects_mm, of in (
        (DOUBT_MM - 1, anatomy),
        (DOUBT_MM + 4, PreparedCT(replace(ct, mask=ct.volume.values > 300))),
    ):
        plain, asked = said(expects_mm, of)
        assert [each.world_from_ct.tolist() for each in plain] == [each.world_from_ct.tolist() for each in asked]
    plain, asked = said(DOUBT_MM + 4, anatomy)
    assert len(asked) == len(plain) + 1 and asked[0].expected_mm() < plain[0].expected_mm()
    assert [each.world_from_ct.tolist() for each in asked[1:]] == [each.world_from_ct.tolist() for each in plain]
