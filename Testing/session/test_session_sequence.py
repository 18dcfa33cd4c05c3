"""A sequence in the scene: tracked, opened, played, put away.

And a scene that is saved while it is played.
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer
from helpers.file_io import read_json
from helpers.moving import BLANK, COUNT, swing
from helpers.phantom import error_mm
from helpers.phantom_scene import make_registration
from helpers.refusals import refuses
from helpers.running_session import new_session, no_thread_is_left, poll
from helpers.tiny_scene import save
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.mrml import ct_3d
from MultiViewRegistrationLib.mrml.case import drawn
from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.image import segmentation_node, set_source
from MultiViewRegistrationLib.mrml.loading import read_case, volume_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.xray import MASK
from MultiViewRegistrationLib.sequence.tracker import Tracker
from MultiViewRegistrationLib.session.adding import read
from MultiViewRegistrationLib.session.assessment import stale_reason
from MultiViewRegistrationLib.session.result_files import read_track


@pytest.fixture
def copy(study, tmp_path):
    """A copy of it, which a test may move."""
    return Path(shutil.copytree(study, tmp_path / "study"))


def loaded(scene, reading):
    """A session of a case or a track."""
    session = new_session(reading(scene))
    session.cache_case(reading.case)
    return session


def opened(scene, track):
    """A session that plays a track.json at its first frame, and what the scene had before."""
    reading = read_track(track)
    session = loaded(scene, reading)
    before = state(session.registration)
    reading.play(session)
    go(session, 0)
    return session, before


@pytest.fixture
def session(scene, study):
    session, _ = opened(scene, study / "track")
    yield session
    session.stop()


def state(registration):
    """All that a sequence changes."""
    views = registration.xrays
    return (
        fingerprint(registration),
        registration.world_from_ct.round(9).tolist(),
        [view.record for view in views],
        [slicer.util.arrayFromVolume(view.source).tolist() for view in views],
        [view.source.GetName() for view in views],
    )


def pictures(registration):
    return [slicer.util.arrayFromVolume(view.node)[0].copy() for view in registration.xrays]


def go(session, number):
    """What was found in a frame, once it is shown."""
    player = session.sequence.player
    player.go(number)
    poll(session, 10, lambda: player.number == number)
    session.poll()
    assert player.number == number
    return player.frame


def reopened(app, path):
    """The session of the registration in a saved scene, once it has its sequence or reports a problem."""
    app.scene.Clear(False)
    assert app.io_manager.load_scene(path)
    (registration,) = Registration.all(app.scene)
    session = new_session(registration)
    sequence = session.sequence

    def ready():
        return sequence.message or (sequence.player and sequence.player.number is not None)

    poll(session, 20, ready)
    assert no_thread_is_left()
    return session


def test_frame_shows_its_x_rays_and_the_pose(session, study):
    sequence = FrameSequence.of_images(study / "case" / "case.json")
    registration = session.registration
    for number in (2, 1):
        frame = go(session, number)
        assert np.array_equal(registration.world_from_ct, frame.world_from_ct)
        assert error_mm(frame.world_from_ct, swing(COUNT)[number]) < 0.3
        views = sequence.load(number).views
        for xray, shown, view in zip(
            registration.xrays, pictures(registration), views, strict=True
        ):
            for image in (shown, session.xray(xray).line_integrals):
                # equal but for a constant, which depends on the mask
                assert np.ptp(image - view.xray.line_integrals) < 1e-4
    session.history.undo()
    assert session.history.entries[-1].method == "tracked" and not session.sequence.player.at_frame


@pytest.mark.slow
def test_player_skips_an_unreadable_frame_and_loops(session):
    player, seen, before = session.sequence.player, [0], session.registration.world_from_ct
    player.rate, player.loop = 10, True
    player.play()
    while len(seen) < 7:
        session.poll()
        if player.number != seen[-1]:
            seen.append(player.number)
            assert ("no contrast" in player.problem) == (player.number == BLANK)
            if player.number == BLANK:
                assert np.array_equal(session.registration.world_from_ct, before)
            before = session.registration.world_from_ct
    assert seen == [0, 1, 2, 3, 4, 0, 1]
    player.pause()
    player.go(99)
    poll(session, 5, lambda: player.number == COUNT - 1)
    assert player.number == COUNT - 1 and not player.playing


def test_checks_of_the_x_rays_keep_the_brightness_of_a_frame(session):
    while session.check_next():
        pass
    (first, _second) = session.registration.xrays
    display = first.node.GetDisplayNode()
    brightness = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    go(session, 1)
    assert not session.check_next()
    assert brightness == (display.GetWindowLevelMin(), display.GetWindowLevelMax())


def test_tracking_shows_each_frame_and_equals_the_library(scene, study, monkeypatch):
    numbers, follow, end = set(), Tracker.follow, time.monotonic() + 60

    def follow_once_the_last_is_shown(self, number, *given):
        while number - 1 not in numbers and time.monotonic() < end:
            time.sleep(0.01)
        return follow(self, number, *given)

    monkeypatch.setattr(Tracker, "follow", follow_once_the_last_is_shown)
    session = loaded(scene, read_case(study / "case" / "case.json"))
    session.sequence.track("quick", "given")
    with refuses("wait until the current task"):
        session.register("given")
    while session.running and time.monotonic() < end:
        session.poll()
        if session.sequence.player is not None:
            numbers.add(session.sequence.player.number)
    assert numbers >= {0, 1, BLANK}
    assert (session.sequence.ended, session.sequence.message) == ("done", "")
    poll(session, 5, lambda: session.sequence.player.number == COUNT - 1)
    assert session.sequence.player.number == COUNT - 1 and no_thread_is_left()
    stored = read_json(study / "track" / "track.json")["frames"]
    frames = session.sequence.player.played.frames
    assert [frame.how for frame in frames] == [frame["how"] for frame in stored]
    for frame, expected in zip(frames, stored, strict=True):
        if expected["world_from_ct"] is not None:
            assert error_mm(frame.world_from_ct, np.array(expected["world_from_ct"])) < 0.02


def test_x_rays_without_frames_are_refused(scene, study, ct, views):
    still = new_session(make_registration(scene, ct, views))
    with refuses("expected multi-frame images"):
        still.sequence.track()
    reading = read_track(study / "track")
    session = new_session(reading(scene))
    scene.RemoveNode(session.registration.xrays[1].source)
    with refuses("view2: the volume of its image was removed"):
        reading.play(session)


def test_changed_geometry_stops_the_tracking(scene, study):
    session = loaded(scene, read_case(study / "case" / "case.json"))
    view = session.registration.xrays[0]
    view.change(geometry=view.record.geometry.corrected(1.0, np.array([2.0, 0.0])))
    session.sequence.track()
    poll(session, 60, lambda: not session.running)
    assert "is not that of case.json any more" in session.sequence.message
    assert session.sequence.ended == "failed"


def test_saved_scene_continues_at_its_frame_until_the_sequence_is_closed(
    slicer_app, scene, study, tmp_path
):
    session, before = opened(scene, study / "track")
    go(session, 2)
    at_frame, shown = state(session.registration), pictures(session.registration)
    assert at_frame[0] != before[0] and at_frame[4] == ["view1, frame 2", "view2, frame 2"]
    save(slicer_app, tmp_path / "scene.mrb")
    session = reopened(slicer_app, tmp_path / "scene.mrb")
    player, registration = session.sequence.player, session.registration
    assert session.sequence.message == "" and player.number == 2
    assert len(player.played.frames) == player.played.count == COUNT
    assert np.allclose(state(registration)[1], at_frame[1])
    assert state(registration)[2:] == at_frame[2:]
    for now, then in zip(pictures(registration), shown, strict=True):
        assert np.allclose(now, then, atol=1e-5)
    assert "frame of a sequence" in stale_reason(session)
    session.sequence.close()
    assert state(registration) == before and session.sequence.player is None
    assert not registration.parameter("sequence")


def test_saved_scene_without_its_files_is_restored_to_before_the_sequence(
    slicer_app, scene, copy, tmp_path
):
    session, before = opened(scene, copy / "track")
    go(session, 2)
    save(slicer_app, tmp_path / "scene.mrml")
    (copy / "case").rename(copy / "elsewhere")
    session = reopened(slicer_app, tmp_path / "scene.mrml")
    assert session.sequence.player is None and state(session.registration) == before
    assert "case.json is not there" in session.sequence.message
    save(slicer_app, tmp_path / "again.mrml")  # keeps the track
    (copy / "elsewhere").rename(copy / "case")
    session = reopened(slicer_app, tmp_path / "again.mrml")
    assert session.sequence.message == "" and session.sequence.player.number == 2


def test_files_moved_with_the_scene_are_found_and_changed_files_refused(
    slicer_app, scene, copy, tmp_path
):
    session, _ = opened(scene, copy / "track")
    go(session, 1)
    (copy / "scene").mkdir()
    save(slicer_app, copy / "scene" / "scene.mrml")
    case = copy / "case" / "case.json"
    content = case.read_text()
    case.write_text(content.replace('"version": 1', '"version":  1'))
    session = reopened(slicer_app, copy / "scene" / "scene.mrml")
    assert "not those that were tracked" in session.sequence.message
    case.write_text(content)
    copy.rename(tmp_path / "moved")
    session = reopened(slicer_app, tmp_path / "moved" / "scene" / "scene.mrml")
    assert session.sequence.message == "" and session.sequence.player.number == 1


@pytest.mark.slow
def test_frames_stored_in_the_scene_need_no_files(slicer_app, scene, copy, tmp_path):
    session = new_session(read_case(copy / "case" / "case.json")(scene))
    registration = session.registration
    cameras = {view.name: view.record.geometry for view in registration.xrays}
    for view in registration.xrays:
        registration.remove_xray(view)
    for name, camera in cameras.items():
        (view,) = read(copy / "case" / f"{name}.mha")(registration)
        view.change(geometry=camera)
        view.place()
    before = state(registration)
    session.sequence.track("quick", "given")
    session.finish()
    go(session, 2)
    save(slicer_app, tmp_path / "scene.mrb")
    shutil.rmtree(copy)
    session = reopened(slicer_app, tmp_path / "scene.mrb")
    player, registration = session.sequence.player, session.registration
    assert player.number == 2 and [view.record.frame for view in registration.xrays] == [2, 2]
    assert len(player.played.frames) == COUNT
    assert "cases" not in registration.parameter("sequence")
    go(session, 1)
    assert [view.record.frame for view in registration.xrays] == [1, 1]
    session.sequence.close()
    assert state(registration)[1:] == before[1:]


def test_volume_and_mask_of_an_x_ray_are_unchanged_by_frames(slicer_app, scene, study, tmp_path):
    """Slicer would otherwise save a frame over the user's file; a mask drawn on the volume applies to each frame."""
    reading = read_track(study / "track")
    session = loaded(scene, reading)
    view = session.registration.xrays[0]
    source, used = view.source, np.zeros((1, *view.size[::-1]), bool)
    before, voxels = source.GetImageData().GetMTime(), slicer.util.arrayFromVolume(source).copy()
    used[0, 20:-20, 30:-10] = True
    mask, _ = segmentation_node(scene, "field", used, source)
    view.node.SetNodeReferenceID(MASK, mask.GetID())
    reading.play(session)
    go(session, 2)
    assert source.GetImageData().GetMTime() == before
    assert np.array_equal(slicer.util.arrayFromVolume(source), voxels)
    assert view.mask_on_source and np.array_equal(drawn(view), used[0])
    save(slicer_app, tmp_path / "scene.mrml")
    session = reopened(slicer_app, tmp_path / "scene.mrml")
    view = session.registration.xrays[0]
    assert session.sequence.player.number == 2 and np.array_equal(drawn(view), used[0])
    session.sequence.close()
    assert view.mask_on_source and np.array_equal(drawn(view), used[0])


def test_image_replaced_during_the_sequence_is_kept(scene, study):
    session, before = opened(scene, study / "track")
    go(session, 1)
    first = session.registration.xrays[0]
    voxels = slicer.util.arrayFromVolume(first.source)[:, ::-1].copy()
    set_source(first, volume_node(scene, "another", voxels, np.eye(4)))
    go(session, 2)
    session.sequence.close()
    assert first.source.GetName() == "another"
    assert np.array_equal(slicer.util.arrayFromVolume(first.source), voxels)
    assert state(session.registration)[1] == before[1]


def test_bone_surface_of_a_masked_ct_is_within_the_mask(ct):
    left = np.indices(ct.volume.values.shape)[2] >= ct.volume.values.shape[2] // 2
    surface = ct_3d.structure_surface(replace(ct, mask=left))
    x = vtk_to_numpy(surface.GetPoints().GetData())[:, 0]  # RAS
    assert x.min() < -10 and x.max() < 4
