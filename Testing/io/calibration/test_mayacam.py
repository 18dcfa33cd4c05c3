"""MayaCam 2.0 files, by XMALab's convention and by what Autoscoper makes of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from known_points import POINTS, SIZE, K, R, T, check, pinhole, read_text, refusal, rows
from wrist_mayacam import WRIST


def text_of(unit=1.0):
    return (f"image size\n{SIZE[0]},{SIZE[1]}\n\ncamera matrix\n{rows(K, ',')}\n\nrotation\n{rows(R, ',')}\n\n"
            f"translation\n{rows((T / unit)[:, None])}\n")


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1), ("cm", 10), ("m", 1000)])
def test_it_projects_as_opencv(tmp_path, unit, mm):
    view, = read_text(tmp_path, text_of(mm), unit=unit)
    assert view.name == "camera" and view.camera.size == SIZE
    check(view, POINTS, pinhole(POINTS))


def test_it_projects_as_autoscoper(tmp_path):
    """Autoscoper's own steps on loading (libautoscoper/src/Camera.cpp), and its image plane, whose rows run from the top down."""
    view, = read_text(tmp_path, text_of(), unit="mm")
    t, rotation = T * (-1, 1, -1), R.T.copy()  # read into columns
    rotation[:, 0] *= -1
    rotation[:, 2] *= -1
    rotation = rotation.T
    centre = -t @ rotation
    axes = rotation * [[-1], [-1], [1]]  # right, up, back, as rows
    cx, cy = K[0, 2], SIZE[1] - 1 - K[1, 2]
    right, up, back = axes
    np.testing.assert_allclose(centre, view.camera.source, atol=1e-9)
    offset = POINTS - centre
    depth = -(offset @ back)
    u, v_from_bottom = cx + K[0, 0] * (offset @ right) / depth, cy + K[1, 1] * (offset @ up) / depth
    check(view, POINTS, np.stack([u, SIZE[1] - 1 - v_from_bottom], 1))


@pytest.mark.parametrize("i", [0, 1])
def test_the_wrists_cameras_are_those_of_its_cases(tmp_path, shared_data, i):
    """Their epipolar geometry was held against beads that both cameras see: right within 0.4 pixels."""
    case = json.loads((shared_data / "wrist" / "radius_0002.json").read_text())
    known = np.array(case["views"][i]["projection_matrix"])
    view, = read_text(tmp_path, WRIST[i], unit="mm")
    bone = np.array(case["world_from_ct"])[:3, 3] + POINTS / 3
    u, v, w = known @ np.c_[bone, np.ones(len(bone))].T
    assert (w > 0).all()
    check(view, bone, np.stack([u / w, v / w], 1), atol=1e-5)


@pytest.mark.parametrize(("text", "word"), [
    (text_of().replace("rotation", "turn"), '"turn" where "rotation" belongs'), (text_of().partition("translation")[0], "end of the file"),
    (text_of().replace("640,480", "640"), "image size is not 1 line of 2"), (text_of().replace("640,", "640.5,"), "640.5, 480"),
    (text_of() + "image size\n1,1", "goes on"), (text_of().replace("1500.0", "nan"), "camera matrix is not 3 lines"),
    (text_of().replace(repr(R[0, 0].item()), "3.0"), "camera_from_world"),
])
def test_what_is_none(tmp_path, text, word):
    assert word in refusal(read_text, tmp_path, text, unit="mm")


def test_the_unit_is_asked_for(tmp_path):
    assert 'set unit to "mm", "cm" or "m"' in refusal(read_text, tmp_path, text_of())
