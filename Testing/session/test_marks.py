"""Marks of an assessment in the views."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import CORNERS
from helpers.phantom_scene import settled_session

from MultiViewRegistrationLib.assessment import records
from MultiViewRegistrationLib.mrml.nodes import lps_from_ras
from MultiViewRegistrationLib.mrml.structures import MISFIT_COLOUR
from MultiViewRegistrationLib.session.marks import (
    IN_PLACE_COLOUR,
    NOT_TESTED_COLOUR,
    marks_of,
    target_rings,
)

TARGETS = CORNERS[:3]
#: The first target is in place, at the second bone is displaced, and the third could not be tested.
IN_PLACE = np.array([True, False, False])
TESTED = records.TestedPoints(
    TARGETS, IN_PLACE, IN_PLACE, displaced=np.array([False, True, False]), are_targets=True
)


@pytest.mark.parametrize("bound_mm, radius_mm", [(1.4, 1.4), (3.0, 3.0), (None, records.WRONG_MM)])
def test_targets_have_rings_of_their_state_with_the_radius_of_the_95_percent_bound(
    scene, bound_mm, radius_mm
):
    position = (0.6, bound_mm)
    session = settled_session(scene, verdict="accept", position=position, tested=TESTED)
    entry = session.history.current
    rings = target_rings(entry)
    assert [ring.number for ring in rings] == [1, 2, 3]
    colours = [ring.colour for ring in rings]
    assert colours == [IN_PLACE_COLOUR, MISFIT_COLOUR, NOT_TESTED_COLOUR]
    for ring, target in zip(rings, TARGETS, strict=True):
        assert np.array_equal(ring.point_mm, target)
        for source in np.eye(3) * 1000:
            outline = lps_from_ras(ring.shape.seen_from(source, None).reshape(-1, 3))
            away = np.linalg.norm(outline - target, axis=1)
            assert away == pytest.approx(radius_mm, rel=0.02)
    assert marks_of(entry) == {}
    points = replace(entry.assessment, tested=replace(TESTED, are_targets=False))
    of_points = replace(entry, assessment=points)
    assert target_rings(of_points) == [] and MISFIT_COLOUR in marks_of(of_points)
