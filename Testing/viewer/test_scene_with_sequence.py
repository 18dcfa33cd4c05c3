"""A scene that was saved while a sequence was played, opened by the page: one that was sent has no files read on this computer."""

from __future__ import annotations

import shutil

import pytest
from moving import swing, write_moving_case, write_track

from MultiViewRegistrationLib.io.files import keep_within

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")


@pytest.fixture(scope="module")
def scene():
    import slicer
    from trame_slicer.core import SlicerApp

    slicer.mrmlScene = SlicerApp().scene
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(False)


@pytest.fixture(scope="module")
def saved(scene, tmp_path_factory):
    """The .mrb that the page saves at frame 2."""
    from MultiViewRegistrationLib.session.sequence import read_track
    from MultiViewRegistrationLib.session.session import Session
    from MultiViewRegistrationLib.viewer.scene_files import save_scene

    folder = tmp_path_factory.mktemp("study")
    read = read_track(write_track(write_moving_case(folder, swing(3)), folder / "track"))
    session = Session(read(scene))
    session.cache_case(read.case)
    read.play(session)
    session.sequence.player.go(2)
    poll(session, lambda: session.sequence.player.number == 2)
    return save_scene(scene, folder / "scene.mrb")()


def poll(session, until) -> None:
    from time import monotonic

    end = monotonic() + 20
    while not until() and monotonic() < end:
        session.poll()


def opened(scene, path):
    """The session of the scene, once its sequence is there, or something was told."""
    from MultiViewRegistrationLib.session.session import Session
    from MultiViewRegistrationLib.viewer.scene_files import read_scene

    load = read_scene(path)
    scene.Clear(False)
    session = Session(load(scene))
    sequence = session.sequence
    poll(session, lambda: sequence.message or (sequence.player is not None and sequence.player.number is not None))
    return session


def test_one_that_is_opened_by_its_path_brings_the_sequence(scene, saved):
    session = opened(scene, saved)
    assert session.sequence.message == "" and session.sequence.player.number == 2


def test_one_that_was_sent_is_as_before_the_sequence_and_says_why(scene, saved, tmp_path):
    keep_within(tmp_path)
    session = opened(scene, shutil.copy(saved, tmp_path / "scene.mrb"))
    assert session.sequence.player is None and "sent without the files of its frames" in session.sequence.message
    assert [view.source.GetName() for view in session.registration.xrays] == ["view1", "view2"]
    assert str(saved.parent) not in session.registration.parameter("sequence")
