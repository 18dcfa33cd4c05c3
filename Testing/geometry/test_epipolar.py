"""Epipolar lines against the fundamental matrix and projected rays, triangulation against scipy."""

from itertools import pairwise

import numpy as np
import pytest
from helpers.phantom import c_arm, slot_scan_of
from helpers.refusals import refusal
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pose_strategies import SIZE, cameras
from scipy.optimize import least_squares

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.epipolar import epipolar_line, triangulate
from MultiViewRegistrationLib.geometry.machines import SlotScan

EDGES = np.array([[-0.5, -0.5], [639.5, 479.5]])


pixels = st.tuples(st.floats(-0.5, 639.5), st.floats(-0.5, 479.5)).map(np.array)


def seen_from(angle_deg, **changes):
    return c_arm(angle_deg, 5, pixel_mm=(0.5, 0.5), size=SIZE, **changes)


def slot_scan(angle_deg=0):
    """A scout of 320 x 240 mm from so many degrees about the long axis.

    Its rows run to the feet.
    """
    seen = {"isocentre": [0, 0, 120.0], "pixel_mm": (0.5, 0.5), "size": SIZE}
    return SlotScan(**slot_scan_of(angle_deg) | seen).camera()


def fundamental(camera_from, camera_to):
    """F = [e']x P' P+, of unit norm (Hartley and Zisserman, eq. 9.1)."""
    P, Q = camera_from.projection_matrix, camera_to.projection_matrix
    F = rigid.hat(Q @ np.append(camera_from.source, 1)) @ Q @ np.linalg.pinv(P)
    return F / np.linalg.norm(F)


def distance_to_segment(points, ends):
    along = ends[1] - ends[0]
    share = np.clip((points - ends[0]) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - ends[0] - share[:, None] * along, axis=1)


def inside(points, slack=0.0):
    return ((points >= EDGES[0] - slack) & (points <= EDGES[1] + slack)).all(axis=-1)


@pytest.mark.slow
@settings(max_examples=120)  # one in four has a line
@given(cameras(300, 900), cameras(300, 900), pixels)
def test_the_line_is_the_part_of_the_ray_that_the_other_view_sees(camera_from, camera_to, pixel):
    assume(np.linalg.norm(camera_from.source - camera_to.source) > 1)
    ends = epipolar_line(camera_from, camera_to, pixel)
    along = camera_from.ray_directions(pixel)
    ray = camera_from.source + np.geomspace(0.01, 1e7, 4000)[:, None] * along
    shown = camera_to.project(ray[camera_to.depth(ray) > 0.01])
    shown = shown[inside(shown, slack=-1e-3)]
    if ends is None:
        assert not len(shown)
        return
    assert inside(ends, slack=1e-6).all()
    if np.linalg.norm(ends[1] - ends[0]) < 1e-3:
        return
    assert not len(shown) or distance_to_segment(shown, ends).max() < 1e-3
    line = fundamental(camera_from, camera_to) @ [*pixel, 1]
    # Else the line is far beyond any image, and rounding decides.
    if np.linalg.norm(line[:2]) > 1e-9 * np.linalg.norm(line):
        assert np.abs(ends @ line[:2] + line[2]).max() / np.linalg.norm(line[:2]) < 1e-2
    # An end that is not at an edge of the image is an end of the ray: the other source, or
    # infinity.
    at_edge = np.isclose(ends, EDGES[0], atol=1e-4) | np.isclose(ends, EDGES[1], atol=1e-4)
    if not at_edge[0].any():
        assert_allclose(ends[0], camera_to.project(camera_from.source), atol=1e-3)
    if not at_edge[1].any():
        assert_allclose(ends[1], camera_to.project(camera_from.source + 1e12 * along), atol=1e-3)


def test_the_line_ends_at_a_vanishing_point_and_at_the_edge_of_the_image():
    """Parallel views side by side.

    Depth 0 is infinitely far to one side, infinite depth where the pixel itself is.
    """
    K = [[1000, 0, 320], [0, 1000, 240], [0, 0, 1]]
    views = Camera(K, np.eye(4), SIZE), Camera(K, rigid.translation([-50, 0, 0]), SIZE)
    assert_allclose(epipolar_line(*views, (400, 100)), [[-0.5, 100], [400, 100]], atol=1e-9)


@pytest.mark.parametrize("pixel", [(200, 200), (250, 260)])
def test_a_slot_scan_sees_the_ray_of_a_pinhole_as_a_curve_and_its_own_are_straight(pixel):
    slot, pinhole = slot_scan(), seen_from(60)
    line = epipolar_line(pinhole, slot, pixel)
    assert len(line) > 2 and inside(line, slack=1e-6).all()
    ray = pinhole.at_depth(np.broadcast_to(pixel, (4000, 2)), np.linspace(1, 3000, 4000))
    shown = slot.project(ray[slot.depth(ray) > 0])
    shown = shown[inside(shown)]
    off = np.min([distance_to_segment(shown, part) for part in pairwise(line)], axis=0)
    assert len(shown) > 50 and off.max() < 0.1
    assert epipolar_line(slot, pinhole, pixel).shape == (2, 2)


def test_a_point_is_found_by_a_slot_scan_and_a_pinhole():
    point, cameras = np.array([30.0, -20, 40]), (slot_scan(), seen_from(80))
    found = triangulate(cameras, [camera.project(point) for camera in cameras])
    assert_allclose(found.point, point, atol=1e-8)
    moved = triangulate(cameras, [camera.project(point) + [0, 3] for camera in cameras])
    assert 0 < moved.residual_mm < 6 and 0 < moved.residual_px < 6


@pytest.mark.parametrize("views", [2, 3])
def test_triangulation_of_skew_rays_agrees_with_scipy(views):
    random = np.random.default_rng(views)
    cameras = [seen_from(angle) for angle in (0, 40, 90)[:views]]
    pixels = np.array([camera.project([10, -20, 30]) for camera in cameras]) + random.normal(
        0, 5, (views, 2)
    )
    rays = [(camera.source, camera.ray_directions(pixel)) for camera, pixel in zip(cameras, pixels)]

    def distances(point):
        return np.concatenate([np.cross(point - source, direction) for source, direction in rays])

    found = triangulate(cameras, pixels)
    expected = least_squares(distances, [0, 0, 0], xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    assert_allclose(found.point, expected, atol=1e-5)
    assert found.residual_mm == pytest.approx(
        max(np.linalg.norm(distances(expected).reshape(-1, 3), axis=1)), abs=1e-5
    )
    off = [
        np.linalg.norm(camera.project(found.point) - pixel)
        for camera, pixel in zip(cameras, pixels)
    ]
    assert found.residual_px == pytest.approx(max(off)) and 0.5 < found.residual_mm < 10


@pytest.mark.parametrize(
    "cameras, pixels, found",
    [
        ([seen_from(0)], [[320, 240]], "two or more views"),
        ([seen_from(0), seen_from(0.2)], [[320, 240], [320, 240]], "within 1 degree"),
        ([seen_from(0), seen_from(10)], [[-3000, 240], [4000, 240]], "behind the source of view 1"),
        ([seen_from(0), seen_from(90)], [[320, 240]], "pixels"),
    ],
)
def test_rays_without_a_common_point_are_refused(cameras, pixels, found):
    assert found in refusal(triangulate, cameras, pixels)
