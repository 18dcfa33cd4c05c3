"""Distortion, against OpenCV's figures and its own inverse."""

import numpy as np
import pytest
from helpers.refusals import refuses
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.geometry.camera import Distortion
from MultiViewRegistrationLib.imaging.reading import undistorted
from MultiViewRegistrationLib.imaging.xray import raw_image

K = np.array([[60.0, 0, 31], [0, 62, 23.5], [0, 0, 1]])
BARREL = Distortion(
    [-0.31, 0.12, 0.002, -0.0015, 0.05, 0.01, -0.02, 0.003, 0.001, -0.002, 0.0015, 0.0005]
)
#: cv2.initUndistortRectifyMap (OpenCV 5.0.0) at each 15th row and 20th column of 48 x 64 pixels,
#: and cv2.remap at each 12th and 16th.
COLUMNS = """3.204008 20.573610 39.532677 57.038635
2.393617 20.178164 39.872863 57.867744
2.308823 20.141588 39.903587 57.951134
2.981849 20.473953 39.617882 57.260632"""
ROWS = """2.547849 1.284300 1.235480 2.462994
15.725888 15.150598 15.127725 15.677258
29.574907 29.925142 29.938496 29.598959
43.000080 44.093185 44.134842 43.068771"""
REMAPPED = """147.76154 118.41851 133.10387 129.50702
89.31715 64.44803 74.84151 68.23314
146.11269 124.28532 133.46599 125.32674
95.45915 68.20158 77.77617 72.37051"""


def table(text):
    return np.array(text.split(), float).reshape(4, 4)


def test_distort_pixels_equals_opencv():
    rows, columns = np.meshgrid(np.arange(0, 48, 15), np.arange(0, 64, 20), indexing="ij")
    found = BARREL.distort_pixels(K, np.stack([columns, rows], -1))
    assert_allclose(found, np.stack([table(COLUMNS), table(ROWS)], -1), atol=1e-5)


def test_undistorted_image_equals_opencv():
    image = np.fromfunction(lambda r, c: 100 + 40 * np.sin(c / 5) + 30 * np.cos(r / 4), (48, 64))
    ours = undistorted(raw_image(image, (0.3, 0.3)), (K, BARREL))
    assert_allclose(
        ours.values[::12, ::16], table(REMAPPED), atol=0.3
    )  # OpenCV rounds to 1/32 pixel
    assert ours.pixel_mm == (0.3, 0.3) and np.isfinite(ours.values).all()


@given(
    st.lists(st.floats(-0.05, 0.05), min_size=12, max_size=12),
    st.tuples(st.floats(0, 63), st.floats(0, 47)),
)
def test_undistort_pixels_inverts_distort_pixels(coefficients, pixel):
    distortion = Distortion(coefficients)
    assert_allclose(
        distortion.undistort_pixels(K, distortion.distort_pixels(K, pixel)), pixel, atol=1e-8
    )


@pytest.mark.parametrize(
    "coefficients, word",
    [
        ([0] * 6, "found 6"),
        ([np.nan] * 4, "NaN"),
        ([0] * 12 + [0.1, 0], "tilted"),
        (["a"] * 4, "not a number"),
    ],
)
def test_distortion_rejects_invalid_coefficients(coefficients, word):
    with refuses(f"^distortion: .*{word}"):
        Distortion(coefficients)


def test_undistort_rejects_non_invertible_distortion():
    with refuses("cannot be undone"):
        Distortion([-5, 0, 0, 0]).undistort([1.0, 1.0])
