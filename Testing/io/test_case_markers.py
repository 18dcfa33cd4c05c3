"""A view's camera is found from the marker in its image when the case is read."""

from pathlib import Path

import numpy as np
import pytest
from helpers.bead_scene import PHANTOM, draw_beads, take_phantom
from helpers.file_io import read_json, write_json, write_values
from helpers.phantom import error_mm, off, write_phantom_case
from helpers.refusals import refuses

from MultiViewRegistrationLib import Camera, Case, CaseFile, PreparedCT
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case_writer import anonymise
from MultiViewRegistrationLib.io.points import read_bead_model
from MultiViewRegistrationLib.registration.pipeline import refine

SIZE, FOCAL = (320, 320), 1625.0
#: Beside the bone, so that the marker lies 40 mm deeper or higher in an image.
BESIDE = np.array([0.0, 40.0, 0.0])
NAMES = ("view1", "view2")


def true_cameras():
    cameras = []
    K = np.array([[FOCAL, 0, 207], [0, FOCAL, 125], [0, 0, 1]])  # about 60 px off the middle
    for angle in (0.2, 1.6):
        upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ rigid.exp_so3([0, 0, -angle])
        pose = rigid.from_rotation_translation(upright, [4.0, -3.0, 700.0])
        cameras.append(Camera(K, pose, SIZE))
    return cameras


def write_marker_case(folder, images):
    """Write a case.json whose views have these images, a marker and no camera, and return its path."""
    path, model = write_phantom_case(folder), read_bead_model(PHANTOM)
    points = dict(zip(model.names, (model.points + BESIDE).tolist(), strict=True))
    lines = [",".join([name, *map(str, point)]) for name, point in points.items()]
    (folder / "marker.csv").write_text("\n".join(lines))
    content, marker = read_json(path), {"model": "marker.csv", "fixed_to": "patient"}
    content["views"] = []
    for name, image in zip(NAMES, images, strict=True):
        write_values(folder / f"{name}.png", image)
        view = {"name": name, "image": f"{name}.png", "intensity": "linear", "marker": marker}
        content["views"].append(view)
    content["world_from_ct"] = off(np.eye(4), [2, -1, 2], [3, -2, 2])
    content.pop("truth", None)
    write_json(path, content)
    return path


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A case.json whose images show the beads of a marker and no bone."""
    points = read_bead_model(PHANTOM).points + BESIDE
    images = [draw_beads(camera, points) for camera in true_cameras()]
    return write_marker_case(tmp_path_factory.mktemp("drawn"), images)


@pytest.fixture(scope="module")
def simulated_case(tmp_path_factory):
    """A case.json whose simulated X-rays show a marker and bone; the principal point is 60 px off the middle."""
    pytest.importorskip("itk", reason="itk-rtk makes the X-rays: pip install itk-rtk")
    points = read_bead_model(PHANTOM).points + BESIDE
    images = take_phantom(true_cameras(), points)
    return write_marker_case(tmp_path_factory.mktemp("simulated"), images)


def changed(case, change):
    content = read_json(case)
    change(content["views"])
    path = case.with_name("changed.json")
    write_json(path, content)
    return path


@pytest.mark.slow
def test_cameras_from_markers_match_those_that_took_the_images(simulated_case):
    for view, true in zip(Case.load(simulated_case).views, true_cameras(), strict=True):
        points = np.random.default_rng(0).uniform(-40, 40, (50, 3))
        away = np.linalg.norm(view.camera.project(points) - true.project(points), axis=1)
        assert np.median(away) < 0.4
        assert 0 < view.translation_sd_mm < 0.5
        assert 0 < view.principal_point_sd_px < 1


@pytest.mark.slow
def test_marker_corrects_a_wrong_principal_point(simulated_case):
    def with_wrong_camera(views):
        for view, true in zip(views, true_cameras(), strict=True):
            K = true.intrinsics.copy()
            K[:2, 2] = (np.array(SIZE) - 1) / 2
            view["camera"] = Camera(K, np.eye(4), SIZE).to_json()

    loaded = Case.load(changed(simulated_case, with_wrong_camera))
    found = refine(PreparedCT(loaded.ct), loaded.views, loaded.world_from_ct)
    assert error_mm(found.world_from_ct, np.eye(4)) < 0.5


def without_second_marker(views):
    del views[1]["marker"]
    views[1]["projection_matrix"] = true_cameras()[1].projection_matrix


@pytest.mark.parametrize(
    "change, words",
    [
        (without_second_marker, "has no marker and others have one"),
        (lambda views: views[0]["marker"].update(fixed_to="floor"), "fixed_to"),
        (lambda views: views[0].update(marker={"fixed_to": "world"}), "has no geometry"),
    ],
)
def test_incomplete_markers_are_refused(case, change, words):
    with refuses(words):
        CaseFile.read(changed(case, change))


def test_anonymised_case_keeps_the_cameras_from_markers(case, tmp_path):
    path = anonymise(case, tmp_path / "copy").path
    for view, true in zip(CaseFile.read(path).views, true_cameras(), strict=True):
        points = np.random.default_rng(0).uniform(-40, 40, (50, 3))
        away = np.linalg.norm(view.own_camera.project(points) - true.project(points), axis=1)
        assert np.median(away) < 0.4
        assert 0 < view.uncertainty["translation_sd_mm"] < 0.5 and view.marker == "patient"
    assert ".csv" not in Path(path).read_text()


def test_camera_from_an_earlier_marker_is_kept(case):
    def found_before(views):
        for view, true in zip(views, true_cameras(), strict=True):
            view["marker"] = {"fixed_to": "world"}
            view["camera"] = true.to_json()

    for view, true in zip(
        CaseFile.read(changed(case, found_before)).views, true_cameras(), strict=True
    ):
        assert view.own_camera.same_as(true)
        assert view.marker == "world"
        assert view.to_json()["marker"] == {"fixed_to": "world"}
