"""Images as a network sees them.

Windows of a detector, X-rays brought onto them, and training images of one CT, made on the fly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import CT, Volume, attenuation
from ..imaging.xray import XRay
from ..registration.similarity import Window as Compared
from ..registration.similarity import locally_normalised
from ..rendering.cpu import fast_kernel, kernel
from ..rendering.devices import begin_tasks
from ..rendering.drr import cut_ends
from .bases import BASES, Bases, Stacks, project, varied
from .randomise import BODY, BONE, Randomisation, hardened_body, random_xray

#: Size of a voxel in pixels: a body's as coarse as can be without its images looking different, for
#: speed; of one bone, which is small, the cortex must be distinguishable from the marrow.
_VOXEL_OF_BODY = 1.25
_VOXEL_OF_STRUCTURE = 0.7
#: Images that a thread makes at a time: few, so that a step's 32 are work for 16 threads.
_BLOCK = 2
#: Pixels to a side.
SIZE = 64
#: Share of a pixel that must be valid for the mean of that to stand for it.
_MIN_VALID = 0.5
#: Samples along either side of a pixel, at most.
_MAX_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class Window:
    """A square grid of pixels on a detector.

    Attributes
    ----------
    camera
        Of the grid.
    inside
        Bool (rows, columns), pixels whose centre lies on the X-ray's image.
    """

    camera: Camera
    inside: np.ndarray

    @classmethod
    def of(cls, camera: Camera, points: np.ndarray | None = None, size: int = SIZE) -> Window:
        """Return the whole image of a camera, in the middle of the square.

        Parameters
        ----------
        camera
            Of the X-ray.
        points
            (n, 3) world mm; only as much of the image as shows them, where that is less. About
            their middle the grid's pixels are square; those of a slot scan are so at one depth
            alone, those of a pinhole anywhere.
        size
            Pixels to a side.
        """
        middle_px = camera.middle
        mm = camera.pixel_mm(
            camera.at_depth(middle_px, camera.focal_px) if points is None else points.mean(axis=0)
        )
        extent = np.array(camera.size) * mm
        middle = (extent - mm) / 2
        side = extent.max()
        if points is not None:
            pixels = camera.project(points) * mm
            low = pixels.min(axis=0)
            high = pixels.max(axis=0)
            if (camera.depth(points) > 0).all() and (high - low).max() < side:
                side = (high - low).max()
                room = np.maximum(extent - side, 0) / 2  # what is off the image shows nothing
                middle = np.clip((low + high) / 2, middle - room, middle + room)
        grid_from_pixels = np.diag([*(size / side * mm), 1.0])
        grid_from_pixels[:2, 2] = (size - 1) / 2 - size / side * middle
        grid = replace(camera, intrinsics=grid_from_pixels @ camera.intrinsics, size=(size, size))
        pixels = (np.arange(size)[:, None] - grid_from_pixels[:2, 2]) / np.diag(grid_from_pixels)[
            :2
        ]
        columns, rows = ((pixels >= -0.5) & (pixels <= np.array(camera.size) - 0.5)).T
        return cls(grid, rows[:, None] & columns)

    def pixel_mm_at(self, points: np.ndarray) -> np.ndarray:
        """Return (...) mm: how far apart neighbouring pixels' rays are at world points (..., 3)."""
        return np.sqrt(self.camera.pixel_mm(points).prod(axis=-1))


def prepare(xray: XRay, camera: Camera, grid: Camera, out: np.ndarray | None = None) -> np.ndarray:
    """Return an X-ray as a network sees it, (2, rows, columns) float32.

    Standardised, and 1 where valid, else 0.

    Parameters
    ----------
    camera
        The camera that took it.
    grid
        That of the network's image, with the same source. The two may have different intrinsics
        and, but for slot scans, be turned against each other: another detector behind the same
        source shows the same rays.
    out
        Where it is written, if that is given.
    """
    turn = camera.camera_from_world[:3, :3] @ grid.camera_from_world[:3, :3].T
    pixels_from_grid = camera.intrinsics @ turn @ np.linalg.inv(grid.intrinsics)
    shape = grid.size[::-1]
    line = np.empty(shape, np.float32)
    valid = np.empty(shape, np.uint8)
    _resample(xray.line_integrals, xray.valid.view(np.uint8), pixels_from_grid, line, valid)
    out = np.empty((2, *shape), np.float32) if out is None else out
    standardise(line, valid, out[0])
    out[1] = valid
    return out


@kernel
def _resample(image, usable, pixels_from_grid, line, valid):
    """Return means of the usable pixels that fall into each pixel of the grid, and whether these are enough; 0 where there are none."""
    rows, columns = image.shape
    h = pixels_from_grid
    step = math.sqrt(abs(h[0, 0] * h[1, 1] - h[0, 1] * h[1, 0])) / abs(h[2, 2])
    samples = min(max(math.ceil(step - 1e-6), 4), _MAX_SAMPLES)
    along = h[:, 0] / samples
    for r in range(line.shape[0]):
        for c in range(line.shape[1]):
            total = 0.0
            count = 0
            for i in range(samples):
                x = c + 0.5 / samples - 0.5
                y = r + (i + 0.5) / samples - 0.5
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


#: Pixels to each side over which brightness and contrast are evened out, in an image of 64; the
#: noise floor, in deviations of the image.
WINDOW = 10
FLOOR = 0.2
#: Standard deviations beyond which a value is cut off, so that metal does not decide about the
#: contrast of all else.
CUT = 2.5
#: Beyond this the local value is cut off.
MAX_LOCAL = 4.0


@fast_kernel
def standardise(line, valid, out):
    """Normalise a log image locally.

    Gain, offset, slow shading, scatter and the scale of its logarithm do not count.

    x = (line - mean) / sd over the valid pixels, cut off at +-2.5 and again; out = (x - mean_w x) /
    sqrt(var_w x + FLOOR^2)

    over the valid pixels of a square window w; 0, the neutral value, where not valid.

    Parameters
    ----------
    line
        (rows, columns) float32.
    valid
        (rows, columns) uint8.
    out
        (rows, columns) float32.
    """
    rows, columns = line.shape
    radius = max(1, (WINDOW * rows + 32) // 64)
    low = -1e30
    high = 1e30
    mean = 0.0
    inverse_sd = 0.0
    for _ in range(2):
        count = 0
        total = 0.0
        squares = 0.0
        for r in range(rows):
            for c in range(columns):
                value = min(max(line[r, c], low), high) * valid[r, c]
                count += valid[r, c]
                total += value
                squares += value * value
        mean = total / max(count, 1)
        sd = math.sqrt(max(squares / max(count, 1) - mean * mean, 1e-12))
        inverse_sd = 1.0 / sd
        low = mean - CUT * sd
        high = mean + CUT * sd
    mask = valid.astype(np.float32)
    values = np.empty_like(mask)
    for r in range(rows):
        for c in range(columns):
            value = np.float32((min(max(line[r, c], low), high) - mean) * inverse_sd)
            values[r, c] = value * mask[r, c]
    local = locally_normalised(values, mask, Compared(radius, FLOOR))
    for r in range(rows):
        for c in range(columns):
            out[r, c] = min(max(local[r, c], -MAX_LOCAL), MAX_LOCAL)


class TrainingImages:
    """A CT made ready for images of it by the thousand.

    All of the CT is rendered, whatever its mask holds.

    Parameters
    ----------
    pixel_mm
        Of a window at the anatomy (`Window.pixel_mm_at`), to which the voxels are suited.
    how
        The random nuisances of each image; by default BODY, or BONE of relative values, which have
        no soft tissue.
    variants
        How many continuations of the body beyond the CT's ends, from `seed`; each batch takes one.
    """

    def __init__(
        self,
        ct: CT,
        pixel_mm: float,
        how: Randomisation | None = None,
        *,
        variants: int = 4,
        seed: int = 0,
    ) -> None:
        structure = ct.mask is not None or ct.unit != "hu"
        self.centroid = ct.centroid()
        mu = attenuation(replace(ct, mask=None))
        self._anatomy = _variants(mu, pixel_mm, structure, variants, seed)
        self.how = how or (BODY if ct.unit == "hu" else BONE)

    def harden(self, hardness: float) -> None:
        """Make harder images of a body from now on, see `hardened_body`."""
        if self.how == BODY:
            self.how = hardened_body(hardness)

    def batch(
        self, world_from_ct: np.ndarray, windows: Sequence[Window], rng: np.random.Generator
    ) -> np.ndarray:
        """Return random images (n, views, 2, rows, columns) float32.

        Standardised, and 1 where valid, else 0.

        Parameters
        ----------
        world_from_ct
            (n, 4, 4), or (n, views, 4, 4) where a view's geometry is off by itself.
        windows
            One a view, of one size.
        rng
            All random numbers come from it, the same on any number of threads.
        """
        return self.begin(world_from_ct, windows, rng)()

    def begin(
        self, world_from_ct: np.ndarray, windows: Sequence[Window], rng: np.random.Generator
    ) -> Callable[[], np.ndarray]:
        """Have other threads begin with a batch; what is returned makes the rest of it."""
        poses = np.asarray(world_from_ct, float)
        if poses.ndim == 3:
            poses = np.broadcast_to(poses[:, None], (len(poses), len(windows), 4, 4))
        stacks = self._anatomy[rng.integers(len(self._anatomy))]
        generators = rng.spawn(poses.shape[0] * poses.shape[1])
        out = np.empty((*poses.shape[:2], 2, *windows[0].inside.shape), np.float32)
        tasks = []
        for view, window in enumerate(windows):
            arguments = (
                stacks,
                *stacks.rays(window.camera, poses[:, view]),
                self.how,
                window.pixel_mm_at(rigid.transform_points(poses[:, view], self.centroid)),
                window.inside.view(np.uint8),
                out[:, view],
            )
            own = generators[view * len(out) : (view + 1) * len(out)]
            tasks += [
                partial(_make_images, *arguments, own, range(start, min(start + _BLOCK, len(out))))
                for start in range(0, len(out), _BLOCK)
            ]
        finish = begin_tasks(tasks)

        def finished() -> np.ndarray:
            finish()
            return out

        return finished


def _variants(mu: Volume, pixel_mm: float, structure: bool, count: int, seed: int) -> list[Stacks]:
    voxel_mm = pixel_mm * (_VOXEL_OF_STRUCTURE if structure else _VOXEL_OF_BODY)
    bases = Bases.of(mu, voxel_mm)
    cut = cut_ends(mu)
    rng = np.random.default_rng(seed)
    return [Stacks.of(varied(bases, cut, rng, structure=structure)) for _ in range(count)]


def _make_images(
    stacks: tuple,
    stack: np.ndarray,
    rays: tuple,
    how: Randomisation,
    mm: np.ndarray,
    inside: np.ndarray,
    out: np.ndarray,
    generators: Sequence[np.random.Generator],
    numbers: range,
) -> None:
    """Simulate the images with these indices, each with its own random generator."""
    for n in numbers:
        _make_image(stacks, stack, rays, n, how, mm[n], inside, generators[n], out[n])


@kernel
def _make_image(stacks, stack, rays, n, how, mm, inside, rng, out):
    """Make one of a view's images, (2, rows, columns).

    Parameters
    ----------
    stacks, stack, rays, how
        Of the anatomy, see `bases.project`; a `Randomisation`.
    """
    rows, columns = inside.shape
    bases = np.empty((BASES, rows, columns), np.float32)
    line = np.empty((rows, columns), np.float32)
    project(stacks, stack, rays, n, bases)
    valid = inside.copy()
    random_xray(how, bases, mm, rng, line, valid)
    standardise(line, valid, out[0])
    out[1] = valid
