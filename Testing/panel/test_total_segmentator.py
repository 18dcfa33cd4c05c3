"""TotalSegmentator by a button, with what it says and Cancel, where the extension is there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from gui_driver import GuiDriver
from hosts import IN_SLICER
from phantom_scene import make_registration

pytestmark = pytest.mark.skipif(IN_SLICER, reason="Slicer unloads no module")
EXTENSION = Path(__file__).with_name("extension") / "TotalSegmentator.py"


@pytest.fixture
def person(host, ct, views):
    """With a CT, in a Slicer that has the extension."""
    host.load_module(EXTENSION)
    person = GuiDriver(host)
    person.begin("ct", make_registration(host.scene, ct, views))
    person.wait_until_read()
    yield person
    sys.modules["TotalSegmentator"].BEHAVIOUR = ""


def segments(person) -> list[str]:
    registration = person.registration
    node = registration.segmentation.GetSegmentation()
    return [node.GetSegment(each).GetName() for each in registration.chosen_segments]


def said(person) -> str:
    drawn = person.control("ct", "segmented")
    return "" if drawn is None else drawn.label


def test_without_the_extension_there_is_no_button(host, ct, views):
    person = GuiDriver(host)
    person.begin("ct", make_registration(host.scene, ct, views))
    person.wait_until_read()
    assert person.control("ct", "total_segmentator") is None


def test_its_bones_are_chosen_and_move_with_the_ct(person):
    person.press("ct", "total_segmentator")
    person.wait(lambda: person.registration.segmentation is not None)
    assert segments(person) == ["vertebrae_L1"]  # of the bones
    node = person.registration.segmentation
    assert node.GetParentTransformNode() is person.registration.ct_transform
    assert person.control("ct", "total_segmentator").enabled and not person.message
    assert person.session.structures().names == ("vertebrae_L1",)


def test_on_macos_its_process_is_ended_once_it_has_saved(person, monkeypatch):
    module = sys.modules["MultiViewRegistrationLib.panel.total_segmentator"]
    monkeypatch.setattr(module, "sys", SimpleNamespace(platform="darwin"))
    sys.modules["TotalSegmentator"].BEHAVIOUR = "hang"
    person.press("ct", "total_segmentator")
    person.wait(lambda: person.registration.segmentation is not None)
    assert segments(person) == ["vertebrae_L1"] and not person.message
    assert sys.modules["TotalSegmentator"].processes[-1].poll() is not None


def test_cancel_ends_its_process_and_leaves_nothing(person):
    import qt

    extension = sys.modules["TotalSegmentator"]
    extension.BEHAVIOUR = "stay"
    timer, seen = qt.QTimer(), []

    def cancel() -> None:  # Slicer goes on meanwhile
        if said(person).startswith("Predicting") and not seen:
            seen.append(person.control("ct", "total_segmentator").enabled)
            person.press("ct", "stop_segmenting")

    timer.timeout.connect(cancel)
    timer.start(50)
    person.press("ct", "total_segmentator")
    person.wait(lambda: bool(person.message))
    timer.stop()
    assert seen == [False] and person.control("ct", "stop_segmenting") is None
    assert extension.processes[-1].poll() is not None
    assert person.message == "TotalSegmentator: was cancelled."
    assert not person.host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")


def test_a_failure_is_a_sentence(person):
    sys.modules["TotalSegmentator"].BEHAVIOUR = "fail"
    person.press("ct", "total_segmentator")
    person.wait(lambda: bool(person.message))
    assert person.message.startswith("TotalSegmentator: has failed (Command ")
    assert person.registration.segmentation is None
