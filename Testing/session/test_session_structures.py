"""A case with structures in a session.

From its files through the scene to the files of its result, and back from a saved scene.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest
from helpers.bent_spine import (
    NAMES,
    POSE,
    RESULTS,
    START,
    register_once,
    truth_of,
    write_case,
    write_spine_case,
)
from helpers.file_io import read_json, write_json
from helpers.refusals import refuses
from helpers.running_session import no_thread_is_left, poll, register_given
from helpers.tiny_scene import reopened
from PIL import Image

from MultiViewRegistrationLib import register
from MultiViewRegistrationLib.errors import collect_warnings
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.mrml.case import change_settings, segments_chosen
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, named_bones, put_bones
from MultiViewRegistrationLib.mrml.fingerprints import of_ct
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.mrml.xray import detectors
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.result_page import save_result
from MultiViewRegistrationLib.sequence.track_files import Track
from MultiViewRegistrationLib.sequence.tracker import Tracked, lost
from MultiViewRegistrationLib.session import assessment
from MultiViewRegistrationLib.session.assessment import stale_reason
from MultiViewRegistrationLib.session.inputs import Inputs
from MultiViewRegistrationLib.session.result_files import (
    read_result,
    read_track,
    write_case_folder,
    write_result,
)
from MultiViewRegistrationLib.session.sequence import take_video
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder of a case whose spine is bent, motions of its vertebrae)."""
    folder = tmp_path_factory.mktemp("spine")
    return folder, write_case(folder)


@pytest.fixture(scope="module")
def found(files):
    """What the command line finds in it, and sessions, too, see `register_once`."""
    RESULTS[:] = [register(files[0])]
    return RESULTS[0]


def opened(scene, folder):
    read = read_case(folder / "case.json")
    session = Session(read(scene))
    session.cache_case(read.case)
    return session


@pytest.fixture
def of_before(scene, files, found):
    """With what was found in the case of `files`."""
    session = opened(scene, files[0])
    register_once(session)
    return session


def registered(session):
    register_given(session)
    return session


def outlines(session):
    """What is outlined in the first X-ray by its name, once that is made."""
    detector = detectors(session.registration)[0]
    poll(session, 20.0, lambda: bool(session.bones.outlines(detector)))
    return {each.name: each for each in session.bones.outlines(detector)}


def outlined(session):
    """The names of what is outlined."""
    return list(outlines(session))


@pytest.mark.slow
def test_true_poses_of_bones_come_through_the_scene_but_for_bones_that_are_not_chosen(
    scene, tmp_path
):
    motions = write_case(tmp_path)
    content = read_json(tmp_path / "case.json")
    content["truth"] = truth_of(motions, POSE)
    write_json(tmp_path / "case.json", content)
    session = opened(scene, tmp_path)
    registration = session.registration
    registration.chosen_segments = registration.chosen_segments[1:]
    (path,) = write_case_folder(session, tmp_path / "again")()
    found = Case.load(path).structure_truths
    assert tuple(found) == NAMES[1:]
    assert np.allclose(found[NAMES[1]], content["truth"]["structures"][NAMES[1]])


@pytest.mark.quick_variants("masks")
@pytest.mark.parametrize("kind", ["labels", "seg.nrrd", "dicom", "masks"])
def test_structures_of_every_kind_of_file_are_segments_and_come_back_the_same(
    scene, tmp_path, kind
):
    write_case(tmp_path, kind)
    loaded = Case.load(tmp_path / "case.json")
    session = opened(scene, tmp_path)
    registration, segmentation = session.registration, session.registration.segmentation
    assert (
        registration.registers_each
        and segmentation.GetParentTransformNode() is registration.ct_transform
    )
    back = Inputs(registration).case()
    assert back.structures.names == loaded.structures.names == NAMES and back.ct.mask is None
    assert np.array_equal(back.structures.labels, loaded.structures.labels)
    (path,) = write_case_folder(session, tmp_path / "written")()
    written = Case.load(path)
    assert written.structures.names == NAMES
    assert np.array_equal(written.structures.labels, loaded.structures.labels)


@pytest.mark.slow
def test_the_whole_and_its_structures_are_registered_and_written_as_by_the_command_line(
    scene, files, found, tmp_path
):
    folder, motions = files
    expected = save_result(found, tmp_path / "line")
    session = registered(opened(scene, folder))
    entry = session.history.current
    assert session.ended == "done"
    assert entry.verdict == assessment.verdict(session) == "check"
    told = "4 of 4 bones are accepted, each at its own pose; L3 lies "
    assert entry.reasons[0].startswith(told) and assessment.headline(session).startswith(told)
    for each, motion in zip(entry.bodies.values(), motions, strict=True):
        truth = rigid.transform_points(POSE @ motion, np.zeros(3))
        assert rigid.transform_points(each.pose, np.zeros(3)) == pytest.approx(truth, abs=1.0)
    written = write_result(session, tmp_path / "panel")()
    content = read_json(tmp_path / "panel" / "result.json")
    assert {f"{name}_world_from_ct.tfm" for name in NAMES} <= {path.name for path in written}
    assert sorted(content["files"]) == sorted(expected["files"])
    for name, theirs in expected["bodies"].items():
        ours = content["bodies"][name]
        assert ours["verdict"] == theirs["verdict"]
        assert np.allclose(ours["world_from_ct"], theirs["world_from_ct"], atol=1e-6)
    assert [motion["words"] for motion in content["motions"]] == [
        motion["words"] for motion in expected["motions"]
    ]
    assert content["reasons"] == expected["reasons"]


@pytest.mark.slow
def test_each_bone_is_outlined_where_it_lies_in_its_colour(of_before):
    session = of_before
    seen = outlines(session)
    assert tuple(seen) == NAMES
    colours = named_bones(session.registration)
    assert all(seen[name].colour == colours[name] for name in NAMES)
    detector, lines = detectors(session.registration)[0], seen["L3"].lines
    bone = next(each for each in session.result.together.bodies if each.name == "L3")
    seen = detector.camera.project(rigid.transform_points(bone.world_from_ct, bone.bone.surface))
    found = np.concatenate([lines.min(axis=(0, 1)), lines.max(axis=(0, 1))])
    assert found == pytest.approx(np.concatenate([seen.min(axis=0), seen.max(axis=0)]), abs=2.0)
    bones_of(session.registration)["L3"].world_from_ct = POSE
    moved = outlines(session)["L3"].lines
    assert not np.array_equal(moved, lines)
    session.history.undo()
    assert np.array_equal(outlines(session)["L3"].lines, lines)
    assert {each.name: each.verdict for each in session.bones.states()} == {
        bone.name: bone.verdict for bone in session.result.together.bodies
    }


@pytest.mark.slow
def test_the_part_of_the_bone_that_lies_elsewhere_is_outlined_where_the_pose_has_it(
    scene, slicer_app, tmp_path
):
    write_case(tmp_path, shifted_mm=5.0)
    session = opened(scene, tmp_path)
    session.registration.choose_segment(None)
    registered(session)
    assert assessment.verdict(session) in ("check", "reject") and outlined(session) == [""]
    assert any(
        "part of the bone lies elsewhere" in reason for reason in assessment.reasons(session)
    )
    upper = "upper part" in " ".join(assessment.reasons(session))
    structures, detector = (
        Case.load(tmp_path / "case.json").structures,
        detectors(session.registration)[0],
    )
    place = session.ct().volume.ct_from_index
    own, others = (
        detector.camera.project(
            rigid.transform_points(session.registration.world_from_ct @ place, voxels)
        )
        for voxels in (
            np.argwhere(np.isin(structures.labels, part))[:, ::-1]
            for part in ((1, 2), (3, 4))[:: 1 if upper else -1]
        )
    )
    lines = session.bones.outlines(detector)[0].lines.reshape(-1, 2)
    cells_px = 2 * 8 * 1000 / 700 / 1.2
    assert (lines.min(axis=0) > own.min(axis=0) - cells_px).all() and (
        lines.max(axis=0) < own.max(axis=0) + cells_px
    ).all()
    assert (
        abs(lines.mean(axis=0) - own.mean(axis=0))[1]
        < abs(lines.mean(axis=0) - others.mean(axis=0))[1]
    )
    (again,) = reopened(slicer_app, tmp_path / "spine.mrb")
    assert outlined(Session(again)) == [""]


def test_the_verdict_falls_when_a_structure_is_changed(of_before):
    session = of_before
    registration, before = session.registration, of_ct(session.registration)
    segment = registration.segmentation.GetSegmentation().GetNthSegment(0)
    segment.SetName("T11")
    assert assessment.verdict(session) == "" and "stale" in stale_reason(session)
    assert of_ct(registration) == before  # its CT is not prepared again
    anew = session.find_result(again=True)()
    assert not anew.together.bodies and any(
        "bones were not registered" in reason for reason in anew.reasons
    )
    segment.SetName("T12")
    assert assessment.verdict(session) == "check"
    registration.choose_segment(None)
    assert assessment.verdict(session) == "" and not session.case().structures.names


@pytest.mark.slow
def test_one_structure_is_registered_as_a_bone(scene, files, found):
    session = opened(scene, files[0])
    registration = session.registration
    registration.choose_segment(
        registration.segmentation, registration.segmentation.GetSegmentation().GetNthSegmentID(2)
    )
    case = session.case()
    assert not case.structures.names and np.array_equal(
        case.ct.mask, Case.load(files[0]).structures.mask(2)
    )
    change_settings(registration, targets=None)  # which are those of all bones
    registered(session)
    entry = session.history.current
    assert entry.verdict == "accept" and not entry.bodies
    bone = RESULTS[0].bodies[RESULTS[0].case.structures.names[2]]
    np.testing.assert_allclose(entry.world_from_ct, bone.world_from_ct, atol=0.3)
    assert not any("structures were not" in reason for reason in entry.reasons)


@pytest.mark.slow
def test_bones_can_be_cancelled(scene, files):
    session = opened(scene, files[0])
    session.register("given")
    poll(
        session,
        60.0,
        lambda: "4 bones" in getattr(session.running_registration, "stage", "4 bones"),
    )
    assert session.running_registration.stage == "registering 4 bones"
    session.cancel()
    assert session.ended == "cancelled" and np.allclose(session.registration.world_from_ct, START)
    assert no_thread_is_left() and threading.main_thread().is_alive()


@pytest.mark.slow
def test_a_result_that_is_opened_again_has_them_still(scene, files, found, tmp_path):
    save_result(found, tmp_path)
    session = Session(read_result(tmp_path, files[0])(scene))
    assert list(session.history.current.bodies) == list(NAMES)
    assert assessment.verdict(session) == "check" and outlined(session) == list(NAMES)
    content = read_json(tmp_path / "result.json")
    content["bodies"][NAMES[1]]["world_from_ct"] = [[1, 2], [3, 4]]
    write_json(tmp_path / "result.json", content)
    with refuses(rf"bodies.{NAMES[1]}.world_from_ct"):
        read_result(tmp_path, files[0])(scene)


def test_the_segments_that_a_person_has_drawn_are_checked_as_those_of_a_file(scene, files):
    session = opened(scene, files[0])
    segmentation = session.registration.segmentation.GetSegmentation()
    assert len({segment.layer for segment in segments_chosen(session.registration).segments}) == 1
    segmentation.GetNthSegment(1).SetName("T12")
    with refuses(r'found the name "T12" twice'):
        session.case()
    segmentation.GetNthSegment(1).SetName("L1")
    with collect_warnings() as warnings:
        assert session.case().structures.names == NAMES
    assert not warnings
    for segment_id in segmentation.GetSegmentIDs():
        segmentation.RemoveSegment(segment_id)
    assert not session.case().structures.names  # the whole CT alone


@pytest.mark.slow
def test_a_video_that_is_made_at_a_lost_frame_outlines_bones_in_the_others(scene, tmp_path):
    write_spine_case(tmp_path, [[np.eye(4)] * 4] * 2, POSE, POSE)
    sequence = FrameSequence.of_images(tmp_path / "case.json")
    frames = [Tracked(0, "followed", POSE, verdict="check"), lost(1, "it shows nothing.")]
    frames = [replace(each, bones=dict.fromkeys(NAMES, each)) for each in frames]
    Track(sequence, PreparedCT(sequence.first.ct), frames=frames).save(tmp_path / "track")
    read = read_track(tmp_path / "track")
    session = Session(read(scene))
    read.play(session)
    session.sequence.player.go(1)
    poll(session, 20, lambda: session.sequence.player.number == 1)
    _still, video = take_video(session, tmp_path / "video")()
    picture = 1.0 * np.asarray(Image.open(video).convert("RGB"))
    for colour in named_bones(session.registration).values():
        assert (abs(picture - 255 * np.array(colour)).max(axis=-1) < 20).any()


def test_a_bone_that_a_frame_has_lost_is_drawn_as_the_ct_has_it_of_parts_that_stay(scene, files):
    session = opened(scene, files[0])
    session.prepare()
    parts = session.bones.parts
    own = rigid.translation([5.0, 0.0, 0.0]) @ POSE
    put_bones(session.registration, dict.fromkeys(NAMES, own))
    poll(session, 20, lambda: tuple(parts.now) == ("", *NAMES))
    made = parts.now
    put_bones(session.registration, dict.fromkeys(NAMES[:3], own))
    session.poll()
    assert parts.now is made
    drawn, pose = parts.placed
    there = [own, own, own, pose]
    assert np.allclose([at for _bone, at in drawn.beside], there)
