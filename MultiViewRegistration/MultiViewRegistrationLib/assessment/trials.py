"""Registrations that try what may be wrong with a case, at the two coarsest resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import unseen
from ..imaging.xray import SharedUnknowns, View
from ..registration.cameras import CALIBRATED, uncalibrated_view_indices
from ..registration.optimizer import (
    KEEP_AFTER_FINER,
    LOCAL_RANGE,
    Descent,
    DescentStart,
    SearchBudget,
)
from ..registration.pipeline import Progress, Refinement, RegistrationPipeline, Report, prune
from ..registration.prepared_ct import PreparedCT

#: Around the start, where all images may be at fault and no view knows where the CT is.
START_SEARCH_BUDGET = SearchBudget(poses=128, max_poses=128, refined=2)


@dataclass(eq=False)
class Trials:
    """What is tried on a case that was registered.

    Parameters
    ----------
    anatomy, views
        The prepared CT, and the views as the case has them; those of unknown geometry are ignored.
    found, start
        The registration, and its start (4, 4).
    shared
        What is unknown and the same in all views.
    progress
        Called between hypotheses; returning False cancels.
    """

    anatomy: PreparedCT
    views: Sequence[View]
    found: Refinement
    start: np.ndarray
    shared: SharedUnknowns = CALIBRATED
    progress: Report = unseen

    @cached_property
    def tied(self) -> list[View]:
        """The views whose geometry is known."""
        alone = uncalibrated_view_indices(self.views, self.shared)
        return [view for i, view in enumerate(self.views) if i not in alone]

    @property
    def pose(self) -> np.ndarray:
        """The (4, 4) pose that was found."""
        return self.found.world_from_ct

    def registration(
        self,
        views: list[View],
        shared: SharedUnknowns | None = None,
        anatomy: PreparedCT | None = None,
    ) -> RegistrationPipeline:
        """Return a registration of these views; by default of the case's CT, with what the case shares."""
        shared = self.shared if shared is None else shared
        return RegistrationPipeline(
            anatomy or self.anatomy, views, self.start, self._report, shared
        )

    def _report(self, _: Progress) -> object:
        stage = "searching for the cause of the poor fit"
        return self.progress(Progress(1.0, stage, self.pose, self.found.fit.cost))

    def alone(self) -> dict[str, np.ndarray]:
        """Return the pose of each view alone, by its name."""
        if len(self.tied) < 2:
            return {}
        runs = {view.name: self.coarse([view], [self.pose, self.start]) for view in self.tied}
        return {name: run[0].world_from_ct for name, run in runs.items() if run}

    def coarse(
        self, views: list[View], poses: Sequence[np.ndarray], *, search: bool = False
    ) -> list[Descent]:
        """Return the minima at the coarsest resolution, most evidence first.

        Parameters
        ----------
        search
            Also those of a small search about the first of the poses (4, 4).
        """
        registration = self.registration(views)
        minima = registration.descend(0, [DescentStart(pose) for pose in poses])
        if search:
            minima = registration.merge(
                minima, registration.search(0, poses[0], LOCAL_RANGE, START_SEARCH_BUDGET)[0]
            )
        return minima

    def best_refined(self, views: list[View], minima: list[Descent]) -> Descent | None:
        """Return the best of these minima at the second resolution."""
        kept = prune(minima, *KEEP_AFTER_FINER)[0] if minima else []
        return next(iter(self.registration(views).descend(1, kept)), None)
