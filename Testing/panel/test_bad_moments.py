"""What goes wrong while a person is at it: a sentence in the panel, no traceback, and the panel goes on."""

from __future__ import annotations

import errno
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


def no_ct(person) -> None:
    person.choose("ct", "ct", person.control("ct", "ct").options[0].title)


def no_geometry(person) -> None:
    import slicer

    node = person.host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "third")
    slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(person.panel.registration.xrays[0].source))
    person.host.process(0.1)
    person.choose("xrays", "volume", "third")


def one_geometry(person) -> None:
    first, second = person.panel.registration.xrays
    second.change(camera=first.content["camera"])


def bend(person) -> None:
    warp = person.host.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    person.panel.registration.ct_transform.SetAndObserveTransformNodeID(warp.GetID())


def nan_in_ct(person) -> None:
    spoil(person.panel.registration.ct, np.nan)


def nan_in_xray(person) -> None:
    spoil(person.panel.registration.xrays[1].source, np.nan)


def spoil(volume, value) -> None:
    import slicer

    slicer.util.arrayFromVolume(volume)[...] = value
    slicer.util.arrayFromVolumeModified(volume)


def colours_as_xray(person) -> None:
    import slicer

    node = person.host.scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(node, np.random.default_rng(1).integers(0, 255, (1, 40, 50, 3)).astype(np.uint8))
    person.host.process(0.1)
    person.choose("xrays", "volume", "photo")


def colours_in_ct(person) -> None:
    person.panel.registration.ct.GetImageData().AllocateScalars(3, 3)


def empty_ct(person) -> None:
    person.panel.registration.ct.SetAndObserveImageData(None)


def a_broken_case(person) -> None:
    person.host.answers.open_files = [__file__]
    person.host.click(person.ui.loadCaseButton)
    person.wait_until_read()


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (no_ct, "Choose a CT first."),
        (no_geometry, "third needs geometry"),
        (one_geometry, "view1 and view2 have the same geometry"),
        (bend, "warp, which is not linear"),
        (nan_in_ct, "not finite"),
        (nan_in_xray, "view2: has no contrast"),
        (colours_as_xray, "photo: is a colour image"),
        (colours_in_ct, "Phantom: has 3 values a voxel"),
        (empty_ct, "Phantom: has no voxels"),
        (a_broken_case, "test_bad_moments.py"),
    ],
)
def test_what_is_wrong_is_a_sentence(person, spoil, sentence):
    spoil(person)
    person.panel.invalidate()
    person.host.process(0.2)
    if person.control("register", "register").enabled and spoil not in (colours_as_xray, a_broken_case):
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


def test_the_scene_is_closed_in_mid_run_and_work_goes_on_with_the_next(person, ct, views):
    person.press("register", "register")
    person.host.scene.Clear(False)
    person.host.process(0.2)
    assert person.panel.registration is None and threads() == []
    person.panel.choose(make_registration(person.host.scene, ct, views))
    person.wait_until_read()
    registers(person)
    assert person.message == "" and person.header("register").startswith("\u2714")


def full_disk(monkeypatch, folder) -> str:
    from MultiViewRegistrationLib.io import files

    def no_room(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", no_room)
    return "No space left on device"


def a_file_in_the_way(monkeypatch, folder) -> str:
    folder.write_text("a file where the folder should be")
    return "cannot be written there"


@pytest.mark.parametrize("trouble", [full_disk, a_file_in_the_way])
def test_files_that_cannot_be_written(person, trouble, tmp_path, monkeypatch):
    registers(person)
    folder = tmp_path / "out"
    sentence = trouble(monkeypatch, folder)
    person.switch("export", "case")
    person.write_files("export", "registration", folder)
    person.wait_for_work()
    assert sentence in person.message and person.header("export") == "\u25d0"
    assert not folder.is_dir() or not list(folder.iterdir())
