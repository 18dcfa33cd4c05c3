"""Bones with a CT each in a scene: opened, registered, seen, moved, exported, saved and opened again."""

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import slicer
from helpers.file_io import read_json, write_json
from helpers.planted_dicom import write_ct
from helpers.running_session import poll, register_given
from helpers.tiny_scene import reopened
from helpers.two_bones import BONES, bone_cts, error_mm, poses, write_case, write_moving_bones
from presenter_host import act, cells, devices, dressed, of_case, text

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


def assert_keys_are_unique(host):
    """Panel and page identify the controls of a section by their keys."""
    for presenter in host.presenters.by_name().values():
        keys = keys_of(presenter.form())
        assert len(keys) == len(set(keys)), keys


@pytest.mark.slow
def test_bones_with_separate_cts_are_registered_moved_and_exported(opened, slicer_app, tmp_path):
    host, cts, true = opened
    registration, session = host.registration, host.session
    section, bones = host.presenters.check.bones, bones_of(registration)
    assert text(host.presenters.ct.bones, "apart") == f"Bones with a CT each: {', '.join(BONES)}."
    register_given(session)
    assert max(errors(registration, cts, true)) < 0.1 and assessment.verdict(session) == "check"
    dressed(session)

    # Rows have no motion, as no CT has both bones; a row shows the CT of its bone.
    assert {len(row) for row in cells(section, "bones")} == {3}
    for detector in detectors(registration):
        assert [each.name for each in session.bones.outlines(detector)] == list(BONES)
    act(section, "bones", BONES[1], 0)
    assert_keys_are_unique(host)
    volume = shown_ct(registration)
    assert volume is registration.bone_cts[BONES[1]] is not registration.ct
    assert np.allclose(transform_of(volume.GetParentTransformNode()), true[1], atol=0.05)

    # A moved bone is not exported until it is registered again.
    bones[BONES[1]].world_from_ct = AWAY @ bones[BONES[1]].world_from_ct
    session.history.note("by hand")
    assert stale_reason(session).startswith(f"{BONES[1]}: not registered here.")
    act(section, "each")
    session.finish()
    assert not stale_reason(session) and max(errors(registration, cts, true)) < 0.1
    write_result(session, tmp_path / "out")()
    content = read_json(tmp_path / "out" / "result.json")
    assert list(content["bodies"]) == list(BONES)
    for name, each in content["bodies"].items():
        assert np.allclose(each["world_from_ct"], bones[name].world_from_ct, atol=1e-6)
    assert devices(session) == {*BONES, "MultiViewReg"}
    (path,) = write_case_folder(session, tmp_path / "again")()
    (_first, second) = Case.load(path).bodies
    assert np.allclose(second.world_from_ct, bones[BONES[1]].world_from_ct)
    assert np.allclose(second.ct.volume.values, cts[1].volume.values)

    verdicts = [row[1] for row in cells(section, "bones")]
    host.choose(reopened(slicer_app, tmp_path / "bones.mrb")[0])
    assert max(errors(host.registration, cts, true)) < 0.1 and not stale_reason(host.session)
    assert [row[1] for row in cells(section, "bones")] == verdicts


@pytest.mark.slow
def test_dicom_of_each_bone_references_the_slices_of_its_own_ct(scene, tmp_path):
    cts, _ = write_case(tmp_path)
    case = read_json(tmp_path / "case.json")
    for structure, ct in zip(case["structures"], cts, strict=True):
        structure["ct"] = structure["name"]
        write_ct(tmp_path / structure["ct"], ct.volume.values, ct.volume.ct_from_index)
    write_json(tmp_path / "case.json", case)
    session = of_case(scene, tmp_path).session
    out = tmp_path / "out"
    write_result(session, out, ["dicom"], override=True)()
    for name in BONES:
        slices = [pydicom.dcmread(file) for file in (tmp_path / name).iterdir()]
        named = pydicom.dcmread(out / f"{name}_world_from_ct.dcm").RegistrationSequence[-1]
        instances = {each.SOPInstanceUID for each in slices}
        images = named.ReferencedImageSequence
        assert {each.ReferencedSOPInstanceUID for each in images} == instances


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
def test_motion_of_two_bones_with_separate_cts_is_tracked(scene, slicer_app, tmp_path):
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
    assert_keys_are_unique(host)
    rows = cells(sequence, "motion")
    assert [row[0] for row in rows] == ["0", "1"] and rows[1][3:] == ["check", "followed"]
    degrees, bound = map(float, rows[1][1].split(" \u00b1 "))
    assert degrees == pytest.approx(3.0, abs=0.2) and 0 < bound < 2
    act(sequence, "to_table")
    assert scene.GetFirstNodeByClass("vtkMRMLTableNode").GetNumberOfRows() == 2
    files = {path.name for path in sequence.writer(tmp_path / "poses")()}
    assert {"motion.csv", *(f"{name}_poses.csv" for name in BONES)} <= files
    host.choose(reopened(slicer_app, tmp_path / "bones.mrb")[0])
    poll(host.session, 30.0, lambda: sequence.player is not None and sequence.player.number == 1)
    dressed(host.session)
    assert float(cells(sequence, "motion")[1][1].split()[0]) == pytest.approx(3.0, abs=0.2)
