"""Matrices as people have them in text."""

import json

import numpy as np
import pytest
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.io.calibration.matrices import (
    read_matrix,
    read_matrix_file,
    read_number,
)

K = np.array([[-480.0, 0, 51], [0, 500, 33], [0, 0, 1]])
R = Rotation.from_euler("xyz", (100, 10, -20), degrees=True).as_matrix()
POSE = np.vstack([np.c_[R, (5, -3, 700)], [0, 0, 0, 1]])
P = K @ POSE[:3]


def rows(matrix, between=" "):
    return "\n".join(between.join(map(repr, row)) for row in matrix.tolist())


@pytest.mark.parametrize(
    "text",
    [
        rows(P),
        f"P = {P.tolist()};",
        f"# calibrated\n{rows(P)} # end",
        rows(K) + "\n\n" + rows(POSE[:3]),
        json.dumps({"camera": {"intrinsics": K.tolist(), "camera_from_world": POSE.tolist()}}),
    ],
)
def test_matrix_notations(text, file_of):
    assert_allclose(read_matrix(text).projection_matrix, P, atol=1e-9)
    path = file_of("matrix.txt", "\ufeff" + text)
    assert_allclose(read_matrix_file(path).projection_matrix, P, atol=1e-9)


@pytest.mark.parametrize(
    "text, word",
    [
        (rows(P) + " 4", "has 13 numbers"),
        ("left 1 2", '"left"'),
        ("{1", "is not JSON"),
        (json.dumps({"views": [{"P": P.tolist()}] * 2}), "has several cameras"),
        (rows(K) + " " + rows(POSE * [1, 1, 1, 2]), "camera_from_world: last row"),
        (rows(K) + "\n" + rows(2 * POSE[:3]), "camera_from_world: scales by 2"),
    ],
)
def test_invalid_matrices_are_refused(text, word):
    with refuses(f"^pose.txt.*{word}"):
        read_matrix(text, "pose.txt")


@pytest.mark.parametrize(
    "text, number",
    [
        ("0,58", 0.58),
        (",5", 0.5),
        ("\N{MINUS SIGN}3", -3),
        ("1,2E3", 1200),
    ],
)
def test_a_number_is_read_with_a_point_or_a_comma(text, number):
    assert read_number(text, "Roll") == number


@pytest.mark.parametrize(
    "text, word",
    [("1,000.5", "more than one point or comma")]
    + [(text, "expected a number") for text in ("1 000", "12mm", "nan")],
)
def test_invalid_numbers_are_refused(text, word):
    with refuses(word):
        read_number(text, "Roll")
