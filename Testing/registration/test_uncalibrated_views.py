"""Views of unknown geometry are registered by themselves, and their cameras follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from phantom import CORNERS, TRUE_POSE, free, make_views, misplaced, off

from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, uncalibrated_view_indices
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.variants import register_views

START = off(TRUE_POSE, [1.0, -2.0, 2.0], [3.0, 2.0, -2.0])


def register(anatomy, views, progress):
    def find(some, progress):
        return refine(anatomy, some, START, progress)

    return register_views(views, find, progress, CALIBRATED)


@pytest.fixture(scope="module")
def three(ct):
    """The second camera is uncalibrated, 4 degrees and 9 mm off; the two others are exact."""
    first, second, third = make_views(ct, ((0, 0), (90, 0), (40, 20)))
    lost = free(misplaced(second, [2.0, 3.0, -1.5], [5.0, -6.0, 4.0]))
    return [first, lost, third], second.camera


def test_views_without_any_calibration_are_uncalibrated(three):
    views, _ = three
    assert uncalibrated_view_indices(views) == [1]
    assert uncalibrated_view_indices([views[1], *views[1:]]) == [1], (
        "the first view is what the others are tied to"
    )
    assert uncalibrated_view_indices(views, SharedUnknowns(isocentre_sd_mm=3)) == []
    for known in ("rotation_sd_deg", "translation_sd_mm"):
        assert uncalibrated_view_indices([views[0], replace(views[1], **{known: 2.0})]) == []


def test_an_unknown_camera_is_found_and_does_not_move_the_pose(anatomy, three):
    """Its image tells the CT as this camera sees it, in the plane at least."""
    views, true_camera = three
    reports = []
    found = register(anatomy, views, reports.append)
    alone = refine(anatomy, [views[0], views[2]], START)
    assert_array_equal(found.world_from_ct, alone.world_from_ct)
    assert [view.name for view in found.views] == [view.name for view in views]
    assert len(found.fit.pixels) == 3 and min(found.fit.similarity) > 0.9
    camera = found.views[1].camera
    seen = camera.project(rigid.transform_points(found.world_from_ct, CORNERS))
    true = true_camera.project(rigid.transform_points(TRUE_POSE, CORNERS))
    assert np.abs(seen - true).max() < 0.3
    turn = rigid.rotation_distance(camera.camera_from_world, true_camera.camera_from_world)
    assert turn < np.radians(0.3)
    fractions = [progress.fraction for progress in reports]
    assert fractions == sorted(fractions) and fractions[-1] < 1
    assert_array_equal(reports[-1].world_from_ct, found.world_from_ct)


def test_cancelling_reaches_the_uncalibrated_view(anatomy, three):
    views, _ = three
    with pytest.raises(Cancelled):
        register(anatomy, views, lambda progress: progress.fraction < 0.6)
