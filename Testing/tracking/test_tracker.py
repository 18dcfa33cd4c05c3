"""Following the phantom through frames.

How exactly, what becomes of a frame that is lost, and from what the next one begins.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import phantom
import pytest
from file_io import read_json, write_json
from moving import Pelvis, swing, track_of, write_moving_case
from refusals import refuses

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.assessment.prediction import Prediction
from MultiViewRegistrationLib.assessment.verdict import Assessment
from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.sequence import tracker as module
from MultiViewRegistrationLib.sequence.run import follow
from MultiViewRegistrationLib.sequence.tracker import PACES, Tracked, Tracker

SEARCH = Range(10.0, 20.0)


def begun(anatomy, views, pose, pace="quick", search=SEARCH):
    """A tracker after its first frame, which was registered from some mm off."""
    tracker = Tracker(anatomy, PACES[pace], search)
    first = refine(anatomy, views, phantom.off(pose, [1.0, -1.0, 1.0], [2.0, 1.0, -1.0]))
    tracker.memory.keep(
        Tracked(0, "registered", first.world_from_ct, "check", [], first.fit.similarity)
    )
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
    assert lost.verdict == "reject" and lost.reasons[0].startswith("Lost: ") and not lost.kept
    for each, pose in zip(found, poses[1:], strict=True):
        assert not each.kept or phantom.error_mm(each.world_from_ct, pose) < 0.2


def test_a_jump_is_found_again_by_a_search(ct, anatomy, frames):
    poses = swing(3)
    far = phantom.off(poses[2], [9.0, -6.0, 7.0], [18.0, 13.0, -16.0])
    found = followed(
        begun(anatomy, frames[0], poses[0], search=Range(15.0, 35.0)),
        [frames[1], phantom.make_views(ct, pose=far)],
    )
    assert [each.how for each in found] == ["followed", "found again"]
    assert phantom.error_mm(found[1].world_from_ct, far) < 0.1


def test_the_last_pose_is_tried_where_the_prediction_is_wrong(anatomy, frames, monkeypatch):
    """Of a motion that stops at once the constant velocity predicts too far."""
    wrong = phantom.off(swing(1)[0], [40.0, 0, 0], [40.0, 0, 0])
    monkeypatch.setattr(module, "predict_pose", lambda kept, number: wrong)
    found = followed(begun(anatomy, frames[0], swing(1)[0]), [frames[0]])
    assert found[0].how == "followed"
    assert phantom.error_mm(found[0].world_from_ct, swing(1)[0]) < 0.2


def test_a_frame_that_is_rejected_is_kept_by_nobody(anatomy, frames):
    tracker = begun(anatomy, frames[0], swing(1)[0])
    tracker.memory.keep(Tracked(1, "lost", np.eye(4), "reject", ["Lost: ..."]))
    found = tracker.follow(2, frames[1])
    assert found.how == "followed" and phantom.error_mm(found.world_from_ct, swing(2)[1]) < 0.2


@pytest.mark.filterwarnings("ignore")
def test_an_accepted_frame_says_what_it_was_tested_for():
    frame = Tracked(0, "registered", np.eye(4), "accept", [])
    assert frame.scope.code == "one-piece" and replace(frame, verdict="check").scope is None
    of_bones = replace(frame, bones={"L3": frame, "L4": frame}).scope
    assert of_bones.code == "bones-tested" and "of its bones L3, L4 were tested" in of_bones


def test_each_frame_says_first_that_the_patients_differ(tmp_path):
    path = write_moving_case(tmp_path, swing(3))
    write_json(path, {**read_json(path), "header_mismatch": {"patient": True}})
    found = track_of(path).frames
    assert [frame.how for frame in found][1:] == ["followed"] * 2
    for frame in found:
        assert frame.verdict != "accept" and "are of different patients" in frame.reasons[0]
        assert len(set(frame.reasons)) == len(frame.reasons)


@pytest.mark.parametrize("use, verdict", [("overlay", "accept"), ("room", "check")])
def test_each_frame_has_the_verdict_of_what_its_pose_is_for(tmp_path, use, verdict):
    """Cameras that are corrected in the first frame are not known exactly in the others."""
    path = write_moving_case(tmp_path, swing(2))
    case = read_json(path) | {"use": use}
    case["views"][1] |= {"rotation_sd_deg": 1.0, "translation_sd_mm": 3.0}
    write_json(path, case)
    for frame in track_of(path).frames:
        assert (frame.use, frame.verdict) == (use, verdict)


@pytest.mark.filterwarnings("ignore")
def test_a_later_case_of_another_patient_is_a_doubt_of_the_sequence(tmp_path):
    first = write_moving_case(tmp_path, swing(1))
    later = first.with_name("later.json")
    write_json(later, {**read_json(first), "header_mismatch": {"patient": True}})
    assert FrameSequence.of_cases([first, first]).first.identity_reasons == []
    assert len(FrameSequence.of_cases([first, later, later]).first.identity_reasons) == 1


def test_a_frame_of_another_kind_has_no_bound_of_its_error():
    prediction = Prediction(1.0, 3.0, 0.1, 0.1, bounded=True, familiar=False)
    for known, bound in ((prediction, None), (replace(prediction, familiar=True), 3.0)):
        frame = Tracked(0, "followed", np.eye(4)).assessed(Assessment("check", [], known))
        assert frame.upper95_mm == bound
