"""A sequence in the scene: tracked, opened as it was tracked, played, and put away."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import slicer
from moving import swing, write_blinking_case
from phantom import error_mm
from phantom_scene import make_registration
from running_session import new_session, no_thread_is_left, playing, poll

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging import xray as module
from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.mrml.case import xray_of
from MultiViewRegistrationLib.mrml.fingerprint import fingerprint
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.sequence.track_files import Track
from MultiViewRegistrationLib.sequence.tracker import Tracker
from MultiViewRegistrationLib.session.sequence import read_track

COUNT, BLANK = 5, 3


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A case whose images have five frames, the fourth one blank."""
    return write_blinking_case(tmp_path_factory.mktemp("moving"), COUNT, BLANK)


def loaded(scene, path):
    read = read_case(path)
    session = new_session(read(scene))
    session.cache_case(read.case)
    return session


@pytest.fixture(scope="module")
def tracked(moving, tmp_path_factory):
    """The folder of a track that the library itself made of it."""
    from MultiViewRegistrationLib.sequence.run import follow

    out: Path = tmp_path_factory.mktemp("out") / "track"
    sequence = FrameSequence.of_images(moving)
    track = Track(sequence, PreparedCT(sequence.first.ct), "quick")
    track.frames.extend(follow(sequence, track.anatomy, pace="quick"))
    track.save(out)
    return out


@pytest.fixture
def session(scene, tracked):
    """With that open, at its first frame."""
    yield from playing(scene, tracked)


def picture(view):
    return slicer.util.arrayFromVolume(view.node)[0].copy()


def shown(session, number):
    player = session.sequence.player
    player.go(number)
    poll(session, 5, lambda: player.number == number)
    return player.frame


def test_a_frame_shows_its_x_rays_and_the_ct_where_it_was_found(session, moving):
    sequence, registration = FrameSequence.of_images(moving), session.registration
    for number in (0, 2, 1, 4):
        frame = shown(session, number)
        assert np.array_equal(registration.world_from_ct, frame.world_from_ct)
        assert error_mm(frame.world_from_ct, swing(COUNT)[number]) < 0.3
        for view, there in zip(registration.xrays, sequence.load(number).views, strict=True):
            difference = picture(view) - there.xray.line_integrals
            assert np.ptp(difference) < 1e-4  # but for a constant, by the mask
            assert np.ptp(session.xray(view).line_integrals - there.xray.line_integrals) < 1e-4

            assert (
                np.ptp((xray_of(view).line_integrals - there.xray.line_integrals)[there.xray.valid]) < 1e-4
            )  # its source, too


def test_a_frame_that_cannot_be_read_is_told_and_playing_goes_on(session):
    player, seen = session.sequence.player, []
    before = None
    player.rate = 20
    player.play()
    end = time.monotonic() + 10
    while player.playing and time.monotonic() < end:
        session.poll()
        if player.number not in seen:
            seen.append(player.number)
            if player.number == BLANK:
                assert "no contrast" in player.problem and player.problem.count(".") <= 3
                assert np.array_equal(session.registration.world_from_ct, before)  # lost: the CT stays
            else:
                assert player.problem == ""
        before = session.registration.world_from_ct
    assert seen == list(range(COUNT)) and not player.playing
    player.play()  # from the beginning
    poll(session, 5, lambda: player.number == 1)
    assert player.number == 1 and player.playing


def test_it_plays_at_its_rate_and_begins_anew_where_it_loops(session):
    player = session.sequence.player
    player.rate, player.loop = 10, True
    player.play()
    began, seen = time.monotonic(), [0]
    while len(seen) < 9:
        session.poll()
        if player.number != seen[-1]:
            seen.append(player.number)
    assert seen == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert time.monotonic() - began > 0.7  # eight frames at ten a second, the first of which is shown at once
    player.pause()
    poll(session, 0.3)
    assert player.number == 3 and not player.playing


def test_steps_end_where_the_sequence_does(session):
    player = session.sequence.player
    player.step(-1)
    poll(session, 0.2)
    assert player.number == 0
    player.step(1)
    player.step(1)
    poll(session, 5, lambda: player.number == 2)
    assert player.number == 2
    player.go(99)
    poll(session, 5, lambda: player.number == COUNT - 1)
    assert player.number == COUNT - 1


def test_what_looks_after_the_x_rays_leaves_a_frame_as_it_is(session, monkeypatch):
    """It would seek its field again, which takes longer than to show it, and have the brightness jump."""
    while session.check_next():
        pass
    monkeypatch.setattr(module, "find_field", lambda *unused: pytest.fail("the field was sought again"))
    displays = [view.node.GetDisplayNode() for view in session.registration.xrays]
    windows = [(display.GetWindowLevelMin(), display.GetWindowLevelMax()) for display in displays]
    for number in (2, 1):
        shown(session, number)
        pictures = [picture(view) for view in session.registration.xrays]
        assert not session.check_next()
        assert all(
            np.array_equal(a, picture(view)) for a, view in zip(pictures, session.registration.xrays, strict=True)
        )
    assert windows == [(display.GetWindowLevelMin(), display.GetWindowLevelMax()) for display in displays]


def test_the_drr_follows(session):
    session.prepare()
    poll(session, 20, session.prepare)
    drrs = []
    for number in (0, 2):
        shown(session, number)
        session.drawing.step()
        drrs.append(
            [view.node.GetNodeReference("drr").GetImageData().GetMTime() for view in session.registration.xrays]
        )
    assert all(after > before for before, after in zip(*drrs, strict=True))


def test_a_pose_of_the_sequence_is_no_result_and_closing_puts_all_back(scene, tracked):
    read = read_track(tracked)
    session = new_session(read(scene))
    session.cache_case(read.case)
    registration = session.registration

    def state():
        views = registration.xrays
        return (
            fingerprint(registration),
            registration.world_from_ct.tolist(),
            [view.content for view in views],
            [picture(view).tolist() for view in views],
        )

    before = state()
    read.play(session)
    poll(session, 5, lambda: session.sequence.player.number == 0)
    shown(session, 2)
    assert "frame of a sequence" in session.stale_reason() and state()[0] != before[0]
    session.sequence.close()
    assert state() == before and session.sequence.player is None and len(session.history.entries) == 1
    assert "frame" not in session.stale_reason()


def test_a_pose_that_is_left_for_one_of_the_history_is_noted_as_the_sequences(session):
    found = shown(session, 2).world_from_ct
    session.history.undo()
    assert session.history.entries[-1].method == "tracked" and np.allclose(session.history.entries[-1].pose, found)
    assert not session.sequence.player.at_frame


def test_tracking_from_the_scene_shows_each_frame_and_gives_what_the_library_gives(scene, moving, tracked, monkeypatch):
    numbers, follow, end = set(), Tracker.follow, time.monotonic() + 60

    def when_the_last_is_seen(self, number, *given):
        while number - 1 not in numbers and time.monotonic() < end:
            time.sleep(0.01)
        return follow(self, number, *given)

    monkeypatch.setattr(Tracker, "follow", when_the_last_is_seen)
    session = loaded(scene, moving)
    session.sequence.track("quick", "given")
    with pytest.raises(InputError, match="under way"):
        session.register("given")
    while session.running and time.monotonic() < end:
        session.poll()
        if session.sequence.player is not None:
            numbers.add(session.sequence.player.number)
    assert numbers >= {
        0,
        1,
        BLANK,
    }  # which is not followed: it comes at once after the one before, which may not be seen
    assert (session.sequence.ended, session.sequence.message) == ("done", "")
    poll(session, 5, lambda: session.sequence.player.number == COUNT - 1)
    stored = json.loads((tracked / "track.json").read_text())["frames"]
    frames = session.sequence.player.played.frames
    assert [frame.how for frame in frames] == [frame["how"] for frame in stored]
    for frame, like in zip(frames, stored, strict=True):
        if like["world_from_ct"] is not None:
            assert error_mm(frame.world_from_ct, np.array(like["world_from_ct"])) < 0.02
    assert session.sequence.player.number == COUNT - 1 and no_thread_is_left()


def test_what_is_cancelled_keeps_its_frames(scene, moving, monkeypatch):
    follow = Tracker.follow
    monkeypatch.setattr(
        Tracker, "follow", lambda self, number, *given: (time.sleep(0.5), follow(self, number, *given))[1]
    )
    session = loaded(scene, moving)
    session.sequence.track("quick", "given")
    poll(session, 60, lambda: session.sequence.player is not None)
    session.cancel()
    poll(session, 20, lambda: not session.running)
    assert session.sequence.ended == "cancelled" and 1 <= len(session.sequence.player.played.frames) < COUNT
    assert session.sequence.player.played.count == COUNT and no_thread_is_left()


def test_still_x_rays_and_changed_ones_are_refused_in_one_sentence(scene, moving, ct, views):
    still = new_session(make_registration(scene, ct, views))
    with pytest.raises(InputError, match="expected multi-frame images"):
        still.sequence.track()
    session = loaded(scene, moving)
    view = session.registration.xrays[0]
    camera = view.content["camera"]
    camera["intrinsics"][0][2] += 2.0
    view.change(camera=camera)
    session.sequence.track()
    poll(session, 60, lambda: not session.running)
    assert "is not that of case.json any more" in session.sequence.message and session.sequence.ended == "failed"
