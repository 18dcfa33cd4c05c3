"""The vertebrae of a spine that bends from frame to frame, and two bones with a CT each, followed by themselves."""

import io
import shutil
from dataclasses import replace
from itertools import pairwise
from unittest.mock import Mock

import numpy as np
import pytest
import scipy
import SimpleITK as sitk
from helpers import phantom, two_bones
from helpers.bent_spine import (
    NAMES,
    POSE,
    anatomy,
    bent,
    cameras,
    spine,
    structures,
    truth_of,
    unbent_views,
    write_spine_case,
    xrays,
)
from helpers.file_io import read_json, read_table, write_json
from helpers.program import mvreg
from helpers.two_bones import BONES, bone_cts, poses, write_moving_bones
from numpy.testing import assert_allclose
from PIL import Image

from MultiViewRegistrationLib.assessment.bodies import UNJUDGED
from MultiViewRegistrationLib.errors import Cancelled, collect_warnings
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.sequence import Frame, FrameSequence
from MultiViewRegistrationLib.registration.bone import bones_of, parts_of
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.register_bones import LEVELS
from MultiViewRegistrationLib.rendering.devices import ComputeDevice
from MultiViewRegistrationLib.sequence import run as module
from MultiViewRegistrationLib.sequence.run import FOLLOWING, PACES, REST_LOST, BoneTracker
from MultiViewRegistrationLib.sequence.track_files import StoredTrack, Track
from MultiViewRegistrationLib.sequence.tracker import FOLLOWED, Tracked, lost

#: Of a frame against the one before, of each vertebra against the one above; and the frame that
#: shows nothing.
DEGREES, MM, BLANK = 2.0, 0.8, 2


def motions_in(frame):
    return bent(*spine(), DEGREES * frame, MM * frame)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """The folder of a track of four frames, one of which is blank."""
    folder = tmp_path_factory.mktemp("bending")
    motions = [motions_in(frame) for frame in range(4)]
    case = write_spine_case(folder, motions, POSE, POSE, truth=truth_of(motions[0], POSE))
    for file in folder.glob("view*.mha"):
        image = sitk.ReadImage(str(file))
        image[:, :, BLANK] = 0
        sitk.WriteImage(image, str(file))
    out = folder / "track"
    mvreg(f"track {case} --overlays --out {out}")
    return out


def error_mm(pose, motion):
    """Mean distance of points about the CT's middle at a pose from where they are."""
    return phantom.error_mm(np.array(pose), POSE @ motion)


def frames_of(tracked):
    return read_json(tracked / "track.json")["frames"]


@pytest.mark.slow
def test_each_bone_has_its_pose_in_each_frame(tracked):
    frames = frames_of(tracked)
    assert [frame["how"] for frame in frames] == ["registered", "followed", "lost", "followed"]
    for frame in frames:
        for bone, motion in zip(frame["bodies"].values(), motions_in(frame["number"]), strict=True):
            if frame["number"] == BLANK:
                assert bone["world_from_ct"] is None and "no contrast" in bone["reasons"][0]
                assert (bone["how"], bone["verdict"]) == ("lost", "reject")
            else:
                assert error_mm(bone["world_from_ct"], motion) < 0.3
                assert bone["verdict"] == ("check" if frame["number"] else "accept")
                assert bone["uses"]["relative"]["verdict"] == bone["verdict"]
                assert min(bone["similarity"]) > 0.9
                assert ("mtre_mm" in bone) == (frame["number"] == 0)
    assert frames[0]["bodies"][NAMES[0]]["mtre_mm"] < 0.1
    assert FOLLOWED in frames[3]["bodies"][NAMES[0]]["reasons"]
    assert any("use each bone's own pose" in reason for reason in frames[3]["reasons"])


@pytest.mark.quick_variants("L1", "L2", "L3")
@pytest.mark.parametrize("name", NAMES)
def test_each_bone_has_its_files(tracked, name):
    one = StoredTrack.read(tracked / f"{name}_track.json")
    assert one.name == name
    assert [pose is None for pose in one.poses] == [frame == BLANK for frame in range(4)]
    told = frames_of(tracked)[3]["bodies"][name]["world_from_ct"]
    assert_allclose(one.poses[3], told, atol=1e-9)
    assert (tracked / f"{name}_poses.csv").read_text().count("\n") == 5
    assert (tracked / f"{name}_track.tra").read_text().splitlines()[BLANK].count("NaN") == 16


def test_the_outlines_of_bones_are_drawn_of_each_frame_that_shows_them(tracked):
    names = {f"frame000{frame}_view {view}_bones.png" for frame in (0, 1, 3) for view in (0, 1)}
    assert {file.name for file in tracked.glob("*_bones.png")} == names
    picture = np.asarray(Image.open(tracked / "frame0003_view 1_bones.png")).astype(int)
    assert 0 < (np.ptp(picture, axis=-1) > 60).mean() < 0.1


@pytest.mark.parametrize("view", [0, 1])
def test_edges_are_drawn_on_a_bone_where_it_is(tracked, view):
    """As the CT has the lowest one, 0.4 of its outline are."""
    lowest = bones_of(structures(), anatomy())[-1]
    shadow = lowest.projector(0).render(cameras(0, 88)[view], POSE @ motions_in(3)[-1]).image > 0.05
    outline = np.argwhere(shadow & ~scipy.ndimage.binary_erosion(shadow))
    picture = np.asarray(Image.open(tracked / f"frame0003_view {view}.png")).astype(int)
    away = scipy.ndimage.distance_transform_edt(picture[..., 0] < picture[..., 2] + 60)
    assert (away[tuple(2 * outline.T + 1)] < 4).mean() > 0.85


def test_a_lost_bone_is_drawn_as_the_whole_ct_has_it():
    bodies = [Body(spine()[0], bones=structures())]
    parts = parts_of(bodies, anatomy(), NAMES)
    own = rigid.translation([5.0, 0.0, 0.0]) @ POSE
    bones = {name: Tracked(1, "followed", own, verdict="check") for name in NAMES[:3]}
    bones["L3"] = Tracked(1, "lost", own, verdict="reject")
    drawn, pose = replace(whole_in(1), bones=bones).drawn(bodies, parts)
    assert pose is POSE and [at for _bone, at in drawn.beside] == [own, own, own, POSE]


def test_neighbours_move_against_each_other_as_in_the_patient(tracked, tmp_path):
    assert not (tracked / "T12_on_L2_motion.csv").exists()
    for upper, (name, below) in enumerate(pairwise(NAMES)):
        lines = read_table(tracked / f"{name}_on_{below}_motion.csv")
        assert lines[BLANK]["angle_deg"] == "" and float(lines[0]["angle_deg"]) == 0
        for frame in (1, 3):
            motions = motions_in(frame)
            turn = rigid.rotation_angle(rigid.inverse(motions[upper + 1]) @ motions[upper])
            assert float(lines[frame]["angle_deg"]) == pytest.approx(np.degrees(turn), abs=0.3)
    last = frames_of(tracked)[3]["motions"]
    assert [(each["name"], each["against"]) for each in last] == list(pairwise(NAMES))
    assert last[0]["deg"] == pytest.approx(3 * DEGREES, abs=0.3) and last[0]["upper95_mm"] < 1
    both = f"{tracked}/L3_track.json {tracked}/T12_track.json"
    assert mvreg(f"motion {both} --out {tmp_path} --json").json["moving"] == "T12"


@pytest.mark.slow
def test_an_older_track_leaves_no_bone_behind(tracked, tmp_path):
    """The files of structures that a track had before go with it."""
    case = read_json(tracked.parent / "case.json")
    case |= {"structures": case["structures"][:1], "truth": {"world_from_ct": POSE.tolist()}}
    write_json(tracked.parent / "one.json", case)
    out = shutil.copytree(tracked, tmp_path / "track")
    (out / "of another.txt").write_text("stays")
    mvreg(f"track {tracked.parent}/one.json --pace quick --out {out}")
    left = {file.name for file in tracked.iterdir() if not file.name.startswith(("L", "T12_on"))}
    assert {file.name for file in out.iterdir()} == {*left, "of another.txt"}


def test_frames_of_other_structures_are_refused(tracked, tmp_path):
    case = read_json(tracked.parent / "case.json")
    first, second, *_ = case["structures"]
    first["label"], second["label"] = 2, 1
    write_json(tracked.parent / "other.json", case)
    cases = f"{tracked.parent}/case.json {tracked.parent}/other.json"
    said = "other.json: names another CT, mask or structures than the first frame"
    assert said in mvreg(f"track {cases} --out {tmp_path}/out", 2).err


def begun():
    """A tracker whose first frame is unbent."""
    found = BoneTracker(anatomy(), structures(), PACES["quick"])
    whole = Tracked(0, "registered", POSE, (0.99, 0.99), verdict="check")
    bones = {name: replace(whole, similarity=(0.98, 0.98)) for name in NAMES}
    found.keep(replace(whole, bones=bones))
    return found


def taken(motions):
    """The X-rays of a frame."""
    return xrays(*spine(), motions, POSE)


def whole_in(frame, verdict="check"):
    whole = Tracked(frame, "followed", POSE, similarity=(0.9, 0.9))
    return whole.assessed(replace(UNJUDGED, room=verdict, overlay=verdict))


def without_lowest(views):
    """The X-rays, with noise where L3 is."""
    rng, spoiled = np.random.default_rng(5), []
    ct, labels = spine()
    index = np.argwhere(labels == 4)[:, ::-1].astype(float)
    world = rigid.transform_points(POSE @ ct.volume.ct_from_index, index)
    for view in views:
        rows = view.camera.project(world)[:, 1]
        values = view.xray.line_integrals.copy()
        low, high = int(rows.mean()) + 2, int(rows.max()) + 2  # not where L2 is compared
        values[low:high] = rng.normal(1, 0.5, values[low:high].shape)
        spoiled.append(view.with_xray(line_integrals=values))
    return spoiled


@pytest.mark.slow
def test_a_lost_bone_stops_no_other_and_is_found_again():
    tracker, motions = begun(), [motions_in(frame / 4) for frame in range(4)]
    for frame in (1, 2, 3):
        views = taken(motions[frame])
        spoiled = without_lowest(views) if frame == 2 else views
        found = tracker.follow(whole_in(frame), spoiled, POSE)
        tracker.keep(found)
        for name, motion in zip(NAMES[:3], motions[frame], strict=False):
            assert found.bones[name].how == "followed"
            assert error_mm(found.bones[name].world_from_ct, motion) < 0.5
        lowest = found.bones["L3"]
        if frame == 2:
            assert (lowest.how, lowest.verdict) == ("lost", "reject")
            assert "in the frames before (0.9" in lowest.reasons[0]
            assert ("L2", "L3") not in [(each.name, each.against) for each in found.motions]
        else:
            assert lowest.kept and error_mm(lowest.world_from_ct, motions[frame][3]) < 0.3


@pytest.mark.slow
def test_the_whole_ct_is_not_accepted_where_a_bone_is_lost():
    found = begun().follow(whole_in(1, "accept"), without_lowest(unbent_views()), POSE)
    assert found.bones["L3"].verdict == "reject" and found.verdict == "check"
    assert found.reasons[0].endswith("L3 may lie elsewhere than this pose has it.")
    assert not any("from where this pose" in each for each in found.reasons)


@pytest.mark.slow
def test_a_bone_that_jumped_is_found_again_from_the_whole_ct():
    """At the resolutions at which bones are followed it would not be."""
    tracker = begun()
    away = rigid.translation([0.0, 0.0, 8.0]) @ POSE
    bones = {name: Tracked(1, "followed", away, (0.98, 0.98), verdict="check") for name in NAMES}
    tracker.keep(replace(whole_in(1, "reject"), bones=bones))
    found = tracker.follow(whole_in(2), unbent_views(), POSE)
    assert {bone.how for bone in found.bones.values()} == {"found again"}
    assert max(error_mm(bone.world_from_ct, np.eye(4)) for bone in found.bones.values()) < 0.3


def test_bones_are_followed_where_the_whole_ct_is_lost_and_say_so():
    whole = lost(1, "the X-rays show too little.")
    found = begun().follow(whole, taken(motions_in(0.25)), POSE)
    assert found.verdict == "reject" and found.reasons == whole.reasons
    for bone, motion in zip(found.bones.values(), motions_in(0.25), strict=True):
        assert bone.verdict == "check" and REST_LOST in bone.reasons
        assert error_mm(bone.world_from_ct, motion) < 0.3


@pytest.mark.slow
def test_progress_is_told_and_false_cancels():
    told = []
    begun().follow(whole_in(1), taken(motions_in(0.5)), POSE, told.append)
    assert told and all(0 < each.fraction <= 1 and "4 bones" in each.stage for each in told)
    assert len(told) <= sum(level.iterations for level in FOLLOWING)
    with pytest.raises(Cancelled):
        begun().follow(whole_in(1), taken(motions_in(0.5)), POSE, lambda done: False)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [True, False])
def test_bones_are_followed_on_the_device_while_it_has_memory(tmp_path, monkeypatch, memory):
    torch_bones = pytest.importorskip("MultiViewRegistrationLib.registration.torch_bones")
    made = Mock(wraps=torch_bones.TorchBonesObjective, side_effect=None if memory else MemoryError)
    monkeypatch.setattr(torch_bones, "TorchBonesObjective", made)
    monkeypatch.setattr(module, "FOLLOWING", [LEVELS[0]._replace(iterations=3)])
    case = Case.load(write_spine_case(tmp_path, [motions_in(0.5)], POSE, POSE))
    found = []
    for name in ("cpu", "torch-cpu"):
        device = ComputeDevice(name)
        tracker = module.BodiesTracker(case, anatomy(), PACES["quick"], device)
        whole = Tracked(
            0, "registered", POSE, (0.9, 0.9), verdict="check", cameras=case.cameras.values()
        )
        tracker.keep(replace(whole, bones=dict.fromkeys(NAMES, whole)), case.views)
        with collect_warnings():
            found.append(tracker.follow(1, case, case.views, Frame(case.views)))
    assert made.called and (device.name == "cpu") != memory
    for name in ("", *NAMES):
        mine, expected = (whole.bones.get(name, whole) for whole in found)
        assert mine.how == "followed" and phantom.error_mm(mine.pose, expected.pose) < 0.02


COUNT, CTS = 4, bone_cts()


def poses_in(frame):
    """The second bone turns and moves against the first, which stays."""
    first, second = poses(CTS)
    middle = rigid.transform_points(second, CTS[1].centroid())
    motion = rigid.turn_and_shift(np.radians([DEGREES * frame, 0, 0]), [0, MM * frame, 0])
    return [first, rigid.about(middle, motion) @ second]


@pytest.fixture(scope="module")
def two_tracked(tmp_path_factory):
    """The folder of a track, one frame of which is blank."""
    folder = tmp_path_factory.mktemp("bones")
    case = write_moving_bones(folder, [poses_in(frame) for frame in range(COUNT)], blank=BLANK)
    mvreg(f"track {case} --pace quick --out {folder}/track")
    return folder / "track"


@pytest.mark.slow
def test_each_bone_is_followed_by_its_own_ct(two_tracked):
    frames = read_json(two_tracked / "track.json")["frames"]
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
            assert two_bones.error_mm(ct, np.array(bone["world_from_ct"]), pose) < 0.1
            assert bone["verdict"] == "check"


@pytest.mark.slow
def test_their_motion_against_each_other_is_that_of_the_truth(two_tracked):
    first, second = BONES
    lines = read_table(two_tracked / f"{second}_on_{first}_motion.csv")
    assert len(lines) == COUNT and lines[BLANK]["angle_deg"] == ""
    for frame in (1, 3):
        assert float(lines[frame]["angle_deg"]) == pytest.approx(DEGREES * frame, abs=0.2)
        assert float(lines[frame]["distance_mm"]) == pytest.approx(MM * frame, abs=0.1)
    poses_csv = (two_tracked / f"{second}_poses.csv").read_text()
    assert poses_csv.count("\n") == COUNT + 1
    assert not (two_tracked / f"{first}_on_{second}_motion.csv").exists()


def test_a_lost_bone_is_not_drawn(two_tracked):
    bodies = Case.load(two_tracked.parent / "case.json").bodies
    parts = parts_of(bodies, PreparedCT(bodies[0].ct), BONES)
    found = StoredTrack.read(two_tracked).frames[1]
    (second,) = found.drawn(bodies, parts)[0].beside
    assert second[1] is found.bones[BONES[1]].pose
    bones = {**found.bones, BONES[1]: replace(found.bones[BONES[1]], verdict="reject")}
    assert not replace(found, bones=bones).drawn(bodies, parts)[0].beside


@pytest.mark.slow
def test_where_the_first_bone_is_lost_the_other_one_is_drawn(two_tracked):
    sequence = FrameSequence.of_images(two_tracked.parent / "case.json")
    track = Track(sequence, PreparedCT(sequence.first.ct))
    found = StoredTrack.read(two_tracked).frames[1]
    first = replace(found.bones[BONES[0]], world_from_ct=None, verdict="reject")
    bones = {**found.bones, BONES[0]: first}
    track.frames.append(replace(found, bones=bones, world_from_ct=None))
    for name in (f"frame0001_{view}.png" for view in sequence.first.cameras):
        picture = np.asarray(Image.open(io.BytesIO(track.overlays()[name])).convert("RGB"))
        assert (np.ptp(picture, axis=-1) > 100).sum() > 100  # edges are orange


def test_a_track_that_is_opened_has_both_bones(two_tracked):
    stored = StoredTrack.read(two_tracked)
    assert all(tuple(frame.bones) == BONES for frame in stored.frames)
    assert not stored.frames[BLANK].bones[BONES[1]].kept
    alone = StoredTrack.read(two_tracked / f"{BONES[1]}_track.json")
    assert_allclose(alone.centroid, CTS[1].centroid(), atol=0.5)
