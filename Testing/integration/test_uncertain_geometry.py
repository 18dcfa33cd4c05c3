"""A second camera that is off by 1 degree and 3 mm, and is said to be.

What the result, its files and its report say of the correction.
"""

from dataclasses import replace

import numpy as np
import pytest
from file_io import read_json
from program import changed

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import with_cameras
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.report.result_page import save_result


def unit(random):
    vector = random.normal(size=3)
    return vector / np.linalg.norm(vector)


def wrong(views, random, degrees=1.0, mm=3.0):
    """All cameras but the first off by this, about a random axis and in a random direction, as encoders are."""
    cameras = [views[0].camera]
    for view in views[1:]:
        motion = rigid.turn_and_shift(np.radians(degrees) * unit(random), mm * unit(random))
        cameras.append(
            replace(view.camera, camera_from_world=view.camera.camera_from_world @ motion)
        )
    return with_cameras(views, cameras)


@pytest.fixture(scope="module")
def unsure(case_file, tmp_path_factory):
    """A function: the phantom's case with its second camera off and said to be, registered and saved; its result and what it wrote."""

    def registered(**certainty):
        case = Case.load(case_file)
        given = wrong(case.views, np.random.default_rng(1))
        result = register(replace(case, views=[given[0], replace(given[1], **certainty)]))
        folder = tmp_path_factory.mktemp("unsure")
        save_result(result, folder)
        return (
            case,
            result,
            read_json(folder / "result.json"),
            (folder / "report.html").read_text(),
        )

    return registered


@pytest.mark.parametrize(
    "certainty",
    [(1.0, 3.0), pytest.param((None, None), marks=pytest.mark.slow)],
    ids=["encoder", "unknown"],
)
def test_result_and_report_show_given_and_corrected_cameras(unsure, certainty):
    case, result, reported, html = unsure(
        rotation_sd_deg=certainty[0], translation_sd_mm=certainty[1]
    )
    first, second = reported["views"]
    assert "given_camera_from_world" not in first
    given = result.case.views[1].camera
    assert second["given_camera_from_world"] == given.camera_from_world.tolist()
    # As this camera sees the CT, which is what its image tells.
    seen = metrics.mtre(
        np.array(second["camera_from_world"]) @ result.world_from_ct,
        case.views[1].camera.camera_from_world @ case.truth_world_from_ct,
        case.targets,
    )
    before = metrics.mtre(
        given.camera_from_world, case.views[1].camera.camera_from_world, case.targets
    )
    assert seen < 0.6 * before

    alone = certainty == (None, None)
    assert (
        any("The geometry of view2 is unknown" in reason for reason in reported["reasons"]) == alone
    )
    assert all(reason in html for reason in reported["reasons"])
    assert reported["uses"]["room"]["verdict"] == "check"
    assert reported["reasons"][0].startswith("The cameras are known only to ±1°, 3 mm") != alone

    motion = given.world_from_camera @ result.views[1].camera.camera_from_world
    assert "Camera corrected by" in html
    assert f"{np.degrees(rigid.rotation_angle(motion)):.2f}\u00b0 about the world origin" in html

    true = case.truth_world_from_ct, case.targets
    of_cameras = [
        np.mean([metrics.mrpd(view.camera, result.world_from_ct, *true) for view in views])
        for views in (result.views, result.case.views)
    ]
    assert reported["errors"]["mrpd_mm"] == pytest.approx(of_cameras[0], rel=1e-12) != of_cameras[1]


def test_shared_unknowns_reach_the_registration(case_file, tmp_path):
    views = read_json(changed(case_file, tmp_path))["views"]
    for view in views:
        matrix = np.array(view["projection_matrix"])
        matrix[:2] += (
            np.array([[3.0], [0.0]]) * matrix[2]
        )  # a principal point that is off by 3 pixels
        view["projection_matrix"] = matrix.tolist()
    unknowns = {"principal_point_sd_px": 3}
    result = register(
        Case.load(changed(case_file, tmp_path, views=views, shared_unknowns=unknowns))
    )
    for view in result.to_json()["views"]:
        shift = np.array(view["intrinsics"]) - view["given_intrinsics"]
        assert shift[0, 2] == pytest.approx(-3, abs=1)
    exact = register(Case.load(changed(case_file, tmp_path, views=views)))
    assert result.errors.mtre_mm < 0.5 * exact.errors.mtre_mm
