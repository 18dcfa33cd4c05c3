"""A second camera that is off by 1 degree and 3 mm, and is said to be.

What the result, its files and its report say of the correction.
"""

from dataclasses import replace

import numpy as np
import pytest
from file_io import read_json
from phantom import misplaced
from program import changed, result_in

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.report.result_page import save_result


@pytest.fixture(scope="module")
def unsure(case_file, tmp_path_factory):
    """A function: the phantom's case with its second camera off and said to be, registered and saved; its result and what it wrote."""

    def registered(**certainty):
        case = Case.load(case_file)
        first, second = case.views
        off = misplaced(second, [0.8, -0.3, 0.5], [1.5, 2.2, -1.4])
        result = register(replace(case, views=[first, replace(off, **certainty)]))
        folder = tmp_path_factory.mktemp("unsure")
        save_result(result, folder)
        return case, result, result_in(folder), (folder / "report.html").read_text()

    return registered


@pytest.mark.parametrize(
    "degrees, mm",
    [(1.0, 3.0), pytest.param(None, None, marks=pytest.mark.slow)],
    ids=["encoder", "unknown"],
)
def test_result_and_report_show_given_and_corrected_cameras(unsure, degrees, mm):
    case, result, told, html = unsure(rotation_sd_deg=degrees, translation_sd_mm=mm)
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
    alone = degrees is None
    unknown = "The geometry of view2 is unknown"
    assert any(unknown in reason for reason in told["reasons"]) == alone
    assert told["reasons"][0].startswith("The cameras are known only to ±1°, 3 mm") != alone
    assert all(reason in html for reason in told["reasons"])
    assert told["uses"]["room"]["verdict"] == "check"
    motion = given.world_from_camera @ result.views[1].camera.camera_from_world
    turned = np.degrees(rigid.rotation_angle(motion))
    assert "Camera corrected by" in html and f"{turned:.2f}\u00b0 about the world origin" in html
    corrected, as_given = (
        np.mean([metrics.mrpd(view.camera, result.world_from_ct, *truth) for view in views])
        for views in (result.views, result.case.views)
    )
    assert told["errors"]["mrpd_mm"] == pytest.approx(corrected, rel=1e-12) != as_given


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
