"""What an image intensifier bends, from a plate with a square grid of beads or holes before it.

The earth's magnetic field bends the electrons' paths, so that distortion, and by up to a degree the
rotation of the image, depend on how the C-arm stands. Each pose's image is a polynomial of that
without distortion (Fahrig et al., Med Phys 24, 1997).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, naming

DEGREE = 5
POWERS = np.array([(i, n - i) for n in range(DEGREE + 1) for i in range(n + 1)])
#: Distance of a node from where its neighbours have it, as a share of the grid's spacing.
NEAR_SHARE = 0.25
#: Nodes below which no polynomial is fitted, and standard deviations beyond which one is left out.
MIN_NODES = 2 * len(POWERS)
OUTLIER_SDS = 4.0
#: A pose's distortion is interpolated with so large a share of noise in its variance.
NOISE_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class PolynomialDistortion:
    """A polynomial of degree DEGREE from pixels of the undistorted image to shifts in the stored one.

    Attributes
    ----------
    coefficients
        (21, 2) px, of the monomials POWERS of the place in half sizes from the image's middle.
    size
        Columns and rows of the image.
    """

    coefficients: np.ndarray
    size: tuple[int, int]

    def distort(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (..., 2) of the stored image from those of the undistorted one."""
        return pixels + monomials(pixels, self.size) @ self.coefficients

    def distort_pixels(self, intrinsics: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """As `distort`, with intrinsics that it does not need, as `Distortion` has it."""
        return self.distort(np.asarray(pixels, float))


def monomials(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (..., 21): the monomials POWERS at pixels (..., 2) of an image."""
    half = max(size) / 2
    x, y = np.moveaxis((np.asarray(pixels, float) - (np.array(size) - 1) / 2) / half, -1, 0)
    return x[..., None] ** POWERS[:, 0] * y[..., None] ** POWERS[:, 1]


def grid_of(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the pixels (n, 2) are nodes of a square grid, (m,), and their places in it, (m, 2) whole numbers.

    From the pixel nearest to the middle outwards: each node says where its neighbours are. The
    grid's first axis is that along columns.

    Raises
    ------
    InputError
        Where they form none.
    """
    from scipy.spatial import cKDTree

    if len(pixels) < MIN_NODES:
        raise InputError(
            f"found {len(pixels)} beads or holes of the plate, expected {MIN_NODES} or more; show "
            "more of it."
        )
    tree = cKDTree(pixels)
    first = int(np.linalg.norm(pixels - np.median(pixels, axis=0), axis=1).argmin())
    away = pixels[tree.query(pixels[first], 5)[1][1:]] - pixels[first]
    along = away[np.abs(away[:, 0]).argmax()] * np.sign(away[np.abs(away[:, 0]).argmax(), 0])
    steps = np.array([along, [-along[1], along[0]]])
    places = {first: (0, 0)}
    taken = {(0, 0)}
    ahead = deque([(first, steps)])
    while ahead:
        node, steps = ahead.popleft()
        for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
            place = np.array(places[node]) + sign * np.eye(2, dtype=int)[axis]
            key = (int(place[0]), int(place[1]))
            distance, other = tree.query(pixels[node] + sign * steps[axis])
            near = distance < NEAR_SHARE * np.linalg.norm(steps[axis])
            if not near or int(other) in places or key in taken:
                continue
            places[int(other)] = key
            taken.add(key)
            local = steps.copy()
            local[axis] = sign * (pixels[other] - pixels[node])
            ahead.append((int(other), local))
    if len(places) < max(MIN_NODES, len(pixels) // 3):
        raise InputError(
            f"{len(places)} of the {len(pixels)} beads or holes found lie on a square grid, "
            f"expected {MIN_NODES} or more and a third of all; check that the image shows the plate."
        )
    return np.array(list(places)), np.array(list(places.values()))


@dataclass(frozen=True, eq=False)
class PlateFit:
    """The distortion of one pose.

    Attributes
    ----------
    distortion
        Of its image.
    pixels, residuals
        (m, 2) px of the nodes, and where the polynomial has them less that.
    ideal
        (m, 2) px of the nodes without distortion.
    """

    distortion: PolynomialDistortion
    pixels: np.ndarray
    residuals: np.ndarray
    ideal: np.ndarray

    @property
    def rms_px(self) -> float:
        """Root mean square length of the residuals."""
        return float(np.sqrt(np.square(self.residuals).sum(axis=1).mean()))

    @property
    def largest_px(self) -> float:
        """By how much the distortion shifts a node at most."""
        return float(np.linalg.norm(self.ideal - self.pixels, axis=1).max())


def fitted_plates(
    images: Sequence[np.ndarray], size: tuple[int, int], names: Sequence[str]
) -> list[PlateFit]:
    """Return the distortion of each pose.

    Undistorted is the square grid that lies nearest to the nodes of all poses, so that what all
    have in common of rotation, scale and shift stays with the cameras.

    Parameters
    ----------
    images
        For each pose (n, 2), pixels of what may be beads or holes of the plate.
    size
        Of all images.
    names
        Of the images, with which messages begin.
    """
    found = []
    for pixels, name in zip(images, names, strict=True):
        with naming(name):
            nodes, places = grid_of(pixels)
        found.append((pixels[nodes], _as_complex(places)))
    reference: tuple[complex, complex] | None = None
    aligned = []
    for pixels, places in found:
        if reference is not None:  # which node is the first one, none of them tells
            turn, shift = reference
            off = np.median((_as_complex(pixels) - shift) / turn - places)
            places = places + np.round(off.real) + 1j * np.round(off.imag)
        else:
            reference = _similarity(places, _as_complex(pixels))
        aligned.append(places)
    turn, shift = _similarity(
        np.concatenate(aligned), np.concatenate([_as_complex(pixels) for pixels, _ in found])
    )
    fits = []
    for (pixels, _), places in zip(found, aligned, strict=True):
        on_grid = turn * places + shift
        fits.append(_fitted(pixels, np.column_stack([on_grid.real, on_grid.imag]), size))
    return fits


def _fitted(pixels: np.ndarray, ideal: np.ndarray, size: tuple[int, int]) -> PlateFit:
    basis = monomials(ideal, size)
    kept = np.ones(len(pixels), bool)
    for _ in range(3):
        coefficients = np.linalg.lstsq(basis[kept], (pixels - ideal)[kept], rcond=None)[0]
        residuals = ideal + basis @ coefficients - pixels
        length = np.linalg.norm(residuals, axis=1)
        kept = length <= OUTLIER_SDS * max(float(np.median(length[kept])), 1e-9)
    return PlateFit(
        PolynomialDistortion(coefficients, size), pixels[kept], residuals[kept], ideal[kept]
    )


def _as_complex(points: np.ndarray) -> np.ndarray:
    return points[:, 0] + 1j * points[:, 1]


def _similarity(places: np.ndarray, pixels: np.ndarray) -> tuple[complex, complex]:
    """Return the turn with scale, and the shift, that take places (n,) nearest to pixels (n,)."""
    system = np.column_stack([places, np.ones(len(places))])
    (turn, shift), *_ = np.linalg.lstsq(system, pixels, rcond=None)
    return turn, shift


def distortion_between(
    rotations: np.ndarray, distortions: Sequence[PolynomialDistortion], rotation: np.ndarray
) -> PolynomialDistortion:
    """Return the distortion of a pose from those measured.

    What bends the image is a field that stays while the C-arm turns: its components along the
    intensifier's axes, and with them the coefficients, are linear in the entries of the rotation. So
    this is the regression on these, with a constant, of least norm (kriging with that kernel).

    Parameters
    ----------
    rotations
        (n, 3, 3) of the C-arm where it was measured.
    rotation
        (3, 3).
    """
    kernel = 1 + np.einsum("nij,mij->nm", rotations, rotations)
    to = 1 + np.einsum("nij,ij->n", rotations, rotation)
    weights = np.linalg.solve(kernel + NOISE_SHARE * np.trace(kernel) * np.eye(len(kernel)), to)
    weights += (1 - weights.sum()) / len(weights)
    coefficients = np.einsum("n,nij->ij", weights, [each.coefficients for each in distortions])
    return PolynomialDistortion(coefficients, distortions[0].size)
