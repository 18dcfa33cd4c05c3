"""Targets in the views: rings to scale in the X-rays, and the numbers of those in doubt in 3D."""

import numpy as np
import slicer
from helpers.phantom import CORNERS, TRUE_POSE
from helpers.phantom_scene import settle
from helpers.running_session import poll

from MultiViewRegistrationLib.assessment import records
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.xray import detectors


def numbered(host):
    """Numbers and places, RAS mm in the world, of the targets in 3D."""
    found = host.registration.node.GetNodeReference("targets")
    if found is None:
        return {}
    labels = [found.GetNthControlPointLabel(n) for n in range(found.GetNumberOfControlPoints())]
    return dict(
        zip(labels, slicer.util.arrayFromMarkupsControlPoints(found, world=True), strict=True)
    )


def test_doubtful_targets_are_numbered_in_3d_and_all_have_rings_in_x_rays(host):
    session = host.session
    in_place = np.ones(8, bool)
    in_place[[1, 6]] = False
    displaced = np.arange(8) == 1
    tested = records.TestedPoints(CORNERS, in_place, in_place, displaced, are_targets=True)
    settle(session, verdict="check", tested=tested)
    poll(session, 5.0, lambda: numbered(host))
    places = numbered(host)
    there = rigid.transform_points(TRUE_POSE, CORNERS[[1, 6]]) * [-1, -1, 1]
    assert list(places) == ["2", "7"] and np.allclose(list(places.values()), there)
    for detector in detectors(host.registration):
        lines = {each.name: each.lines for each in session.bones.outlines(detector)}
        assert list(lines) == [*"12345678"] and all(len(each) for each in lines.values())
    settle(session, verdict="accept")
    poll(session, 5.0, lambda: not numbered(host))
    assert not numbered(host)
