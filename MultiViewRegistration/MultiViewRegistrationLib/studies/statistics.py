"""Statistics of many registrations: starts, success rates and capture ranges.

And their Markdown tables.

van de Kraats et al., Standardized evaluation methodology for 2-D-3-D registration, IEEE TMI
24(9):1177-1189, 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from ..assessment.metrics import mtre
from ..errors import InputError
from ..geometry import rigid

SUCCESS_MM = 1.0
"""Success is a final error below this; van de Kraats et al. take 2 mm."""
CAPTURE_SHARE = 0.95
"""An interval of start errors counts as captured where at least this share of its registrations
succeeds."""


Item = TypeVar("Item")


def starting_poses(
    world_from_ct_true: np.ndarray,
    targets: np.ndarray,
    edges_mm: ArrayLike,
    per_interval: int,
    seed: int,
) -> np.ndarray:
    """Draw start poses (n, 4, 4) whose mTRE is uniform within each interval between neighbouring `edges_mm`, e.g. (0, 2, 4).

    Rotation and translation are drawn together: their six numbers, angles times the targets' rms
    distance from the centroid, have a uniformly random direction, and are scaled until the mTRE is
    the one drawn from the interval. Ordered by interval; the same seed gives the same poses.

    Parameters
    ----------
    targets
        (N, 3), CT mm; the rotation is about their centroid.

    Raises
    ------
    InputError
        If the targets coincide: then no rotation moves them.
    """
    targets = np.atleast_2d(np.asarray(targets, float))
    centroid = targets.mean(axis=0)
    radius_mm = np.sqrt(np.mean(np.sum((targets - centroid) ** 2, axis=1)))
    if radius_mm < 1e-3:
        raise InputError(
            f"targets: found {len(targets)} at one place, expected at least two apart; add further "
            "targets."
        )
    pivot = rigid.transform_points(world_from_ct_true, centroid)
    random = np.random.default_rng(seed)
    edges = np.asarray(edges_mm, float)
    wanted = np.concatenate(
        [random.uniform(low, high, per_interval) for low, high in pairwise(edges)]
    )

    def start(error_mm: float) -> np.ndarray:
        """Return a pose with this error, mm."""
        direction = random.normal(size=6)
        direction = rigid.unit(direction)
        direction[:3] /= radius_mm

        def moved(scale: float) -> np.ndarray:
            return rigid.moved(world_from_ct_true, scale * direction, pivot)

        def excess(scale: float) -> float:
            return mtre(moved(scale), world_from_ct_true, targets) - error_mm

        far = error_mm
        while excess(far) < 0:
            far *= 1.5
        return moved(brentq(excess, 0.0, far, xtol=1e-9))

    return np.stack([start(error) for error in wanted])


def perturbed(
    world_from_ct: np.ndarray,
    centre_ct: np.ndarray,
    rotation_deg: float,
    translation_mm: float,
    n: int,
    seed: int | np.random.Generator,
) -> np.ndarray:
    """Draw `n` poses (n, 4, 4), each exactly `rotation_deg` and `translation_mm` away.

    They turn about `centre_ct` (3,), CT mm, and that point moves by `translation_mm`. Axes and
    directions are uniformly random; the same seed gives the same poses.
    """
    random = np.random.default_rng(seed)
    pivot = rigid.transform_points(world_from_ct, np.asarray(centre_ct, float))
    axes, directions = rigid.unit(random.normal(size=(2, n, 3)))
    twists = np.hstack([np.radians(rotation_deg) * axes, translation_mm * directions])
    return rigid.moved(world_from_ct, twists, pivot)


@dataclass(frozen=True)
class SuccessRate:
    """Share of successes with its 95 % Wilson score interval."""

    successes: int
    total: int

    @classmethod
    def of(cls, hits: ArrayLike, among: np.ndarray | None = None) -> SuccessRate:
        """Return the share of `hits` (n,) bool in `among` (n,) bool, by default all."""
        hits = np.asarray(hits, bool)
        among = np.ones(len(hits), bool) if among is None else among
        return cls(int(np.count_nonzero(hits & among)), int(np.count_nonzero(among)))

    @property
    def rate(self) -> float:
        """Successes as a share of the total; NaN of none."""
        return self.successes / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (low, high) by Wilson, JASA 22:209-212, 1927.

        Unlike p +- 1.96 s it says something at 0 and at n of n.
        """
        if not self.total:
            return 0.0, 1.0
        z2 = 1.959963984540054**2
        centre = (self.successes + z2 / 2) / (self.total + z2)
        spread = self.successes * (self.total - self.successes) / self.total + z2 / 4
        half = np.sqrt(z2 * spread) / (self.total + z2)
        return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def success_rate(final_mm: ArrayLike, threshold_mm: float = SUCCESS_MM) -> SuccessRate:
    """Return the share of final errors (n,) below the threshold.

    NaN, a registration that gave no answer, is a failure.

    The error is mTRE; for a single view van de Kraats et al. take mRPD.
    """
    final_mm = np.atleast_1d(np.asarray(final_mm, float))
    return SuccessRate(int(np.count_nonzero(final_mm < threshold_mm)), final_mm.size)


def success_by_interval(
    start_mm: ArrayLike,
    final_mm: ArrayLike,
    edges_mm: Sequence[float] | np.ndarray,
) -> list[SuccessRate]:
    """Return the success rate of the registrations that started in each interval [edge, next edge)."""
    start_mm = np.asarray(start_mm, float)
    final_mm = np.asarray(final_mm, float)
    within = [(start_mm >= low) & (start_mm < high) for low, high in pairwise(edges_mm)]
    return [success_rate(final_mm[each]) for each in within]


def capture_range(
    start_mm: ArrayLike,
    final_mm: ArrayLike,
    edges_mm: Sequence[float] | np.ndarray,
) -> float:
    """Return the largest start error in mm up to which every interval succeeds in at least 95 % of its registrations.

    An interval without registrations ends it, too: nothing is known about it.
    """
    reached = float(edges_mm[0])
    rates = success_by_interval(start_mm, final_mm, edges_mm)
    for rate, high in zip(rates, edges_mm[1:], strict=True):
        if not rate.rate >= CAPTURE_SHARE:
            break
        reached = float(high)
    return reached


#: Half the size of a bone, by which an angle weighs against a distance when outliers are left out.
RADIUS_MM = 50.0


class Consensus(NamedTuple):
    """Agreement of several answers to one question whose truth is unknown."""

    world_from_ct: np.ndarray
    """(4, 4) their robust mean."""
    rotation_deg: np.ndarray
    """(n,) angle of each from it."""
    distance_mm: np.ndarray
    """(n,) distance of each from it at the centre."""
    share: float
    """Share of them within both tolerances."""


def consensus(
    poses: np.ndarray,
    centre_ct: np.ndarray,
    within_deg: float = 1.0,
    within_mm: float = 1.0,
) -> Consensus:
    """Compare registrations of the same images from different starts with their robust mean.

    Agreement is no accuracy: a bias that all of them share does not show.

    Parameters
    ----------
    poses
        (n, 4, 4).
    centre_ct
        (3,) centre of the bone, CT mm.
    """
    # With the CT's origin at the centre: seen from a distant one, a mean of rotations would move
    # the bone.
    to_centre = rigid.translation(np.asarray(centre_ct, float))
    centred = np.asarray(poses, float) @ to_centre
    mean = rigid.robust_mean(centred, RADIUS_MM)
    rotation = np.degrees(rigid.rotation_distance(centred, mean))
    distance = rigid.translation_distance(centred, mean)
    share = np.mean((rotation <= within_deg) & (distance <= within_mm))
    return Consensus(mean @ rigid.inverse(to_centre), rotation, distance, float(share))


def table(head: Sequence[str], rows: Iterable[Sequence], right: Sequence[int] = ()) -> str:
    """Return a table in Markdown.

    Parameters
    ----------
    head
        Names of the columns.
    rows
        Cells of each row.
    right
        Indices of the columns that are aligned to the right.
    """
    line = ["---:" if column in right else "---" for column in range(len(head))]
    lines = []
    for row in (head, line, *rows):
        cells = [" ".join(str(cell).replace("|", "\\|").split()) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of(
    groups: Iterable[tuple[Sequence, Any]], keys: Sequence[str], columns: dict[str, Callable]
) -> str:
    """Return a table with a row for each group.

    The values of its keys, and what each column's function says of it.
    """
    rows = [[*values, *(cell(group) for cell in columns.values())] for values, group in groups]
    return table([*keys, *columns], rows)


def grouped(items: Iterable[Item], key: Callable[[Item], tuple]) -> list[tuple[tuple, list[Item]]]:
    """Group the items by key, in the order of each key's first."""
    groups: dict[tuple, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def median(values: ArrayLike, digits: int) -> str:
    """Format the median; "none" of no values."""
    values = np.asarray(values, float)
    return f"{np.median(values):.{digits}f}" if values.size else "none"


def percent(rate: SuccessRate) -> str:
    """Format as "1.5 % (0.5 to 4.3)", with Wilson's 95 % interval."""
    low, high = rate.interval
    return (
        f"{100 * rate.rate:.1f} % ({100 * low:.1f} to {100 * high:.1f})" if rate.total else "none"
    )
