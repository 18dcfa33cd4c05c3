"""The section Sequence in Qt.

a tracked sequence opened and played, one tracked, two held against each other, a saved scene.
"""

from __future__ import annotations

import numpy as np
import pytest
from gui_driver import GuiDriver
from moving import swing, write_blinking_case, write_track, write_turning
from phantom import error_mm
from running_session import no_thread_is_left

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
    person = GuiDriver(host)
    person.begin("sequence")
    return person


@pytest.fixture
def playing(person, track):
    """With a tracked sequence open, at its first frame."""
    person.open_files("sequence", "open", track / "track.json")
    shown(person, 0)
    return person


def shown(person, number: int) -> str:
    """Wait until a frame is shown; what is said of it."""
    person.wait(lambda: not person.panel.opening.under_way)
    person.wait(lambda: person.panel.session.sequence.player.number == number, 20)
    person.host.process(0.1)
    return person.text("sequence", "headline")


def images(person) -> list[np.ndarray]:
    return [
        person.host.slicer.util.arrayFromVolume(view.node).copy()
        for view in person.panel.registration.xrays
    ]


def test_a_tracked_sequence_is_opened_played_and_put_away(playing, track, tmp_path):
    person = playing
    assert person.message == "" and person.header("sequence") == "\u2714 5 frames"
    first = images(person)
    person.press("sequence", "on")
    assert (
        shown(person, 1) == "Frame 1: followed, check."
        and person.widget("sequence", "frame").value == 1
    )
    assert not any(np.array_equal(a, b) for a, b in zip(first, images(person), strict=True))
    assert error_mm(person.pose, swing(COUNT)[1]) < 0.3
    person.press("sequence", "play")
    assert person.widget("sequence", "play").accessibleName == "Pause"
    person.wait(lambda: not person.panel.session.sequence.player.playing, 20)
    assert person.widget("sequence", "play").accessibleName == "Play" and shown(
        person, COUNT - 1
    ).startswith("Frame 4")
    person.slide("sequence", "frame", 2)
    shown(person, 2)
    assert (
        error_mm(person.pose, swing(COUNT)[2]) < 0.3
        and person.widget("sequence", "frame").value == 2
    )
    assert "frame of a sequence" in person.text("export", "stale_reason")

    person.drawn("sequence", "motion_of").widget.collapsed = False
    person.host.process(0.1)
    person.open_files("sequence", "other", write_turning(track, tmp_path / "turning"))
    assert person.message == "" and "Left out: 1 of" in person.text("sequence", "warning0")
    plot = person.drawn("sequence", "motion.Rotation")
    assert plot.picture.pixmap.width() == 360 and plot.picture.pixmap.height() > 200
    person.pick("sequence", "motion", 1)
    assert shown(person, 1).startswith("Frame 1")

    person.press("sequence", "close")
    person.host.process(0.2)
    assert (
        person.control("sequence", "player") is None and person.widget("sequence", "track").enabled
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, images(person), strict=True))


def test_a_sequence_goes_with_its_registration(playing):
    person = playing
    person.press("sequence", "play")
    person.host.scene.RemoveNode(person.panel.registration.node)
    person.host.process(0.3)
    assert person.panel.registration is None and no_thread_is_left()
