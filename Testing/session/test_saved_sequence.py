"""A scene that is saved while a sequence is played: it comes back with the sequence, or with all that was there before it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import slicer
from moving import swing, write_blinking_case, write_track
from running_session import new_session, no_thread_is_left, poll
from tiny_scene import save

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.mrml.case import drawn
from MultiViewRegistrationLib.mrml.fingerprint import fingerprint
from MultiViewRegistrationLib.mrml.image import segmentation_node, set_source
from MultiViewRegistrationLib.mrml.loading import read_case, volume_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.xray import MASK
from MultiViewRegistrationLib.session.sequence import Sequence, read_track

COUNT, BLANK = 5, 3
#: What another process says of a scene: the frame that is shown, whether its pixels are those of the file, and what is told.


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a case whose images have five frames, the fourth one blank, and its track. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "case").mkdir()
    write_track(write_blinking_case(folder / "case", COUNT, BLANK), folder / "track")
    return folder


@pytest.fixture
def copy(study, tmp_path):
    """A copy of it, which a test may move."""
    return Path(shutil.copytree(study, tmp_path / "study"))


def opened(scene, track):
    """A session that plays a track.json, and what the scene had before."""
    read = read_track(track)
    session = new_session(read(scene))
    session.cache_case(read.case)
    before = state(session.registration)
    read.play(session)
    return session, before


def state(registration) -> tuple:
    """All that a sequence changes."""
    views = registration.xrays
    return (
        fingerprint(registration),
        registration.world_from_ct.round(9).tolist(),
        [view.content for view in views],
        [slicer.util.arrayFromVolume(view.source).tolist() for view in views],
        [view.source.GetName() for view in views],
    )


def pictures(registration) -> list[np.ndarray]:
    return [slicer.util.arrayFromVolume(view.node)[0].copy() for view in registration.xrays]


def go(session, number: int) -> None:
    session.sequence.player.go(number)
    poll(session, 10, lambda: session.sequence.player.number == number)
    assert session.sequence.player.number == number


def reopened(
    app, path, until=lambda session: session.sequence.player is not None and session.sequence.player.number is not None
):
    """The session of the one registration of a scene that was saved, when its sequence is there, or something was told."""
    app.scene.Clear(False)
    assert app.io_manager.load_scene(path)
    (registration,) = Registration.all(app.scene)
    session = new_session(registration)
    poll(session, 20, lambda: session.sequence.message or until(session))
    assert no_thread_is_left()
    return session


@pytest.mark.parametrize("suffix", (".mrb", ".mrml"))
def test_it_comes_back_at_its_frame_plays_on_and_can_be_closed(slicer_app, scene, study, tmp_path, suffix):
    session, before = opened(scene, study / "track")
    go(session, 2)
    at_frame, shown, pose = (
        state(session.registration),
        pictures(session.registration),
        session.registration.world_from_ct,
    )
    assert at_frame[4] == ["view1, frame 2", "view2, frame 2"]
    save(slicer_app, tmp_path / f"scene{suffix}")
    session = reopened(slicer_app, tmp_path / f"scene{suffix}")
    player, registration = session.sequence.player, session.registration
    assert (
        session.sequence.message == ""
        and player.number == 2
        and len(player.played.frames) == player.played.count == COUNT
    )
    np.testing.assert_allclose(registration.world_from_ct, pose, atol=1e-9)
    assert state(registration)[3:] == at_frame[3:] and state(registration)[2] == at_frame[2]
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(pictures(registration), shown, strict=True))
    assert "frame of a sequence" in session.stale_reason() and [entry.method for entry in session.history.entries] == [
        "before"
    ]
    go(session, 4)
    assert state(registration)[4] == ["view1, frame 4", "view2, frame 4"]
    session.sequence.close()
    assert state(registration) == before and session.sequence.player is None and "frame" not in session.stale_reason()
    assert not registration.parameter("sequence") and scene.GetNodesByName("view1, frame 4").GetNumberOfItems() == 0


@pytest.mark.parametrize("suffix", (".mrb", ".mrml"))
def test_without_its_files_all_is_as_before_and_one_sentence_says_so(slicer_app, scene, copy, tmp_path, suffix):
    session, before = opened(scene, copy / "track")
    before_shown = pictures(session.registration)
    go(session, 2)
    save(slicer_app, tmp_path / f"scene{suffix}")
    (copy / "case").rename(copy / "elsewhere")
    session = reopened(slicer_app, tmp_path / f"scene{suffix}")
    assert session.sequence.player is None and not session.running
    assert (
        "case.json is not there" in session.sequence.message
        and "put them back and open the scene again" in session.sequence.message
    )
    assert "as they were before" in session.sequence.message
    assert state(session.registration) == before
    shown = pictures(session.registration)
    assert all(np.ptp(a - b) < 1e-4 for a, b in zip(shown, before_shown, strict=True))
    save(slicer_app, tmp_path / f"again{suffix}")  # what was tracked is not lost
    (copy / "elsewhere").rename(copy / "case")
    session = reopened(slicer_app, tmp_path / f"again{suffix}")
    assert session.sequence.message == "" and session.sequence.player.number == 2


def test_it_is_found_where_the_scene_was_moved_with_it(slicer_app, scene, copy, tmp_path):
    session, _ = opened(scene, copy / "track")
    go(session, 1)
    (copy / "scene").mkdir()
    save(slicer_app, copy / "scene" / "scene.mrml")
    copy.rename(tmp_path / "moved")
    session = reopened(slicer_app, tmp_path / "moved" / "scene" / "scene.mrml")
    assert session.sequence.message == "" and session.sequence.player.number == 1
    assert tmp_path / "moved" in session.sequence.player.played.images.files.cases[0].parents


def test_other_files_in_their_place_are_told(slicer_app, scene, copy, tmp_path):
    session, _ = opened(scene, copy / "track")
    go(session, 1)
    save(slicer_app, tmp_path / "scene.mrml")
    case = copy / "case" / "case.json"
    case.write_text(case.read_text().replace('"version": 1', '"version":  1'))
    session = reopened(slicer_app, tmp_path / "scene.mrml")
    assert "not those that were tracked" in session.sequence.message
    poll(session, 10, lambda: session.sequence.player.number == 1)
    assert session.sequence.player.number == 1


def test_frames_that_are_in_the_scene_need_no_files(slicer_app, scene, copy, tmp_path):
    from MultiViewRegistrationLib.session.adding import read

    session = new_session(read_case(copy / "case" / "case.json")(scene))
    registration = session.registration
    cameras = {view.name: view.content["camera"] for view in registration.xrays}
    for view in registration.xrays:
        registration.remove_xray(view)
    for name, camera in cameras.items():
        (view,) = read(copy / "case" / f"{name}.mha")(registration)
        view.change(camera=camera)
        view.place()
    before = state(registration)
    session.sequence.track("quick", "given")
    poll(session, 60, lambda: not session.running)
    found = [frame.world_from_ct for frame in session.sequence.player.played.frames]
    go(session, 2)
    save(slicer_app, tmp_path / "scene.mrb")
    shutil.rmtree(copy)
    session = reopened(slicer_app, tmp_path / "scene.mrb")
    player, registration = session.sequence.player, session.registration
    assert player.number == 2 and [view.content["frame"] for view in registration.xrays] == [2, 2]
    assert "cases" not in registration.parameter("sequence")
    for frame, pose in zip(player.played.frames, found, strict=True):
        assert frame.world_from_ct is None if pose is None else np.allclose(frame.world_from_ct, pose, atol=1e-12)
    go(session, 1)
    assert [view.content["frame"] for view in registration.xrays] == [1, 1]
    session.sequence.close()
    assert state(registration)[1:] == before[1:]


def test_a_scene_saved_while_it_is_tracked_has_the_frames_so_far(slicer_app, scene, study, tmp_path, monkeypatch):
    read = read_case(study / "case" / "case.json")
    session = new_session(read(scene))
    session.cache_case(read.case)
    session.sequence.track("quick", "given")
    poll(session, 60, lambda: session.sequence.player is not None and session.sequence.player.number is not None)
    session.cancel()
    poll(session, 20, lambda: not session.running)
    done = len(session.sequence.player.played.frames)
    save(slicer_app, tmp_path / "scene.mrml")
    session = reopened(slicer_app, tmp_path / "scene.mrml")
    assert len(session.sequence.player.played.frames) == done and session.sequence.player.played.count == COUNT
    assert isinstance(session.sequence, Sequence) and session.sequence.count == COUNT


def test_the_volume_that_an_x_ray_was_made_from_stays_as_it_is(scene, study):
    """It may be a person's own, and Slicer would save a frame over his file."""
    read = read_track(study / "track")
    session = new_session(read(scene))
    session.cache_case(read.case)
    source = session.registration.xrays[0].source
    before, voxels = source.GetImageData().GetMTime(), slicer.util.arrayFromVolume(source).copy()
    read.play(session)
    poll(session, 5, lambda: session.sequence.player.number == 0)
    go(session, 2)
    assert source.GetImageData().GetMTime() == before and np.array_equal(slicer.util.arrayFromVolume(source), voxels)
    session.sequence.close()
    assert session.registration.xrays[0].source is source


def test_a_mask_drawn_on_the_image_as_it_was_counts_for_a_frame_and_stays(slicer_app, scene, study, tmp_path):
    read = read_track(study / "track")
    session = new_session(read(scene))
    view = session.registration.xrays[0]
    used = np.zeros((1, *view.size[::-1]), bool)
    used[0, 20:-20, 30:-10] = True
    mask, _ = segmentation_node(scene, "field", used, view.source)
    view.node.SetNodeReferenceID(MASK, mask.GetID())
    read.play(session)
    poll(session, 5, lambda: session.sequence.player.number == 0)
    go(session, 2)
    assert view.mask_on_source and np.array_equal(drawn(view), used[0])
    save(slicer_app, tmp_path / "scene.mrml")
    session = reopened(slicer_app, tmp_path / "scene.mrml")
    view = session.registration.xrays[0]
    assert session.sequence.player.number == 2 and np.array_equal(drawn(view), used[0])
    session.sequence.close()
    assert view.mask_on_source and np.array_equal(drawn(view), used[0])


def test_an_image_that_was_replaced_meanwhile_stays(slicer_app, scene, study, tmp_path):
    session, before = opened(scene, study / "track")
    go(session, 1)
    first = session.registration.xrays[0]
    voxels = slicer.util.arrayFromVolume(first.source)[:, ::-1].copy()
    set_source(first, volume_node(scene, "another", voxels, np.eye(4)))
    go(session, 2)
    shown = pictures(session.registration)[0]
    session.sequence.close()
    assert np.array_equal(pictures(session.registration)[0], shown)
    assert first.source.GetName() == "another" and np.array_equal(slicer.util.arrayFromVolume(first.source), voxels)
    after = state(session.registration)
    assert after[1] == before[1] and [part[1] for part in after[2:]] == [part[1] for part in before[2:]]


def test_what_begins_before_the_first_poll_begins_as_before_the_sequence(slicer_app, scene, study, tmp_path):
    session, before = opened(scene, study / "track")
    go(session, 2)
    save(slicer_app, tmp_path / "scene.mrml")
    scene.Clear(False)
    assert slicer_app.io_manager.load_scene(tmp_path / "scene.mrml")
    session = new_session(Registration.all(scene)[0])
    session.register("given")
    session.finish()
    after = state(session.registration)
    assert after[0] == before[0] and session.sequence.player is None and session.stale_reason() == ""
    assert np.linalg.norm(session.registration.world_from_ct[:3, 3] - swing(COUNT)[0][:3, 3]) < 1


def test_an_x_ray_without_its_volume_is_refused_in_a_sentence(scene, study):
    read = read_track(study / "track")
    session = new_session(read(scene))
    scene.RemoveNode(session.registration.xrays[1].source)
    with pytest.raises(InputError, match="view2: the volume of its image was removed"):
        read.play(session)
