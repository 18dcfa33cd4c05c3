"""MayaCam files, by XMALab's convention and by what Autoscoper makes of it."""

import numpy as np
import pytest
from helpers.file_io import read_json
from helpers.wrist_mayacam import WRIST
from known_points import POINTS, SIZE, K, R, T, check, in_python, pinhole, rows
from scipy.spatial.transform import Rotation
from tiny_case import refusal

from MultiViewRegistrationLib.io.calibration.calibrated import CalibrationOptions
from MultiViewRegistrationLib.io.calibration.programs import read_mayacam


def text_of(unit=1.0):
    return (
        f"image size\n{SIZE[0]},{SIZE[1]}\n\ncamera "
        f"matrix\n{rows(K, ',')}\n\nrotation\n{rows(R, ',')}\n\ntranslation\n{rows((T / unit)[:, None])}\n"
    )


def test_mayacam_projects_as_opencv(read_text):
    """And so as Autoscoper, which turns R and T into right, up and back (libautoscoper/src/Camera.cpp)."""
    (view,) = read_text(text_of(1000), unit="m")
    assert view.name == "camera" and view.camera.size == SIZE
    check(view)


def text_of_1(unit=1.0):
    """The camera in the terms of 1.0: Maya's camera looks along its -z with y up.

    SciPy's intrinsic z, y, x are its turns.
    """
    z, y, x = Rotation.from_matrix(R.T @ np.diag([1, -1, -1])).as_euler("ZYX", degrees=True)
    place = -R.T @ T / unit
    u0, v0 = K[0, 2] + 1, SIZE[1] - K[1, 2]
    film = 0.1 * np.array([SIZE[0] / 2 - u0, SIZE[1] / 2 - v0, -K[0, 0]])
    return rows([place, (x, y, z), film, (u0, v0, -K[0, 0]), (0.1, *SIZE)], ",") + "\n"


SQUARE = np.array([[1500.0, 0, 322.5], [0, 1500, 236.25], [0, 0, 1]])  # 1.0 has one focal length


def test_mayacam_1_projects_as_the_pinhole(read_text):
    (view,) = read_text(text_of_1(10), "camera.csv", unit="cm")
    check(view, POINTS, pinhole(POINTS, SQUARE))
    assert view.camera.size == SIZE and "1.0" in view.notes[0]


@pytest.mark.parametrize(
    "old, new, word",
    [
        (",-1500.0\n0.1", ",1500.0\n0.1", "focal length in pixels below 0"),
        (",480.0", ",480.0\n1,2,3", "five lines of three"),
    ],
)
def test_invalid_mayacam_1_files_are_refused(old, new, word):
    assert old in text_of_1()
    assert word in refusal(
        read_mayacam, text_of_1().replace(old, new), "a.csv", "a", CalibrationOptions(unit="mm")
    )


def test_the_wrists_cameras_are_those_of_its_cases(read_text, shared_data):
    """Their epipolar geometry was held against beads that both cameras see.

    Right within 0.4 pixels.
    """
    case = read_json(shared_data / "wrist" / "radius_0002.json")
    known = np.array(case["views"][1]["projection_matrix"])
    (view,) = read_text(WRIST[1], unit="mm")
    bone = np.array(case["world_from_ct"])[:3, 3] + POINTS / 3
    check(view, bone, in_python(known, bone), atol=1e-5)


@pytest.mark.parametrize(
    "text, word",
    [
        (text_of().replace("rotation", "turn"), '"turn" where "rotation" belongs'),
        (text_of().replace(repr(R[0, 0].item()), "3.0"), "camera_from_world"),
    ],
)
def test_invalid_files_are_refused(read_text, text, word):
    assert word in refusal(read_text, text, unit="mm")


@pytest.mark.parametrize("unit, mm", [("cm", 10)])
def test_mayacam_1_projects_as_autoscoper(read_text, unit, mm):
    """Autoscoper's film plane (loadMayaCam1).

    Its middle at scale (w / 2 - u0, h / 2 - v0, z) in the camera's frame, y up.
    """
    (view,) = read_text(text_of_1(mm), "camera.csv", unit=unit)
    numbers = np.array([line.split(",") for line in text_of_1().splitlines()], float)
    place, turns, _, (u0, v0, z), (_, w, h) = numbers
    right, up, back = Rotation.from_euler("ZYX", turns[::-1], degrees=True).as_matrix().T
    u0, v0 = u0 - 1, v0 - 1
    scale = -1.5 * np.linalg.norm(place) / z
    middle = place + scale * ((w / 2 - u0) * right + (h / 2 - v0) * up + z * back)
    corner = middle - scale * (w / 2 * right + h / 2 * up)  # lower left
    seen = []
    for point in POINTS:
        ray = point - place
        on_film = place + ray * ((corner - place) @ back) / (ray @ back) - corner
        seen.append([on_film @ right / scale, h - 1 - on_film @ up / scale])
    check(view, POINTS, np.array(seen))
    check(view, POINTS, pinhole(POINTS, SQUARE))
    assert view.camera.size == SIZE and "1.0" in view.notes[0]
