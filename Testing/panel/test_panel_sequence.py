"""The section Sequence, driven by clicks: a tracked sequence opened and played, one tracked, two held against each other."""

from __future__ import annotations

import csv
import shutil
import time

import numpy as np
import pytest
from moving import swing, write_blinking_case
from person import Person, threads
from phantom import error_mm
from tracked import write_track, write_turning

from MultiViewRegistrationLib.sequence.tracker import Tracker

COUNT, BLANK = 5, 3


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A case whose images have five frames, the fourth one blank."""
    return write_blinking_case(tmp_path_factory.mktemp("moving"), COUNT, BLANK)


@pytest.fixture(scope="module")
def track(moving, tmp_path_factory):
    return write_track(moving, tmp_path_factory.mktemp("out") / "track")


@pytest.fixture
def person(host):
    """At the section Sequence, with nothing in the scene."""
    person = Person(host)
    person.begin("sequence")
    return person


@pytest.fixture
def playing(person, track):
    """With a tracked sequence open, at its first frame."""
    person.host.answers.open_files = [track / "track.json"]
    person.host.click(person.of("sequence").openButton)
    shown(person, 0)
    return person


def shown(person, number: int) -> list[str]:
    """Wait until a frame is shown; what is said of it."""
    person.wait(lambda: not person.panel.opening.under_way)
    person.wait(lambda: person.panel.session.sequence.player.number == number, 20)
    return person.of("sequence").frameLabel.text.splitlines()


def images(person) -> list[np.ndarray]:
    return [person.host.slicer.util.arrayFromVolume(view.node).copy() for view in person.panel.registration.xrays]


def test_before_there_is_anything_only_open_is_offered(person):
    ui = person.of("sequence")
    assert ui.openButton.enabled and not ui.trackButton.enabled and not ui.cancelButton.enabled
    assert not ui.playerWidget.visible and not ui.progressBar.visible and person.header("sequence") == "\u25cb"


def test_a_tracked_sequence_is_opened_played_and_put_away(playing):
    person, ui = playing, playing.of("sequence")
    assert person.message == "" and person.header("sequence") == "\u2714 5 frames" and not ui.trackButton.enabled
    assert shown(person, 0)[0] == "Frame 0: registered, accept."
    assert ui.countLabel.text == "5 of 5 frames: 1 accept, 3 check, 1 reject."
    first = images(person)
    person.host.click(ui.onButton)
    assert shown(person, 1)[0] == "Frame 1: followed, check." and ui.frameSlider.value == 1
    assert not any(np.array_equal(a, b) for a, b in zip(first, images(person), strict=True))
    assert error_mm(person.pose, swing(COUNT)[1]) < 0.3
    person.host.click(ui.playButton)
    assert ui.playButton.text == "Pause"
    person.wait(lambda: not person.panel.session.sequence.player.playing, 20)
    assert ui.playButton.text == "Play" and shown(person, COUNT - 1)[0].startswith("Frame 4")
    person.host.click(ui.backButton)
    told = shown(person, BLANK)
    assert told[0] == "Frame 3: lost, reject." and "still show another frame" in told[1] and "no contrast" in told[1]
    ui.frameSlider.value = 2
    shown(person, 2)
    assert error_mm(person.pose, swing(COUNT)[2]) < 0.3
    assert "frame of a sequence" in person.of("export").doubtLabel.text
    person.host.click(ui.closeButton)
    person.host.process(0.2)
    assert not ui.playerWidget.visible and ui.trackButton.enabled
    assert all(np.array_equal(a, b) for a, b in zip(first, images(person), strict=True))


def follow_when_seen(monkeypatch, seen: set) -> None:
    """However busy the machine is, a frame is followed when the number of the one before has been seen."""
    from MultiViewRegistrationLib.sequence import run as sequences

    real = sequences.follow

    def follow(*arguments, **options):
        for number, frame in enumerate(real(*arguments, **options)):
            yield frame
            end = time.monotonic() + 60.0
            while number not in seen and time.monotonic() < end:
                time.sleep(0.01)

    monkeypatch.setattr(sequences, "follow", follow)


def test_frames_are_tracked_shown_as_they_come_and_exported(person, moving, tmp_path, monkeypatch):
    from PySide6 import QtWidgets

    numbers = set()
    follow_when_seen(monkeypatch, numbers)
    person.host.answers.open_files = [moving]
    person.host.click(person.ui.loadCaseButton)
    person.wait_until_read()
    ui = person.of("sequence")
    person.panel.registration.node.SetParameter("start", "given")
    ui.paceComboBox.currentIndex = 1
    person.wait(lambda: ui.trackButton.enabled, 20)
    person.host.click(ui.trackButton)
    assert ui.progressBar.visible and ui.cancelButton.enabled and person.header("sequence").startswith("\u25b6")
    assert not person.of("register").registerButton.enabled

    def ended() -> bool:
        player = person.panel.session.sequence.player
        numbers.add(player and player.number)
        return not person.panel.session.running

    person.wait(ended, 180)
    assert person.message == "" and shown(person, COUNT - 1)[0].startswith("Frame 4: followed, check.")
    assert numbers >= set(range(COUNT))
    person.wait(lambda: not ui.progressBar.visible and threads() == [])
    assert not ui.exportButton.enabled
    person.of("sequence").exportGroupBox.collapsed = False
    person.host.process()
    person.host.type(ui.folderPath.findChild(QtWidgets.QLineEdit), str(tmp_path / "out"))
    person.host.click(ui.exportButton)
    person.wait_for_work()
    assert "track.json" in ui.writtenLabel.text
    lines = (tmp_path / "out" / "track.tra").read_text().splitlines()
    assert len(lines) == COUNT and lines[BLANK] == ",".join(["NaN"] * 16)
    person.host.answers.open_files = [tmp_path / "out" / "track.json"]
    person.host.click(ui.openButton)
    shown(person, 0)
    assert len(host_registrations(person)) == 2


def host_registrations(person):
    from MultiViewRegistrationLib.mrml.registration import Registration

    return Registration.all(person.host.scene)


def test_what_is_cancelled_keeps_what_was_done(person, moving, monkeypatch):
    follow = Tracker.follow
    monkeypatch.setattr(
        Tracker, "follow", lambda self, number, *given: (time.sleep(0.6), follow(self, number, *given))[1]
    )
    person.host.answers.open_files = [moving]
    person.host.click(person.ui.loadCaseButton)
    person.wait_until_read()
    ui = person.of("sequence")
    person.panel.registration.node.SetParameter("start", "given")
    person.wait(lambda: ui.trackButton.enabled, 20)
    person.host.click(ui.trackButton)
    person.wait(lambda: person.panel.session.sequence.player is not None, 60)
    person.host.click(ui.cancelButton)
    person.wait_for_work()
    assert ui.statusLabel.text == "Cancelled. The frames that were done are here."
    assert "not tracked" in ui.countLabel.text and ui.playerWidget.visible and threads() == []


def test_the_motion_of_another_structure_is_a_table_and_two_charts(playing, track, tmp_path):
    person, ui = playing, playing.of("sequence")
    ui.motionGroupBox.collapsed = False
    assert not ui.turnButton.enabled and ui.motionTable.rowCount == 0 and "Choose the track.json" in ui.motionLabel.text
    person.host.answers.open_files = [write_turning(track, tmp_path / "turning")]
    person.host.click(ui.motionButton)
    assert (
        person.message == ""
        and "1 frame is left out" in ui.motionLabel.text
        and "<b>turning</b>" in ui.motionLabel.text
    )
    table = ui.motionTable
    rows = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]
    assert [(row[0], float(row[1])) for row in rows] == [
        (str(n), pytest.approx(5.0 * n, abs=0.01)) for n in range(COUNT) if n != BLANK
    ]
    assert [table.horizontalHeaderItem(n).text() for n in range(3)] == ["Frame", "Rotation (°)", "Shift (mm)"]
    person.host.click_cell(table, 2, 0)
    assert shown(person, 2)[0].startswith("Frame 2")
    for button, unit in ((ui.turnButton, "degrees"), (ui.shiftButton, "mm")):
        person.host.click(button)
        chart = person.host.scene.GetNodeByID(person.host.app._core.app_logic.GetSelectionNode().GetActivePlotChartID())
        assert chart.GetYAxisTitle() == unit and chart.GetNumberOfPlotSeriesNodes() == 4
        size = chart.GetNthPlotSeriesNode(3)
        values = size.GetTableNode().GetTable().GetColumnByName(size.GetYColumnName())
        assert values.GetValue(2) == pytest.approx(float(rows[2][1 if unit == "degrees" else 2]), abs=0.006)
    person.wait(lambda: person.panel.session.sequence.other.worker is None, 20)
    person.host.process(0.2)
    (bone,) = person.host.slicer.util.getNodes("<b>turning</b> bone").values()
    outlines = person.host.slicer.util.getNodes("<b>turning</b> bone in *").values()
    assert bone.GetDisplayVisibility() and len(outlines) == 2
    assert all(node.GetPolyData().GetNumberOfLines() > 20 and node.GetDisplayVisibility() for node in outlines)
    out = tmp_path / "out"
    section = person.panel.sections["sequence"]
    for write in section.motion.writers(out):
        write()
    with (out / "motion.csv").open(newline="") as stream:
        assert float(list(csv.DictReader(stream))[2]["angle_deg"]) == pytest.approx(10, abs=1e-3)
    person.host.answers.open_files = [track.parent / "nothing.json"]
    person.host.click(ui.motionButton)
    assert "does not exist" in person.message


def test_a_sequence_goes_with_its_registration(playing, track):
    person = playing
    person.host.click(person.of("sequence").playButton)
    person.host.scene.RemoveNode(person.panel.registration.node)
    person.host.process(0.3)
    assert person.panel.registration is None and threads() == [] and not person.of("sequence").playerWidget.visible


def reload(person, path) -> None:
    """Save the scene, close it, and load it, as Slicer does."""
    assert person.host.app._core.io_manager.write_scene(path)
    person.host.scene.Clear(False)
    person.host.process(0.3)
    assert person.panel.registration is None and threads() == []
    assert person.host.app._core.io_manager.load_scene(path)
    person.wait(lambda: person.panel.registration is not None and not person.panel.session.sequence.seeking)


def test_a_scene_that_is_saved_meanwhile_brings_the_sequence_back(playing, tmp_path):
    person, ui = playing, playing.of("sequence")
    first, pose = images(person), person.pose
    person.host.click(ui.onButton)
    told, there = shown(person, 1), images(person)
    reload(person, tmp_path / "scene.mrb")
    assert shown(person, 1) == told and person.message == "" and person.header("sequence") == "\u2714 5 frames"
    assert ui.frameSlider.value == 1 and ui.closeButton.enabled and error_mm(person.pose, swing(COUNT)[1]) < 0.3
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(there, images(person), strict=True))
    assert [view.source.GetName() for view in person.panel.registration.xrays] == ["view1, frame 1", "view2, frame 1"]
    person.host.click(person.of("sequence").onButton)
    shown(person, 2)
    person.host.click(ui.closeButton)
    person.host.process(0.2)
    assert not ui.playerWidget.visible and ui.trackButton.enabled and not np.allclose(pose, swing(COUNT)[2])
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(first, images(person), strict=True))


def test_without_its_files_a_saved_scene_is_as_before_the_sequence(person, moving, track, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(moving.parent, study / "case")
    write_track(study / "case" / "case.json", study / "track")
    person.host.answers.open_files = [study / "track" / "track.json"]
    person.host.click(person.of("sequence").openButton)
    shown(person, 0)
    person.host.click(person.of("sequence").lastButton)
    shown(person, COUNT - 1)
    shutil.rmtree(study)
    reload(person, tmp_path / "scene.mrml")
    ui = person.of("sequence")
    assert "case.json is not there" in ui.statusLabel.text and "as they were before the sequence" in ui.statusLabel.text
    assert ui.statusLabel.visible and not ui.playerWidget.visible and person.header("sequence").startswith("\u26a0")
    assert [view.source.GetName() for view in person.panel.registration.xrays] == ["view1", "view2"]
    person.host.process(0.2)
    assert any("case.json is not there" in sentence for sentence in person.panel.session.notices.told)
