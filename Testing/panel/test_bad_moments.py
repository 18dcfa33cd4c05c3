"""What goes wrong while a person is at it: a sentence in the panel, no traceback, and the panel goes on."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from person import Person, threads
from phantom import TRUE_POSE, off
from phantom_scene import make_registration


@pytest.fixture
def person(host, ct, views, caplog, capfd):
    """At the panel with a registration that is ready; at the end nothing may have been printed that is for programmers."""
    person = Person(host)
    person.panel.choose(make_registration(host.scene, ct, views, off(TRUE_POSE, (3, 2, 0), (5, 0, 4))))
    person.wait(lambda: not person.panel.opening.under_way)
    person.choose("start", "start", "As placed")
    yield person
    assert "Traceback" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def told(person) -> str:
    """All that is to be read in the panel, tool tips aside."""
    from PySide6 import QtWidgets

    for section in person.panel.sections.values():
        section.button.collapsed = False
    person.wait_until_read()
    labels = person.module_widget.parent.findChildren(QtWidgets.QLabel)
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
def test_what_is_wrong_is_a_sentence(person, spoil, sentence):
    spoil(person)
    person.panel.invalidate()
    person.host.process(0.2)
    if person.control("register", "register").enabled and spoil is not a_broken_case:
        registers(person)
    assert sentence in told(person)
    assert threads() == []


def test_a_sequence_goes_on_to_the_next_frame(person, views):
    """The X-ray's volume is the proxy of a sequence: what it shows now counts, and the result of another frame is stale."""
    import slicer

    scene, source = person.host.scene, person.panel.registration.xrays[1].source
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "run")
    for n in range(2):
        slicer.util.updateVolumeFromArray(source, views[1].xray.line_integrals[None] * (1 + 0.5 * n))
        sequence.SetDataNodeAtValue(source, str(n))
    browser = scene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
    browser.AddProxyNode(source, sequence, False)
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    browser.SetSelectedItemNumber(0)
    logic.UpdateProxyNodesFromSequences(browser)
    person.wait_until_read()
    registers(person)
    assert person.header("register").startswith("\u2714")
    browser.SetSelectedItemNumber(1)
    logic.UpdateProxyNodesFromSequences(browser)
    person.wait(lambda: "stale" in person.text("export", "doubt"), 5.0)
    assert not person.header("register").startswith("\u2714")
