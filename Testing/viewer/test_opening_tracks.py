"""A tracked sequence that is opened by its path, or sent by a page."""

from __future__ import annotations

import json
import shutil

import pytest
from moving import swing, write_moving_case, write_track

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.files import keep_within

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a case and its track. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "case").mkdir()
    write_track(write_moving_case(folder / "case", swing(3)), folder / "track")
    return folder


def test_a_folder_is_opened_by_its_track_and_brings_its_case(study):
    from MultiViewRegistrationLib.viewer.opening import reader, sent

    for read in (reader(study / "track"), reader(study / "track" / "track.json"), sent(study)):
        assert len(read.track.frames) == 3 and [view.name for view in read.case.views] == ["view1", "view2"]


def test_where_the_case_was_moved_it_can_be_named(study, tmp_path):
    from MultiViewRegistrationLib.viewer.opening import reader

    shutil.copytree(study / "track", tmp_path / "track")
    with pytest.raises(InputError, match="which is not there"):
        reader(tmp_path / "track")
    assert len(reader(tmp_path / "track", study / "case" / "case.json").files) == 3


def test_other_files_than_those_that_were_tracked_are_told(study, tmp_path):
    from MultiViewRegistrationLib.viewer.opening import reader

    shutil.copytree(study, tmp_path / "study")
    case = tmp_path / "study" / "case" / "case.json"
    case.write_text(case.read_text().replace('"version": 1', '"version":  1'))
    with pytest.warns(UserWarning, match="are not those that were tracked"):
        reader(tmp_path / "study" / "track")


@pytest.mark.parametrize(
    "sequence",
    [
        {"cases": ["../../elsewhere/case.json"]},
        {"cases": ["/etc/passwd"]},
        {"cases": ["../case/case.json"], "images": {"view1": ["/etc/passwd", "/etc/passwd"]}},
    ],
)
def test_what_was_sent_names_no_file_outside(study, tmp_path, sequence):
    from MultiViewRegistrationLib.viewer.opening import sent

    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    told = json.loads((folder / "track" / "track.json").read_text())
    (folder / "track" / "track.json").write_text(json.dumps({**told, "sequence": sequence}))
    keep_within(folder)
    with pytest.raises(InputError, match="names a file outside the folder that was sent"):
        sent(folder)


def test_nor_does_its_case(study, tmp_path):
    from MultiViewRegistrationLib.viewer.opening import sent

    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    case = json.loads((folder / "case" / "case.json").read_text())
    (folder / "case" / "case.json").write_text(json.dumps({**case, "ct": "/etc/passwd"}))
    keep_within(folder)
    with pytest.raises(InputError, match="names a file outside the folder that was sent"):
        sent(folder)
