"""The residuals against brute force, and their derivatives against finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.registration import similarity

#: No derivatives.
NONE = np.empty((6, 0, 0), np.float32)
RADIUS, FLOOR = WINDOW = similarity.Window(3, 0.05)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(3)
    smooth = [
        ndimage.gaussian_filter(random.normal(size=(30, 37)), 1.5).astype(np.float32) * 4 + 2
        for _ in range(2)
    ]
    mask = np.ones((30, 37), np.float32)
    mask[8:14, 5:12] = 0
    eroded = np.empty_like(mask)
    similarity.erode(mask, eroded)
    jacobian = np.stack(
        [ndimage.gaussian_filter(random.normal(size=(30, 37)), 1.5) for _ in range(6)]
    ).astype(np.float32)
    return smooth[0], smooth[1], eroded, jacobian


def in_windows(mask):
    """Each pixel (row, column) of a mask, and the pixels of it in the window about that."""
    for r, c in np.argwhere(mask > 0):
        part = np.s_[max(r - RADIUS, 0) : r + RADIUS + 1, max(c - RADIUS, 0) : c + RADIUS + 1]
        yield r, c, lambda image, part=part: image[part][mask[part] > 0]


def brute_force_intensity(image, mask):
    image, out = image.astype(float), np.zeros((1, *image.shape))
    for r, c, near in in_windows(mask):
        values = near(image)
        out[0, r, c] = (image[r, c] - values.mean()) / np.sqrt(values.var() + FLOOR**2)
    return out


def brute_force_gradient(image, mask):
    out = np.array(np.gradient(image.astype(float)))[::-1]
    square = (out**2).sum(axis=0)
    scale = np.full(image.shape, np.inf)
    for r, c, near in in_windows(mask):
        scale[r, c] = np.sqrt(near(square).mean() + FLOOR**2)
    return out / scale


@pytest.mark.parametrize(
    ("residual_of", "brute_force"),
    [
        (similarity.intensity_residual, brute_force_intensity),
        (similarity.gradient_residual, brute_force_gradient),
    ],
)
def test_residual_is_the_difference_of_locally_normalised_images(images, residual_of, brute_force):
    moving, fixed, mask, _ = images
    weight = similarity.window_weight(mask, RADIUS)
    residual, _, products, normalised = residual_of(moving, NONE, fixed, mask, weight, WINDOW)
    m, f = brute_force(moving, mask), brute_force(fixed, mask)
    assert_allclose(residual, m - f, atol=2e-4)
    assert_allclose(normalised, m, atol=2e-4)
    assert_allclose(products, [(m * f).sum(), (m * m).sum(), (f * f).sum()], rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("cauchy", [0.0, 0.7])
def test_normal_equations_by_numpy(images, cauchy):
    moving, fixed, mask, jacobian = images
    weight = similarity.window_weight(mask, RADIUS)
    residual, derivative, *_ = similarity.gradient_residual(
        moving, jacobian, fixed, mask, weight, WINDOW
    )
    gradient, hessian = np.zeros(6), np.zeros((6, 6))
    cost = similarity.normal_equations(residual, derivative, mask, cauchy, gradient, hessian)
    square = (residual.astype(float) ** 2).sum(0)
    robust = np.ones_like(square) if cauchy == 0 else 1 / (1 + square / cauchy**2)
    expected = square if cauchy == 0 else cauchy**2 * np.log1p(square / cauchy**2)
    assert cost == pytest.approx(expected[mask > 0].sum(), rel=1e-5)
    j = derivative.reshape(6, -1).astype(float)
    w = np.broadcast_to(robust * (mask > 0), residual.shape).ravel()
    assert_allclose(gradient, j @ (w * residual.ravel()), rtol=1e-4, atol=1e-3)
    assert_allclose(np.tril(hessian), np.tril(j @ (w[:, None] * j.T)), rtol=1e-4, atol=1e-3)


def test_a_silhouettes_margin_is_in_mm_at_each_depth():
    """6 mm with 800 pixels: 7 pixels at 700 mm, 14 at 350 mm, and never none."""
    camera = Camera(np.array([[-800.0, 0, 50], [0, 800, 50], [0, 0, 1]]), np.eye(4), (101, 101))
    points = np.array([[0.0, 0, 700], [30, 0, 350], [0, 5, 90_000]])
    margins = similarity.silhouette_margin(similarity.Settings(silhouette_mm=6), camera, points)
    assert margins.tolist() == [7, 14, 1]


def test_weighted_products_of_two_parts_are_summed_where_they_overlap(images):
    random = np.random.default_rng(4)
    weight = images[2] * random.random(images[2].shape).astype(np.float32)
    parts, corners, whole = [], ((2, 3), (7, 9)), []
    for count, size, corner in zip((6, 3), ((20, 25), (18, 22)), corners, strict=True):
        parts.append(random.normal(size=(count, 2, *size)).astype(np.float32))
        whole.append(np.zeros((count, 2, *weight.shape)))
        place = [slice(begin, begin + side) for begin, side in zip(corner, size, strict=True)]
        whole[-1][(..., *place)] = parts[-1]
    sums, box = np.full((6, 3), 2.0), (7, 22, 9, 28)
    similarity.add_products(parts[0], corners[0], parts[1], corners[1], weight, box, sums)
    assert sums - 2 == pytest.approx(np.einsum("pirc,oirc,rc->po", *whole, weight), abs=1e-4)
