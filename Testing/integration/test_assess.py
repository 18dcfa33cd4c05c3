"""A pose that a person set, or cameras that are off and said to be: what result, files and report say."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import phantom
from helpers.file_io import read_json
from helpers.phantom import misplaced
from helpers.program import changed, codes_of, mtre_mm, result_in
from helpers.refusals import refusal
from numpy.testing import assert_allclose

from MultiViewRegistrationLib import Case, assess, register
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.result_page import save_result

NEARBY = phantom.off(phantom.TRUE_POSE, [0.5, -1.0, 0.4], [1.0, -0.5, 2.0])


@pytest.fixture(scope="module")
def case(case_file):
    return Case.load(case_file)


@pytest.fixture(scope="module")
def prepared(case):
    return PreparedCT(case.ct)


@pytest.mark.slow
def test_a_registered_pose_has_the_similarity_of_its_registration(case, prepared):
    registered = register(case, anatomy=prepared)
    assessed = assess(case, registered.world_from_ct, prepared, method="kept")
    found, expected = (each.refinement.fit.similarity for each in (assessed, registered))
    assert_allclose(found, expected, atol=1e-6)
    assert_allclose(assessed.world_from_ct, registered.world_from_ct, atol=1e-12)
    assert assessed.errors.mtre_mm == pytest.approx(registered.errors.mtre_mm, abs=1e-9)
    assert assess(case, phantom.TRUE_POSE, prepared).verdict == "check"  # at best


def test_an_assumption_of_a_view_is_told(case, prepared):
    first, second = case.views
    said = replace(second, assumptions=("The central axis meets the middle of the image.",))
    reasons = assess(replace(case, views=[first, said]), NEARBY, prepared).reasons
    assert reasons[-1] == "Assumed: view2: The central axis meets the middle of the image."


@pytest.fixture(scope="module")
def result(case, prepared):
    return assess(case, NEARBY, prepared)


def test_without_targets_errors_are_those_of_the_bone_in_all_x_rays(case, prepared, result):
    untargeted = replace(result, case=replace(case, targets=None))
    bone = metrics.default_targets(prepared, case.views, phantom.TRUE_POSE)
    expected = metrics.mtre(NEARBY, phantom.TRUE_POSE, bone)
    assert untargeted.errors.mtre_mm == pytest.approx(expected, abs=1e-9)
    points = [each.to_json()["errors"]["points"] for each in (untargeted, result)]
    assert points == ["visible bone", "targets"]


def test_a_saved_result_says_that_nothing_was_refined(result, case_file, tmp_path):
    save_result(result, tmp_path)
    saved = result_in(tmp_path)
    assert_allclose(saved["world_from_ct"], NEARBY, atol=1e-12)
    assert saved["refinement"] is saved["alternative"] is None and "override" not in saved
    start = saved["start"]
    assert (start["method"], start["candidates"], start["refined"]) == ("by hand", 1, 0)
    assert saved["verdict"] == "reject"
    assert {"tiles-displaced", "most-likely-wrong", "pose-set"} <= codes_of(saved)
    assert saved["predicted_tre_mm"] is None  # it is most likely wrong
    expected = mtre_mm(NEARBY, read_json(case_file))
    assert saved["errors"]["mtre_mm"] == pytest.approx(expected, abs=1e-9)
    assert saved["seconds"]["refine"] == 0 < saved["seconds"]["assess"] < saved["seconds"]["total"]
    others = {file.name for file in tmp_path.iterdir() if file.suffix != ".png"}
    assert {"result.json", "report.html"} <= others and "world_from_ct.tfm" not in others


def test_an_unusable_view_is_named(case, prepared):
    first, second = case.views
    aside = rigid.translation([0, 300, 0]) @ second.camera.camera_from_world
    moved = second.with_camera(camera_from_world=aside)
    result = assess(replace(case, views=[first, moved]), phantom.TRUE_POSE, prepared)
    (unused,) = (finding for finding in result.findings if finding.code == "view-not-used")
    assert unused.views == ("view2",)
    assert result.refinement.fit.similarity[0] > 0.9


def test_a_camera_of_unknown_geometry_stays_as_it_is_and_is_named(case, prepared):
    first, second = case.views
    result = assess(replace(case, views=[first, phantom.free(second)]), NEARBY, prepared)
    assert result.views[1].camera is second.camera
    (unknown,) = (finding for finding in result.findings if finding.code == "geometry-unknown")
    assert unknown.views == ("view2",)


@pytest.mark.parametrize(
    "pose, found",
    [
        (phantom.off(phantom.TRUE_POSE, [0, 0, 0], [0, 0, 300]), "show too little of the CT"),
        (
            phantom.off(phantom.TRUE_POSE, [0, 0, 0], [-750, 750, 0]),
            "behind the source of every view",
        ),
        (np.full((4, 4), np.nan), "world_from_ct: "),
    ],
    ids=["beside", "behind both sources", "not finite"],
)
def test_poses_that_cannot_be_assessed(case, prepared, pose, found):
    assert found in refusal(assess, case, pose, prepared)


@pytest.mark.slow
def test_result_and_report_have_given_and_corrected_cameras(case_file, tmp_path):
    case = Case.load(case_file)
    off = misplaced(case.views[1], [0.8, -0.3, 0.5], [1.5, 2.2, -1.4])
    off = replace(off, rotation_sd_deg=1.0, translation_sd_mm=3.0)
    result = register(replace(case, views=[case.views[0], off]))
    save_result(result, tmp_path)
    told, html = result_in(tmp_path), (tmp_path / "report.html").read_text()
    first, second = told["views"]
    given, true = result.case.views[1].camera, case.views[1].camera
    assert "given_camera_from_world" not in first
    assert second["given_camera_from_world"] == given.camera_from_world.tolist()
    # As this camera sees the CT, which is what its image tells.
    truth = case.truth_world_from_ct, case.targets
    found = np.array(second["camera_from_world"]) @ result.world_from_ct
    seen = metrics.mtre(found, true.camera_from_world @ truth[0], case.targets)
    before = metrics.mtre(given.camera_from_world, true.camera_from_world, case.targets)
    assert seen < 0.6 * before
    (uncertain,) = (each for each in told["findings"] if each["code"] == "cameras-uncertain")
    assert uncertain["values"]["known_to"].startswith("±1°, 3 mm")
    assert told["uses"]["position"]["verdict"] == "check"
    assert "Camera corrected by" in html
    corrected, as_given = (
        np.mean([metrics.mrpd(view.camera, result.world_from_ct, *truth) for view in views])
        for views in (result.views, result.case.views)
    )
    assert told["errors"]["mrpd_mm"] == pytest.approx(corrected, rel=1e-12) != as_given


@pytest.mark.slow
def test_shared_unknowns_reach_the_registration(case_file, tmp_path):
    views = read_json(changed(case_file, tmp_path))["views"]
    off = np.array([[1, 0, 3], [0, 1, 0], [0, 0, 1]])  # a principal point that is off by 3 pixels
    for view in views:
        view["projection_matrix"] = (off @ view["projection_matrix"]).tolist()
    exact, shared = (
        register(Case.load(changed(case_file, tmp_path, views=views, shared_unknowns=unknowns)))
        for unknowns in (None, {"principal_point_sd_px": 3})
    )
    for view in shared.to_json()["views"]:
        shift = np.array(view["intrinsics"]) - view["given_intrinsics"]
        assert shift[0, 2] == pytest.approx(-3, abs=1)
    assert shared.errors.mtre_mm < 0.5 * exact.errors.mtre_mm
