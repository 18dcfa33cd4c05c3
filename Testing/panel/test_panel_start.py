"""The section Start, driven by clicks."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from driven_panel import STARTED_AT, Driven
from phantom import TRUE_POSE, error_mm, off

from MultiViewRegistrationLib.geometry import rigid


@pytest.fixture
def driven(host, ct, views):
    return Driven(host, ct, views)


def transform(driven, name, pose, parent=None):
    from MultiViewRegistrationLib.mrml.frames import set_transform

    node = driven.host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    set_transform(node, pose)
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


def pages(driven):
    return [start for start, page in driven.start._pages.items() if page.visible]


def test_each_start_shows_its_own_page_and_is_kept_with_the_registration(driven):
    for start in ("given", "search", "landmarks", "by hand"):
        driven.choose_start(start)
        assert pages(driven) == [start]
        assert driven.registration.parameter("start") == start
        assert driven.panel.logic.getParameterNode(driven.registration).start == start


def test_what_is_chosen_comes_from_the_scene(driven):
    parameters = driven.panel.logic.getParameterNode(driven.registration)
    parameters.start = "search"
    parameters.rotation_deg, parameters.translation_mm = 45, 100
    driven.host.process(0.1)
    ui = driven.start.ui
    assert ui.searchRadioButton.checked and ui.rotationEdit.text == "45°" and ui.translationEdit.text == "100 mm"
    assert ui.rangeComboBox.currentText == "Hardly known (45°, 100 mm)"
    assert driven.header("start").endswith("Search, 45° and 100 mm")


def test_another_registration_has_settings_of_its_own(driven, ct, views):
    from phantom_scene import make_registration

    driven.choose_start("search")
    driven.host.choose(driven.start.ui.rangeComboBox, "Anywhere (90°, 150 mm)")
    other = make_registration(driven.host.scene, ct, views, name="Other")
    driven.panel.choose(other)
    driven.host.process(0.05)
    assert driven.start.ui.rotationEdit.text == "15°"
    driven.host.type(driven.start.ui.rotationEdit, "30")
    driven.host.process(0.05)
    assert [float(each.parameter("rotation_deg")) for each in (driven.registration, other)] == [90, 30]


# Given


def test_the_pose_of_another_transform_is_copied_and_can_be_undone(driven):
    ui = driven.start.ui
    driven.choose_start("given")
    assert not ui.copyButton.enabled and "Choose a transform" in ui.copyButton.toolTip
    parent = transform(driven, "Table", off(np.eye(4), (0, 0, 5), (1, 2, 3)))
    transform(driven, "Tracked", TRUE_POSE, parent)
    driven.host.choose(ui.transformSelector, "Tracked")
    driven.host.click(ui.copyButton)
    assert driven.is_at(off(np.eye(4), (0, 0, 5), (1, 2, 3)) @ TRUE_POSE) and driven.message() == ""
    assert driven.history() == ["Before", "Transform"]
    driven.host.click(driven.register.ui.undoButton)
    assert driven.is_at(STARTED_AT)


def bent(driven, name):
    """A transform that is not linear."""
    import slicer
    import vtk

    node = driven.host.scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    grid, image = slicer.vtkOrientedGridTransform(), vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    grid.SetDisplacementGridData(image)
    node.SetAndObserveTransformToParent(grid)


def test_a_transform_that_is_no_rigid_motion_is_a_message(driven):
    driven.choose_start("given")
    transform(driven, "Scaled", np.diag([2.0, 1, 1, 1]))
    transform(driven, "Mirrored", np.diag([-1.0, 1, 1, 1]))
    bent(driven, "Bent")
    for name, message in (("Scaled", "Scaled: "), ("Mirrored", "mirrors space"), ("Bent", "not a linear transform")):
        driven.host.choose(driven.start.ui.transformSelector, name)
        driven.host.click(driven.start.ui.copyButton)
        assert message in driven.message() and driven.is_at(STARTED_AT)


def test_a_ct_outside_all_xrays_is_told_and_centred(driven):
    driven.choose_start("search")
    assert driven.register.ui.registerButton.enabled
    driven.registration.world_from_ct = off(TRUE_POSE, (0, 0, 0), (0, 0, 900))
    driven.host.process(60, until=lambda: not driven.register.ui.registerButton.enabled)
    hint = driven.start.ui.hintLabel.text
    assert "outside all X-rays" in hint and hint == driven.register.ui.registerButton.toolTip
    assert "\u26a0" in driven.header("start")
    driven.host.click(driven.start.ui.centreButton)
    assert np.linalg.norm(rigid.transform_points(driven.registration.world_from_ct, np.zeros(3))) < 10
    assert driven.history() == ["Before", "Centred"] and driven.register.ui.registerButton.enabled
    driven.press_register()
    driven.wait()
    assert error_mm(driven.registration.world_from_ct) < 0.1


# Search


def test_a_range_is_chosen_by_name_or_by_number(driven):
    ui = driven.start.ui
    driven.choose_start("search")
    driven.host.choose(ui.rangeComboBox, "Known well (5°, 15 mm)")
    assert (ui.rotationEdit.text, ui.translationEdit.text) == ("5°", "15 mm")
    assert driven.session.case().search == {"rotation_deg": 5, "translation_mm": 15}
    driven.host.type(ui.rotationEdit, "7")
    driven.host.process(0.1)
    assert ui.rangeComboBox.currentText == "Custom"
    assert driven.session.case().search == {"rotation_deg": 7, "translation_mm": 15}


# Landmarks

POINTS = np.array([[20.0, 0, 0], [0, 20, 0], [0, 0, 20], [-15, -10, 5]])


def click_points(driven, points, view=None):
    """Points of the CT, LPS mm, clicked in the CT or in a view; as a click does it: without a name."""
    import vtk

    from MultiViewRegistrationLib.mrml.frames import ras_from_lps
    from MultiViewRegistrationLib.mrml.landmarks import landmark_list

    active = landmark_list(driven.registration)
    for point in points:
        if view is None:
            place = ras_from_lps(rigid.transform_points(driven.registration.world_from_ct, point))
        else:
            place = view.ras_of(view.camera.project(rigid.transform_points(TRUE_POSE, point)))
        active.AddControlPointWorld(vtk.vtkVector3d(*place))
        driven.host.process(0.2)


def table(driven):
    widget = driven.start.ui.landmarksTable
    return [[widget.item(row, column).text() for column in range(widget.columnCount)] for row in range(widget.rowCount)]


def test_landmarks_are_clicked_registered_and_their_fit_is_told(driven):
    ui = driven.start.ui
    driven.choose_start("landmarks")
    assert table(driven) == [["1", "next", "next", "next"]]
    assert not driven.register.ui.registerButton.enabled and "none so far" in driven.register.ui.registerButton.toolTip
    driven.host.click(ui.placeButton)
    ap, lateral = driven.registration.xrays
    click_points(driven, POINTS)
    click_points(driven, POINTS[:2], ap)
    assert table(driven) == [
        ["1", "✔", "✔", "next"],
        ["2", "✔", "✔", ""],
        ["3", "✔", "next", ""],
        ["4", "✔", "", ""],
        ["5", "next", "", ""],
    ]
    assert "2 so far, with 2 positions" in ui.landmarksLabel.text
    click_points(driven, POINTS[2:], ap)
    click_points(driven, POINTS, lateral)
    assert ui.placeButton.checked
    host = driven.host
    host.click(ui.placeButton)
    interaction = host.scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform and not ui.placeButton.checked
    driven.registration.world_from_ct = off(TRUE_POSE, (0, 0, 90), (50, 0, 0))
    driven.press_register()
    driven.wait()
    assert error_mm(driven.registration.world_from_ct) < 0.1
    assert "within 0.0 mm" in ui.landmarksLabel.text and table(driven)[0] == ["1", "✔", "0.0 mm", "0.0 mm"]
    assert "used" in ui.landmarksTable.item(0, 2).toolTip()


def test_an_empty_cell_says_what_comes_next_and_a_landmark_is_removed(driven):
    ui = driven.start.ui
    driven.choose_start("landmarks")
    driven.host.click(ui.placeButton)
    click_points(driven, POINTS[:3])
    driven.host.click_cell(ui.landmarksTable, 1, 2)
    assert [row[2] for row in table(driven)] == ["", "next", "", ""]
    click_points(driven, POINTS[1:2], driven.registration.xrays[0])
    assert [row[2] for row in table(driven)] == ["next", "✔", "", ""]
    assert ui.removeLandmarkButton.enabled
    driven.host.click(ui.removeLandmarkButton)
    assert [row[0] for row in table(driven)] == ["1", "3", "2"]  # the next one to come


def test_leaving_the_module_ends_placing(driven):
    driven.choose_start("landmarks")
    driven.host.click(driven.start.ui.placeButton)
    driven.host.leave(driven.widget)
    interaction = driven.host.scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


# By hand


def test_a_drag_in_an_xray_moves_the_ct_along_the_image_and_can_be_undone(driven):
    host, ui = driven.host, driven.start.ui
    manager = host.open_views(420, 320)
    host.click(driven.panel.ui.layoutButton)
    driven.choose_start("by hand")
    host.click(ui.moveButton)
    driven.wait()
    host.process(60, until=driven.session.prepare)
    assert "Drag" in ui.keysLabel.text
    view = driven.registration.xrays[0]
    widget = manager.sliceWidget("XRay1").sliceView()
    middle = (widget.width // 2, widget.height // 2)
    host.process(0.5)
    before = host.slicer.util.arrayFromVolume(view.node.GetNodeReference("drr")).copy()
    host.drag(widget, middle, (middle[0] + 10, middle[1]))
    host.process(1.2)
    moved = driven.registration.world_from_ct[:3, 3] - STARTED_AT[:3, 3]
    beam = view.camera.camera_from_world[2, :3]
    assert 1 < np.linalg.norm(moved) < 60 and abs(moved @ beam) < 0.05 * np.linalg.norm(moved)
    shown = host.slicer.util.arrayFromVolume(view.node.GetNodeReference("drr"))
    assert before.shape == shown.shape and not np.array_equal(before, shown)  # the DRR followed
    assert driven.history() == ["Before", "By hand"] and driven.selected() == [1]
    host.drag(widget, middle, (middle[0], middle[1] + 8))
    host.click(driven.register.ui.undoButton)  # before the CT has rested: the drag is not lost
    assert driven.history() == ["Before", "By hand", "By hand"] and driven.selected() == [1]
    display = driven.registration.ct_transform.GetDisplayNode()
    assert display.GetEditorVisibility()
    driven.choose_start("given")
    assert not display.GetEditorVisibility() and not ui.moveButton.checked
    at = driven.registration.world_from_ct
    host.drag(widget, middle, (middle[0] + 10, middle[1]))
    assert driven.is_at(at)


def test_without_views_the_handles_are_there_and_the_history_follows(driven):
    host, ui = driven.host, driven.start.ui
    driven.choose_start("by hand")
    host.click(ui.moveButton)
    assert "Show views" in ui.keysLabel.text
    for shift in (3, 6):
        driven.registration.world_from_ct = off(STARTED_AT, (0, 0, 0), (shift, 0, 0))
        host.process(1.0)
    assert driven.history() == ["Before", "By hand", "By hand"]
    driven.registration.world_from_ct = off(STARTED_AT, (0, 0, 0), (9, 0, 0))
    host.leave(driven.widget)
    assert len(driven.session.history.entries) == 4 and driven.session.history.current.method == "by hand"
    assert not driven.registration.ct_transform.GetDisplayNode().GetEditorVisibility()


def test_a_registration_ends_moving_by_hand(driven, monkeypatch):
    from MultiViewRegistrationLib.session import registering

    go, registered = threading.Event(), registering.register_case
    monkeypatch.setattr(registering, "register_case", lambda *arguments: go.wait(20.0) and registered(*arguments))
    button = driven.start.ui.moveButton
    driven.choose_start("by hand")
    driven.host.click(button)
    driven.choose_start("given")
    assert not button.checked
    driven.choose_start("by hand")
    driven.host.click(button)
    driven.press_register()
    assert not button.checked and not button.enabled
    go.set()
    driven.wait()
    assert driven.history() == ["Before", "By hand"] and error_mm(driven.registration.world_from_ct) < 0.1


def test_escape_ends_moving_the_ct_wherever_the_focus_is(driven):
    from PySide6 import QtCore, QtGui, QtWidgets

    host, button = driven.host, driven.start.ui.moveButton
    driven.choose_start("by hand")
    elsewhere = QtWidgets.QWidget(None)  # a window of its own, as a view that was torn off
    elsewhere.setFocusPolicy(QtCore.Qt.StrongFocus)
    elsewhere.show()
    for focused in (button, driven.register.ui.historyTable, elsewhere):
        host.click(button)
        assert button.checked and "Escape" in driven.start.ui.keysLabel.text
        focused.window().activateWindow()
        focused.setFocus()
        host.process(1, until=focused.hasFocus)
        host.key(focused, QtCore.Qt.Key_Escape)
        assert not button.checked and driven.start.by_hand._moves is None
    host.process()
    assert not [
        one for one in driven.start.button.parentWidget().findChildren(QtGui.QShortcut) if one.key.toString() == "Esc"
    ]
    elsewhere.deleteLater()
