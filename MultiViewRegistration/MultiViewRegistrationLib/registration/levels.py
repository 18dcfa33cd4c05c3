"""Bones elsewhere along the body.

Vertebrae one level up or down, as neighbours look alike, and other bones about as far.

All bones are moved together, as one that is misplaced alone would lie upon another. Where a bone
fits about as well as it was registered, X-rays do not tell the two apart. A bone that comes back to
where it was has no other place.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from ..geometry import rigid
from ..rendering.devices import run_each
from .bones import SHOWN, BonesFit, BonesObjective
from .register_bones import LEVELS, BonesRegistration, minimise

#: Between the centres of vertebrae, mm, where the case has no two neighbours; how far bones of
#: other kinds are moved.
SPACINGS_MM = (18.0, 23.0, 28.0, 33.0, 38.0)
ELSEWHERE_MM = 25.0
#: At the coarsest resolution, and at the next, at which similarities are compared.
ITERATIONS = (8, 4)
#: A bone that ends so near to where it was registered is there again.
SAME_MM = 5.0


@dataclass(frozen=True, eq=False)
class OtherLevel:
    """All bones one level further, where they fit best.

    Attributes
    ----------
    up
        Towards the head.
    unlikeness
        (B,) how many times less a bone is like the X-rays there: what its similarity lacks to 1,
        over what it lacks as registered, on average of the views that show it at both places; inf
        for one that came back, or that no view shows at both.
    """

    up: bool
    unlikeness: np.ndarray = field(repr=False)


def other_levels(found: BonesRegistration, numbers: Sequence[int | None]) -> list[OtherLevel]:
    """Return the bones one level up and one level down.

    Parameters
    ----------
    numbers
        Of each bone: which vertebra it is, counted from the head, None for one that is none.
    """
    compared = copy(found.objectives[1])
    here = compared.linearise(found.poses, compared.shadows(found.poses))

    def search(up: bool) -> OtherLevel:
        objectives = [
            copy(objective) for objective in found.objectives
        ]  # each remembers which pixels are compared
        poses = _nearest_start(objectives[0], found.poses, _steps(found, numbers, up=up))
        for level, objective, iterations in zip(LEVELS, objectives, ITERATIONS, strict=False):
            poses, fit = minimise(objective, poses, iterations, level.tolerance_mm)
        elsewhere = _apart_mm(found, poses) > SAME_MM
        return OtherLevel(up, np.where(elsewhere, _unlikeness(here, fit), np.inf))

    return run_each(search, (True, False))


def _unlikeness(here: BonesFit, there: BonesFit) -> np.ndarray:
    seen = (np.minimum(here.shown, there.shown) >= SHOWN) & np.isfinite(
        here.similarity + there.similarity
    )
    lacks = [np.sum(1 - fit.similarity, axis=1, where=seen) for fit in (here, there)]
    return np.where(seen.any(axis=1), lacks[1] / np.maximum(lacks[0], 1e-9), np.inf)


def _apart_mm(found: BonesRegistration, poses: Sequence[np.ndarray]) -> np.ndarray:
    """Return (B,) how far the centres lie from where they were registered."""
    ends = [
        rigid.transform_points(pose, bone.centroid)
        - rigid.transform_points(registered, bone.centroid)
        for bone, pose, registered in zip(found.bones, poses, found.poses, strict=True)
    ]
    return np.linalg.norm(ends, axis=1)


def _steps(
    found: BonesRegistration, numbers: Sequence[int | None], *, up: bool
) -> list[np.ndarray]:
    """Return ways (B, 3), world mm, to the next level.

    By the distances of neighbours, or by usual ones where the case has none.
    """
    centres = {
        number: rigid.transform_points(pose, bone.centroid)
        for number, bone, pose in zip(numbers, found.bones, found.poses, strict=True)
        if number is not None
    }
    spacings = {
        number: centres[number] - centres[number + 1] for number in centres if number + 1 in centres
    }
    superior = found.world_from_ct[:3, 2]
    sign = 1 if up else -1
    ways = []
    for mm in (None,) if spacings or not centres else SPACINGS_MM:
        way = []
        for number in numbers:
            if number is None:
                way.append(ELSEWHERE_MM * superior)
            elif mm is not None:
                way.append(mm * superior)
            else:
                known = np.array(list(spacings))
                way.append(
                    spacings[int(known[np.abs(known - (number - 1 if up else number)).argmin()])]
                )
        ways.append(sign * np.array(way))
    return ways


def _nearest_start(
    objective: BonesObjective, poses: Sequence[np.ndarray], ways: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the poses moved by that one of the ways where they cost least."""
    starts = []
    for way in ways:
        there = [rigid.translation(step) @ pose for step, pose in zip(way, poses, strict=True)]
        cost = (
            objective.linearise(there, objective.shadows(there, jacobian=False)).cost
            if len(ways) > 1
            else 0.0
        )
        starts.append((cost, there))
    return min(starts, key=lambda start: start[0])[1]
