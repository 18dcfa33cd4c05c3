"""TotalSegmentator by a button, with what it says and Cancel, where the extension is there."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import qt
from helpers.hosts import IN_SLICER

pytestmark = pytest.mark.skipif(IN_SLICER, reason="Slicer unloads no module")
EXTENSION = Path(__file__).with_name("extension") / "TotalSegmentator.py"


@pytest.fixture
def extension(host):
    """The extension's module, in a Slicer that has it."""
    module = host.load_module(EXTENSION)
    yield module
    module.BEHAVIOUR = ""


def segments(person, extension, behaviour=""):
    """Those that are chosen once it has ended, which behaves so."""
    extension.BEHAVIOUR = behaviour
    person.begin("ct")
    person.wait_until_read()
    person.press("ct", "total_segmentator")
    person.wait(lambda: person.registration.segmentation is not None or person.message)
    if person.message:
        return []
    node = person.registration.segmentation.GetSegmentation()
    return [node.GetSegment(each).GetName() for each in person.registration.chosen_segments]


def test_its_bones_are_chosen_and_move_with_the_ct(extension, person):
    assert segments(person, extension) == ["vertebrae_L1"]  # of the bones
    node = person.registration.segmentation
    assert node.GetParentTransformNode() is person.registration.ct_transform
    assert person.control("ct", "total_segmentator").enabled and not person.message


@pytest.mark.slow
def test_on_macos_its_process_is_ended_once_it_has_saved(extension, person, monkeypatch):
    module = sys.modules["MultiViewRegistrationLib.panel.total_segmentator"]
    monkeypatch.setattr(module, "sys", SimpleNamespace(platform="darwin"))
    assert segments(person, extension, "hang") == ["vertebrae_L1"]
    assert extension.processes[-1].poll() is not None


@pytest.mark.slow
def test_cancel_ends_its_process_and_leaves_nothing(extension, person):
    timer = qt.QTimer()

    def cancel():  # Slicer goes on meanwhile
        if person.text("ct", "segmented").startswith("Predicting"):
            timer.stop()
            assert not person.control("ct", "total_segmentator").enabled
            person.press("ct", "stop_segmenting")

    timer.timeout.connect(cancel)
    timer.start(50)
    assert segments(person, extension, "stay") == []
    timer.stop()
    assert extension.processes[-1].poll() is not None
    assert person.message == "TotalSegmentator: was cancelled."
    assert not person.host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")


@pytest.mark.slow
def test_a_failure_is_a_sentence(extension, person):
    assert segments(person, extension, "fail") == []
    assert person.message.startswith("TotalSegmentator: has failed (Command ")
