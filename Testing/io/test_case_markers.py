"""A view's camera is found from the marker in its image when the case is read."""

import numpy as np
import pytest
from helpers.bead_scene import PHANTOM, draw_beads, take_phantom, two_sides
from helpers.file_io import read_json, write_json, write_values
from helpers.phantom import error_mm, off, write_phantom_case
from helpers.refusals import refuses
from tiny_case import camera, camera_json, minimal

from MultiViewRegistrationLib import Camera, Case, CaseFile, PreparedCT
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case_writer import anonymise
from MultiViewRegistrationLib.io.points import read_bead_model
from MultiViewRegistrationLib.registration.pipeline import refine

SIZE, FOCAL = (320, 320), 1625.0
#: Beside the bone, so that the marker lies 40 mm deeper or higher in an image.
BESIDE = np.array([0.0, 40.0, 0.0])
MARKER = {"model": "marker.csv", "fixed_to": "patient"}


def true_cameras():
    cameras = []
    K = np.array([[FOCAL, 0, 207], [0, FOCAL, 125], [0, 0, 1]])  # about 60 px off the middle
    for angle in (0.2, 1.6):
        upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ rigid.exp_so3([0, 0, -angle])
        pose = rigid.from_rotation_translation(upright, [4.0, -3.0, 700.0])
        cameras.append(Camera(K, pose, SIZE))
    return cameras


def write_marker(path, points):
    lines = [",".join([f"B{n}", *map(str, point)]) for n, point in enumerate(points.tolist())]
    path.write_text("\n".join(lines))


@pytest.mark.slow
def test_marker_corrects_a_wrong_principal_point(tmp_path):
    """The given principal point is 60 px off; bone and marker are simulated."""
    pytest.importorskip("itk", reason="itk-rtk makes the X-rays: pip install itk-rtk")
    path = write_phantom_case(tmp_path)
    points = read_bead_model(PHANTOM).points + BESIDE
    write_marker(path.with_name("marker.csv"), points)
    content = read_json(path)
    content["views"] = []
    cameras = true_cameras()
    for n, image in enumerate(take_phantom(cameras, points)):
        write_values(path.with_name(f"{n}.png"), image)
        K = cameras[n].intrinsics.copy()
        K[:2, 2] = (np.array(SIZE) - 1) / 2
        view = {"name": f"view{n}", "image": f"{n}.png", "intensity": "linear", "marker": MARKER}
        content["views"].append(view | {"camera": Camera(K, np.eye(4), SIZE).to_json()})
    content["world_from_ct"] = off(np.eye(4), [2, -1, 2], [3, -2, 2])
    content.pop("truth", None)
    write_json(path, content)
    loaded = Case.load(path)
    found = refine(PreparedCT(loaded.ct), loaded.views, loaded.world_from_ct)
    assert error_mm(found.world_from_ct, np.eye(4)) < 0.5


def marked(*views):
    """The tiny case with these keys of its views in place of the projection matrices."""
    content = minimal()
    content["views"] = content["views"][: len(views)]
    for view, keys in zip(content["views"], views, strict=True):
        del view["projection_matrix"]
        view |= keys
    return content


@pytest.mark.parametrize(
    "views, words",
    [
        (
            [{"marker": MARKER}, {"camera": camera_json(camera(90))}],
            "has no marker and others have one",
        ),
        ([{"marker": MARKER | {"fixed_to": "floor"}}], "fixed_to"),
        ([{"marker": {"fixed_to": "world"}}], "has no geometry"),
    ],
)
def test_incomplete_markers_are_refused(write_case, tmp_path, views, words):
    write_marker(tmp_path / "marker.csv", read_bead_model(PHANTOM).points)
    with refuses(words):
        CaseFile.read(write_case(marked(*views)))


def test_anonymised_case_keeps_the_camera_from_a_marker(write_case, tmp_path):
    true, _ = two_sides((160, 160))
    points = read_bead_model(PHANTOM).points[:8]
    write_marker(tmp_path / "marker.csv", points)
    write_values(tmp_path / "ap.png", draw_beads(true, points))
    case = write_case(marked({"marker": MARKER, "image": "ap.png"}))
    path = anonymise(case, tmp_path / "copy").path
    (view,) = CaseFile.read(path).views
    near = np.random.default_rng(0).uniform(-40, 40, (50, 3))
    assert np.abs(view.own_camera.project(near) - true.project(near)).max() < 0.2
    assert 0 < view.uncertainty["translation_sd_mm"] < 0.5 and view.marker == "patient"
    assert ".csv" not in path.read_text()


def test_camera_from_an_earlier_marker_is_kept(write_case):
    keys = {"marker": {"fixed_to": "world"}, "camera": camera_json(camera(0))}
    (view,) = CaseFile.read(write_case(marked(keys))).views
    assert view.own_camera.same_as(camera(0)) and view.marker == "world"
    assert view.to_json()["marker"] == {"fixed_to": "world"}
