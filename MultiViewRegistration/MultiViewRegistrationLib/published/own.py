"""Refinements of other packages: an own similarity by XVR's optimiser, or an own search for the pose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import InputError, go_on
from ..geometry import rigid
from ..registration.objective import PoseFit
from ..registration.optimizer import LevelTrace, Progress, Refinement, Report, Step, distance
from ..registration.prepared_ct import PreparedCT

if TYPE_CHECKING:
    from torch import Tensor

    from ..imaging.xray import View

#: Of the progress bar, all the while: nobody knows how long an own refinement takes.
HALF = 0.5


class Similarity(Protocol):
    """A similarity of X-ray and DRR, in PyTorch, which XVR's optimiser climbs by its gradient.

    Attributes
    ----------
    name
        By which it is chosen as a refinement, and which the result has.
    """

    name: str

    def similarity(self, xray: Tensor, drr: Tensor, valid: Tensor) -> Tensor:
        """Return a number, 1 for equal images.

        Parameters
        ----------
        xray, drr
            (rows, columns) line integrals, scaled to a common range; 0 where not valid.
        valid
            (rows, columns) bool, the pixels that count.
        """
        ...


class Refiner(Protocol):
    """A search for the pose from a start.

    Attributes
    ----------
    name
        By which it is chosen as a refinement, and which the result has.
    """

    name: str

    def refine(
        self,
        anatomy: PreparedCT,
        views: list[View],
        world_from_ct: np.ndarray,
        fit: Callable[[np.ndarray], PoseFit],
    ) -> np.ndarray:
        """Return the pose (4, 4), LPS mm.

        Parameters
        ----------
        anatomy, views
            The CT, and the X-rays with their cameras, which count as exact.
        world_from_ct
            (4, 4), the start.
        fit
            Compares X-rays and CT at a pose (4, 4), as the last level of the program's own
            refinement does: `cost` to be lowered, `similarity` of each view. It reports progress,
            and ends the search where that is cancelled.
        """
        ...


def refine_by(
    own: Refiner,
    anatomy: PreparedCT,
    views: list[View],
    world_from_ct: np.ndarray,
    progress: Report,
) -> Refinement:
    """Return the answer of an own refinement; its steps are the evaluations that lowered the cost.

    Raises
    ------
    InputError
        It returned no rigid pose, or one at which no X-ray shows the CT.
    Cancelled
        `progress` returned False.
    """
    level = anatomy.levels(views, world_from_ct)[-1]
    objective = anatomy.objective(views, level, world_from_ct)
    steps: list[Step] = []

    def fit(pose: np.ndarray) -> PoseFit:
        found = objective.linearise(objective.project(pose))
        before = steps[-1] if steps else Step(world_from_ct, np.inf, 0.0, ())
        if found.cost < before.cost:
            moved_mm = distance(pose, before.world_from_ct, anatomy.centroid)
            steps.append(Step(pose, found.cost, moved_mm, found.similarity))
        go_on(progress(Progress(HALF, own.name, pose, found.cost)))
        return found

    what = f'refinement "{own.name}"'
    answer = own.refine(anatomy, views, world_from_ct, fit)
    pose = rigid.check_rigid(rigid.array_of(what, answer), what)
    there = fit(pose)
    if not np.isfinite(there.cost):
        raise InputError(
            f"{what}: at its pose the X-rays show nothing of the CT; use another start."
        )
    return Refinement(pose, there, [LevelTrace(own.name, steps)], views, np.zeros(6))
