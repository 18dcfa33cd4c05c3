"""The picture of a case: what is drawn lies where the cameras say."""

import re
from itertools import product

import numpy as np
import phantom
import pytest
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.report.scene_svg import (
    BOX,
    EDGES,
    DrawnView,
    Scene,
    case_page,
    look_from,
    scene_svg,
    xray_svg,
)

CORNERS = 48.0 * (2 * ((np.arange(8)[:, None] >> np.arange(3)) & 1) - 1)


def drawn(views):
    return [DrawnView.of(*each) for each in zip(views, (1000.0, 900.0))]


@pytest.fixture(scope="module")
def scene(views):
    return Scene(
        drawn(views), rigid.transform_points(phantom.TRUE_POSE, CORNERS), phantom.TRUE_POSE
    )


def lines(svg, colour):
    """(N, 2, 2): the ends of the lines of a colour."""
    drawn = [line.get("points") for line in svg.iter("polyline") if line.get("stroke") == colour]
    return np.array([[point.split(",") for point in line.split()] for line in drawn], float)


def test_the_box_in_an_image_is_where_the_camera_projects_it(scene):
    for nth, view in enumerate(scene.views):
        expected = [[view.camera.project(scene.corners[end]) for end in edge] for edge in EDGES]
        assert_allclose(lines(xray_svg(scene, nth), BOX), expected, atol=0.06)


def test_an_edge_ends_before_the_source(views):
    """Of a box through the source four edges are cut, and the four behind it are not drawn."""
    camera = views[0].camera
    beam = camera.world_from_camera[:3, 2]
    box = CORNERS + camera.source + 170 * beam
    stretched = box + np.outer(np.sign(camera.depth(box) - camera.depth(box).mean()), 300 * beam)
    assert (camera.depth(stretched) < 0).sum() == 4
    edges = lines(xray_svg(Scene(drawn(views[:1]), stretched, np.eye(4)), 0), BOX)
    assert len(edges) == 8 and np.isfinite(edges).all()


def test_the_image_lies_on_its_detector_in_the_scene(scene):
    """The affine map of each picture takes the image's corners to where the edges of the beam end."""
    svg = scene_svg(scene, look_from(scene, 130.0, 22.0))
    for image, circle in zip(svg.iter("image"), svg.iter("circle"), strict=True):
        numbers = re.findall(r"[-+\d.e]+", image.get("transform").removeprefix("matrix"))
        affine = np.array(numbers, float).reshape(3, 2)
        right, below = (float(image.get(key)) - 0.5 for key in ("width", "height"))
        source = [float(circle.get(key)) for key in ("cx", "cy")]
        beams = lines(svg, circle.get("fill"))
        ends = beams[np.abs(beams[:, 0] - source).max(axis=1) < 0.11, 1]
        assert len(ends) == 5  # four edges of the beam and the ray to the middle
        for u, v in product((-0.5, right), (-0.5, below)):
            assert np.linalg.norm([u, v, 1] @ affine - ends, axis=1).min() < 0.5


def test_a_ct_whose_axes_need_not_be_the_patients_has_no_letters(views):
    scene = Scene(drawn(views), CORNERS, np.eye(4), patient_axes=False)
    assert not {text.text for text in xray_svg(scene, 0).iter("text")} & set("LRAPHF")


def test_head_is_up_and_the_letters_stand_on_the_right_sides(scene):
    """In the AP view the source looks from the back.

    The patient's left is on the left of the image, the head above.
    """
    for svg in (xray_svg(scene, 0), scene_svg(scene, look_from(scene, 40.0, 22.0))):
        texts = {
            each.text: (float(each.get("x")), float(each.get("y"))) for each in svg.iter("text")
        }
        assert texts["H"][1] < texts["F"][1]
        if svg.get("class") == "xray":
            assert texts["L"][0] < texts["R"][0]
    assert {"view1", "view2"} <= texts.keys()


def test_the_page_is_one_file_with_everything_escaped(scene):
    page = case_page("<b>case", scene, ["1 < 2"], ["a & b"], ["drawn so"])
    assert (
        "&lt;b&gt;case" in page
        and "1 &lt; 2" in page
        and "a &amp; b" in page
        and "drawn so" in page
    )
    assert not re.search(r'(?:src|href)="(?!data:)', page) and "<script" not in page
    assert page.count("<svg") == 4
    assert "Nothing looks wrong" in case_page("case", scene, [], [])
