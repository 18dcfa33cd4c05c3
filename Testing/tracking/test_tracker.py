"""Following the phantom through frames.

How exactly, what becomes of a frame that is lost, and from what the next one begins.
"""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import phantom
from helpers.assessments import assessed
from helpers.file_io import read_json, write_json
from helpers.moving import BLANK, COUNT, Pelvis, swing, track_of, write_moving_case
from helpers.refusals import refuses
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.io.files import JsonObject
from MultiViewRegistrationLib.io.result_json import finding_json
from MultiViewRegistrationLib.io.sequence import FrameFiles, FrameSequence
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.sequence.run import PACES, follow
from MultiViewRegistrationLib.sequence.track_files import StoredTrack
from MultiViewRegistrationLib.sequence.tracker import Tracked, Tracker

SEARCH = Range(10.0, 20.0)


def begun(anatomy, views, pose, pace="quick", search=SEARCH):
    """A tracker after its first frame, which was registered from some mm off."""
    tracker = Tracker(anatomy, PACES[pace], search)
    first = refine(anatomy, views, phantom.off(pose, [1.0, -1.0, 1.0], [2.0, 1.0, -1.0]))
    check = assessed("check")
    pose, similarity = first.world_from_ct, first.fit.similarity
    tracker.memory.keep(Tracked(0, "registered", pose, similarity, assessment=check))
    return tracker


def followed(tracker, frames):
    found = []
    for number, views in enumerate(frames, start=1):
        found.append(tracker.follow(number, views))
        tracker.memory.keep(found[-1])
    return found


@pytest.fixture(scope="module")
def frames(ct):
    """Six frames of a swing."""
    return [phantom.make_views(ct, pose=pose) for pose in swing(6)]


@pytest.fixture
def spoiled(frames):
    """The same, the fourth frame being noise."""
    random, noise = np.random.default_rng(1), []
    for view in frames[3]:
        image = random.normal(1, 0.3, view.xray.valid.shape).astype(np.float32)
        noise.append(view.with_xray(line_integrals=image))
    return [*frames[:3], noise, *frames[4:]]


def test_slot_scans_are_not_tracked(ct):
    first = SimpleNamespace(cameras={"scout": phantom.make_slot_scan(ct, 0).camera})
    with refuses("tracking needs X-rays with a single source"):
        next(follow(SimpleNamespace(first=first), None))


@pytest.fixture(scope="module")
def pelvis(shared_data):
    pytest.importorskip("itk", reason="needs RTK: pip install itk-rtk")
    return Pelvis.swinging(shared_data / "pelvis" / "pelvis_2mm.nii.gz", 10)


@pytest.mark.slow
@pytest.mark.parametrize("pace, bound_mm", [("quick", 0.2), ("thorough", 0.1)])
def test_a_swing_in_x_rays_of_another_simulator_is_followed(pelvis, pace, bound_mm):
    (first, *frames), (start, *poses) = pelvis.frames, pelvis.poses
    found = followed(begun(PreparedCT(pelvis.ct), first, start, pace), frames)
    assert [each.how for each in found] == ["followed"] * 9
    errors = [
        mtre(each.world_from_ct, pose, pelvis.targets)
        for each, pose in zip(found, poses, strict=True)
    ]
    assert max(errors) < bound_mm
    if pace == "quick":
        assert {each.verdict for each in found} == {"check"} and found[0].upper95_mm is None
    else:
        assert {each.verdict for each in found} == {"accept"}
        assert np.sum(np.array(errors) < [each.upper95_mm for each in found]) >= 8


@pytest.mark.slow
def test_a_lost_frame_is_told_and_the_next_one_is_found(anatomy, spoiled):
    poses = swing(6)
    found = followed(begun(anatomy, spoiled[0], poses[0], search=Range(4.0, 6.0)), spoiled[1:])
    assert [each.how for each in found] == ["followed"] * 2 + ["lost"] + ["followed"] * 2
    lost = found[2]
    assert lost.verdict == "reject" and lost.findings[0].code == "lost" and not lost.kept
    for each, pose in zip(found, poses[1:], strict=True):
        assert not each.kept or phantom.error_mm(each.world_from_ct, pose) < 0.2


@pytest.mark.slow
def test_a_jump_is_found_again_by_a_search(ct, anatomy, frames):
    poses = swing(3)
    far = phantom.off(poses[2], [9.0, -6.0, 7.0], [18.0, 13.0, -16.0])
    found = followed(
        begun(anatomy, frames[0], poses[0], search=Range(15.0, 35.0)),
        [frames[1], phantom.make_views(ct, pose=far)],
    )
    assert [each.how for each in found] == ["followed", "found again"]
    assert phantom.error_mm(found[1].world_from_ct, far) < 0.1


def test_a_frame_that_is_rejected_is_kept_by_nobody(anatomy, frames):
    tracker = begun(anatomy, frames[0], swing(1)[0])
    tracker.memory.keep(Tracked(1, "lost", np.eye(4), assessment=assessed("reject")))
    found = tracker.follow(2, frames[1])
    assert found.how == "followed" and phantom.error_mm(found.world_from_ct, swing(2)[1]) < 0.2


@pytest.mark.slow
def test_each_frame_has_the_verdict_of_its_3d_position(tmp_path):
    """Cameras that are corrected in the first frame are not known exactly in the others."""
    path = write_moving_case(tmp_path, swing(2))
    case = read_json(path)
    case["views"][1] |= {"rotation_sd_deg": 1.0, "translation_sd_mm": 3.0}
    write_json(path, case)
    for frame in track_of(path).frames:
        assert (frame.uses["overlay"].verdict, frame.verdict) == ("accept", "check")


@pytest.mark.filterwarnings("ignore")
def test_a_later_case_of_another_patient_is_a_doubt_of_the_sequence(tmp_path):
    first = write_moving_case(tmp_path, swing(1))
    later = first.with_name("later.json")
    write_json(later, {**read_json(first), "header_mismatch": {"side": True}})
    assert FrameSequence.of_cases([first, first]).first.identity_findings == []
    assert len(FrameSequence.of_cases([first, later, later]).first.identity_findings) == 1


@pytest.mark.parametrize("bound", [None, 3.0])
def test_a_frame_has_the_bound_of_its_error_if_it_is_known(bound):
    assessment = assessed("check", position=(1.0, bound))
    assert Tracked(0, "followed", np.eye(4), assessment=assessment).upper95_mm == bound


def test_what_was_found_is_read_back(study):
    told, track = read_json(study / "track" / "track.json"), StoredTrack.read(study / "track")
    assert (track.name, track.count) == ("case", COUNT)
    assert track.names == [f"frame {n}" for n in range(COUNT)]
    for frame, like in zip(track.frames, told["frames"], strict=True):
        for key in ("how", "verdict"):
            assert getattr(frame, key) == like[key]
        assert list(frame.similarity) == like["similarity"] and list(frame.uses) == list(
            like["uses"]
        )
        assert [finding_json(finding) for finding in frame.findings] == like["findings"]
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
        ({"findings": [1]}, "findings"),
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
