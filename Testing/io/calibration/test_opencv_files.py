"""Files that OpenCV itself wrote, and where cv2.projectPoints put the points."""

import json

import opencv_files
import pytest
from helpers.file_io import write_json
from known_points import POINTS, POSE, SIZE, K, R, T, check, pinhole
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from tiny_case import refusal

from MultiViewRegistrationLib.io.view_record import ViewRecord

FILES = {
    "camera.yml": opencv_files.YAML,
    "camera.xml": opencv_files.XML,
    "camera.json": opencv_files.JSON,
}
COEFFICIENTS = "-0.31 0.12 0.002 -0.0015 0.05 0.01 -0.02 0.003 0.001 -0.002 0.0015 0.0005"
#: cv2.projectPoints (OpenCV 5.0.0) of the first points, with the distortion.
PROJECTED = """427.44615036 181.34045377
287.11490729 286.65445933
350.61841943 360.23680682
494.2884198 234.8490875
316.79348902 122.6186708
428.62768159 195.88801085"""


@pytest.mark.parametrize("name", FILES)
def test_points_fall_where_opencv_has_them(read_text, name):
    (view,) = read_text(FILES[name], name, format="opencv", unit="mm", axes="own")
    assert view.size == SIZE and view.name == name.partition(".")[0]
    check(view)
    bent = view.distortion.distort_pixels(view.camera.intrinsics, view.camera.project(POINTS[:6]))
    assert_allclose(bent.ravel(), list(map(float, PROJECTED.split())), atol=1e-7)


def test_the_content_is_that_of_a_case(read_text, tmp_path):
    (view,) = read_text(opencv_files.YAML, "a.yml", unit="mm", axes="own")
    content = view.given_to(ViewRecord("AP")).geometry_json
    assert content["distortion"] == list(map(float, COEFFICIENTS.split()))
    write_json(tmp_path / "case.json", {"version": 1, "views": [{"name": "AP", **content}]})
    (again,) = read_text((tmp_path / "case.json").read_text(), "case.json")
    assert_allclose(
        again.camera.projection_matrix, view.camera.projection_matrix, rtol=1e-12, atol=1e-9
    )
    assert again.name == "AP" and again.distortion.coefficients.tolist() == content["distortion"]


LPS = {"unit": "mm", "axes": "lps", "first_pixel": 0}
NAMED = {"K": K.tolist(), "R": R.tolist(), "t": T.tolist()}
RVEC = Rotation.from_matrix(R).as_rotvec().tolist()
ROS = f"""
image_width: 640
image_height: 480
camera_name: cam
camera_matrix:
  rows: 3
  cols: 3
  data: {K.ravel().tolist()}
R: {R.tolist()}
t: {T.tolist()}
"""
P = (K @ POSE[:3]).tolist()
LISTED = f"""
views:
- name: AP
  P: {P}
- name: LAT
  P:
  - {P[0]}
  - {P[1]}
  - {P[2]}
"""
TWO = {
    "left": NAMED,
    "right": {"camera_matrix": K.tolist(), "rvec": RVEC, "tvec": T.tolist(), "size": [640, 480]},
}


@pytest.mark.parametrize(
    "content, names",
    [
        ({"intrinsic": K.tolist(), "extrinsic": POSE[:3].tolist(), "name": "AP"}, "AP"),
        (P, "a"),
        (TWO, "left,right"),
        (ROS, "cam"),
        (LISTED, "AP,LAT"),
        ({"K": K.tolist(), "extrinsic_parameters": [[*RVEC, *T]] * 2}, "a 1,a 2"),
    ],
)
def test_common_key_names_are_recognised(read_text, content, names):
    text, name = (
        (content, "a.yaml") if isinstance(content, str) else (json.dumps(content), "a.json")
    )
    views = read_text(text, name, **LPS)
    assert ",".join(view.name for view in views) == names
    for view in views:
        check(view)


def test_the_first_pixel_is_asked_for_where_it_is_not_opencv(read_text):
    given = {"unit": "mm", "axes": "lps"}
    read_text(ROS, "a.yaml", **given)
    message = refusal(read_text, json.dumps(NAMED), "a.json", **given)
    assert "set first_pixel to 0 (OpenCV), 0.5" in message
    for first in (0.5, 1):
        (view,) = read_text(json.dumps(NAMED), "a.json", first_pixel=first, **given)
        check(view, POINTS, pinhole(POINTS) - first)


@pytest.mark.parametrize(
    "change, word",
    [
        (("tvec", "vector"), "no pose"),
        (("rows: 1\n   cols: 12", "rows: 1\n   cols: 11"), "11 columns with 12"),
        (("data: [ 1500.", "data: *all"), "has an alias"),
        (("image_width: 640", "image_width: 640\nimage_width: 640"), "twice"),
        (("image_width: 640\n", ""), "has distortion but not the size"),
        (("tvec", "P: 1\ntvec"), "both a projection matrix"),
    ],
)
def test_invalid_files_are_refused(read_text, change, word):
    assert change[0] in opencv_files.YAML
    assert word in refusal(
        read_text, opencv_files.YAML.replace(*change), "a.yml", unit="mm", axes="own"
    )


def test_xml_with_entities_is_refused(read_text):
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE o [<!ENTITY a "1"><!ENTITY b "&a;&a;">]>'
        + opencv_files.XML.partition("?>")[2]
    )
    assert "declares entities" in refusal(read_text, bomb, "a.xml", unit="mm", axes="own")


def test_mirrored_camera_has_negative_fx(read_text):
    mirrored = K * [[1, 1, 1], [1, -1, 1], [1, 1, 1]]
    text = json.dumps({**NAMED, "K": mirrored.tolist(), "size": SIZE})
    (view,) = read_text(text, "a.json", **LPS)
    check(view, POINTS, pinhole(POINTS, mirrored))
    assert view.camera.intrinsics[0, 0] < 0
