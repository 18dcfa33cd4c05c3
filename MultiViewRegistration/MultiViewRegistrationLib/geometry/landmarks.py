"""The start pose from anatomical landmarks.

3D points in the CT and where they are in one or more X-rays.

In coordinates x = (X, Y, Z) of a camera and with m = (X, Y) / Z a point's normalised image
position, X - m_x Z and Y - m_y Z are 0 at the true pose; of a slot scan, with m_y = Y, so is Y -
m_y. In the world that is A (R x_ct + t) + b = 0, with A (2, 3) and b (2,) known for each position:
linear in R and t, in mm across the ray at the point's depth (Lu, Hager and Mjolsness, IEEE TPAMI
22(6), 2000). It makes no difference which camera a row belongs to, so one view or several, coplanar
points or not, are one problem.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import InputError
from . import rigid
from .camera import Camera

MAX_LINE_RATIO = 0.03
"""Landmarks are on a line if their rms distance from the best line is below this share of their rms distance along it, and below
LINE_MM."""
MAX_LINE_MM = 5.0
MAX_POSITION_ERROR_MM = 10.0
"""No position farther than this from its landmark is used."""
MIN_OUTLIER_MM = 1.0
"""A position nearer than this is never left out."""
MIN_USED_SHARE = 2 / 3
"""A pose is accepted where it fits more than this share of the positions."""
MAX_LISTED = 6
PLACED_MM = 2.0
"""The precision of a landmark's placement: residuals well above this lose their weight."""
FAR_MM = 1000.0
"""The assumed depth of a point behind its source."""
SAMPLE = 4
"""Positions that determine a pose: three leave up to eight answers."""
SAMPLES = 64
"""With 30 % mismatches, 15 samples of 4 without one are to be expected among so many."""
REFINED = 5
ITERATIONS = 12
#: Poses that differ by less than this at the centre of the landmarks are one answer.
SAME_DEG = 2.0
SAME_MM = 2.0


@dataclass(frozen=True, eq=False)
class Landmark:
    """A named point of the anatomy.

    Parameters
    ----------
    ct
        (3,) CT mm, LPS.
    pixels
        By the name of each view that shows it, (column, row).
    """

    name: str
    ct: np.ndarray
    pixels: Mapping[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """Return the landmark as a case.json has it."""
        return {"name": self.name, "ct": self.ct, "views": dict(self.pixels)}


@dataclass(frozen=True)
class LandmarkResidual:
    """The distance of a landmark from its position in a view.

    In pixels, and in mm across the ray at the landmark's depth.

    Parameters
    ----------
    used
        False for an outlier, which does not count for the pose.
    swapped_with
        The landmark whose position in this view this one would fit, and the other way round; "" if
        there is none.
    """

    name: str
    view: str
    residual_px: float
    residual_mm: float
    used: bool
    swapped_with: str = ""

    @property
    def status(self) -> str:
        """The use of the position in the fit, in words."""
        if self.used:
            return "used"
        return (
            f'left out, swapped with "{self.swapped_with}"?'
            if self.swapped_with
            else "left out, does not fit"
        )


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """The pose (4, 4) world_from_ct that fits the landmarks, and how each fits.

    Parameters
    ----------
    alternatives
        Other poses, (4, 4) each, that fit as many positions nearly as well, as few or coplanar
        landmarks in one view allow.
    """

    world_from_ct: np.ndarray
    residuals: tuple[LandmarkResidual, ...]
    alternatives: tuple[np.ndarray, ...] = ()

    @property
    def rms_mm(self) -> float:
        """Root mean square of the residuals that are used."""
        return float(
            np.sqrt(
                np.mean([residual.residual_mm**2 for residual in self.residuals if residual.used])
            )
        )


def locate(landmarks: Sequence[Landmark], cameras: Mapping[str, Camera]) -> LandmarkFit:
    """Find the pose of the CT from landmarks in all views together, without a start.

    Mismatches are found and left out.

    The same input gives the same pose.

    Parameters
    ----------
    cameras
        By the view's name.

    Raises
    ------
    InputError
        Where a landmark is named twice, seen in no view of that name or outside its image; where
        there are fewer than three landmarks, fewer than four positions (three leave several poses),
        or all landmarks are on one line; and where no pose fits more than two thirds of the
        positions.
    """
    check(landmarks, cameras)
    seen = [(landmark, view) for landmark in landmarks for view in landmark.pixels]
    positions = Positions(
        points=np.array([landmark.ct for landmark, _ in seen], float).reshape(-1, 3),
        landmark=np.repeat(
            np.arange(len(landmarks)), [len(landmark.pixels) for landmark in landmarks]
        ),
        pixels=np.array([landmark.pixels[view] for landmark, view in seen], float).reshape(-1, 2),
        cameras=[cameras[view] for _, view in seen],
    )
    missing = _missing(positions)
    if missing:
        raise InputError(f"landmarks: {missing}.")
    fits = [_fit(positions, seen, pose) for pose in robust_poses(positions)]
    best = fits[0]
    used = np.array([residual.used for residual in best.residuals])
    if used.sum() <= MIN_USED_SHARE * len(used) or _missing(positions, used):
        raise InputError(_describe_mismatch(best))
    answers = [fit.world_from_ct for fit in fits if fit is best or _is_alternative(fit, best)]
    return replace(best, alternatives=tuple(distinct(positions, answers)[1:]))


def check(landmarks: Sequence[Landmark], cameras: Mapping[str, Camera]) -> None:
    """Refuse landmarks that cannot be used.

    Raises
    ------
    InputError
        For a name given twice, a view that does not exist, a pixel outside the image.
    """
    named: set[str] = set()
    for landmark in landmarks:
        label = f'landmarks: "{landmark.name}"'
        if landmark.name in named:
            raise InputError(
                f"{label} is given twice, expected each landmark once with all its views; rename "
                "or remove one."
            )
        named.add(landmark.name)
        for view, pixel in landmark.pixels.items():
            if view not in cameras:
                views = ", ".join(f'"{name}"' for name in cameras)
                raise InputError(
                    f'{label} is seen in "{view}", which is no view, expected one of {views}; correct the name.'
                )
            column, row = pixel
            columns, rows = cameras[view].size
            if not (-0.5 <= column <= columns - 0.5 and -0.5 <= row <= rows - 0.5):
                raise InputError(
                    f'{label} is at column {column:g}, row {row:g} of "{view}", outside its {columns} x {rows} pixels, '
                    "expected [column, row] within the image; correct it or leave it out."
                )


def _missing(positions: Positions, used: np.ndarray | slice = np.s_[:]) -> str:
    """Return why the used positions do not determine a pose, or ""."""
    seen = np.unique(positions.landmark[used])
    count = len(positions.landmark[used])
    if len(seen) < 3 or count < SAMPLE:
        return (
            f"found {len(seen)} with {count} positions in the views, expected four, or three of "
            "which one or more are seen in two views, as three positions leave several poses; add "
            "landmarks or positions"
        )
    points = np.array([positions.points[positions.landmark == landmark][0] for landmark in seen])
    along, off, _ = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if off <= MAX_LINE_RATIO * along and off <= MAX_LINE_MM * np.sqrt(
        len(points)
    ):  # the latter: one may be far off by mistake
        return (
            f"all {len(seen)} that are seen lie on one line of the CT, expected at least one well "
            "off it, as the CT could turn about that line; add a landmark"
        )
    return ""


def _fit(positions: Positions, seen: list[tuple[Landmark, str]], pose: np.ndarray) -> LandmarkFit:
    """Return the fit at a robust pose.

    Outliers are found and left out, until the rest is what it was.
    """
    used = np.zeros(len(seen), bool)
    for _ in range(10):
        distance = positions.distances(pose)
        before, used = used, distance <= _limit(distance)
        if np.array_equal(before, used) or _missing(positions, used):
            break
        part = [camera for camera, use in zip(positions.cameras, used) if use]
        kept = Positions(
            positions.points[used], positions.landmark[used], positions.pixels[used], part
        )
        pose = refined(kept, pose)
    world = rigid.transform_points(pose, positions.points)
    projected = np.stack([camera.project(point) for camera, point in zip(positions.cameras, world)])
    pixels = np.linalg.norm(projected - positions.pixels, axis=1)
    distance = np.linalg.norm(positions.offsets(pose), axis=1)
    swapped = _swaps(
        positions, seen, projected, distance / pixels.clip(1e-12), used, _limit(distance)
    )
    return LandmarkFit(
        pose,
        tuple(
            LandmarkResidual(
                landmark.name, view, float(px), float(mm), bool(use), swapped.get(i, "")
            )
            for i, ((landmark, view), px, mm, use) in enumerate(zip(seen, pixels, distance, used))
        ),
    )


def _limit(distance: np.ndarray) -> float:
    """Return the mm up to which a position is no outlier.

    3.5 standard deviations of the placement in one direction.

    They come from the median distance, 1.18 of them where two directions are normal; the factor for
    few positions is that of Rousseeuw and Leroy (1987), as six numbers have been fitted. 1 in 500
    good positions is lost.
    """
    redundant = 2 * len(distance) - 6
    deviation = np.median(distance) / 1.1774 * (1 + 5 / redundant)
    return float(np.clip(3.5 * deviation, MIN_OUTLIER_MM, MAX_POSITION_ERROR_MM))


def _swaps(
    positions: Positions,
    seen: list[tuple[Landmark, str]],
    projected: np.ndarray,
    mm_per_px: np.ndarray,
    used: np.ndarray,
    limit_mm: float,
) -> dict[int, str]:
    """Return pairs of outliers whose names are probably swapped.

    Each lies where the other was marked.
    """
    swapped = {}
    for i, j in combinations(np.flatnonzero(~used), 2):
        if seen[i][1] == seen[j][1]:
            crossed = (
                np.linalg.norm(projected[[i, j]] - positions.pixels[[j, i]], axis=1)
                * mm_per_px[[i, j]]
            )
            if (crossed <= limit_mm).all():
                swapped[int(i)] = seen[j][0].name
                swapped[int(j)] = seen[i][0].name
    return swapped


def _is_alternative(fit: LandmarkFit, best: LandmarkFit) -> bool:
    """Return whether `fit` is as good an answer as the best one, within the precision of landmark placement."""
    counts = [sum(residual.used for residual in each.residuals) for each in (fit, best)]
    return counts[0] >= counts[1] and fit.rms_mm <= max(2 * best.rms_mm, MIN_OUTLIER_MM)


def _describe_mismatch(fit: LandmarkFit) -> str:
    outliers = sorted(
        (residual for residual in fit.residuals if not residual.used),
        key=lambda each: -each.residual_mm,
    )
    worst = ", ".join(
        f'"{each.name}" in "{each.view}" by {each.residual_mm:.0f} mm'
        for each in outliers[:MAX_LISTED]
    )
    more = " and more" if len(outliers) > MAX_LISTED else ""
    return (
        f"landmarks: no pose fits them, the best one misses {worst or 'some'}{more}, expected more "
        f"than two thirds of the {len(fit.residuals)} positions within {MAX_POSITION_ERROR_MM:g} "
        "mm; check their names, and whether the patient's right is on the left of an image as its "
        "geometry has it."
    )


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions of n landmarks in images: one row for each landmark and view.

    Attributes
    ----------
    points
        (n, 3) CT mm.
    landmark
        (n,) which landmark a row is of.
    pixels
        (n, 2).
    cameras
        The n cameras of the rows.
    """

    points: np.ndarray
    landmark: np.ndarray
    pixels: np.ndarray
    cameras: Sequence[Camera]

    @cached_property
    def forms(self) -> np.ndarray:
        """(n, 4, 4), `Camera.linear_forms` of each position's camera."""
        return np.stack([camera.linear_forms for camera in self.cameras])

    @cached_property
    def equations(self) -> np.ndarray:
        """(n, 2, 4): how far, in mm across it, a world point (x, 1) lies from the ray."""
        focal = np.stack([np.diag(camera.intrinsics)[:2] for camera in self.cameras])
        return (self.forms[:, :2] - self.pixels[..., None] * self.forms[:, 2:]) / focal[..., None]

    @cached_property
    def centre(self) -> np.ndarray:
        """(3,) CT mm: a point amid the landmarks, wherever a few wrong ones lie."""
        return np.median(self.points, axis=0)

    @cached_property
    def radius(self) -> float:
        """Their median distance in mm from it, by which an angle weighs."""
        return float(max(np.median(np.linalg.norm(self.points - self.centre, axis=1)), 1.0))

    def world(self, poses: np.ndarray) -> np.ndarray:
        """Return the points (..., n, 3), world mm, for poses (..., 4, 4)."""
        return rigid.transform_points(poses[..., None, :, :], self.points)

    def offsets(self, poses: np.ndarray) -> np.ndarray:
        """Return the offsets (..., n, 2), mm, from the ray at each point's depth."""
        return rigid.transform_points(self.equations, self.world(poses))

    def scale(self, poses: np.ndarray) -> np.ndarray:
        """Return the mm (..., n, 2) by which one normalised pixel is larger at the points: their depth, but 1 along a slot scan."""
        return rigid.transform_points(self.forms[:, 2:], self.world(poses))

    def distances(self, poses: np.ndarray) -> np.ndarray:
        """Return the distances (..., n), mm, from the ray at each point's depth.

        Infinite for a point behind its source.
        """
        off = np.linalg.norm(self.offsets(poses), axis=-1)
        return np.where(self.scale(poses)[..., 0] > 0, off, np.inf)


def robust_poses(positions: Positions) -> list[np.ndarray]:
    """Return distinct poses (4, 4) world_from_ct, that with the lowest robust cost first.

    Usually one stands out.

    Poses of all positions and of random samples of four are scored over all positions by Cauchy's
    robust cost; the best ones are refined by it over all (RANSAC with local optimisation: Fischler
    and Bolles 1981, Chum et al. 2003). The same positions give the same poses.

    Parameters
    ----------
    positions
        Four or more, of three landmarks that are not on one line.
    """
    whole = np.arange(len(positions.points))[None]
    samples = _samples(positions.landmark, np.random.default_rng(0))
    poses = np.concatenate([_solved(positions, rows) for rows in (whole, samples)])
    chosen = distinct(positions, poses[np.argsort(_cost(positions, poses), kind="stable")])
    found = np.stack([refined(positions, pose, loss="cauchy") for pose in chosen])
    return distinct(positions, found[np.argsort(_cost(positions, found), kind="stable")])


def refined(positions: Positions, pose: np.ndarray, loss: str = "linear") -> np.ndarray:
    """Return the pose (4, 4) with the least reprojection error, from one nearby.

    The error is that in the image, taken to mm at the depth where each point lies at first: with
    the depth left free, noise would draw the points to the source.

    Parameters
    ----------
    pose
        (4, 4), the one nearby.
    loss
        As in scipy.optimize.least_squares, on the scale of PLACED_MM.
    """
    from scipy.optimize import least_squares  # slow to import, and only landmarks and votes need it

    depth = positions.scale(pose)
    pivot = rigid.transform_points(pose, positions.centre)

    def moved(twist: np.ndarray) -> np.ndarray:
        return rigid.moved(pose, twist / np.repeat([positions.radius, 1], 3), pivot)

    def residuals(twist: np.ndarray) -> np.ndarray:
        there = moved(twist)
        share = depth / np.maximum(positions.scale(there), 1.0)
        return (share * positions.offsets(there)).ravel()

    return moved(least_squares(residuals, np.zeros(6), loss=loss, f_scale=PLACED_MM, xtol=1e-10).x)


def _samples(landmark: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (up to SAMPLES, SAMPLE) rows, of three landmarks or more each."""
    drawn = np.sort(
        np.argsort(rng.random((16 * SAMPLES, len(landmark))), axis=1)[:, :SAMPLE], axis=1
    )
    kinds = np.sort(landmark[drawn], axis=1)
    drawn = drawn[(np.diff(kinds, axis=1) > 0).sum(axis=1) >= 2]
    _, first = np.unique(drawn, axis=0, return_index=True)
    return drawn[np.sort(first)[:SAMPLES]]


def _solved(positions: Positions, rows: np.ndarray) -> np.ndarray:
    """Return the poses (N, 4, 4) of the samples `rows` (S, k), from the 24 rotations of the cube each.

    Gauss-Newton on rotation and translation. A little of the diagonal is added to the normal
    equations, as a sample may leave a direction undetermined.
    """
    from scipy.spatial.transform import Rotation  # slow to import, too

    equations = positions.equations[rows][:, None]  # (S, 1, k, 2, 4)
    A = equations[..., :3]
    centre = positions.centre
    radius = positions.radius
    points = (positions.points - centre)[rows][:, None]
    poses = len(rows), 24
    R = np.broadcast_to(Rotation.create_group("O").as_matrix(), (*poses, 3, 3))
    t = np.zeros((*poses, 3))
    for _ in range(ITERATIONS):
        turned = points @ np.swapaxes(R, -1, -2)  # (S, 24, k, 3)
        turn = -A @ rigid.hat(turned / radius)
        J = np.concatenate([turn, np.broadcast_to(A, turn.shape)], axis=-1).reshape(*poses, -1, 6)
        across = (A @ (turned + t[:, :, None])[..., None])[..., 0] + equations[..., 3]
        transposed = np.swapaxes(J, -1, -2)
        right = transposed @ across.reshape(*poses, -1, 1)
        step = -np.linalg.solve(transposed @ J + 1e-3 * np.eye(6), right)[..., 0]
        R = rigid.exp_so3(step[..., :3] / radius) @ R
        t = t + step[..., 3:]
    return rigid.from_rotation_translation(R, t - rigid.rotate(R, centre)).reshape(-1, 4, 4)


def _cost(positions: Positions, poses: np.ndarray) -> np.ndarray:
    """Return Cauchy's cost (N,) of poses (N, 4, 4)."""
    return np.log1p((positions.distances(poses).clip(max=FAR_MM) / PLACED_MM) ** 2).sum(axis=-1)


def distinct(positions: Positions, poses: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """Return the first REFINED poses in their order, without those that are nearly the same as an earlier one."""
    to_centre = rigid.translation(positions.centre)
    kept: list[np.ndarray] = []
    for pose in np.asarray(poses) @ to_centre:
        if all(
            np.degrees(rigid.rotation_distance(pose, other)) > SAME_DEG
            or rigid.translation_distance(pose, other) > SAME_MM
            for other in kept
        ):
            kept.append(pose)
        if len(kept) == REFINED:
            break
    return [pose @ rigid.inverse(to_centre) for pose in kept]
