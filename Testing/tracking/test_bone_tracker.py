"""The vertebrae of a spine that bends from frame to frame, and two bones with a CT each, followed by themselves."""

from dataclasses import replace

import numpy as np
import pytest
import scipy
import SimpleITK as sitk
from helpers import phantom, two_bones
from helpers.assessments import assessed
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
from helpers.program import codes_of, mvreg
from helpers.two_bones import BONES, bone_cts, poses, write_moving_bones
from numpy.testing import assert_allclose
from PIL import Image

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.bone import bones_of, parts_of
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.sequence.run import PACES, BoneTracker
from MultiViewRegistrationLib.sequence.track_files import StoredTrack
from MultiViewRegistrationLib.sequence.tracker import Tracked, lost

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
    assert "followed" in codes_of(frames[3]["bodies"][NAMES[0]])
    assert "bone-displaced" in codes_of(frames[3])


@pytest.mark.slow
def test_each_bone_has_its_files(tracked):
    name = NAMES[1]
    one = StoredTrack.read(tracked / f"{name}_track.json")
    assert one.name == name
    assert [pose is None for pose in one.poses] == [frame == BLANK for frame in range(4)]
    told = frames_of(tracked)[3]["bodies"][name]["world_from_ct"]
    assert_allclose(one.poses[3], told, atol=1e-9)
    assert (tracked / f"{name}_poses.csv").read_text().count("\n") == 5
    assert (tracked / f"{name}_track.tra").read_text().splitlines()[BLANK].count("NaN") == 16


@pytest.mark.slow
def test_edges_are_drawn_at_the_pose_of_each_bone(tracked):
    """At the pose of the whole CT the edges would match only 40 % of the outline of L3."""
    view = 1
    lowest = bones_of(structures(), anatomy())[-1]
    shadow = lowest.projector(0).render(cameras(0, 88)[view], POSE @ motions_in(3)[-1]).image > 0.05
    outline = np.argwhere(shadow & ~scipy.ndimage.binary_erosion(shadow))
    picture = np.asarray(Image.open(tracked / f"frame0003_view {view}.png")).astype(int)
    away = scipy.ndimage.distance_transform_edt(picture[..., 0] < picture[..., 2] + 60)
    assert (away[tuple(2 * outline.T + 1)] < 4).mean() > 0.85


def test_frames_with_different_structures_are_rejected(two_tracked, tmp_path):
    folder = two_tracked.parent
    case = read_json(folder / "case.json")
    case["structures"][1]["name"] = "another"
    del case["truth"]
    write_json(folder / "other.json", case)
    cases = f"{folder}/case.json {folder}/other.json"
    said = "other.json: names another CT, mask or structures than the first frame"
    assert said in mvreg(f"track {cases} --out {tmp_path}/out", 2).err


def begun():
    """A tracker whose first frame is unbent."""
    found = BoneTracker(anatomy(), structures(), PACES["quick"])
    whole = Tracked(0, "registered", POSE, (0.99, 0.99), assessment=assessed("check"))
    bones = {name: replace(whole, similarity=(0.98, 0.98)) for name in NAMES}
    found.keep(replace(whole, bones=bones))
    return found


def taken(motions):
    """The X-rays of a frame."""
    return xrays(*spine(), motions, POSE)


def whole_in(frame, verdict="check"):
    return Tracked(frame, "followed", POSE, (0.9, 0.9), assessment=assessed(verdict))


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
            assert "in the frames before (0.9" in lowest.findings[0].values["statement"]
            assert ("L2", "L3") not in [(each.name, each.against) for each in found.motions]
        else:
            assert lowest.kept and error_mm(lowest.world_from_ct, motions[frame][3]) < 0.3


@pytest.mark.slow
def test_the_whole_ct_is_not_accepted_where_a_bone_is_lost():
    found = begun().follow(whole_in(1, "accept"), without_lowest(unbent_views()), POSE)
    assert found.bones["L3"].verdict == "reject" and found.verdict == "check"
    lost_bones = found.findings[0]
    assert lost_bones.code == "bone-lost" and lost_bones.values["bones"].endswith("L3")
    assert not found.assessment.has("bone-displaced")


def test_bones_are_followed_where_the_whole_ct_is_lost_and_say_so():
    whole = lost(1, "the X-rays show too little.")
    found = begun().follow(whole, taken(motions_in(0.25)), POSE)
    assert found.verdict == "reject" and found.findings == whole.findings
    for bone, motion in zip(found.bones.values(), motions_in(0.25), strict=True):
        assert bone.verdict == "check" and bone.assessment.has("rest-lost")
        assert error_mm(bone.world_from_ct, motion) < 0.3


COUNT, CTS = 3, bone_cts()


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
    mvreg(f"track {case} --pace quick --overlays --out {folder}/track")
    return folder / "track"


@pytest.mark.slow
def test_each_bone_is_followed_by_its_own_ct(two_tracked):
    frames = read_json(two_tracked / "track.json")["frames"]
    assert [frame["how"] for frame in frames] == ["registered", "followed", "lost"]
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


def test_relative_motion_of_two_bones_is_the_true_motion(two_tracked, tmp_path):
    first, second = BONES
    lines = read_table(two_tracked / f"{second}_on_{first}_motion.csv")
    assert len(lines) == COUNT and lines[BLANK]["angle_deg"] == ""
    assert float(lines[1]["angle_deg"]) == pytest.approx(DEGREES, abs=0.2)
    assert float(lines[1]["distance_mm"]) == pytest.approx(MM, abs=0.1)
    both = f"{two_tracked}/{first}_track.json {two_tracked}/{second}_track.json"
    assert mvreg(f"motion {both} --out {tmp_path} --json").json["moving"] == second


def test_a_lost_bone_is_not_drawn(two_tracked):
    bodies = Case.load(two_tracked.parent / "case.json").bodies
    parts = parts_of(bodies, PreparedCT(bodies[0].ct), BONES)
    found = StoredTrack.read(two_tracked).frames[1]
    (second,) = found.drawn(bodies, parts)[0].beside
    assert second[1] is found.bones[BONES[1]].pose
    rejected = replace(found.bones[BONES[1]], assessment=assessed("reject"))
    bones = {**found.bones, BONES[1]: rejected}
    assert not replace(found, bones=bones).drawn(bodies, parts)[0].beside


def test_a_track_that_is_opened_has_both_bones(two_tracked):
    stored = StoredTrack.read(two_tracked)
    assert all(tuple(frame.bones) == BONES for frame in stored.frames)
    assert not stored.frames[BLANK].bones[BONES[1]].kept
    alone = StoredTrack.read(two_tracked / f"{BONES[1]}_track.json")
    assert_allclose(alone.centroid, CTS[1].centroid(), atol=0.5)
