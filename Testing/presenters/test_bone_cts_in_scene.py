"""Bones with a CT each in a scene: opened, registered, seen, moved, exported, saved and opened again."""

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import slicer
from helpers.file_io import read_json, write_json
from helpers.planted_dicom import write_ct
from helpers.program import mvreg
from helpers.running_session import poll
from helpers.tiny_scene import reopened
from helpers.two_bones import BONES, bone_cts, error_mm, poses, write_case, write_moving_bones
from presenter_host import act, cells, control, devices, dressed, of_case, text

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, shown_ct
from MultiViewRegistrationLib.mrml.nodes import transform_of
from MultiViewRegistrationLib.mrml.xray import detectors
from MultiViewRegistrationLib.session import assessment
from MultiViewRegistrationLib.session.assessment import stale_reason
from MultiViewRegistrationLib.session.presenters.form import visible
from MultiViewRegistrationLib.session.result_files import write_case_folder, write_result

AWAY = rigid.translation([2.0, -1.0, 1.0])


@pytest.fixture(autouse=True)
def no_modules(monkeypatch):
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(), raising=False)


@pytest.fixture
def opened(scene, tmp_path):
    """(host, CTs, true poses)"""
    cts, true = write_case(tmp_path)
    host = of_case(scene, tmp_path)
    return host, cts, true


def errors(registration, cts, true):
    bones = bones_of(registration)
    assert list(bones) == list(BONES)
    return [
        error_mm(ct, bones[name].world_from_ct, pose)
        for name, ct, pose in zip(BONES, cts, true, strict=True)
    ]


def keys_of(form):
    """The keys of all controls."""
    keys = []
    for each in visible(form):
        keys += [each.key, *keys_of(getattr(each, "children", ()))]
    return keys


def each_control_has_its_own_key(host):
    """Else page and panel cannot tell two controls of a section apart."""
    for presenter in host.presenters.by_name().values():
        keys = keys_of(presenter.form())
        assert len(keys) == len(set(keys)), keys


@pytest.mark.slow
def test_each_bone_lies_by_its_own_ct_and_is_registered_seen_moved_and_exported(
    opened, slicer_app, tmp_path
):
    host, cts, true = opened
    registration, session = host.registration, host.session
    section, bones = host.presenters.check.bones, bones_of(registration)
    assert min(errors(registration, cts, true)) > 2  # as the case begins
    assert text(host.presenters.ct.bones, "apart") == f"Bones with a CT each: {', '.join(BONES)}."
    session.register("given")
    session.finish()
    assert max(errors(registration, cts, true)) < 0.1 and assessment.verdict(session) == "check"
    dressed(session)
    why = " ".join(assessment.explanation(session))
    assert all(f"{name}: check" in why for name in BONES) and "moved by" not in why

    # Rows without a motion, as there is no CT of both; outlines; a row shows its CT.
    assert {len(row) for row in cells(section, "bones")} == {3}
    assert control(section, "one_body") is None
    for detector in detectors(registration):
        assert [each.name for each in session.bones.outlines(detector)] == list(BONES)
    act(section, "bones", BONES[1], 0)
    each_control_has_its_own_key(host)
    volume = shown_ct(registration)
    assert volume is registration.bone_cts[BONES[1]] is not registration.ct
    assert np.allclose(transform_of(volume.GetParentTransformNode()), true[1], atol=0.05)

    # What is moved is not handed on, until it is registered from there, or judged.
    bones[BONES[1]].world_from_ct = AWAY @ bones[BONES[1]].world_from_ct
    session.history.note("by hand")
    assert stale_reason(session).startswith(f"{BONES[1]}: not registered here.")
    judged = session.find_result()()
    assert list(judged.bodies) == list(BONES) and judged.together.bodies
    act(section, "each")
    session.finish()
    assert not session.message and not stale_reason(session)
    assert max(errors(registration, cts, true)) < 0.1
    # The result, and a case to register again.
    write_result(session, tmp_path / "out", ["npy"])()
    content = read_json(tmp_path / "out" / "result.json")
    assert list(content["bodies"]) == list(BONES)
    for name, each in content["bodies"].items():
        assert np.allclose(each["world_from_ct"], bones[name].world_from_ct, atol=1e-6)
        assert (tmp_path / "out" / f"{name}_world_from_ct.lps.npy").exists()
    assert devices(session) == {*BONES, "MultiViewReg"}
    (path,) = write_case_folder(session, tmp_path / "again")()
    again = Case.load(path)
    assert again.bone_names == BONES
    assert np.allclose(again.bodies[1].world_from_ct, bones[BONES[1]].world_from_ct)
    assert np.allclose(again.bodies[1].ct.volume.values, cts[1].volume.values)

    # Saved and opened again.
    verdicts = [row[1] for row in cells(section, "bones")]
    host.choose(reopened(slicer_app, tmp_path / "bones.mrb")[0])
    assert max(errors(host.registration, cts, true)) < 0.1 and not stale_reason(host.session)
    assert [row[1] for row in cells(section, "bones")] == verdicts


@pytest.mark.slow
def test_dicom_of_each_bone_names_the_slices_of_its_own_ct_alone(scene, tmp_path):
    """On the page as at the command line; of files that are no DICOM none."""
    cts, _ = write_case(tmp_path)
    case = read_json(tmp_path / "case.json")
    for structure, ct in zip(case["structures"], cts, strict=True):
        structure["ct"] = structure["name"]
        write_ct(tmp_path / structure["ct"], ct.volume.values, ct.volume.ct_from_index)
    extra = {**case["structures"][0], "name": "plain", "ct": f"{BONES[0]}.nrrd"}
    write_json(tmp_path / "case.json", {**case, "structures": [*case["structures"], extra]})
    session = of_case(scene, tmp_path).session
    page, line = tmp_path / "page", tmp_path / "line"
    write_result(session, page, ["dicom"], override=True)()
    mvreg(f"export {page} --as dicom --case {tmp_path} --out {line} --override")
    for folder in (page, line):
        found = {file.name: pydicom.dcmread(file) for file in folder.glob("*.dcm")}
        assert set(found) == {f"{name}_world_from_ct.dcm" for name in (*BONES, "plain")}
        for name in BONES:
            slices = [pydicom.dcmread(file) for file in (tmp_path / name).iterdir()]
            data = found[f"{name}_world_from_ct.dcm"]
            named = data.RegistrationSequence[-1].ReferencedImageSequence
            instances = {each.SOPInstanceUID for each in slices}
            assert {each.ReferencedSOPInstanceUID for each in named} == instances
            (study,) = data.StudiesContainingOtherReferencedInstancesSequence
            (series,) = study.ReferencedSeriesSequence
            assert series.SeriesInstanceUID == slices[0].SeriesInstanceUID
        plain = found["plain_world_from_ct.dcm"].RegistrationSequence[-1]
        assert "ReferencedImageSequence" not in plain


def six(section):
    """Turns and shifts (2, 3) as they are shown."""
    return np.array([[float(each) for each in row[1:]] for row in cells(section, "six")]).T


@pytest.mark.slow
def test_six_numbers_tell_how_bones_with_a_ct_each_lie_to_each_other(opened):
    """Along the axes of one CT those of both poses."""
    host, cts, _true = opened
    session, section = host.session, host.presenters.check.bones
    dressed(session)
    bones = bones_of(host.registration)
    moving, fixed = (bones[name] for name in BONES)  # the upper vertebra moves
    assert session.bones.pair[:2] == BONES[::-1]
    said = f"The axes and the middle of {BONES[0]}, from those of {BONES[1]}."
    assert text(section, "motion_now").strip() == said

    act(section, "pair_frame", "ct")
    pose = rigid.inverse(fixed.world_from_ct) @ moving.world_from_ct
    middle = rigid.transform_points(pose, session.bones.middle(BONES[0]))
    turn = np.degrees(rigid.log_so3(pose[:3, :3]))
    assert np.allclose(six(section), [turn, middle], atol=0.006)


def test_another_ct_or_a_ct_that_is_removed_makes_the_result_stale(opened):
    host, _cts, _true = opened
    registration, session = host.registration, host.session
    before = session.of_structures
    registration.scene.RemoveNode(registration.bone_cts[BONES[1]])
    assert session.of_structures != before and list(registration.bone_cts) == [BONES[0]]
    assert len(session.case().bodies) == 1
    registration.ct = None
    assert not registration.bone_cts


@pytest.mark.slow
def test_a_sequence_tells_how_one_bone_moves_against_the_other(scene, slicer_app, tmp_path):
    cts = bone_cts()
    first, second = poses(cts)
    middle = rigid.transform_points(second, cts[1].centroid())
    turn = rigid.turn_and_shift(np.radians([3.0, 0, 0]), [0, 0, 0])
    moved = rigid.about(middle, turn) @ second
    write_moving_bones(tmp_path, [[first, second], [first, moved]])
    host = of_case(scene, tmp_path)
    sequence = host.presenters.sequence
    act(sequence, "pace", "quick")
    act(sequence, "track")
    poll(host.session, 90.0, lambda: host.session.sequence.ended == "done")
    player = sequence.player
    player.go(1)
    poll(host.session, 30.0, lambda: player.number == 1)
    assert max(errors(host.registration, cts, [first, moved])) < 0.1
    dressed(host.session)

    # Of two bones these are the pair; curves, rows and files tell the turn.
    assert host.session.bones.pair[:2] == BONES[::-1]  # the upper vertebra moves
    each_control_has_its_own_key(host)
    title = f"{BONES[0]} against {BONES[1]}"
    assert text(sequence, "motion_title") == f"{title}, since frame 0."
    assert len(cells(sequence, "six")) == 3  # how the axes of one lie to the other's in this frame
    rows = cells(sequence, "motion")
    assert [row[0] for row in rows] == ["0", "1"]
    degrees, bound = map(float, rows[1][1].split(" \u00b1 "))
    assert degrees == pytest.approx(3.0, abs=0.2) and 0 < bound < 2
    assert rows[1][3:] == ["check", "followed"]
    assert all(" \u00b1 " in cell for row in cells(sequence, "six") for cell in row[1:])
    assert control(sequence, "motion.0").tip == f"Rotation of {title}, degrees"
    act(sequence, "to_table")
    table = scene.GetFirstNodeByClass("vtkMRMLTableNode")
    assert table.GetName() == title and table.GetNumberOfRows() == 2
    words = table.GetTable().GetColumnByName("verdict")
    assert [words.GetValue(row) for row in range(2)] == ["check", "check"]
    files = {path.name for path in sequence.writer(tmp_path / "poses")()}
    assert {"motion.csv", f"{BONES[1]}_on_{BONES[0]}_motion.csv"} <= files
    for name in BONES:
        assert {f"{name}_{each}" for each in ("poses.csv", "track.tra", "track.json")} <= files
    host.choose(reopened(slicer_app, tmp_path / "bones.mrb")[0])
    poll(host.session, 30.0, lambda: sequence.player is not None and sequence.player.number == 1)
    dressed(host.session)
    assert float(cells(sequence, "motion")[1][1].split()[0]) == pytest.approx(3.0, abs=0.2)
