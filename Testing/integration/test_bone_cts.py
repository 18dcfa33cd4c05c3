"""Bones with a CT each, from their files to the files of their result."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.program import codes_of, mvreg, result_in
from helpers.refusals import refuses
from helpers.two_bones import BONES, error_mm, write_case
from numpy.testing import assert_allclose

from MultiViewRegistrationLib import Body, Case, View, assess, register
from MultiViewRegistrationLib.api import register_bones
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import bone_of_ct
from MultiViewRegistrationLib.imaging.ct import WATER, attenuation
from MultiViewRegistrationLib.io.transforms import read_transform


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(folder, CTs, true poses) of a case of two bones."""
    folder = tmp_path_factory.mktemp("bones")
    return folder, *write_case(folder)


@pytest.mark.slow
def test_result_transforms_and_report(written, tmp_path):
    folder, cts, true = written
    out = tmp_path / "out"
    printed = mvreg(f"register {folder} --out {out}").err
    content = result_in(out)
    first, second = content["bodies"].values()
    assert list(content["bodies"]) == list(BONES) and content["motions"] == []
    assert content["world_from_ct"] == first["world_from_ct"] and content["verdict"] == "check"
    assert "one-structure" in codes_of(content) and content["predicted_tre_mm"]
    for (name, bone), ct, pose in zip(content["bodies"].items(), cts, true, strict=True):
        found = np.array(bone["world_from_ct"])
        assert error_mm(ct, found, pose) < 0.05
        assert bone["verdict"] == "check" and "moved" not in bone
        assert_allclose(read_transform(out / f"{name}_world_from_ct.tfm"), found, atol=1e-9)
        assert f"{name}.nrrd" in content["inputs"] and f"{name}  check" in printed
    (lies,) = content["relative_poses"]
    assert (lies["name"], lies["against"]) == BONES[::-1]
    one, other = (rigid.transform_points(pose, ct.centroid()) for ct, pose in zip(cts, true))
    away_mm = np.linalg.norm(other - one)
    assert np.linalg.norm(lies["shift_mm"]) == pytest.approx(away_mm, abs=4)  # of the surfaces
    assert f"{BONES[1]} to {BONES[0]}: turned by {lies['rotation_deg'][0]:.1f} " in printed
    assert first["mtre_mm"] < 0.05 and "mtre_mm" not in second
    assert content["frame_of_reference_uid"]["ct"] == first["ct_uid"] != second["ct_uid"]
    mvreg(f"export {out} --structure {BONES[1]} --as txt --out {tmp_path}/one")
    of_one = np.loadtxt(tmp_path / "one" / f"{BONES[1]}_world_from_ct.lps.txt")
    assert of_one == pytest.approx(np.array(second["world_from_ct"]), abs=1e-6)


@pytest.mark.slow
def test_cts_in_hounsfield_units_hold_one_bone_each(written):
    folder, cts, true = written
    loaded = Case.load(folder)
    bodies = []
    for ct, body in zip(cts, loaded.bodies, strict=True):
        above = attenuation(ct).values
        hu = np.where(above > 0, 1000 * above / WATER, -1000)
        own = replace(ct, volume=replace(ct.volume, values=hu), unit="hu")
        bodies.append(replace(body, ct=bone_of_ct(own, body.name)))
    case = replace(loaded, bodies=tuple(bodies))
    for bone, ct, pose in zip(register(case).together.bodies, cts, true, strict=True):
        assert bone.verdict == "check" and error_mm(ct, bone.world_from_ct, pose) < 0.1


@pytest.mark.slow
def test_a_case_of_arrays_is_registered_with_a_search_where_it_has_no_start(written):
    """The second is turned by 20 degrees from where its search begins."""
    folder, cts, true = written
    loaded = Case.load(folder)
    case = Case.from_arrays(
        Body(cts[1], name=BONES[1], world_from_ct=loaded.bodies[1].world_from_ct),
        Body(cts[0], name=BONES[0]),
        *(View(each.xray.line_integrals, each.camera, intensity="log") for each in loaded.views),
    )
    case.search = {"rotation_deg": 25.0, "translation_mm": 40.0}
    result = register(case)
    assert result.method == "given" and result.to_json()["start"]["range"] == case.search
    for bone, ct, pose in zip(result.together.bodies, cts[::-1], true[::-1], strict=True):
        assert error_mm(ct, bone.world_from_ct, pose) < 0.1, bone.assessment.findings


def test_a_pose_that_is_assessed_says_that_the_bones_were_not_registered(written):
    folder, _, true = written
    findings = assess(Case.load(folder), true[0]).findings
    (told,) = (finding for finding in findings if finding.code == "bones-not-registered")
    assert told.values["body"] == BONES[0]


def known(body):
    """The uses whose expected error is known."""
    return [use for use, error in body.assessment.errors.items() if error]


@pytest.mark.slow
def test_bones_are_judged_where_they_are_put_and_found_again_from_there(written):
    folder, cts, true = written
    case = Case.load(folder)
    put = dict(zip(BONES, (body.world_from_ct for body in case.bodies), strict=True))
    judged = assess(case, put[BONES[0]], bone_poses=put)
    assert "bones-not-registered" not in [finding.code for finding in judged.findings]
    for name, body in judged.bodies.items():
        assert np.allclose(body.world_from_ct, put[name]) and "position" not in known(body)
        assert body.verdict != "accept" and body.assessment.has("pose-set")
    fractions = []
    again = register_bones(judged, put, lambda done: fractions.append(done.fraction))
    assert fractions == sorted(fractions) and fractions[-1] == 1
    for (name, body), ct, pose in zip(again.bodies.items(), cts, true, strict=True):
        assert error_mm(ct, body.world_from_ct, pose) < 0.05 and body.verdict == "check", name
        assert "position" in known(body) and not body.assessment.has("pose-set")
    assert np.allclose(again.world_from_ct, again.bodies[BONES[0]].world_from_ct)


@pytest.mark.slow
def test_a_start_for_one_ct_is_refused_and_a_message_names_the_bone(written):
    with refuses('start: found "auto", which is for one CT, expected given or search'):
        register(written[0], start="auto")
    case = Case.load(written[0])
    first, second = case.bodies
    away = rigid.translation([1000, 0, 0]) @ second.world_from_ct
    case.bodies = (first, replace(second, name="lost", world_from_ct=away))
    with refuses('structure "lost": world_from_ct: from this start pose the X-rays show too'):
        register(case)
