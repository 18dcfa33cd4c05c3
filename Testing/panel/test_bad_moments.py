"""What goes wrong while a person is at it.

A sentence in the panel, no traceback, and the panel goes on.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest
from gui_driver import GuiDriver
from running_session import no_thread_is_left


@pytest.fixture
def person(host, ct, views, caplog, capfd):
    """At the panel with a registration that is ready.

    At the end nothing may have been printed that is for programmers.
    """
    person = GuiDriver(host).open_phantom(ct, views)
    person.wait(lambda: not person.panel.opening.under_way)
    person.choose("start", "start", "From here")
    yield person
    assert "Traceback" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def visible_text(person) -> str:
    """All that is to be read in the panel, tool tips aside."""
    import qt

    for section in person.panel.sections.values():
        section.button.collapsed = False
    person.wait_until_read()
    labels = person.module_widget.parent.findChildren(qt.QLabel)
    buttons = [section.button for section in person.panel.sections.values()]
    return "\n".join(widget.text for widget in [*labels, *buttons] if widget.visible)


def registers(person) -> None:
    person.press("register", "register")
    person.wait_for_work()


def bend(person) -> None:
    warp = person.host.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    person.panel.registration.ct_transform.SetAndObserveTransformNodeID(warp.GetID())


def nan_in_xray(person) -> None:
    import slicer

    source = person.panel.registration.xrays[1].source
    slicer.util.arrayFromVolume(source)[...] = np.nan
    slicer.util.arrayFromVolumeModified(source)


def a_broken_case(person) -> None:
    person.host.answers.open_files = [__file__]
    person.host.click(person.ui.loadCaseButton)
    person.wait_until_read()


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (bend, "warp, which is not linear"),
        (nan_in_xray, "view2: has no contrast"),
        (a_broken_case, "test_bad_moments.py"),
    ],
)
def test_errors_are_one_sentence(person, spoil, sentence):
    spoil(person)
    person.panel.invalidate()
    person.host.process(0.2)
    if person.control("register", "register").enabled and spoil is not a_broken_case:
        registers(person)
    assert sentence in visible_text(person)
    assert no_thread_is_left()


def test_nodes_are_deleted_while_they_are_shown(person):
    scene, registration = person.host.scene, person.registration
    person.begin("check")
    transform = registration.ct_transform
    for doomed in (registration.xrays[1].node, registration.ct, transform):
        scene.RemoveNode(doomed)
        person.host.process(0.25)
        assert person.message == ""
    assert len(person.cells("check", "similarity")) == 1
    person.choose("check", "overlay", "Difference")
    scene.Clear(False)
    person.host.process(0.25)
    assert person.panel.registration is None and person.message == ""
