"""The start pose from anatomical landmarks: 3D points in the CT and where they are in one or more X-rays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ..errors import InputError
from . import pnp, rigid
from .camera import Camera

MAX_LINE_RATIO = 0.03
"""Landmarks are on a line if their rms distance from the best line is below this share of their rms distance along it, and below
LINE_MM."""
MAX_LINE_MM = 5.0
MAX_POSITION_ERROR_MM = 10.0
"""No position farther than this from its landmark is used."""
MIN_OUTLIER_MM = 1.0
"""None nearer than this is left out."""
MIN_USED_SHARE = 2 / 3
"""A pose is believed where it fits more than this share of the positions."""
MAX_LISTED = 6


@dataclass(frozen=True, eq=False)
class Landmark:
    """A named point of the anatomy.

    Parameters
    ----------
    ct : (3,) CT mm, LPS.
    pixels : by the name of each view that shows it, (column, row).
    """

    name: str
    ct: np.ndarray
    pixels: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Residual:
    """How far a landmark is from its position in a view: in pixels, and in mm across the ray at the landmark's depth.

    used: False for an outlier, which has no say in the pose.
    swapped_with: the landmark whose position in this view this one would fit, and the other way round; "" if there is none.
    """

    name: str
    view: str
    residual_px: float
    residual_mm: float
    used: bool
    swapped_with: str = ""

    @property
    def status(self) -> str:
        """What was made of it, in words."""
        if self.used:
            return "used"
        return f'left out, swapped with "{self.swapped_with}"?' if self.swapped_with else "left out, does not fit"


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """The pose (4, 4) world_from_ct that fits the landmarks, and how each fits.

    alternatives: other poses, (4, 4) each, that fit as many positions nearly as well, as few or coplanar landmarks in one
        view allow.
    """

    world_from_ct: np.ndarray
    residuals: tuple[Residual, ...]
    alternatives: tuple[np.ndarray, ...] = ()

    @property
    def rms_mm(self) -> float:
        """Root mean square of the residuals that are used."""
        return float(np.sqrt(np.mean([residual.residual_mm**2 for residual in self.residuals if residual.used])))


def locate(landmarks: Sequence[Landmark], cameras: Mapping[str, Camera]) -> LandmarkFit:
    """The pose of the CT from landmarks in all views together, without a start; mismatches are found and left out.

    The same input gives the same pose.

    Parameters
    ----------
    cameras : by the view's name.

    Raises
    ------
    InputError
        Where a landmark is named twice, seen in no view of that name or outside its image; where there are fewer than
        three landmarks, fewer
        than four positions (three leave several poses), or all landmarks are on one line; and where no pose fits more
        than two thirds of the
        positions.
    """
    check(landmarks, cameras)
    seen = [(landmark, view) for landmark in landmarks for view in landmark.pixels]
    positions = pnp.Positions(
        points=np.array([landmark.ct for landmark, _ in seen], float).reshape(-1, 3),
        landmark=np.repeat(np.arange(len(landmarks)), [len(landmark.pixels) for landmark in landmarks]),
        pixels=np.array([landmark.pixels[view] for landmark, view in seen], float).reshape(-1, 2),
        cameras=[cameras[view] for _, view in seen],
    )
    missing = _missing(positions)
    if missing:
        raise InputError(f"landmarks: {missing}.")
    fits = [_fit(positions, seen, pose) for pose in pnp.robust_poses(positions)]
    best = fits[0]
    used = np.array([residual.used for residual in best.residuals])
    if used.sum() <= MIN_USED_SHARE * len(used) or _missing(positions, used):
        raise InputError(_describe_mismatch(best))
    answers = [fit.world_from_ct for fit in fits if fit is best or _is_alternative(fit, best)]
    return replace(best, alternatives=tuple(pnp.distinct(positions, answers)[1:]))


def check(landmarks: Sequence[Landmark], cameras: Mapping[str, Camera]) -> None:
    """Raises InputError for a name given twice, a view that does not exist, a pixel outside the image."""
    named: set[str] = set()
    for landmark in landmarks:
        label = f'landmarks: "{landmark.name}"'
        if landmark.name in named:
            raise InputError(
                f"{label} is given twice, expected each landmark once with all its views; rename or remove one."
            )
        named.add(landmark.name)
        for view, pixel in landmark.pixels.items():
            if view not in cameras:
                views = ", ".join(f'"{name}"' for name in cameras)
                raise InputError(
                    f'{label} is seen in "{view}", which is no view, expected one of {views}; correct the name.'
                )
            (column, row), (columns, rows) = pixel, cameras[view].size
            if not (-0.5 <= column <= columns - 0.5 and -0.5 <= row <= rows - 0.5):
                raise InputError(
                    f'{label} is at column {column:g}, row {row:g} of "{view}", outside its {columns} x {rows} pixels, '
                    "expected [column, row] within the image; correct it or leave it out."
                )


def _missing(positions: pnp.Positions, used: np.ndarray | slice = np.s_[:]) -> str:
    """What the positions that are used lack to determine a pose, or ""."""
    seen = np.unique(positions.landmark[used])
    count = len(positions.landmark[used])
    if len(seen) < 3 or count < pnp.SAMPLE:
        return (
            f"found {len(seen)} with {count} positions in the views, expected four, or three of which one or more are "
            "seen in two views, as three positions leave several poses; add landmarks or positions"
        )
    points = np.array([positions.points[positions.landmark == landmark][0] for landmark in seen])
    along, off, _ = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if off <= MAX_LINE_RATIO * along and off <= MAX_LINE_MM * np.sqrt(
        len(points)
    ):  # the latter: one may be far off by mistake
        return (
            f"all {len(seen)} that are seen lie on one line of the CT, expected at least one well off it, as the CT could turn about "
            "that line; add a landmark"
        )
    return ""


def _fit(positions: pnp.Positions, seen: list[tuple[Landmark, str]], pose: np.ndarray) -> LandmarkFit:
    """The fit at a robust pose: outliers are found and left out, until the rest is what it was."""
    used = np.zeros(len(seen), bool)
    for _ in range(10):
        distance = positions.distances(pose)
        before, used = used, distance <= _limit(distance)
        if np.array_equal(before, used) or _missing(positions, used):
            break
        part = [camera for camera, use in zip(positions.cameras, used) if use]
        kept = pnp.Positions(positions.points[used], positions.landmark[used], positions.pixels[used], part)
        pose = pnp.refined(kept, pose)
    world = rigid.transform_points(pose, positions.points)
    projected = np.stack([camera.project(point) for camera, point in zip(positions.cameras, world)])
    pixels = np.linalg.norm(projected - positions.pixels, axis=1)
    distance = np.linalg.norm(positions.offsets(pose), axis=1)
    swapped = _swaps(positions, seen, projected, distance / pixels.clip(1e-12), used, _limit(distance))
    return LandmarkFit(
        pose,
        tuple(
            Residual(landmark.name, view, float(px), float(mm), bool(use), swapped.get(i, ""))
            for i, ((landmark, view), px, mm, use) in enumerate(zip(seen, pixels, distance, used))
        ),
    )


def _limit(distance: np.ndarray) -> float:
    """mm up to which a position is no outlier: 3.5 standard deviations of the placement in one direction.

    They come from the median distance, 1.18 of them where two directions are normal; the factor for few positions is that
    of Rousseeuw and Leroy (1987), as six numbers have been fitted. 1 in 500 good positions is lost.
    """
    redundant = 2 * len(distance) - 6
    deviation = np.median(distance) / 1.1774 * (1 + 5 / redundant)
    return float(np.clip(3.5 * deviation, MIN_OUTLIER_MM, MAX_POSITION_ERROR_MM))


def _swaps(
    positions: pnp.Positions,
    seen: list[tuple[Landmark, str]],
    projected: np.ndarray,
    mm_per_px: np.ndarray,
    used: np.ndarray,
    limit_mm: float,
) -> dict[int, str]:
    """The names by which outliers would fit: each of two landmarks is where the other is said to be."""
    swapped = {}
    for i, j in combinations(np.flatnonzero(~used), 2):
        if seen[i][1] == seen[j][1]:
            crossed = np.linalg.norm(projected[[i, j]] - positions.pixels[[j, i]], axis=1) * mm_per_px[[i, j]]
            if (crossed <= limit_mm).all():
                swapped[int(i)], swapped[int(j)] = seen[j][0].name, seen[i][0].name
    return swapped


def _is_alternative(fit: LandmarkFit, best: LandmarkFit) -> bool:
    """Whether `fit` is as good an answer as the best one, as far as the placement of landmarks tells."""
    counts = [sum(residual.used for residual in each.residuals) for each in (fit, best)]
    return counts[0] >= counts[1] and fit.rms_mm <= max(2 * best.rms_mm, MIN_OUTLIER_MM)


def _describe_mismatch(fit: LandmarkFit) -> str:
    outliers = sorted((residual for residual in fit.residuals if not residual.used), key=lambda each: -each.residual_mm)
    worst = ", ".join(f'"{each.name}" in "{each.view}" by {each.residual_mm:.0f} mm' for each in outliers[:MAX_LISTED])
    more = " and more" if len(outliers) > MAX_LISTED else ""
    return (
        f"landmarks: no pose fits them, the best one misses {worst or 'some'}{more}, expected more than two thirds of the "
        f"{len(fit.residuals)} positions within {MAX_POSITION_ERROR_MM:g} mm; check their names, left and right, and whether an image is "
        "mirrored."
    )
