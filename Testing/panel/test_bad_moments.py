"""What goes wrong while a person is at it: a sentence in the panel, no traceback, and the panel goes on."""

import numpy as np
import pytest
import qt
import slicer

pytestmark = pytest.mark.slow


def visible_text(person):
    """All that is to be read in the panel, tool tips aside."""
    for section in person.panel.sections.values():
        section.button.collapsed = False
    person.wait_until_read()
    labels = person.module_widget.parent.findChildren(qt.QLabel)
    return "\n".join(label.text for label in labels if label.visible)


def bend(registration):
    warp = registration.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    registration.ct_transform.SetAndObserveTransformNodeID(warp.GetID())


def blank(registration):
    slicer.util.updateVolumeFromArray(registration.xrays[1].source, np.full((1, 128, 128), np.nan))


@pytest.mark.parametrize(
    "spoil, sentence", [(bend, "warp, which is not linear"), (blank, "view2: has no contrast")]
)
def test_what_is_spoiled_under_way_is_a_sentence(person, caplog, capfd, spoil, sentence):
    person.choose("start", "start", "From here")
    spoil(person.registration)
    person.host.process(0.3)
    if person.control("register", "register").enabled:
        person.press("register", "register")
        person.wait_for_work()
    assert sentence in visible_text(person)
    assert "Traceback" not in capfd.readouterr().err and not caplog.records


def test_nodes_are_deleted_while_they_are_shown(person):
    scene, registration = person.host.scene, person.registration
    person.begin("check")
    transform = registration.ct_transform
    for doomed in (registration.xrays[1].node, registration.ct, transform):
        scene.RemoveNode(doomed)
        person.host.process(0.25)
        assert person.message == ""
    assert len(person.cells("check", "similarity")) == 1
    scene.Clear(False)
    person.host.process(0.25)
    assert person.panel.registration is None and person.message == ""
