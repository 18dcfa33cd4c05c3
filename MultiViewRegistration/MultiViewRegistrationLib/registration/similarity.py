"""Residuals between an X-ray and a DRR that ignore gain, offset and slow shading.

Local normalisation over a window.

Intensity:  e = (m - mean m) / sd m  -  (f - mean f) / sd f          mean, sd over the window's valid pixels
Gradient:   e = grad m / rms |grad m|  -  grad f / rms |grad f|      (two components)

with sd and rms padded by a small noise floor. The sum of e^2 is local NCC (local gradient NCC) up
to a constant. Derivatives by the pose follow by the chain rule through mean and sd. All arrays are
float32, (rows, columns); masks are 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from ..geometry.camera import Camera
from ..rendering import cpu

#: With fewer pixels, or a smaller share of what the X-rays show, there is nothing to compare: the
#: cost is infinite.
MIN_PIXELS = 50
MIN_SHARE = 0.04
#: Added under the root of an NCC, of images without contrast.
NEVER_ZERO = 1e-12


class Window(NamedTuple):
    """One way of comparing: half width in pixels of the window of local normalisation, 0 to leave it out, and noise, see `Settings`."""

    radius: int
    floor: float


@dataclass(frozen=True)
class Settings:
    """The settings of the comparison at one resolution.

    Attributes
    ----------
    intensity_radius, gradient_radius
        Half width in pixels of the window of local normalisation; 0 leaves this residual out.
    intensity_floor, gradient_floor
        Noise added to the local deviation, in line integrals (per pixel).
    cauchy
        Scale of Cauchy's weights in units of the normalised residual; 0 is plain least squares.
    silhouette_mm
        Compare only within the projection of the structure, dilated by this much at its depth; None
        compares all.
    """

    intensity_radius: int = 0
    gradient_radius: int = 0
    intensity_floor: float = 0.05
    gradient_floor: float = 0.01
    cauchy: float = 0.0
    silhouette_mm: float | None = None

    @property
    def windows(self) -> tuple[Window, Window]:
        """Of intensities, and of gradients."""
        return (
            Window(self.intensity_radius, self.intensity_floor),
            Window(self.gradient_radius, self.gradient_floor),
        )

    @property
    def radius(self) -> int:
        """Half width in pixels of the widest window."""
        return max(self.windows)[0]


@register_jitable
def local_ncc(products: Any) -> Any:
    """Return the local NCC (...) from the sums m f, m m, f f (3, ...) of what is compared."""
    return products[0] / np.sqrt(products[1] * products[2] + NEVER_ZERO)


def silhouette_margin(settings: Settings, camera: Camera, points: np.ndarray) -> np.ndarray:
    """Return `silhouette_mm` in whole pixels (...), 1 or more, at the depths of world points (..., 3); 0 where all is compared."""
    if settings.silhouette_mm is None:
        return np.zeros(np.shape(points)[:-1], int)
    pixels = settings.silhouette_mm / camera.pixel_mm(points)[..., 0]
    return np.maximum(1, np.rint(pixels)).astype(int)


@cpu.fast_kernel
def box_sum(image: np.ndarray, radius: int, out: np.ndarray):
    """Return the sum of `image` over the square window of `radius` pixels about each pixel, cut off at the border. `out` may be `image`."""
    rows, columns = image.shape
    across = np.empty((rows, columns), np.float32)
    last = rows - 1
    for r in range(0, rows, 4):  # four rows side by side: each sum waits for the one before
        r1 = min(r + 1, last)
        r2 = min(r + 2, last)
        r3 = min(r + 3, last)
        sum0 = 0.0
        sum1 = 0.0
        sum2 = 0.0
        sum3 = 0.0
        for c in range(min(radius, columns)):
            sum0 += image[r, c]
            sum1 += image[r1, c]
            sum2 += image[r2, c]
            sum3 += image[r3, c]
        for c in range(columns):
            if c + radius < columns:
                sum0 += image[r, c + radius]
                sum1 += image[r1, c + radius]
                sum2 += image[r2, c + radius]
                sum3 += image[r3, c + radius]
            if c - radius - 1 >= 0:
                sum0 -= image[r, c - radius - 1]
                sum1 -= image[r1, c - radius - 1]
                sum2 -= image[r2, c - radius - 1]
                sum3 -= image[r3, c - radius - 1]
            across[r, c] = sum0
            across[r1, c] = sum1
            across[r2, c] = sum2
            across[r3, c] = sum3
    column = np.zeros(columns)
    for r in range(min(radius, rows)):
        for c in range(columns):
            column[c] += across[r, c]
    for r in range(rows):
        if r + radius < rows:
            for c in range(columns):
                column[c] += across[r + radius, c]
        if r - radius - 1 >= 0:
            for c in range(columns):
                column[c] -= across[r - radius - 1, c]
        for c in range(columns):
            out[r, c] = column[c]


@cpu.fast_kernel
def erode(mask: np.ndarray, out: np.ndarray):
    """Keep the pixels whose eight neighbours are all set; the image's border goes."""
    rows, columns = mask.shape
    for r in range(rows):
        for c in range(columns):
            keep = np.float32(0)
            if 0 < r < rows - 1 and 0 < c < columns - 1:
                keep = np.float32(1)
                for i in range(r - 1, r + 2):
                    for j in range(c - 1, c + 2):
                        if mask[i, j] == 0:
                            keep = np.float32(0)
            out[r, c] = keep


@cpu.fast_kernel
def keep_near(image: np.ndarray, margin: int, mask: np.ndarray):
    """Take away the pixels of `mask` with nothing but 0 in `image` within `margin` pixels, in rows and columns."""
    rows, columns = image.shape
    near = np.empty((rows, columns), np.float32)
    for r in range(rows):
        for c in range(columns):
            near[r, c] = 1.0 if image[r, c] > 0 else 0.0
    box_sum(near, margin, near)
    for r in range(rows):
        for c in range(columns):
            if near[r, c] < 0.5:
                mask[r, c] = 0.0


@cpu.fast_kernel
def _local_mean(
    image: np.ndarray, other: np.ndarray, mask: np.ndarray, weight: np.ndarray, radius: int
):
    """Return the mean of `image` times `other` over the valid pixels of each window."""
    rows, columns = image.shape
    mean = np.empty((rows, columns), np.float32)
    for r in range(rows):
        for c in range(columns):
            mean[r, c] = image[r, c] * other[r, c] * mask[r, c]
    box_sum(mean, radius, mean)
    for r in range(rows):
        for c in range(columns):
            mean[r, c] *= weight[r, c]
    return mean


@cpu.fast_kernel
def local_moments(
    image: np.ndarray, mask: np.ndarray, weight: np.ndarray, window: tuple[int, float]
):
    """Return local mean and 1 / sqrt(variance + floor^2)."""
    radius, floor = window
    mean = _local_mean(image, mask, mask, weight, radius)
    inverse_sd = _local_mean(image, image, mask, weight, radius)
    rows, columns = image.shape
    for r in range(rows):
        for c in range(columns):
            variance = max(inverse_sd[r, c] - mean[r, c] * mean[r, c], np.float32(0))
            inverse_sd[r, c] = 1.0 / math.sqrt(variance + floor * floor)
    return mean, inverse_sd


@cpu.fast_kernel
def _local_rms(
    gx: np.ndarray, gy: np.ndarray, mask: np.ndarray, weight: np.ndarray, window: tuple[int, float]
):
    """Return 1 / sqrt(mean of the squared gradient + floor^2)."""
    radius, floor = window
    rows, columns = gx.shape
    square = np.empty((rows, columns), np.float32)
    for r in range(rows):
        for c in range(columns):
            square[r, c] = gx[r, c] * gx[r, c] + gy[r, c] * gy[r, c]
    inverse_rms = _local_mean(square, mask, mask, weight, radius)
    for r in range(rows):
        for c in range(columns):
            inverse_rms[r, c] = 1.0 / math.sqrt(
                max(inverse_rms[r, c], np.float32(0)) + floor * floor
            )
    return inverse_rms


@cpu.fast_kernel
def _gradient(image: np.ndarray, mask: np.ndarray, gx: np.ndarray, gy: np.ndarray):
    """Return the central differences where the mask (already eroded) is set, 0 elsewhere."""
    rows, columns = image.shape
    half = np.float32(0.5)
    for r in range(rows):
        for c in range(columns):
            gx[r, c] = 0.0
            gy[r, c] = 0.0
            if mask[r, c] > 0:
                gx[r, c] = half * (image[r, c + 1] - image[r, c - 1])
                gy[r, c] = half * (image[r + 1, c] - image[r - 1, c])


@cpu.fast_kernel
def window_weight(mask: np.ndarray, radius: int):
    """Return 1 / number of valid pixels in each window (0 where there is none)."""
    weight = np.empty(mask.shape, np.float32)
    box_sum(mask, radius, weight)
    rows, columns = mask.shape
    for r in range(rows):
        for c in range(columns):
            weight[r, c] = 1.0 / weight[r, c] if weight[r, c] > 0.5 else 0.0
    return weight


@cpu.fast_kernel
def locally_normalised(image: np.ndarray, mask: np.ndarray, window: Window):
    """Return an image as it is compared, 0 where it is not valid: less its local mean, by its local deviation."""
    weight = window_weight(mask, window.radius)
    mean, inverse_sd = local_moments(image, mask, weight, window)
    rows, columns = image.shape
    for r in range(rows):
        for c in range(columns):
            mean[r, c] = (image[r, c] - mean[r, c]) * inverse_sd[r, c] * mask[r, c]
    return mean


@cpu.fast_kernel
def intensity_residual(image, jacobian, fixed, mask, weight, window):
    """Return the residual, its derivative, the sums m f, m m, f f of the normalised images, and m.

    They are (1, rows, columns), (n, 1, rows, columns), (3,) and (1, rows, columns).
    """
    rows, columns = image.shape
    parameters = jacobian.shape[0] if jacobian.shape[1] > 0 else 0
    mean, inverse_sd = local_moments(image, mask, weight, window)
    fixed_mean, fixed_inverse_sd = local_moments(fixed, mask, weight, window)
    residual = np.zeros((1, rows, columns), np.float32)
    normalised = np.zeros((1, rows, columns), np.float32)
    products = np.zeros(3)
    for r in range(rows):
        for c in range(columns):
            if mask[r, c] > 0:
                m = (image[r, c] - mean[r, c]) * inverse_sd[r, c]
                normalised[0, r, c] = m
                f = (fixed[r, c] - fixed_mean[r, c]) * fixed_inverse_sd[r, c]
                residual[0, r, c] = m - f
                products[0] += m * f
                products[1] += m * m
                products[2] += f * f
    derivative = np.zeros((parameters, 1, rows, columns), np.float32)
    for p in range(parameters):
        # d mean = mean J,  sd d sd = mean(image J) - mean image mean J
        mean_j = _local_mean(jacobian[p], mask, mask, weight, window.radius)
        mean_ij = _local_mean(image, jacobian[p], mask, weight, window.radius)
        for r in range(rows):
            for c in range(columns):
                if mask[r, c] > 0:
                    s = inverse_sd[r, c]
                    d_sd = (mean_ij[r, c] - mean[r, c] * mean_j[r, c]) * s
                    derivative[p, 0, r, c] = (
                        jacobian[p, r, c] - mean_j[r, c] - normalised[0, r, c] * d_sd
                    ) * s
    return residual, derivative, products, normalised


@cpu.fast_kernel
def gradient_residual(image, jacobian, fixed, mask, weight, window):
    """Return the residual, its derivative, the sums m f, m m, f f of the normalised gradients, and m.

    They are (2, rows, columns), (n, 2, rows, columns), (3,) and (2, rows, columns). `mask` must
    leave out the image's border and the neighbours of false values.
    """
    rows, columns = image.shape
    parameters = jacobian.shape[0] if jacobian.shape[1] > 0 else 0
    gradient = np.empty((2, rows, columns), np.float32)
    fixed_gradient = np.empty((2, rows, columns), np.float32)
    _gradient(image, mask, gradient[0], gradient[1])
    _gradient(fixed, mask, fixed_gradient[0], fixed_gradient[1])
    scale = _local_rms(gradient[0], gradient[1], mask, weight, window)
    fixed_scale = _local_rms(fixed_gradient[0], fixed_gradient[1], mask, weight, window)
    residual = np.zeros((2, rows, columns), np.float32)
    normalised = np.zeros((2, rows, columns), np.float32)
    products = np.zeros(3)
    for i in range(2):
        for r in range(rows):
            for c in range(columns):
                if mask[r, c] > 0:
                    m = gradient[i, r, c] * scale[r, c]
                    f = fixed_gradient[i, r, c] * fixed_scale[r, c]
                    residual[i, r, c] = m - f
                    normalised[i, r, c] = m
                    products[0] += m * f
                    products[1] += m * m
                    products[2] += f * f
    derivative = np.zeros((parameters, 2, rows, columns), np.float32)
    jx = np.empty((rows, columns), np.float32)
    jy = np.empty((rows, columns), np.float32)
    product = np.empty((rows, columns), np.float32)
    for p in range(parameters):
        # rms d rms = mean(grad . grad J)
        _gradient(jacobian[p], mask, jx, jy)
        for r in range(rows):
            for c in range(columns):
                product[r, c] = gradient[0, r, c] * jx[r, c] + gradient[1, r, c] * jy[r, c]
        growth = _local_mean(product, mask, mask, weight, window.radius)
        for r in range(rows):
            for c in range(columns):
                if mask[r, c] > 0:
                    s = scale[r, c]
                    shrink = growth[r, c] * s * s
                    derivative[p, 0, r, c] = (jx[r, c] - gradient[0, r, c] * shrink) * s
                    derivative[p, 1, r, c] = (jy[r, c] - gradient[1, r, c] * shrink) * s
    return residual, derivative, products, normalised


@cpu.kernel
def ncc_of(image, fixed, mask, windows):
    """Return the local NCC of a DRR and an X-ray over the pixels that are set, by all of `Settings.windows`."""
    intensities, gradients = windows
    nothing = np.empty((0, 0, 0), np.float32)
    products = np.zeros(3)
    if intensities.radius:
        weight = window_weight(mask, intensities.radius)
        products = intensity_residual(image, nothing, fixed, mask, weight, intensities)[2]
    if gradients.radius:
        weight = window_weight(mask, gradients.radius)
        sums = gradient_residual(image, nothing, fixed, mask, weight, gradients)[2]
        for i in range(3):
            products[i] += sums[i]
    return local_ncc(products)


@cpu.fast_kernel
def slope_products(residual, normalised, mask, cauchy):
    """Return the sums (2,) whose ratio is the share of Gauss and Newton's curvature that is there.

    They leave out the residuals e = m - f times the second derivatives of m. In the sum of robust
    squares of an image that is shifted, integration by parts turns these, too, into products of
    slopes: sum psi(e) m'' = -sum psi'(e) e' m', psi(e) = w e. What is left is sum psi'(e) m' f' in
    place of sum w m' m', less where the X-ray is blurred, noisy, or shows something else. What
    turns and tilts bends about as much less.

    Parameters
    ----------
    residual, normalised
        (k, rows, columns), e and m.
    cauchy
        As of `normal_equations`.
    """
    components, rows, columns = residual.shape
    bent = 0.0
    plain = 0.0
    for r in range(rows - 1):
        for c in range(columns - 1):
            if mask[r, c] == 0:
                continue
            for down in range(2):
                below = r + down
                beside = c + 1 - down
                if mask[below, beside] == 0:
                    continue
                square = 0.0
                own = 0.0
                other = 0.0
                along = 0.0
                across = 0.0
                for i in range(components):
                    e = 0.5 * (residual[i, r, c] + residual[i, below, beside])
                    m = normalised[i, below, beside] - normalised[i, r, c]
                    f = m - residual[i, below, beside] + residual[i, r, c]
                    square += e * e
                    own += m * m
                    other += m * f
                    along += e * m
                    across += e * f
                weight = 1.0
                if cauchy > 0:
                    weight = 1.0 / (1.0 + square / (cauchy * cauchy))
                    bent -= 2.0 * weight * weight / (cauchy * cauchy) * along * across
                bent += weight * other
                plain += weight * own
    return np.array([bent, plain])


@cpu.fast_kernel
def normal_equations(residual, derivative, mask, cauchy, gradient, hessian):
    """Add J^T W e to `gradient` (n,) and J^T W J to the lower triangle of `hessian` (n, n).

    Parameters
    ----------
    cauchy
        Scale k of Cauchy's weight 1 / (1 + |e|^2 / k^2), or 0 for plain least squares.

    Returns
    -------
    float
        The sum of robust squares over the mask.
    """
    components, rows, columns = residual.shape
    parameters = derivative.shape[0]
    weight = np.empty(columns)
    j = np.empty((parameters, columns))
    weighted = np.empty(columns)
    cost = 0.0
    for r in range(rows):  # row by row, so that the sums over a row are done in vectors
        product = 1.0  # of what cauchy's logarithms are of: far fewer of them
        for c in range(columns):
            weight[c] = 0.0
            if mask[r, c] == 0:
                continue
            square = 0.0
            for i in range(components):
                square += residual[i, r, c] ** 2
            weight[c] = 1.0
            if cauchy > 0:
                ratio = 1.0 + square / (cauchy * cauchy)
                weight[c] = 1.0 / ratio
                product *= ratio
                if product > 1e200:
                    cost += cauchy * cauchy * math.log(product)
                    product = 1.0
            else:
                cost += square
        cost += cauchy * cauchy * math.log(product)
        if parameters == 0:
            continue
        for i in range(components):
            for p in range(parameters):
                total = 0.0
                for c in range(columns):
                    j[p, c] = derivative[p, i, r, c]
                    weighted[c] = weight[c] * j[p, c]
                    total += weighted[c] * residual[i, r, c]
                gradient[p] += total
                for o in range(p + 1):
                    total = 0.0
                    for c in range(columns):
                        total += weighted[c] * j[o, c]
                    hessian[p, o] += total
    return cost


@cpu.fast_kernel
def add_products(one, one_corner, other, other_corner, weight, box, sums):
    """Add the weighted products of two stacks of images, summed over pixels, to `sums` (n, m).

    Parameters
    ----------
    one, other
        (n, k, rows, columns) and (m, k, rows, columns), the parts of an image that begin at row and
        column `one_corner`, `other_corner`.
    weight
        (rows, columns) of the whole image.
    box
        Rows and columns of it, first and end, in both parts.
    """
    top, bottom, left, right = box
    weighted = np.empty(right - left, np.float32)
    for r in range(top, bottom):
        along = weight[r, left:right]
        held = np.float32(0)
        for c in range(len(weighted)):
            held += along[c]
        if held == 0:
            continue
        for i in range(one.shape[1]):
            for p in range(one.shape[0]):
                first = one[p, i, r - one_corner[0], left - one_corner[1] : right - one_corner[1]]
                for c in range(len(weighted)):
                    weighted[c] = along[c] * first[c]
                for o in range(other.shape[0]):
                    second = other[
                        o, i, r - other_corner[0], left - other_corner[1] : right - other_corner[1]
                    ]
                    total = np.float32(0)
                    for c in range(len(weighted)):
                        total += weighted[c] * second[c]
                    sums[p, o] += total


@cpu.kernel
def add_tile_hessians(derivative, along, sharp, bend, side, hessians):
    """Add `sharp` J^T J - `bend` a a^T, summed over square tiles of `side` pixels, to the lower triangles of `hessians`.

    Parameters
    ----------
    derivative
        J (n, k, rows, columns).
    along
        A (n, rows, columns).
    sharp, bend
        (rows, columns).
    hessians
        (tile rows, tile columns, n, n).
    """
    parameters, components, rows, columns = derivative.shape
    terms = np.empty(columns, np.float32)
    for r in range(rows):
        for p in range(parameters):
            for o in range(p + 1):
                for c in range(columns):
                    terms[c] = derivative[p, 0, r, c] * derivative[o, 0, r, c]
                for i in range(1, components):
                    for c in range(columns):
                        terms[c] += derivative[p, i, r, c] * derivative[o, i, r, c]
                for c in range(columns):
                    terms[c] = sharp[r, c] * terms[c] - bend[r, c] * along[p, r, c] * along[o, r, c]
                for left in range(0, columns, side):
                    total = 0.0
                    for c in range(left, min(left + side, columns)):
                        total += terms[c]
                    hessians[r // side, left // side, p, o] += total


class Residual(NamedTuple):
    """One way in which a view is compared.

    Residual (k, rows, columns), k being 1 of intensities, 2 of gradients, its derivative (n, k,
    rows, columns), the sums m f, m m, f f of what is compared, and the DRR as it is compared (k,
    rows, columns).
    """

    residual: np.ndarray
    derivative: np.ndarray
    products: np.ndarray
    drr: np.ndarray


def window_weights(settings: Settings, mask: np.ndarray) -> list[np.ndarray | None]:
    """Return `window_weight` for each way of comparing; None for one that is left out."""
    return [
        window_weight(mask, window.radius) if window.radius else None for window in settings.windows
    ]


def residuals(
    settings: Settings,
    image: np.ndarray,
    jacobian: np.ndarray,
    fixed: np.ndarray,
    mask: np.ndarray,
    weights: Sequence[np.ndarray | None],
) -> Iterator[Residual]:
    """Return the residuals of a DRR and an X-ray at the pixels that are set, for each way of comparing."""
    kernels = intensity_residual, gradient_residual
    for residual_of, window, weight in zip(kernels, settings.windows, weights, strict=True):
        if window.radius:
            yield Residual(*residual_of(image, jacobian, fixed, mask, weight, window))
