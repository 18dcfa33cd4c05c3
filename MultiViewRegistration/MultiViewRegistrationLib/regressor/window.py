"""The part of a detector that a network sees, and X-rays brought onto it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np

from ..geometry.camera import Camera
from ..imaging.xray import XRay
from ..registration.similarity import box_sum

#: Pixels to a side.
SIZE = 64
#: Share of a pixel that must be valid for the mean of that to stand for it.
_MIN_VALID = 0.5
#: Samples along either side of a pixel, at most.
_MAX_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class Window:
    """A square grid of pixels on a detector.

    camera: of the grid.   inside: bool (rows, columns), pixels whose centre lies on the X-ray's image.
    """

    camera: Camera
    inside: np.ndarray

    @classmethod
    def of(cls, camera: Camera, points: np.ndarray | None = None, size: int = SIZE) -> Window:
        """The whole image of a camera, in the middle of the square.

        Parameters
        ----------
        camera : of the X-ray.
        points : (n, 3) world mm; only as much of the image as shows them, where that is less.
        size : pixels to a side.
        """
        focal = np.abs(np.diag(camera.intrinsics)[:2])
        mm = focal.mean() / focal  # of a pixel, up to one scale
        extent = np.array(camera.size) * mm
        middle, side = (extent - mm) / 2, extent.max()
        if points is not None:
            pixels = camera.project(points) * mm
            low, high = pixels.min(axis=0), pixels.max(axis=0)
            if (camera.depth(points) > 0).all() and (high - low).max() < side:
                side = (high - low).max()
                room = np.maximum(extent - side, 0) / 2  # what is off the image shows nothing
                middle = np.clip((low + high) / 2, middle - room, middle + room)
        grid_from_pixels = np.diag([*(size / side * mm), 1.0])
        grid_from_pixels[:2, 2] = (size - 1) / 2 - size / side * middle
        grid = Camera(grid_from_pixels @ camera.intrinsics, camera.camera_from_world, (size, size))
        pixels = (np.arange(size)[:, None] - grid_from_pixels[:2, 2]) / np.diag(grid_from_pixels)[:2]
        columns, rows = ((pixels >= -0.5) & (pixels <= np.array(camera.size) - 0.5)).T
        return cls(grid, rows[:, None] & columns)

    def pixel_mm_at(self, points: np.ndarray) -> np.ndarray:
        """(...) mm: how far apart neighbouring pixels' rays are at world points (..., 3)."""
        fx, fy = np.abs(np.diag(self.camera.intrinsics)[:2])
        return self.camera.depth(points) / math.sqrt(fx * fy)


def prepare(xray: XRay, camera: Camera, grid: Camera, out: np.ndarray | None = None) -> np.ndarray:
    """An X-ray as a network sees it: (2, rows, columns) float32, standardised, and 1 where valid, else 0; in `out` if that is given.

    Parameters
    ----------
    camera : that took it.
    grid : that of the network's image, with the same source. The two may be turned against each other, and have different intrinsics:
        another detector behind the same source shows the same rays.
    """
    turn = camera.camera_from_world[:3, :3] @ grid.camera_from_world[:3, :3].T
    pixels_from_grid = camera.intrinsics @ turn @ np.linalg.inv(grid.intrinsics)
    shape = grid.size[::-1]
    line, valid = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    _resample(xray.line_integrals, xray.valid.view(np.uint8), pixels_from_grid, line, valid)
    out = np.empty((2, *shape), np.float32) if out is None else out
    standardise(line, valid, out[0])
    out[1] = valid
    return out


@nb.njit(nogil=True, cache=True)
def _resample(image, usable, pixels_from_grid, line, valid):
    """Means of the usable pixels that fall into each pixel of the grid, and whether these are enough; 0 where there are none."""
    rows, columns = image.shape
    h = pixels_from_grid
    step = math.sqrt(abs(h[0, 0] * h[1, 1] - h[0, 1] * h[1, 0])) / abs(h[2, 2])
    samples = min(max(math.ceil(step - 1e-6), 4), _MAX_SAMPLES)
    along = h[:, 0] / samples
    for r in range(line.shape[0]):
        for c in range(line.shape[1]):
            total, count = 0.0, 0
            for i in range(samples):
                x, y = c + 0.5 / samples - 0.5, r + (i + 0.5) / samples - 0.5
                p = h[0, 0] * x + h[0, 1] * y + h[0, 2]
                q = h[1, 0] * x + h[1, 1] * y + h[1, 2]
                w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
                for j in range(samples):
                    share = 1.0 / (w + j * along[2])
                    u = (
                        int((p + j * along[0]) * share + 1.5) - 1
                    )  # of what is above -1.5, as floor(. + 0.5), in half the time
                    v = int((q + j * along[1]) * share + 1.5) - 1
                    if 0 <= u < columns and 0 <= v < rows and usable[v, u]:
                        total += image[v, u]
                        count += 1
            line[r, c] = total / max(count, 1)
            valid[r, c] = count >= _MIN_VALID * samples * samples


#: Pixels to each side over which brightness and contrast are evened out, in an image of 64; the noise floor, in deviations of the image.
WINDOW, FLOOR = 10, 0.2
#: Standard deviations beyond which a value is cut off, so that metal does not decide about the contrast of all else.
CUT = 2.5
#: Beyond this the local value is cut off.
LARGEST = 4.0


@nb.njit(nogil=True, fastmath=True, cache=True)
def standardise(line, valid, out):
    """Locally normalised log image: gain, offset, slow shading, scatter and the scale of its logarithm do not count.

        x = (line - mean) / sd over the valid pixels, cut off at +-2.5 and again;   out = (x - mean_w x) / sqrt(var_w x + FLOOR^2)

    over the valid pixels of a square window w; 0, the neutral value, where not valid.

    line: (rows, columns) float32.   valid: (rows, columns) uint8.   out: (rows, columns) float32.
    """
    rows, columns = line.shape
    radius = max(1, (WINDOW * rows + 32) // 64)
    low, high = -1e30, 1e30
    mean, inverse_sd = 0.0, 0.0
    for _ in range(2):
        count, total, squares = 0, 0.0, 0.0
        for r in range(rows):
            for c in range(columns):
                value = min(max(line[r, c], low), high) * valid[r, c]
                count += valid[r, c]
                total += value
                squares += value * value
        mean = total / max(count, 1)
        sd = math.sqrt(max(squares / max(count, 1) - mean * mean, 1e-12))
        inverse_sd = 1.0 / sd
        low, high = mean - CUT * sd, mean + CUT * sd
    weights = valid.astype(np.float32)
    values, squares_of = np.empty_like(weights), np.empty_like(weights)
    for r in range(rows):
        for c in range(columns):
            values[r, c] = np.float32((min(max(line[r, c], low), high) - mean) * inverse_sd) * weights[r, c]
            squares_of[r, c] = values[r, c] * values[r, c]
    sums = values.copy()
    box_sum(weights, radius, weights)
    box_sum(sums, radius, sums)
    box_sum(squares_of, radius, squares_of)
    for r in range(rows):
        for c in range(columns):
            share = 1.0 / max(weights[r, c], 1.0)
            local = sums[r, c] * share
            variance = max(squares_of[r, c] * share - local * local, 0.0)
            value = (values[r, c] - local) / math.sqrt(variance + FLOOR * FLOOR)
            out[r, c] = min(max(value, -LARGEST), LARGEST) * valid[r, c]
