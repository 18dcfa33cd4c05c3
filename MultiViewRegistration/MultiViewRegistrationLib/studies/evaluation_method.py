"""How each registration of an evaluation starts and is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from ..errors import InputError
from ..imaging.view import View
from ..io.case import Case
from ..published.methods import RefinementMethod
from ..registration.pipeline import Refinement
from ..registration.prepared_ct import PreparedCT
from ..registration.schedule import Range
from ..registration.uncalibrated_views import register_views
from ..regressor.initialise import Regressor, RegressorInitialisation, RegressorReport, model_for
from . import statistics as protocol

STARTS = ("given", "search", "regressor", "auto")
#: What goes through a range about a pose, and does not begin with that pose.
SEARCH_STARTS = ("search", "auto")
INTERVAL_MM = 2.0


@dataclass(frozen=True)
class Done:
    """A registration, the seconds it took, how it began if a regressor was asked, and the seconds of that."""

    refinement: Refinement
    seconds: float
    started: RegressorReport | None
    asked: float


@dataclass(frozen=True)
class Method:
    """How each registration starts and is done."""

    by: RefinementMethod
    start: str
    model: str | Path | Regressor | None
    search: Range | None
    starts: int
    reach_mm: float
    off: tuple[float, float]
    seed: int

    def starts_about_truth(self, case: Case, anatomy: PreparedCT) -> np.ndarray:
        """(starts, 4, 4): with an mTRE uniform up to the reach, or from which a search finds the truth within its range."""
        truth = case.truth_world_from_ct
        if self.start == "regressor":
            return truth[None]  # it starts from its own
        if self.start in SEARCH_STARTS:
            return self.range(case).poses(
                truth, anatomy.centroid, np.random.default_rng(self.seed).random((self.starts, 6))
            )
        intervals = max(1, round(self.reach_mm / INTERVAL_MM))
        edges = np.linspace(0, self.reach_mm, intervals + 1)
        poses = protocol.starting_poses(truth, case.targets, edges, -(-self.starts // intervals), self.seed)
        return poses.world_from_ct[np.unique(np.linspace(len(poses.mtre_mm) - 1, 0, self.starts).round().astype(int))]

    @property
    def name(self) -> str:
        """For the names of pictures."""
        return self.by.name if self.start in ("given", "search") else f"{self.by.name}-{self.start}"

    def range(self, case: Case) -> Range:
        return self.search or Range(**case.search)

    def regressor(self, case: Case) -> Regressor | None:
        """The case's, where one is used. InputError where one is needed and there is none."""
        found = model_for(case, self.start, self.model)
        if found is None and self.start == "regressor":
            raise InputError(
                f"{case.name}: found no model of its CT that fits its views, expected one; train one with mvreg train."
            )
        return found

    def run(
        self, case: Case, anatomy: PreparedCT, start: np.ndarray, number: int = 0, model: Regressor | None = None
    ) -> Done:
        """The registration from a start, or without one."""
        shared, guided = case.shared_unknowns, None
        anatomy.prepare(case.views, start)
        began = perf_counter()
        if self.start != "given":
            along = (
                {"centre": start, "reach": self.range(case), "seed": self.seed + number}
                if self.start in SEARCH_STARTS
                else {}
            )
            guided = RegressorInitialisation(model, anatomy, case.views, case.world_from_ct, shared, **along)

        def find(views: list[View], tell: Callable) -> Refinement:
            return anatomy.run_on(
                self.by.compute_device,
                lambda there: (
                    guided.run(self.by, there, views, tell)
                    if guided
                    else self.by.run(there, views, start, tell, shared)
                ),
            )

        refinement = register_views(case.views, find, shared=shared)
        seconds = perf_counter() - began
        return Done(
            refinement,
            seconds,
            guided.report(refinement, self.by) if model else None,
            guided.seconds if guided else 0.0,
        )
