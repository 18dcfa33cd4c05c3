"""What is said of a pose: its verdict, masks without what does not fit, its similarity, and how another one differs."""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, error_mm, off
from helpers.phantom_scene import make_registration, settled_session
from helpers.refusals import refuses
from helpers.running_session import ELSEWHERE, new_session, poll, register_given

from MultiViewRegistrationLib.assessment import records
from MultiViewRegistrationLib.assessment.features import Tile
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.io.view_record import LEFT_OUT
from MultiViewRegistrationLib.mrml import overlay
from MultiViewRegistrationLib.mrml.structures import TESTED_COLOUR
from MultiViewRegistrationLib.mrml.xray import detectors
from MultiViewRegistrationLib.report.overlays import decisive_box
from MultiViewRegistrationLib.session.assessment import stale_reason, use_suggested_masks
from MultiViewRegistrationLib.session.result_files import case_content

#: (rows, columns) of a plate with a sharp edge in the first X-ray.
TOOL = (slice(50, 82), slice(44, 76))


@pytest.mark.slow
def test_masked_tool_prevents_an_accept(scene, ct, views):
    covered = views[0].xray.line_integrals.copy()
    covered[TOOL] += 1.5 * (np.indices(covered[TOOL].shape).sum(axis=0) % 16 < 8)
    views = [views[0].with_xray(line_integrals=covered), views[1]]
    start = off(TRUE_POSE, (1, 0, -1), (2, -1, 1))
    session = new_session(make_registration(scene, ct, views, start))
    with refuses("no result of a registration, expected a pose that was"):
        use_suggested_masks(session)
    register_given(session)
    sentence = use_suggested_masks(session)
    first, second = session.registration.xrays
    assert "% of view1" in sentence and "view2" not in sentence and second.mask is None
    assert "stale" in stale_reason(session)
    used = session.xray(first).valid
    assert used[TOOL].mean() < 0.5 and used.mean() > 0.8

    register_given(session)
    entry = session.history.current
    assert error_mm(entry.pose) < 0.3 and entry.verdict == "check"
    (assumed,) = [finding for finding in entry.findings if finding.code == "assumed"]
    assert assumed.values["assumptions"] == f"view1: {LEFT_OUT}".rstrip(".")
    written = [view.get("assumptions") for view in case_content(session)["views"]]
    assert written == [[LEFT_OUT], None]
    session.registration.world_from_ct = ELSEWHERE
    with refuses("moved by hand"):
        use_suggested_masks(session)


def test_what_disagrees_most_is_shown_with_room_about_it():
    """Connected tiles count together; a single one elsewhere, however strong, less than they."""
    xray = XRay(np.zeros((400, 600), np.float32), np.ones((400, 600), bool))
    alike = [Tile(row, column, 20, 0.5) for row in (0, 200) for column in (0, 300)]
    together = [Tile(200, 400, 20, 1.5), Tile(220, 420, 20, 1.5)]
    tiles = [*alike, *together, Tile(20, 20, 20, 2.5)]
    box = decisive_box(xray, tiles, np.ones(7))
    assert np.array_equal(box.mean(axis=0), [420, 220])
    assert (box[0] <= [380, 180]).all() and (box[1] >= [460, 260]).all()
    assert np.array_equal(box[1] - box[0], [180, 120])  # three tenths of the image at least


def test_what_disagrees_without_any_bone_is_no_place_to_look_at():
    """As a tool; where nothing else does, it is the place with the clearest edges."""
    xray = XRay(np.zeros((400, 600), np.float32), np.ones((400, 600), bool))
    tool = Tile(20, 20, 20, 2.5, 0.9)
    bone = [Tile(200, 400, 20, 0.5, explained) for explained in (0.9, 0.2)]
    box = decisive_box(xray, [tool, *bone], np.array([0.0, 1.0, 1.0]))
    assert np.allclose(box.mean(axis=0), [410, 210])


def test_tested_points_are_drawn_while_the_pose_holds(scene):
    points = np.array([[10.0, 20.0, 30.0]])
    no, yes = np.zeros(1, bool), np.ones(1, bool)
    tested = records.TestedPoints(points, in_place=no, overlay_in_place=yes, displaced=no)
    session = settled_session(scene, verdict="accept", position=(0.3, 0.6), tested=tested)
    detector = detectors(session.registration)[0]
    poll(session, 20.0, lambda: bool(session.bones.marks))
    (cross,) = session.bones.outlines(detector)
    place = rigid.transform_points(TRUE_POSE, points)
    assert cross.lines.mean(axis=(0, 1)) == pytest.approx(detector.camera.project(place)[0])
    assert cross.colour == TESTED_COLOUR
    for mode in ("difference", "edges"):  # in the first, the DRR has the colour of the marks
        session.registration.node.SetParameter(overlay.MODE, mode)
        assert bool(session.bones.outlines(detector)) == (mode == "edges")
    session.registration.world_from_ct = ELSEWHERE
    poll(session, 20.0, lambda: not session.bones.outlines(detector))
    assert not session.bones.outlines(detector)
