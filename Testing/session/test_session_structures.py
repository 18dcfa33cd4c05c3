"""A case with structures in a session.

From its files through the scene to the files of its result, and back from a saved scene.
"""

import numpy as np
import pytest
from helpers.bent_spine import (
    NAMES,
    POSE,
    settle_spine,
    write_case,
)
from helpers.file_io import read_json, write_json
from helpers.refusals import refuses
from helpers.running_session import poll, register_given

from MultiViewRegistrationLib import register
from MultiViewRegistrationLib.errors import collect_warnings
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.mrml.case import segments_chosen
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, named_bones, put_bones
from MultiViewRegistrationLib.mrml.fingerprints import of_ct
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.mrml.xray import detectors
from MultiViewRegistrationLib.report.result_page import save_result
from MultiViewRegistrationLib.session import assessment
from MultiViewRegistrationLib.session.assessment import stale_reason
from MultiViewRegistrationLib.session.inputs import Inputs
from MultiViewRegistrationLib.session.result_files import (
    read_result,
    write_case_folder,
    write_result,
)
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder of a case whose spine is bent, motions of its vertebrae)."""
    folder = tmp_path_factory.mktemp("spine")
    return folder, write_case(folder)


@pytest.fixture(scope="module")
def found(files):
    """The result of the library for it."""
    return register(files[0])


def opened(scene, folder):
    read = read_case(folder / "case.json")
    session = Session(read(scene))
    session.cache_case(read.case)
    return session


def outlines(session):
    """What is outlined in the first X-ray by its name, once that is made."""
    detector = detectors(session.registration)[0]
    poll(session, 20.0, lambda: bool(session.bones.outlines(detector)))
    return {each.name: each for each in session.bones.outlines(detector)}


@pytest.mark.quick_variants("masks")
@pytest.mark.parametrize("kind", ["seg.nrrd", "masks"])
def test_structures_of_a_file_become_segments_and_are_written(scene, tmp_path, kind):
    write_case(tmp_path, kind)
    loaded = Case.load(tmp_path / "case.json")
    session = opened(scene, tmp_path)
    registration, segmentation = session.registration, session.registration.segmentation
    assert registration.registers_each
    assert segmentation.GetParentTransformNode() is registration.ct_transform
    back = Inputs(registration).case()
    (path,) = write_case_folder(session, tmp_path / "written")()
    for case in (back, Case.load(path)):
        assert case.structures.names == loaded.structures.names == NAMES and case.ct.mask is None
        assert np.array_equal(case.structures.labels, loaded.structures.labels)


@pytest.mark.slow
def test_bones_are_registered_and_written_as_by_the_command_line(scene, files, found, tmp_path):
    folder, motions = files
    expected = save_result(found, tmp_path / "line")
    session = opened(scene, folder)
    register_given(session)
    entry = session.history.current
    assert session.ended == "done" and assessment.verdict(session) == "check"
    finding = entry.findings[0]
    assert (finding.code, finding.values["bone"]) == ("bone-displaced", "L3")
    assert (finding.values["accepted"], finding.values["total"]) == (4, 4)
    for each, motion in zip(entry.bodies.values(), motions, strict=True):
        assert (POSE @ motion)[:3, 3] == pytest.approx(each.world_from_ct[:3, 3], abs=1.0)
    write_result(session, tmp_path / "panel")()
    content = read_json(tmp_path / "panel" / "result.json")
    for key in ("files", "reasons"):
        assert sorted(content[key]) == sorted(expected[key])
    for name, theirs in expected["bodies"].items():
        ours = content["bodies"][name]
        assert ours["verdict"] == theirs["verdict"]
        assert np.allclose(ours["world_from_ct"], theirs["world_from_ct"], atol=1e-6)


@pytest.mark.slow
def test_bones_are_outlined_at_their_poses_in_their_colours(scene, files):
    session = opened(scene, files[0])
    pose = settle_spine(session)["L3"]
    seen, colours = outlines(session), named_bones(session.registration)
    assert tuple(seen) == NAMES
    assert all(seen[name].colour == colours[name] for name in NAMES)
    camera, lines = detectors(session.registration)[0].camera, seen["L3"].lines
    centre = rigid.transform_points(pose, session.bones.middle("L3"))
    assert lines.mean(axis=(0, 1)) == pytest.approx(camera.project(centre), abs=15)
    bones_of(session.registration)["L3"].world_from_ct = POSE
    assert not np.array_equal(outlines(session)["L3"].lines, lines)


def test_renamed_or_deselected_structure_clears_the_verdict(scene, files):
    session = opened(scene, files[0])
    settle_spine(session)
    registration, before = session.registration, of_ct(session.registration)
    segment = registration.segmentation.GetSegmentation().GetNthSegment(0)
    segment.SetName("T11")
    assert assessment.verdict(session) == "" and "stale" in stale_reason(session)
    assert of_ct(registration) == before  # the CT is not prepared again
    segment.SetName("T12")
    assert assessment.verdict(session) == "check"
    registration.choose_segment(None)
    assert assessment.verdict(session) == "" and not session.case().structures.names


def test_selected_structure_is_the_mask_of_the_ct(scene, files):
    session = opened(scene, files[0])
    registration = session.registration
    segments = registration.segmentation.GetSegmentation()
    registration.choose_segment(registration.segmentation, segments.GetNthSegmentID(2))
    case = session.case()
    assert not case.structures.names
    assert np.array_equal(case.ct.mask, Case.load(files[0]).structures.mask(2))


@pytest.mark.slow
def test_bones_of_a_stored_result_are_opened_or_refused_if_damaged(scene, files, found, tmp_path):
    save_result(found, tmp_path)
    session = Session(read_result(tmp_path, files[0])(scene))
    assert list(session.history.current.bodies) == list(NAMES)
    assert assessment.verdict(session) == "check" and list(outlines(session)) == list(NAMES)
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


def test_lost_bone_is_drawn_where_the_ct_has_it(scene, files):
    session = opened(scene, files[0])
    session.prepare()
    parts = session.bones.parts
    shifted = rigid.translation([5.0, 0.0, 0.0]) @ POSE
    put_bones(session.registration, dict.fromkeys(NAMES, shifted))
    poll(session, 20, lambda: tuple(parts.now) == ("", *NAMES))
    made = parts.now
    put_bones(session.registration, dict.fromkeys(NAMES[:3], shifted))
    session.poll()
    assert parts.now is made  # nothing is prepared again
    drawn, pose = parts.placed
    poses = [at for _bone, at in drawn.beside]
    assert np.allclose(poses, [shifted, shifted, shifted, pose])
