"""A case with structures, from its files to the files of its result, and a frame in which the body is lost."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import phantom
from helpers.bent_spine import NAMES, POSE, truth_of, write_case
from helpers.file_io import read_json, write_json
from helpers.moving import swing, track_of, write_moving_case
from helpers.program import codes_of, mvreg, result_in
from helpers.refusals import refuses
from helpers.result_schema import assert_fits_schema

from MultiViewRegistrationLib import Case, api, register
from MultiViewRegistrationLib.assessment.bodies import JointResult
from MultiViewRegistrationLib.assessment.records import Finding
from MultiViewRegistrationLib.cli.register import summarise
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import NO_STRUCTURES
from MultiViewRegistrationLib.io.transforms import read_transform
from MultiViewRegistrationLib.report.details import BEFORE_AFTER, PICTURE_ROWS, before_after
from MultiViewRegistrationLib.report.overlays import BLUE, ORANGE
from MultiViewRegistrationLib.report.result_page import words_of


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(folder, motions of the vertebrae) of a case whose spine is bent."""
    folder = tmp_path_factory.mktemp("spine")
    motions = write_case(folder)
    case = read_json(folder / "case.json")
    case["truth"] = truth_of(motions, POSE)
    write_json(folder / "case.json", case)
    return folder, motions


@pytest.fixture(scope="module")
def registered(written, tmp_path_factory):
    """The folder of what the program finds, what it prints, and the `Result`."""
    out, results, real = tmp_path_factory.mktemp("out"), [], api.register

    def kept(*given, **options):
        results.append(real(*given, **options))
        return results[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "register", kept)
        printed = mvreg(f"register {written[0]} --out {out}").err
    return out, printed, results[0]


@pytest.fixture(scope="module")
def result(registered):
    return registered[2]


def test_result_transforms_and_report(written, registered):
    motions = written[1]
    out, printed, _ = registered
    content = result_in(out)
    whole, *bones = content["bodies"].values()
    assert list(content["bodies"]) == ["CT", *NAMES]
    assert whole["world_from_ct"] == content["world_from_ct"]
    assert content["verdict"] != "accept" and content["findings"][0]["code"] == "bone-displaced"
    for name, motion in zip(NAMES, motions, strict=True):
        pose = read_transform(out / f"{name}_world_from_ct.tfm")
        assert pose[:3, 3] == pytest.approx((POSE @ motion)[:3, 3], abs=1.0)
        assert f"{name}_world_from_ct.slicer.tfm" in content["files"] and f"{name} " in printed
    assert {(each["name"], each["against"]) for each in content["motions"]} == set(pairwise(NAMES))
    assert "T12 on L1:" in printed and all(bone["mtre_mm"] < 0.3 for bone in bones)
    report = (out / "report.html").read_text()
    assert "The bones" in report and BEFORE_AFTER in report
    assert all(f"\u25a0 {name}" in report for name in NAMES)
    assert "bones.jpg" in content["files"] and (out / "bones.jpg").stat().st_size > 10_000


def lines(picture):
    """How many pixels are blue, and orange."""
    return [
        int((picture == colour.astype(np.uint8)).all(axis=-1).sum()) for colour in (BLUE, ORANGE)
    ]


def test_bones_that_lie_elsewhere_are_outlined_at_both_poses(result):
    picture = before_after(result)
    blue, orange = lines(picture)
    assert picture.shape[0] == PICTURE_ROWS and 0.5 * orange < blue < orange
    unseen = replace(result, together=JointResult())
    assert before_after(unseen) is None


def to_check(body):
    return replace(body, assessment=body.assessment.with_findings([Finding("unlike-known")]))


def test_a_person_may_check_each_bone(result):
    bodies = [to_check(body) for body in result.together.bodies]
    doubted = replace(result, together=replace(result.together, bodies=bodies))
    first, second = bodies[:2]
    views = [view.name for view in result.views]
    said = {f"{first.name}/{view}": True for view in views}
    said[f"{second.name}/{views[0]}"] = False
    told = doubted.with_edge_checks(said).to_json()
    assert_fits_schema(told | {"files": {}})
    one, other = (told["bodies"][body.name] for body in (first, second))
    assert one["checked"] is True and "checked" not in {**other, **told}
    assert "edges-off" in codes_of(other) and "edges-off" not in codes_of(one)


def test_whoever_has_checked_every_bone_has_not_checked_the_ct_in_one_piece(result):
    bodies = [to_check(body) for body in result.together.bodies]
    doubted = replace(result, together=replace(result.together, bodies=bodies))
    said = {f"{body.name}/{view}": True for body in bodies for view in body.similarity}
    checked = doubted.with_edge_checks(said)
    assert checked.checked and "checked" not in checked.to_json()


def test_bones_that_are_all_accepted_are_the_answer(result, capsys):
    assert result.verdict == "check" and result.each_bone_is_accepted
    sign, word, _ = words_of(result)
    assert (sign, word) == ("\u2713", "bones: accept")
    assert ">bones: accept<" in result._repr_html_() and result.overall_verdict == "accept"
    summarise(result)
    assert "Verdict on each bone: accept\n" in capsys.readouterr().err
    first, *others = result.together.bodies
    bodies = [to_check(first), *others]
    doubted = replace(result, together=replace(result.together, bodies=bodies))
    assert not doubted.each_bone_is_accepted


def test_displaced_bones_leave_no_risk_of_the_whole_ct(result):
    assert result.together.displaced and result.assessment.risk is None
    assert "risk" not in result.summary


@pytest.mark.slow
def test_wrong_cameras_move_bones_in_the_room_and_hardly_against_each_other(written):
    """The second camera is elsewhere than it is said to be."""
    case = Case.load(written[0])
    known = {"rotation_sd_deg": 1.0, "translation_sd_mm": 3.0, "distance_sd_percent": 1.0}
    known["principal_point_sd_px"] = 4.0
    first, second = (replace(view, **known) for view in case.views)
    off = rigid.exp_se3([0.008, -0.006, 0.006, 2.0, -3.0, 2.0])
    wrong = second.camera.corrected(1.01, np.array([4.0, -3.0]), 1.0)
    wrong = replace(wrong, camera_from_world=second.camera.camera_from_world @ off)
    first = replace(first, camera=first.camera.corrected(1.01, np.array([-4.0, 4.0]), 1.0))
    case.views = [first, replace(second, camera=wrong)]
    result = register(case, "given")
    assert result.uses["relative"].verdict == "accept"
    bones = {bone.name: bone for bone in result.together.bodies}
    true = {name: POSE @ motion for name, motion in zip(NAMES, written[1], strict=True)}
    for name, bone in bones.items():
        away_mm = bone.bone.distance_between(bone.world_from_ct, true[name])
        errors = bone.assessment.errors
        assert 0.8 < away_mm < errors["position"].upper95_mm and errors["overlay"].upper95_mm < 1
        assert (bone.uses["overlay"].verdict, bone.verdict) == ("accept", "check")
    for told in result.together.motions:
        against, bone = bones[told.against], bones[told.name]
        found = rigid.inverse(against.world_from_ct) @ bone.world_from_ct
        truth = rigid.inverse(true[told.against]) @ true[told.name]
        off = rigid.transform_points(found, bone.bone.centroid)
        off -= rigid.transform_points(truth, bone.bone.centroid)
        assert np.linalg.norm(off) < 0.05 and told.error_mm.upper95_mm < 1
        assert told.verdict == "accept" and "\u00b1" in told.words


def test_relative_values_are_refused_before_any_work(written):
    case = Case.load(written[0])
    (body,) = case.bodies
    case.bodies = (replace(body, ct=replace(body.ct, unit="relative")),)
    with refuses("structures: need a CT in Hounsfield units"):
        register(case)


def test_a_case_without_bones_has_none_to_register_again(result):
    (body,) = result.case.bodies
    alone = replace(result.case, bodies=(replace(body, bones=NO_STRUCTURES),))
    with refuses("structures: the case has none"):
        api.register_bones(replace(result, case=alone), {})


def of_one_bone(folder, poses):
    """A case whose images show the phantom at each of these poses, with a mask of its largest bone."""
    path = write_moving_case(folder, poses)
    mask = phantom.largest_bone(phantom.make_ct())
    phantom.write_ct_file(folder / "mask.nii.gz", mask.astype(np.uint8))
    write_json(path, {**read_json(path), "mask": "mask.nii.gz", "header_mismatch": {"side": True}})
    return path


@pytest.mark.slow
def test_a_frame_in_which_the_rest_is_lost_is_lost_and_the_next_one_is_not(tmp_path):
    poses = swing(4)
    poses[2] = phantom.off(poses[2], [0, 0, 0], [0, 0, 400])
    found = track_of(of_one_bone(tmp_path, poses)).frames
    assert [each.how for each in found] == ["registered", "followed", "lost", "followed"]
    (told,) = (finding for finding in found[2].findings if finding.code == "lost")
    assert told.values["statement"].startswith("the structure fits view1 worse")
    assert found[2].pose is None and not found[2].background.kept
    assert phantom.error_mm(found[3].world_from_ct, poses[3]) < 0.3
