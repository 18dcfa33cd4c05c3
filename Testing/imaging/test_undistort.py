"""Distortion, against OpenCV's figures and its own inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from refusals import refuses

from MultiViewRegistrationLib.geometry.camera import Distortion
from MultiViewRegistrationLib.imaging.reading import undistorted
from MultiViewRegistrationLib.imaging.xray import raw_image

K = np.array([[60.0, 0, 31], [0, 62, 23.5], [0, 0, 1]])
BARREL = Distortion(
    [-0.31, 0.12, 0.002, -0.0015, 0.05, 0.01, -0.02, 0.003, 0.001, -0.002, 0.0015, 0.0005]
)
#: cv2.initUndistortRectifyMap (OpenCV 5.0.0) at each 15th row and 20th column of 48 x 64 pixels,
#: and cv2.remap at each 12th and 16th.
COLUMNS = [
    [3.204007863998413, 20.573610305786133, 39.532676696777344, 57.03863525390625],
    [2.3936171531677246, 20.178163528442383, 39.87286376953125, 57.86774444580078],
    [2.308823347091675, 20.14158821105957, 39.903587341308594, 57.951133728027344],
    [2.981848955154419, 20.473953247070312, 39.617881774902344, 57.2606315612793],
]
ROWS = [
    [2.54784893989563, 1.2842999696731567, 1.2354803085327148, 2.46299409866333],
    [15.7258882522583, 15.150598526000977, 15.127724647521973, 15.677258491516113],
    [29.574907302856445, 29.925142288208008, 29.938495635986328, 29.59895896911621],
    [43.00008010864258, 44.09318542480469, 44.13484191894531, 43.06877136230469],
]
REMAPPED = [
    [147.76153564453125, 118.41851043701172, 133.10386657714844, 129.50701904296875],
    [89.31714630126953, 64.44802856445312, 74.84150695800781, 68.23313903808594],
    [146.11268615722656, 124.28531646728516, 133.4659881591797, 125.32674407958984],
    [95.45915222167969, 68.20157623291016, 77.77616882324219, 72.3705062866211],
]


def test_pixels_go_where_opencv_sends_them():
    rows, columns = np.meshgrid(np.arange(0, 48, 15), np.arange(0, 64, 20), indexing="ij")
    assert_allclose(
        BARREL.distort_pixels(K, np.stack([columns, rows], -1)),
        np.stack([COLUMNS, ROWS], -1),
        atol=1e-5,
    )


def test_an_image_comes_out_as_opencvs():
    image = np.fromfunction(
        lambda r, c: 100 + 40 * np.sin(c / 5) + 30 * np.cos(r / 4), (48, 64)
    ).astype(np.float32)
    ours = undistorted(raw_image(image, (0.3, 0.3)), K, BARREL)
    assert_allclose(ours.values[::12, ::16], REMAPPED, atol=0.3)  # OpenCV rounds to 1/32 pixel
    assert ours.pixel_mm == (0.3, 0.3) and np.isfinite(ours.values).all()


@given(
    st.lists(st.floats(-0.05, 0.05), min_size=12, max_size=12),
    st.tuples(st.floats(0, 63), st.floats(0, 47)),
)
def test_the_inverse(coefficients, pixel):
    distortion = Distortion(coefficients)
    assert_allclose(
        distortion.undistort_pixels(K, distortion.distort_pixels(K, pixel)), pixel, atol=1e-8
    )


@pytest.mark.parametrize(
    "coefficients, word",
    [
        ([], "found 0"),
        ([1, 2, 3], "found 3"),
        ([0] * 6, "found 6"),
        ([np.nan] * 4, "NaN"),
        ([0] * 12 + [0.1, 0], "tilted"),
        (["a"] * 4, "not a number"),
    ],
)
def test_what_is_none(coefficients, word):
    with refuses(f"^distortion: .*{word}"):
        Distortion(coefficients)


def test_no_inverse():
    with refuses("cannot be undone"):
        Distortion([-5, 0, 0, 0]).undistort([1.0, 1.0])
    assert Distortion([0] * 14).undistort([0.3, 0.2]).tolist() == [0.3, 0.2]
