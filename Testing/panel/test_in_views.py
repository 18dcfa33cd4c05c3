"""What is seen and done in Slicer's own views, by the mouse: in Slicer itself (make test-slicer)."""

import numpy as np
import pytest
import qt
import slicer
from helpers.hosts import IN_SLICER
from helpers.phantom import TRUE_POSE, off
from helpers.phantom_scene import begun, make_registration
from helpers.running_session import STARTED_AT

from MultiViewRegistrationLib.panel.views import SPARED_3D_HZ

CT_SLICES = ("Red", "Green", "Yellow")


pytestmark = pytest.mark.skipif(not IN_SLICER, reason="needs Slicer's views: make test-slicer")


@pytest.fixture
def person(person):
    """With the X-rays in panes."""
    if not person.ui.layoutButton.checked:
        person.host.click(person.ui.layoutButton)
    person.wait(lambda: pane(person, "XRay2") is not None)
    return person


def pane(person, name):
    """A slice view, by its name."""
    widget = person.host.app.layoutManager().sliceWidget(name)
    return widget and widget.sliceView()


def drag(person, name, *shifts):
    """Drag in a slice view, from its middle by pixels."""
    widget = pane(person, name).VTKWidget()
    middle = widget.rect.center()
    points = [qt.QPoint(middle.x() + x, middle.y() + y) for x, y in ((0, 0), *shifts)]
    person.host.drag(widget, points)


def shown_in(person, name):
    """The ID of the volume in the back of a slice view."""
    widget = person.host.app.layoutManager().sliceWidget(name)
    return widget.mrmlSliceCompositeNode().GetBackgroundVolumeID()


def test_a_drag_in_an_xray_moves_the_ct_and_keys_take_it_back_with_the_focus_there(person):
    person.choose("start", "other_start", "By hand")
    person.press("start", "move")
    rates = []  # of the 3D view, while a button is pressed and once it is released
    for event in ("LeftButtonPressEvent", "LeftButtonReleaseEvent"):
        pane(person, "XRay1").interactor().InvokeEvent(event)
        person.host.process(0.3)
        rates.append(person.panel.views.three_d_view().maximumUpdateRate)
    assert rates == [SPARED_3D_HZ, 60.0]
    drag(person, "XRay1", (10, 0), (20, 5), (30, 10))
    assert 0.1 < np.linalg.norm(person.pose[:3, 3] - STARTED_AT[:3, 3]) < 200
    person.wait(lambda: person.control("answer", "undo").enabled, 5)
    person.host.key(pane(person, "XRay1").VTKWidget(), qt.Qt.Key_Z, qt.Qt.ControlModifier)
    assert person.is_at(STARTED_AT)


def test_a_point_clicked_in_an_xray_is_a_line_in_the_other(person):
    person.press("check", "place_cursor")
    drag(person, "XRay1")
    person.wait(lambda: "another X-ray" in person.text("check", "cursor"), 10)
    person.press("check", "clear_cursor")
    assert "another X-ray" not in person.text("check", "cursor")


def test_a_mask_is_drawn_in_the_segment_editor_and_in_its_own_pane_alone(person):
    person.press("xrays", "draw")
    assert slicer.util.selectedModule() == "SegmentEditor"
    person.host.enter(person.module_widget)
    display = person.registration.xrays[0].mask.GetDisplayNode()
    shows = [display.IsDisplayableInView(f"vtkMRMLSliceNodeXRay{n}") for n in (1, 2)]
    assert shows == [True, False]


@pytest.mark.parametrize("order", ["aba", "bab"])
def test_slices_show_the_patient_that_is_chosen_and_no_other(person, ct, views, order):
    elsewhere = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))
    other = begun(make_registration(person.host.scene, ct, views, elsewhere, name="B"))
    patients = {"a": person.registration, "b": other}
    if not person.ui.ctSlicesBox.checked:
        person.host.click(person.ui.ctSlicesBox)
    person.host.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    for letter in order:
        person.ui.registrationSelector.setCurrentNode(patients[letter].node)
        person.host.process(0.5)
        shown = {shown_in(person, name) for name in CT_SLICES}
        assert shown == {patients[letter].ct.GetID()}
