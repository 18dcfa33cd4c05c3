"""Two bones with a CT each that move from frame to frame, tracked together and against each other."""

import io
from dataclasses import replace

import numpy as np
import pytest
from file_io import read_json, read_table
from numpy.testing import assert_allclose
from PIL import Image
from two_bones import BONES, bone_cts, error_mm, poses, write_moving_bones

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.registration.bone import parts_of
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.sequence.track_files import StoredTrack, Track

COUNT, DEGREES, MM = 4, 2.0, 0.7
CTS = bone_cts()
#: Shows nothing.
BLANK = 2


def poses_in(frame: int) -> list[np.ndarray]:
    """The second bone turns and moves against the first, which stays."""
    first, second = poses(CTS)
    middle = rigid.transform_points(second, CTS[1].centroid())
    motion = rigid.turn_and_shift(np.radians([DEGREES * frame, 0, 0]), [0, MM * frame, 0])
    return [first, rigid.about(middle, motion) @ second]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """The folder of a track, one frame of which is blank."""
    folder = tmp_path_factory.mktemp("bones")
    case = write_moving_bones(folder, [poses_in(frame) for frame in range(COUNT)], blank=BLANK)
    assert main(["track", str(case), "--pace", "quick", "--out", str(folder / "track")]) == 0
    return folder / "track"


def test_each_bone_is_followed_by_its_own_ct(tracked):
    frames = read_json(tracked / "track.json")["frames"]
    assert [frame["how"] for frame in frames] == ["registered", "followed", "lost", "followed"]
    for frame in frames:
        found = frame["bodies"]
        assert tuple(found) == BONES
        assert frame["world_from_ct"] == found[BONES[0]]["world_from_ct"]
        if frame["number"] == BLANK:
            assert {bone["verdict"] for bone in found.values()} == {"reject"}
            continue
        true = poses_in(frame["number"])
        for bone, ct, pose in zip(found.values(), CTS, true, strict=True):
            assert error_mm(ct, np.array(bone["world_from_ct"]), pose) < 0.1
            assert bone["verdict"] == "check"


def test_their_motion_against_each_other_is_that_of_the_truth(tracked):
    first, second = BONES
    lines = read_table(tracked / f"{second}_on_{first}_motion.csv")
    assert len(lines) == COUNT and lines[BLANK]["angle_deg"] == ""
    for frame in (1, 3):
        assert float(lines[frame]["angle_deg"]) == pytest.approx(DEGREES * frame, abs=0.2)
        assert float(lines[frame]["distance_mm"]) == pytest.approx(MM * frame, abs=0.1)
    poses_csv = (tracked / f"{second}_poses.csv").read_text()
    assert poses_csv.count("\n") == COUNT + 1
    assert not (tracked / f"{first}_on_{second}_motion.csv").exists()


def test_a_lost_bone_is_not_drawn(tracked):
    bodies = Case.load(tracked.parent / "case.json").bodies
    parts = parts_of(bodies, PreparedCT(bodies[0].ct), BONES)
    found = StoredTrack.read(tracked).frames[1]
    (second,) = found.drawn(bodies, parts)[0].beside
    assert second[1] is found.bones[BONES[1]].pose
    bones = {**found.bones, BONES[1]: replace(found.bones[BONES[1]], verdict="reject")}
    assert not replace(found, bones=bones).drawn(bodies, parts)[0].beside


def test_where_the_first_bone_is_lost_the_other_one_is_drawn(tracked):
    sequence = FrameSequence.of_images(tracked.parent / "case.json")
    track = Track(sequence, PreparedCT(sequence.first.ct))
    found = StoredTrack.read(tracked).frames[1]
    first = replace(found.bones[BONES[0]], world_from_ct=None, verdict="reject")
    bones = {**found.bones, BONES[0]: first}
    track.frames.append(replace(found, bones=bones, world_from_ct=None))
    for name in (f"frame0001_{view}.png" for view in sequence.first.cameras):
        picture = np.asarray(Image.open(io.BytesIO(track.overlays()[name])).convert("RGB"))
        assert (np.ptp(picture, axis=-1) > 100).sum() > 100  # edges are orange


def test_a_track_that_is_opened_has_both_bones(tracked):
    stored = StoredTrack.read(tracked)
    assert all(tuple(frame.bones) == BONES for frame in stored.frames)
    assert not stored.frames[BLANK].bones[BONES[1]].kept
    alone = StoredTrack.read(tracked / f"{BONES[1]}_track.json")
    assert_allclose(alone.centroid, CTS[1].centroid(), atol=0.5)
