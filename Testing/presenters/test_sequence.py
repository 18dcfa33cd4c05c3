"""The section Sequence, without a host's widgets.

A track that is played and exported.
"""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.assessments import assessed
from helpers.moving import BLANK, COUNT, swing, write_moving_case
from helpers.phantom import off
from PIL import Image
from presenter_host import PresenterHost, act, control, text

from MultiViewRegistrationLib.assessment.records import POSITION, Finding
from MultiViewRegistrationLib.session.presenters.frontend import Opening
from MultiViewRegistrationLib.session.result_files import read_track


@pytest.fixture
def sequence(scene, study):
    """With the track open, at its first frame."""
    read = read_track(study / "track")
    host = PresenterHost(scene, read(scene))
    read.play(host.session)
    sequence = host.presenters.sequence
    shown(sequence, 0)
    return sequence


def shown(sequence, number):
    """Wait until a frame is shown; what is said of it."""
    sequence.host.wait(sequence, lambda: sequence.player.number == number, 20)
    return text(sequence, "headline")


def test_before_there_is_anything_only_open_is_offered(scene, host):
    sequence = PresenterHost(scene).presenters.sequence
    assert control(sequence, "open").enabled and not control(sequence, "track").enabled
    assert control(sequence, "status") is None and control(sequence, "player") is None
    still = host.presenters.sequence
    assert "have one frame each" in text(still, "status") and still.state().kind == "todo"


def test_track_is_stepped_through_and_played(sequence):
    assert sequence.state().text == f"{COUNT} frames" and control(sequence, "track") is None
    assert text(sequence, "headline") == "Frame 0: registered, accept."
    assert text(sequence, "strip") == "5 of 5 frames: 1 accept, 3 check, 1 reject."
    strip = control(sequence, "strip").rgb
    assert len({tuple(strip[0, 320 * n // COUNT + 40]) for n in range(COUNT)}) == 3
    act(sequence, "on")
    assert sequence.changing and control(sequence, "frame").value == 1  # before it is read
    assert shown(sequence, 1) == "Frame 1: followed, check."
    act(sequence, "frame", float(BLANK))
    assert shown(sequence, BLANK) == "Frame 3: lost, reject."
    assert "no contrast" in text(sequence, "line0")
    act(sequence, "rate", "20")
    act(sequence, "play")
    sequence.host.wait(sequence, lambda: not sequence.player.playing)
    assert shown(sequence, COUNT - 1).startswith("Frame 4")
    act(sequence, "play")
    sequence.exit()
    assert not sequence.player.playing
    act(sequence, "close")
    assert control(sequence, "player") is None and control(sequence, "track").enabled


@pytest.mark.slow
def test_verdict_of_a_frame_with_displaced_bones_is_that_of_each_bone(sequence):
    frames = sequence.player.played.frames
    accepted = replace(frames[0], assessment=assessed("accept"))
    values = {"bone": "L1", "distance_mm": 4.6, "further": 0, "accepted": 1, "total": 1}
    whole = assessed("check", [Finding("bone-displaced", values=values)])
    frames[0] = replace(frames[0], assessment=whole, bones={"L1": accepted})
    assert text(sequence, "headline") == "Frame 0: registered, each bone: accept."
    said = sequence.host.answer.answer()
    assert (said.kind, said.word) == ("accept", "BONES: ACCEPT")
    assert sequence.host.presenters.check.state().text == "frame 0: each bone: accept"


@pytest.mark.slow
def test_answer_and_sections_show_the_verdict_of_a_frame(sequence):
    """A moved CT or a changed geometry clears it."""
    host, registration = sequence.host, sequence.registration
    answer, check = host.answer, host.presenters.check

    def said():
        headline, _separator, uses = answer.answer().headline.partition(" \u00b7 ")
        return answer.answer().kind, headline, uses.count(": accept")

    assert said() == ("accept", "frame 0 was registered", 2)
    assert check.state().text == "frame 0: accept" and not control(check, "leave_out").enabled
    assert host.presenters.export.state().kind == "todo"  # frames are exported by section Sequence
    act(sequence, "frame", float(BLANK))
    shown(sequence, BLANK)
    assert said() == ("reject", "frame 3 was lost", 0)
    act(sequence, "frame", 1.0)
    shown(sequence, 1)
    assert said() == ("check", "frame 1 was followed", 0) and control(answer, "poses").enabled
    pose = registration.world_from_ct
    registration.world_from_ct = off(pose, (0, 0, 1.0), (1.0, 0, 0))
    assert said()[:2] == ("moved", "the CT was moved away from its place in frame 1")
    assert check.state().kind == "todo"
    registration.world_from_ct = pose
    assert said()[0] == "check"
    view = registration.xrays[0]
    view.change(geometry=view.record.geometry.corrected(1.0, np.array([2.0, 0.0])))
    assert said()[:2] == ("moved", "the CT or the geometry of an X-ray has changed since")


def test_a_frame_says_what_it_is_accepted_for(sequence):
    frames = sequence.player.played.frames
    uncertain = Finding("error-bound", uses=POSITION, values={"upper95_mm": 3.0})
    frames[1] = replace(frames[1], assessment=assessed("check", [uncertain], overlay=(0.2, None)))
    act(sequence, "on")
    shown(sequence, 1)
    told = "Overlay on the X-rays: accept, < 0.5 mm. 3D position (navigation): check"
    assert text(sequence, "line1") == f"{told}."
    assert sequence.host.answer.answer().headline == f"frame 1 was followed \u00b7 {told}"


@pytest.mark.slow
def test_a_video_shows_all_frames_and_a_still_the_one_that_is_seen(sequence, tmp_path):
    """Edges of bone are thin lines where it was found, and none in the blank frame, where it was lost."""
    act(sequence, "on")
    shown(sequence, 1)
    files = control(sequence, "video").action(tmp_path)()
    assert [file.name for file in files] == ["frame_1.png", "sequence.gif"]
    still = np.asarray(Image.open(files[0]))
    assert orange(still).any()
    with Image.open(files[1]) as video:
        assert (video.n_frames, video.info["duration"]) == (COUNT, 200)
        for number in range(COUNT):
            video.seek(number)
            picture = np.asarray(video.convert("RGB"))
            assert picture.shape == still.shape
            assert orange(picture).any() == (number != BLANK) and orange(picture).mean() < 0.15


@pytest.mark.parametrize("count", [1, 2])
def test_uploaded_frames_are_kept_while_their_registration_is_open(scene, tmp_path, count):
    sent = tmp_path / "sent"
    sent.mkdir()
    case = write_moving_case(sent, swing(count))
    files = SimpleNamespace(refused=[], refusing=nullcontext)
    host = SimpleNamespace(registration=None, session=None, files_presenter=files)
    host.show_message = host.show_reading = print
    host.ui_action = nullcontext
    host.take_read = lambda read, autosaved: setattr(host, "registration", read(scene))
    opening = Opening(host)
    opening.open(case, sent=sent)
    opening.tick(60)
    opening.tick()
    assert host.registration is not None and sent.exists() == (count > 1)
    host.registration = None
    opening.tick()
    assert not sent.exists()


def orange(picture):
    """Which pixels are of a line."""
    red, _green, blue = picture.astype(int).transpose(2, 0, 1)
    return red > blue + 60
