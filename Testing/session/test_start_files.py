"""Starts from files of other programs: a pose, and landmarks; what they do not say is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import TRUE_POSE
from phantom_scene import phantom_registration

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.case import _points, landmarks_of
from MultiViewRegistrationLib.mrml.frames import lps_from_ras
from MultiViewRegistrationLib.mrml.image import change_image
from MultiViewRegistrationLib.mrml.landmarks import CT, clicked
from MultiViewRegistrationLib.session.external_files import landmarks_to_ct, landmarks_to_xray, read_pose

FLIP = np.diag([-1.0, -1, 1, 1])
CENTRE = np.array([30.0, -20, 10])


@pytest.fixture
def registration(scene):
    return phantom_registration(scene)


def test_a_transform_file_is_asked_for_axes_and_direction_and_its_centre_counts(tmp_path):
    transform, inverse = sitk.AffineTransform(3), rigid.inverse(TRUE_POSE)
    transform.SetCenter(CENTRE.tolist())
    transform.SetMatrix(inverse[:3, :3].ravel().tolist())
    transform.SetTranslation((inverse[:3, 3] + inverse[:3, :3] @ CENTRE - CENTRE).tolist())
    sitk.WriteTransform(transform, str(tmp_path / "slicer.tfm"))
    asked = read_pose(tmp_path / "slicer.tfm", {})
    assert (
        [question.key for question in asked.questions] == ["frame", "direction"]
        and asked.found is None
        and asked.problem == ""
    )
    assert read_pose(tmp_path / "slicer.tfm", {"frame": "lps"}).found is None
    pose = read_pose(tmp_path / "slicer.tfm", {"frame": "lps", "direction": "resampling"}).found
    np.testing.assert_allclose(pose, TRUE_POSE, atol=1e-9)
    np.savetxt(tmp_path / "console.txt", FLIP @ TRUE_POSE @ FLIP)
    np.testing.assert_allclose(
        read_pose(tmp_path / "console.txt", {"frame": "ras", "direction": "forward"}).found, TRUE_POSE, atol=1e-9
    )


def test_a_file_that_says_all_is_not_asked_about(tmp_path):

    (tmp_path / "m.json").write_text(json.dumps({"world_from_ct": TRUE_POSE.tolist(), "axes": "LPS", "unit": "mm"}))
    asked = read_pose(tmp_path / "m.json", {"frame": "ras"})  # answered for another file
    assert asked.questions == []
    np.testing.assert_allclose(asked.found, TRUE_POSE, atol=1e-12)


def test_what_is_no_rigid_transform_is_told_once_all_is_said(tmp_path):
    np.savetxt(tmp_path / "scaled.txt", np.diag([2.0, 2, 2, 1]))
    assert read_pose(tmp_path / "scaled.txt", {}).problem == ""
    assert "scaled.txt" in read_pose(tmp_path / "scaled.txt", {"frame": "lps", "direction": "forward"}).problem


def markups(path, points, system="LPS"):
    content = {
        "markups": [
            {
                "type": "Fiducial",
                "coordinateSystem": system,
                "controlPoints": [
                    {"label": name, "position": list(map(float, point))} for name, point in points.items()
                ],
            }
        ]
    }
    path.write_text(json.dumps(content))
    return path


def test_landmarks_of_the_ct_are_put_where_the_file_has_them(registration, tmp_path):
    points = {"a": (1, 2, 3), "b": (-10, 5, 0)}
    assert landmarks_to_ct(registration, markups(tmp_path / "p.mrk.json", points)) == 2
    assert clicked(registration)[CT] == ["a", "b"]
    (tmp_path / "q.fcsv").write_text(
        "# Markups fiducial file version = 4.10\n# CoordinateSystem = RAS\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label\nf,-7,-8,9,0,0,0,1,1,1,0,b\n"
    )
    assert landmarks_to_ct(registration, tmp_path / "q.fcsv") == 1  # moves b
    placed = dict(_points(registration.node.GetNodeReference("landmarks"), world=False))
    np.testing.assert_allclose([placed["a"], placed["b"]], [[-1, -2, 3], [-7, -8, 9]])


@pytest.mark.parametrize("flipped", [False, True])
def test_landmarks_of_an_xray_as_it_lies_in_the_scene_or_on_its_volume(registration, tmp_path, flipped):
    view, pixel = registration.xrays[0], np.array([40.25, 90.5])
    landmarks_to_ct(registration, markups(tmp_path / "ct.mrk.json", {"a": (0, 0, 0), "b": (1, 0, 0)}))
    landmarks_to_xray(
        registration, view, markups(tmp_path / "s.mrk.json", {"a": lps_from_ras(view.ras_of(pixel))}), "scene"
    )
    change_image(view, flipped=flipped)
    column = 127 - pixel[0] if flipped else pixel[0]
    landmarks_to_xray(registration, view, markups(tmp_path / "i.mrk.json", {"b": (column, pixel[1], 0)}), "image")
    a, b = landmarks_of(registration, registration.xrays)
    for mark in (a, b):
        np.testing.assert_allclose(mark.pixels[view.name], pixel, atol=1e-6)


def test_what_does_not_fit_is_refused_and_puts_nothing(registration, tmp_path):
    view = registration.xrays[0]
    path = markups(tmp_path / "far.mrk.json", {"a": (500, 10, 0)})
    with pytest.raises(InputError, match="falls beside the image of view1"):
        landmarks_to_xray(registration, view, path, "image")
    with pytest.raises(InputError, match="nothing is chosen"):
        landmarks_to_xray(registration, view, path, "")
    assert view.node.GetNodeReference("landmarks") is None
    registration.ct = None
    with pytest.raises(InputError, match="CT: none is chosen"):
        landmarks_to_ct(registration, path)
