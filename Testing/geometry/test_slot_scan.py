"""The slot-scan camera against its own description, solved as a ray that meets a plane, and against a pinhole for each row."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.refusals import refusal, refuses
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from test_camera import assert_moves_with_the_point

from MultiViewRegistrationLib.geometry.camera import Camera, EqualAngles
from MultiViewRegistrationLib.geometry.machines import (
    SlotScan,
    SlotScanCamera,
    require_single_source,
)

SIZE = (640, 480)
AP = SlotScan(
    isocentre_to_source=[0, 2.0, 0],
    source_to_isocentre_mm=541,
    isocentre=[0, 0, 150.0],
    columns_along=[1.0, 0, 0],
    rows_along=[0, 0, -1.0],
    pixel_mm=(0.6, 0.5),
    size=SIZE,
    central_column=300.0,
)
"""A scout of a patient on the back, the tube below the table: stored as seen from the detector."""


@st.composite
def scans(draw):
    """Anywhere, mirrored or not."""
    number = lambda low, high: draw(st.floats(low, high))  # noqa: E731
    x, y, z = Rotation.from_rotvec([number(-2, 2) for _ in range(3)]).as_matrix()
    return SlotScan(
        isocentre=[number(-900, 900) for _ in range(3)],
        isocentre_to_source=-z,
        source_to_isocentre_mm=number(400, 1000),
        columns_along=draw(st.sampled_from([-1, 1])) * x,
        rows_along=number(0.5, 2) * y,
        pixel_mm=(number(0.1, 2), number(0.1, 2)),
        size=SIZE,
        central_column=number(-100, 700),
    )


pixels = st.tuples(st.floats(-100, 700), st.floats(-100, 700)).map(np.array)
depths = st.floats(50, 1500)


def point_of(scan, pixel, share):
    """The point at a share of the way from the source of a pixel's row to where its ray meets the plane of the isocentre."""
    along = (
        pixel[1] * scan.pixel_mm[1] * np.array(scan.rows_along) / np.linalg.norm(scan.rows_along)
    )
    across = (pixel[0] - scan.central_column) * scan.pixel_mm[0] * np.array(scan.columns_along)
    to_isocentre = -scan.source_to_isocentre_mm * np.array(scan.isocentre_to_source)
    return scan.isocentre - to_isocentre + along + share * (to_isocentre + across)


@given(scans(), pixels, st.floats(0.1, 2))
def test_a_point_falls_on_the_pixel_whose_ray_it_lies_on(scan, pixel, share):
    camera, point = scan.camera(), point_of(scan, pixel, share)
    assert_allclose(camera.project(point), pixel, atol=1e-6)
    assert camera.depth(point) == pytest.approx(share * scan.source_to_isocentre_mm)
    assert_allclose(camera.sources(pixel), point_of(scan, pixel, 0), atol=1e-6)
    assert_allclose(camera.at_depth(pixel, camera.depth(point)), point, atol=1e-6)
    assert_allclose(camera.plane_at(camera.depth(point)) @ [*pixel, 1], point, atol=1e-6)
    ray = point_of(scan, pixel, 1) - point_of(scan, pixel, 0)
    assert_allclose(camera.ray_directions(pixel), ray / np.linalg.norm(ray), atol=1e-9)


@given(scans(), st.integers(1, 16), st.integers(0, 50), pixels, depths)
def test_pooled_and_cropped_cameras_see_points_where_their_images_show_them(
    scan, factor, left, pixel, depth
):
    camera = scan.camera()
    point = camera.at_depth(pixel, depth)
    assert_allclose(camera.pooled(factor).project(point), (pixel + 0.5) / factor - 0.5, atol=1e-6)
    assert_allclose(camera.cropped(left, 7, 100, 90).project(point), pixel - [left, 7], atol=1e-6)
    assert camera.pooled(factor).size == (SIZE[0] // factor, SIZE[1] // factor)
    assert_allclose(camera.pooled(factor).pixel_mm(point), factor * camera.pixel_mm(point))


def test_a_scout_is_what_one_draws():
    camera = AP.camera()
    assert camera.intrinsics[0, 0] == pytest.approx(-541 / 0.6)
    assert_allclose(camera.project([12, 0, 100]), [320, 100])
    assert_allclose(camera.project([12, -541, 100]), [310, 100])  # twice as far from the source
    assert_allclose(camera.source, [0, 541, 150 - 0.5 * 239.5])
    assert_allclose(camera.pixel_mm([0, 0, 0]), [0.6, 0.5])
    assert_allclose(camera.pixel_mm([0, -541, 0]), [1.2, 0.5])


@given(pixels)
def test_equal_angles_are_straightened(pixel):
    """A column at the angle a shows what a flat detector shows at tan a."""
    camera, bent = AP.camera(), EqualAngles()
    angle = (pixel[0] - 300) * 0.6 / 541
    flat = bent.undistort_pixels(camera.intrinsics, pixel)
    assert_allclose(flat, [300 + 541 / 0.6 * np.tan(angle), pixel[1]], rtol=1e-9)
    assert_allclose(bent.distort_pixels(camera.intrinsics, flat), pixel, atol=1e-9)


PINHOLE = Camera(np.diag([900.0, 900, 1]), np.eye(4), SIZE)


def test_what_needs_a_single_source_says_so():
    require_single_source([PINHOLE], "tracking")
    with refuses("tracking needs X-rays with a single source"):
        require_single_source([PINHOLE, AP.camera()], "tracking")


def test_two_cameras_are_the_same_where_they_project_alike():
    camera = AP.camera()
    assert camera.same_as(AP.camera())
    assert not camera.same_as(replace(AP, pixel_mm=(0.6, 0.51)).camera())
    assert not camera.same_as(PINHOLE)


@pytest.mark.parametrize(
    "build, fault",
    [
        (lambda: SlotScanCamera([[900, 1, 0], [0, 2, 0], [0, 0, 1]], np.eye(4), SIZE), "skew of 1"),
        (lambda: AP.camera().projection_matrix, "no projection matrix"),
        (lambda: replace(AP, rows_along=np.zeros(3)).camera(), "rows_along: found no length"),
        (
            lambda: replace(AP, columns_along=[1, 0, 0.1]).camera(),
            "rows_along: found 95.71 degrees",
        ),
    ],
)
def test_errors_name_field_and_fault(build, fault):
    assert fault in refusal(build)


@given(scans(), pixels, depths)
def test_what_moves_a_pixel_is_that_of_finite_differences(scan, pixel, depth):
    camera = scan.camera()
    point = camera.at_depth(pixel, depth)
    here = camera.project(point)
    found = camera.jacobians(point[None])[0]
    assert_moves_with_the_point(camera, point)
    for column, corrected in ((3, (1 + 1e-6, 0)), (5, (1.0, 1e-6))):
        scale, denser = corrected
        there = camera.corrected(scale, np.zeros(2), 1 + denser).project(point)
        assert_allclose(found[:, column], (there - here) / 1e-6, rtol=1e-3, atol=0.01)
