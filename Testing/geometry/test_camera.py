"""The camera against scipy, SimpleITK and hand-solved projections."""

from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.refusals import refusal
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pose_strategies import SIZE, cameras

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.geometry import rigid

pixels = st.tuples(st.floats(-100, 700), st.floats(-100, 700)).map(np.array)
scales = st.builds(
    lambda sign, exponent: sign * 10.0**exponent, st.sampled_from([-1, 1]), st.floats(-30, 30)
)


def point_before(camera, pixel=(300, 200), distance=900.0):
    return camera.source + distance * camera.ray_directions(pixel)


def assert_same_camera(found, expected):
    assert_allclose(found.intrinsics, expected.intrinsics, rtol=1e-9, atol=1e-7)
    assert_allclose(found.camera_from_world[:3, :3], expected.camera_from_world[:3, :3], atol=1e-10)
    assert_allclose(found.camera_from_world[:3, 3], expected.camera_from_world[:3, 3], atol=1e-6)


@given(*(st.tuples(*3 * [st.floats(-limit, limit)]) for limit in (3, 50, 99)))
def test_projection_agrees_with_simpleitk(angles, translation, point):
    itk = sitk.Euler3DTransform((10, 20, 30), *angles, translation)
    R, c = np.reshape(itk.GetMatrix(), (3, 3)), np.array(itk.GetCenter())
    camera_from_world = rigid.from_rotation_translation(
        R, c + itk.GetTranslation() - R @ c + [0, 0, 700]
    )
    x, y, z = np.add(itk.TransformPoint(point), [0, 0, 700])
    camera = Camera([[-3000, 7, 300], [0, 4000, 200], [0, 0, 1]], camera_from_world, SIZE)
    assert_allclose(
        camera.project(point), [300 + (7 * y - 3000 * x) / z, 200 + 4000 * y / z], atol=1e-8
    )
    assert camera.depth(point) == pytest.approx(z)


@given(cameras(), scales)
def test_decomposition_finds_the_camera_at_any_scale_and_sign(camera, scale):
    P, known = scale * camera.projection_matrix, point_before(camera)
    found = Camera.from_projection_matrix(P, SIZE, in_front=known)
    assert_same_camera(found, camera)
    assert found.size == SIZE and found.depth(known) > 0
    either = Camera.from_projection_matrix(P, SIZE)  # what is before it is not told
    assert_allclose(np.abs(either.intrinsics), np.abs(camera.intrinsics), rtol=1e-8, atol=1e-6)
    assert_allclose(either.source, camera.source, atol=1e-5)
    assert_allclose(either.project(known), camera.project(known), atol=1e-6)


@given(cameras(), pixels, st.floats(50, 2000))
def test_a_ray_projects_onto_its_pixel(camera, pixel, distance):
    x = point_before(camera, pixel, distance)
    assert np.linalg.norm(camera.ray_directions(pixel)) == pytest.approx(1)
    assert camera.depth(x) > 0
    assert_allclose(camera.project(x), pixel, atol=1e-6)
    assert_allclose(camera.at_depth(pixel, camera.depth(x)), x, atol=1e-6)
    assert_allclose(camera.plane_at(camera.depth(x)) @ [*pixel, 1], x, atol=1e-6)
    steps = camera.at_depth(pixel + np.eye(2), camera.depth(x)) - x
    seen = np.abs(np.diag(steps @ camera.camera_from_world[:3, :3].T))
    assert_allclose(seen, camera.pixel_mm(x), rtol=1e-6)
    assert_allclose(camera.corners[[0, 2]], [[-0.5, -0.5], [SIZE[0] - 0.5, SIZE[1] - 0.5]])


@given(cameras(), st.integers(1, 16), pixels)
def test_pooled_camera_sees_points_where_the_pooled_image_shows_them(camera, factor, pixel):
    pooled = camera.pooled(factor)
    assert_allclose(
        pooled.project(point_before(camera, pixel)), (pixel + 0.5) / factor - 0.5, atol=1e-6
    )
    assert pooled.size == (SIZE[0] // factor, SIZE[1] // factor)


decomposed = partial(Camera.from_projection_matrix, size=SIZE)
K, POSE, P = np.diag([900.0, 900, 1]), np.eye(4), np.eye(3, 4)


@pytest.mark.parametrize(
    "build, fault",
    [
        (lambda: Camera(np.diag([900, 0, 1]), POSE, SIZE), "fy = 0"),
        (lambda: Camera(K + np.eye(3, k=-1), POSE, SIZE), "below the diagonal"),
        (lambda: Camera(K, POSE, (640, 480.5)), "size: found 640 columns, 480.5 rows"),
        (lambda: Camera(K, POSE, (64, 48)).pooled(50), "size: found 1 columns, 0 rows"),
        (lambda: decomposed(P * 0), "projection_matrix: left 3x3 part is singular"),
        (lambda: decomposed(P, in_front=(1, 2, 0)), "in_front: lies beside the source"),
    ],
)
def test_errors_name_field_and_fault(build, fault):
    message = refusal(build)
    assert fault in message and "expected" in message


def assert_moves_with_the_point(camera, point):
    shifts = 1e-3 * np.eye(3)
    by_point = (camera.project(point + shifts) - camera.project(point - shifts)).T / 2e-3
    assert_allclose(camera.jacobians(point[None])[0][:, :3], by_point, rtol=1e-4, atol=1e-6)


@given(cameras(), pixels)
def test_what_moves_a_pixel_is_that_of_finite_differences(camera, pixel):
    point = point_before(camera, pixel)
    assert_moves_with_the_point(camera, point)
    wider = camera.corrected(np.exp(1e-6), np.zeros(2)).project(point)
    moved = camera.corrected(1.0, np.array([1.0, 2.0])).project(point) - camera.project(point)
    found = camera.jacobians(point[None])[0]
    assert_allclose(found[:, 3], (wider - camera.project(point)) / 1e-6, rtol=1e-3, atol=0.01)
    assert_allclose(found[:, 4:] @ [1, 2], moved, atol=1e-6)
