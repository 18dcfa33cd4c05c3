"""Rigid transforms against scipy and SimpleITK, and by hand."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.refusals import refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pose_strategies import angles, directions, points, poses, twists
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def hat_se3(twist):
    matrix = np.zeros((4, 4))
    matrix[:3, :3] = np.cross(np.eye(3), twist[:3])
    matrix[:3, 3] = twist[3:]
    return matrix


@given(directions, st.one_of(angles, st.floats(-20, 20)))
def test_exp_so3_agrees_with_scipy(direction, angle):
    w = direction * angle
    assert_allclose(rigid.exp_so3(w), Rotation.from_rotvec(w).as_matrix(), atol=5e-15)


@given(directions, angles)
def test_log_so3_finds_the_vector_that_scipy_turned(direction, angle):
    R = Rotation.from_rotvec(direction * angle).as_matrix()
    found = rigid.log_so3(R)
    assert np.linalg.norm(found) <= np.pi + 1e-15
    if angle > 3:  # w and w - 2 pi meet at pi
        direction = direction * np.sign(direction @ found)
    assert_allclose(found, direction * min(angle, np.pi), atol=1e-14 if angle < 3 else 1e-8)
    assert_allclose(rigid.exp_so3(found), R, atol=5e-15)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 0, 1), (0.6, 0, -0.8), (2 / 3, -1 / 3, 2 / 3)])
def test_log_so3_at_exactly_pi(axis):
    half_turn = 2 * np.outer(axis, axis) - np.eye(3)
    assert_allclose(np.abs(rigid.log_so3(half_turn)), np.pi * np.abs(axis), atol=1e-14)


@given(twists)
def test_exp_se3_agrees_with_the_matrix_exponential(twist):
    assert_allclose(rigid.exp_se3(twist), expm(hat_se3(twist)), rtol=1e-12, atol=1e-11)


@settings(max_examples=50)
@given(twists, poses)
def test_adjoint_carries_twists(twist, T):
    W, V = rigid.hat(twist[:3]), rigid.hat(twist[3:])
    small_ad = np.block([[W, np.zeros((3, 3))], [V, W]])
    assert_allclose(rigid.adjoint(rigid.exp_se3(twist)), expm(small_ad), atol=1e-9)
    carried = T @ expm(hat_se3(twist)) @ np.linalg.inv(T)
    assert_allclose(rigid.exp_se3(rigid.adjoint(T) @ twist), carried, atol=1e-8)


@given(poses, points)
def test_inverse_and_points_agree_with_simpleitk(T, point):
    itk = sitk.AffineTransform(T[:3, :3].ravel().tolist(), T[:3, 3].tolist())
    assert_allclose(
        rigid.transform_points(T, point), itk.TransformPoint(point.tolist()), atol=1e-10
    )
    back = itk.GetInverse().TransformPoint(point.tolist())
    assert_allclose(rigid.transform_points(rigid.inverse(T), point), back, atol=1e-10)


@given(directions, angles, points, points, points)
def test_about_agrees_with_a_simpleitk_transform_about_a_centre(
    direction, angle, translation, pivot, point
):
    itk = sitk.VersorRigid3DTransform()
    itk.SetRotation(direction.tolist(), angle)
    itk.SetTranslation(translation.tolist())
    itk.SetCenter(pivot.tolist())
    T = rigid.turn_and_shift(direction * angle, translation)
    found = rigid.transform_points(rigid.about(pivot, T), point)
    assert_allclose(
        found, itk.TransformPoint(point.tolist()), atol=1e-6
    )  # ITK takes a sqrt(1 - v^2)


@given(poses, poses)
def test_distances_agree_with_scipy(a, b):
    angle = (Rotation.from_matrix(a[:3, :3]).inv() * Rotation.from_matrix(b[:3, :3])).magnitude()
    shift = np.linalg.norm(a[:3, 3] - b[:3, 3])
    assert rigid.rotation_distance(a, b) == pytest.approx(angle, abs=1e-13)
    assert rigid.translation_distance(a, b) == pytest.approx(shift)
    assert rigid.geodesic_distance(a, b, 50) == pytest.approx(np.sqrt((50 * angle) ** 2 + shift**2))


@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_mean_agrees_with_scipy(count, seed):
    rng = np.random.default_rng(seed)
    T = rigid.exp_se3(rng.normal(size=6)) @ rigid.exp_se3(rng.normal(size=(count, 6)) * 0.4)
    found = rigid.mean(T)
    rotation = Rotation.from_matrix(T[:, :3, :3]).mean()
    assert_allclose(found[:3, :3], rotation.as_matrix(), atol=1e-10)
    assert_allclose(found[:3, 3], T[:, :3, 3].mean(axis=0), atol=1e-12)


def scattered(rng, count, centre, rotation_sd, translation_sd):
    noise = rng.normal(size=(count, 6)) * np.repeat([rotation_sd, translation_sd], 3)
    return centre @ rigid.exp_se3(noise)


@pytest.mark.parametrize("kind", ["scattered", "one wrong place"])
def test_robust_mean_tolerates_40_percent_of_outliers(kind, rng):
    count, wrong = 50, 20
    for _ in range(10):
        truth = rigid.exp_se3(rng.normal(size=6) * [2, 2, 2, 100, 100, 100])
        good = scattered(rng, count - wrong, truth, 0.01, 1)
        wrong_place = truth @ rigid.exp_se3([0, 0, 0.5, 80, 0, 0])
        bad = scattered(
            rng, wrong, *((truth, 1, 100) if kind == "scattered" else (wrong_place, 0.01, 1))
        )
        bad = bad[rigid.geodesic_distance(bad, truth, 100) > 30]
        found = rigid.robust_mean(rng.permutation([*good, *bad]), radius_mm=100)
        assert rigid.geodesic_distance(found, truth, 100) < 12 / np.sqrt(len(good))


@given(poses)
def test_check_rigid_takes_six_digits_and_makes_a_rotation(T):
    printed = [[float(f"{number:.6g}") for number in row] for row in T.tolist()]
    for matrix in (printed, T.astype(np.float32)):
        checked = rigid.check_rigid(matrix, "pose")
        assert checked.dtype == np.float64
        assert_allclose(checked, T, atol=1e-5 * max(1, np.abs(T).max()))
        assert_allclose(checked[:3, :3] @ checked[:3, :3].T, np.eye(3), atol=1e-14)
        assert_array_equal(checked[3], [0, 0, 0, 1])


def with_rotation_part(M):
    return rigid.from_rotation_translation(
        rigid.exp_so3([0.3, 0.5, -0.7]) @ M, [10, 20, 30]
    ).tolist()


def with_entry(row, column, value):
    matrix = np.eye(4).tolist()
    matrix[row][column] = value
    return matrix


@pytest.mark.parametrize(
    "matrix, fault",
    [
        (np.eye(3).tolist(), "found 3x3 numbers, expected 4x4"),
        ([[1, 0, 0, 0], [0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "rows differ in length"),
        ("identity", "not a number"),
        (with_entry(0, 3, None), "not a number"),
        (with_entry(0, 3, np.nan), "NaN or infinity"),
        (with_entry(3, 0, 7.0), "last row is 7, 0, 0, 1"),
        (np.transpose(with_rotation_part(np.eye(3))), "transposed"),
        (with_rotation_part(np.diag([1, 1, -1])), "mirrors"),
        (with_rotation_part(np.eye(3) * 1.001), "scales by 1.001,"),
        (with_rotation_part([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]]), "shears"),
    ],
)
def test_check_rigid_names_the_fault(matrix, fault):
    message = refusal(rigid.check_rigid, matrix, "views[1].pose")
    assert message.startswith("views[1].pose: ") and fault in message and "expected" in message
