"""Structures and points in the Check section: they are seen where they are, and follow the CT."""

from __future__ import annotations

import numpy as np
import pytest
from check_section import POINT, at_check, ball, choose, screw, with_views
from phantom import off
from phantom_scene import START

from MultiViewRegistrationLib.geometry.rigid import transform_points


@pytest.fixture
def person(host, monkeypatch):
    return at_check(host, monkeypatch)


@pytest.fixture
def viewer(person):
    return with_views(person)


# Structures -------------------------------------------------------------------------------------------------------------


def pure(picture: np.ndarray, channel: int) -> np.ndarray:
    """(n, 2) columns and rows of what is of one colour alone."""
    others = np.delete(picture.astype(int), channel, axis=2).max(axis=2)
    return np.argwhere((picture[..., channel] > 150) & (others < 80))[:, ::-1]


def test_a_segment_and_a_planned_screw_are_seen_on_the_x_rays_where_they_are(viewer):
    model, line = ball(viewer), screw(viewer)
    choose(viewer, "X-ray alone")
    viewer.host.process(0.2)
    box = viewer.of("check").structuresComboBox
    assert {node.GetName() for node in box.checkedNodes()} >= {"Tumour", "Screw"}
    world = viewer.registration.world_from_ct
    for number, view in enumerate(viewer.registration.xrays, 1):
        red, green = pure(viewer.picture(number), 0), pure(viewer.picture(number), 1)
        at = viewer.position(number, view.camera.project(transform_points(world, POINT)))
        assert np.linalg.norm((red.min(axis=0) + red.max(axis=0)) / 2 - [at.x(), at.y()]) < 3
        assert len(green) > 10
    assert len(pure(viewer.picture(1), 1)) > 40  # across; in the lateral view it is seen from its end
    viewer.host.choose(box, "Tumour")  # unticked
    viewer.host.process(0.2)
    assert not len(pure(viewer.picture(1), 0))
    assert len(pure(viewer.picture(1), 1)) > 40
    viewer.host.choose(box, "Tumour")
    model.GetDisplayNode().SetVisibility(False)
    viewer.host.scene.RemoveNode(line)
    viewer.host.process(0.2)
    assert not len(pure(viewer.picture(1), 0)) + len(pure(viewer.picture(1), 1))


def test_structures_follow_the_ct(viewer):
    ball(viewer)
    choose(viewer, "X-ray alone")
    viewer.host.process(0.2)
    before = pure(viewer.picture(1), 0).mean(axis=0)
    viewer.registration.world_from_ct = off(START, [0, 0, 0], [0, 0, 10.0])
    viewer.host.process(0.2)
    here, there = (
        viewer.registration.xrays[0].camera.project(transform_points(pose, POINT))
        for pose in (START, viewer.registration.world_from_ct)
    )
    scale = viewer.position(1, (100, 64)).x() - viewer.position(1, (0, 64)).x()
    assert np.abs((pure(viewer.picture(1), 0).mean(axis=0) - before) - (there - here) * scale / 100).max() < 2


# Points -----------------------------------------------------------------------------------------------------------------


def test_the_linked_cursor_by_clicks(viewer):
    from MultiViewRegistrationLib.mrml.frames import ras_from_lps

    ui, views = viewer.of("check"), viewer.registration.xrays
    choose(viewer, "X-ray alone")
    seen = [view.camera.project(transform_points(viewer.registration.world_from_ct, POINT)) for view in views]
    viewer.host.click(ui.cursorButton)
    before = viewer.picture(2)
    viewer.click_pixel(1, seen[0])
    assert ui.cursorLabel.text == "Click the same point in another X-ray, on the line."
    line = np.argwhere(np.abs(viewer.picture(2).astype(int) - before).max(axis=2) > 60)[:, ::-1]
    at = viewer.position(2, seen[1])
    assert len(line) > 60
    assert np.linalg.norm(line - [at.x(), at.y()], axis=1).min() < 3
    viewer.click_pixel(2, seen[1])
    assert np.linalg.norm(viewer.panel.sections["check"].cursor.cursor.ct_ras - ras_from_lps(POINT)) < 2
    assert "In the CT at R" in ui.cursorLabel.text
    assert "The rays miss it by up to" in ui.cursorLabel.text
    viewer.host.click(ui.clearCursorButton)
    assert not ui.cursorLabel.visible
    viewer.host.click(ui.cursorButton)
    viewer.host.process(0.1)
    assert np.abs(viewer.picture(2).astype(int) - before).max(axis=2)[60:-60].max() < 40


def test_the_button_follows_what_the_mouse_does(viewer):
    from MultiViewRegistrationLib.mrml.nodes import stop_placing

    ui = viewer.of("check")
    viewer.host.click(ui.cursorButton)
    stop_placing(viewer.host.scene)  # as Escape does
    viewer.host.process(0.1)
    assert not ui.cursorButton.checked
    viewer.host.click(ui.cursorButton)
    viewer.host.leave(viewer.widget)
    viewer.host.enter(viewer.widget)
    viewer.host.process(0.1)
    assert not ui.cursorButton.checked


def test_a_distance_is_measured_with_two_clicks(viewer):
    ui = viewer.of("check")
    ui.distancesGroupBox.collapsed = False
    viewer.host.process(0.1)
    viewer.host.click(ui.lineButton)
    viewer.click_pixel(1, (40, 64))
    viewer.click_pixel(1, (88, 64))
    viewer.wait(lambda: ui.distancesTable.rowCount == 1, 3)
    told = ui.distancesTable.item(0, 1).text()
    numbers = [float(part.split()[-1]) for part in told.replace("(", " ").split(" mm")[:2]]
    at_ct, on_detector = numbers if len(numbers) == 2 else (numbers[0], None)
    assert "at the CT's depth" in told
    assert at_ct == pytest.approx(48 * 160 / 128 * 0.7, rel=0.05)
    assert on_detector > at_ct


def test_a_distance_in_the_ct_follows_its_ends(person):
    line = screw(person)
    table = person.of("check").distancesTable
    person.wait(lambda: table.rowCount == 1, 3)
    assert (table.item(0, 0).text(), table.item(0, 1).text()) == ("Screw", "50.0 mm")
    line.SetNthControlPointPosition(1, 5.0, 5.0, 3.0)
    person.wait(lambda: table.item(0, 1).text() == "30.0 mm", 3)
