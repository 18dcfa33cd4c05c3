"""The picture of a case: what is drawn lies where the cameras say."""

import re
from itertools import product

import numpy as np
import pytest
from helpers import phantom
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.report.scene import (
    BOX,
    EDGES,
    DrawnView,
    Scene,
    case_page,
    look_from,
    scene_figure,
    xray_figure,
)

CORNERS = 48.0 * (2 * ((np.arange(8)[:, None] >> np.arange(3)) & 1) - 1)


def drawn(views):
    return [DrawnView.of(*each) for each in zip(views, (1000.0, 900.0))]


@pytest.fixture(scope="module")
def scene(views):
    return Scene(
        drawn(views), rigid.transform_points(phantom.TRUE_POSE, CORNERS), phantom.TRUE_POSE
    )


def lines(figure, colour):
    """Return the points (N, 2) of each line of a colour."""
    (axes,) = figure.axes
    return [line.get_xydata() for line in axes.lines if line.get_color() == colour]


def test_the_box_in_an_image_is_where_the_camera_projects_it(scene):
    for nth, view in enumerate(scene.views):
        expected = [[view.camera.project(scene.corners[end]) for end in edge] for edge in EDGES]
        assert_allclose(lines(xray_figure(scene, nth), BOX), expected)


def test_an_edge_ends_before_the_source(views):
    """Of a box through the source four edges are cut, and the four behind it are not drawn."""
    camera = views[0].camera
    beam = camera.world_from_camera[:3, 2]
    box = CORNERS + camera.source + 170 * beam
    stretched = box + np.outer(np.sign(camera.depth(box) - camera.depth(box).mean()), 300 * beam)
    assert (camera.depth(stretched) < 0).sum() == 4
    edges = lines(xray_figure(Scene(drawn(views[:1]), stretched, np.eye(4)), 0), BOX)
    assert len(edges) == 8 and np.isfinite(edges).all()


def test_the_image_lies_on_its_detector_in_the_scene(scene):
    """The corners of each picture are where the edges of the beam end."""
    figure = scene_figure(scene, look_from(scene, 130.0, 22.0))
    (axes,) = figure.axes
    sources = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(axes.images) == len(sources) == 2
    for image, source in zip(axes.images, sources, strict=True):
        left, right, bottom, top = image.get_extent()
        corners = list(product((left, right), (bottom, top)))
        to_data = image.get_transform() - axes.transData
        beams = lines(figure, source.get_color())
        ends = [line[1] for line in beams if len(line) == 2]
        assert len(ends) == 5  # four edges of the beam and the ray to the centre
        for corner in to_data.transform(corners):
            assert np.linalg.norm(corner - ends, axis=1).min() < 1e-6


def texts(figure):
    """Return the positions of the texts that are not empty, y down."""
    (axes,) = figure.axes
    return {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}


def test_a_ct_whose_axes_need_not_be_the_patients_has_no_letters(views):
    scene = Scene(drawn(views), CORNERS, np.eye(4), patient_axes=False)
    assert not texts(xray_figure(scene, 0))


def test_head_is_up_and_left_is_left_in_an_ap_view(scene):
    """The source is behind the patient: the patient's left is on the left of the image."""
    at = texts(xray_figure(scene, 0))
    assert at["H"][1] < at["F"][1] and at["L"][0] < at["R"][0]


def test_the_page_is_one_file_with_everything_escaped(scene):
    page = case_page("<b>case", scene, ["1 < 2"], ["a & b"], ["drawn so"])
    assert all(text in page for text in ("&lt;b&gt;case", "1 &lt; 2", "a &amp; b", "drawn so"))
    assert not re.search(r'(?:src|href)="(?!data:)', page) and "<script" not in page
    assert page.count("data:image/svg+xml") == 4 and page.count('alt="') == 4
    assert "Nothing looks wrong" in case_page("case", scene, [], [])
