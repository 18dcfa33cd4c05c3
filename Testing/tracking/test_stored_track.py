"""A track on disk, read back whole: what was found, and where its frames are."""

import shutil

import pytest
from file_io import read_json, write_json
from moving import BLANK, COUNT
from numpy.testing import assert_allclose
from refusals import refuses

from MultiViewRegistrationLib.io.files import JsonObject
from MultiViewRegistrationLib.io.sequence import FrameFiles
from MultiViewRegistrationLib.sequence.track_files import StoredTrack


def test_what_was_found_is_read_back(study):
    told, track = read_json(study / "track" / "track.json"), StoredTrack.read(study / "track")
    assert (track.name, track.count) == ("case", COUNT)
    assert track.names == [f"frame {n}" for n in range(COUNT)]
    for frame, like in zip(track.frames, told["frames"], strict=True):
        for key in ("how", "verdict", "reasons", "similarity", "use", "uses"):
            assert list(getattr(frame, key)) == list(like[key])
        if frame.number != BLANK:
            assert_allclose(frame.world_from_ct, like["world_from_ct"], atol=1e-12)
            assert [camera.size for camera in frame.cameras] == [(128, 128)] * 2
    assert [pose is None for pose in track.poses] == [n == BLANK for n in range(COUNT)]


def test_its_frames_are_found_again_also_where_both_have_moved(study, tmp_path):
    told = read_json(study / "track" / "track.json")["sequence"]
    assert told == {"cases": ["../case/case.json"]}  # nothing of where on this computer
    moved = shutil.copytree(study, tmp_path / "elsewhere")
    files = StoredTrack.read(moved / "track").files()
    view = files.file(2).views[0]
    assert len(files) == COUNT and view.frame == 2
    assert view.image.path.resolve() == moved / "case" / "view1.mha"


def test_lists_of_images_and_cases_are_written_and_read(study, tmp_path):
    case = study / "case" / "case.json"
    images = {view: 2 * [case.with_name(f"{view}.mha")] for view in ("view1", "view2")}
    for files in (FrameFiles.of_images(case, images), FrameFiles.of_cases([case, case])):
        told = {"sequence": files.written(tmp_path)}
        back = FrameFiles.read(JsonObject("track.json", "", told).section("sequence"), tmp_path)
        assert back.names == files.names and back.own_cases == files.own_cases
        there, here = (
            [v.image.path.resolve() for v in each.file(1).views] for each in (back, files)
        )
        assert there == here
    assert files.written(None) == {"cases": [case.as_posix()] * 2}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"sequence": None}, "does not say where its frames are"),
        (
            {"sequence": {"cases": ["gone/case.json"]}},
            "which is not there, expected the files that were tracked",
        ),
        ({"sequence": {"cases": "case.json"}}, "expected a list of paths"),
        (
            {"sequence": {"cases": ["../case/case.json"]}, "frames_in_all": 9},
            "is of 9 frames, but its files have 5",
        ),
    ],
)
def test_frames_that_are_not_there_are_told_in_one_sentence(study, tmp_path, changes, words):
    shutil.copytree(study, tmp_path / "study")
    path = tmp_path / "study" / "track" / "track.json"
    told = {
        key: value for key, value in {**read_json(path), **changes}.items() if value is not None
    }
    write_json(path, told)
    with refuses(words):
        StoredTrack.read(path).files()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"similarity": ["high"]}, "similarity"),
        ({"reasons": [1]}, "reasons"),
        ({"cameras": [{"intrinsics": 1, "camera_from_world": 2, "size": [1, 1]}]}, "cameras"),
        ({"seconds": -1}, "seconds"),
    ],
)
def test_a_frame_that_is_wrong_is_refused(study, tmp_path, changes, words):
    told = read_json(study / "track" / "track.json")
    told["frames"][0].update(changes)
    write_json(tmp_path / "track.json", told)
    with refuses(words):
        StoredTrack.read(tmp_path)
