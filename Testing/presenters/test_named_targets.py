"""Targets that the answer names by their numbers are numbered in the views."""

import numpy as np
import pytest
import slicer
from helpers.phantom import CORNERS, TRUE_POSE
from helpers.phantom_scene import settle
from helpers.running_session import poll

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.xray import detectors


@pytest.fixture
def named(host):
    """A pose whose explanation names two targets."""
    reasons = ["No X-ray shows targets 2, 7: nothing was compared there."]
    settle(
        host.session, verdict="check", reasons=reasons, summary="7 of 8 targets, and not at rest"
    )
    poll(host.session, 5.0, lambda: numbered(host))
    return host


def numbered(host):
    """Numbers and places, RAS mm in the world, of the targets in 3D."""
    found = host.registration.node.GetNodeReference("targets")
    if found is None:
        return {}
    labels = [found.GetNthControlPointLabel(n) for n in range(found.GetNumberOfControlPoints())]
    return dict(
        zip(labels, slicer.util.arrayFromMarkupsControlPoints(found, world=True), strict=True)
    )


def test_they_are_numbered_in_3d_where_they_are(named):
    there = rigid.transform_points(TRUE_POSE, CORNERS[[1, 6]]) * [-1, -1, 1]
    assert list(numbered(named)) == ["2", "7"]
    assert np.allclose(list(numbered(named).values()), there)


def test_they_are_numbered_in_each_x_ray(named):
    for detector in detectors(named.registration):
        found = {each.name: each.lines for each in named.session.bones.outlines(detector)}
        assert list(found) == ["2", "7"] and all(len(lines) for lines in found.values())


def test_numbers_that_are_named_no_more_go(named):
    settle(named.session, verdict="accept")
    poll(named.session, 5.0, lambda: not numbered(named))
    assert not numbered(named)
