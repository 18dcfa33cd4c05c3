"""Following a structure from frame to frame of the same views.

Each frame begins where the ones before it lead to, so near that neither a search nor the coarsest resolution has anything to add. What
ends there must look like the X-rays as much as the frames before it did; if not, it is sought from the last pose, then within a range
about it. A frame that is lost, or rejected, starts nothing: the next one begins from the last that was kept.

A structure that was registered before the rest of its CT is followed before it: in each frame the whole CT is followed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from ..assessment import verdict
from ..assessment.verdict import Assessment
from ..errors import InputError
from ..geometry.camera import Camera
from ..imaging.view import View
from ..registration.cameras import LEVER_MM
from ..registration.objective import EvaluationPoint, Objective, PoseFit
from ..registration.optimizer import minimise, moved
from ..registration.pipeline import Refinement
from ..registration.prepared_ct import PreparedCT
from ..registration.schedule import MAX_EXPECTED_MM, Range, ResolutionLevel
from ..registration.starts import Start, refine_from
from .prediction import predicted

#: A view's local NCC may be less than in the frames before by so much: what lies over a moving bone changes. Of 96 descents from up to
#: 18 mm and 18 degrees off, in X-rays of a pelvis and a real wrist, the 27 right ones had at most 0.004 less than the right pose, the 69
#: wrong ones at least 0.19.
LESS_ALIKE = 0.1
#: The frames before are remembered by the median of so many.
REMEMBERED = 15
#: Steps below this are left to the finest resolution; not those of a structure, whose last level, of narrow windows, captures little.
LEFT_MM = 0.5
FOLLOWED = (
    "Followed from frame to frame without an assessment of its own: how often such poses are wrong was not measured."
)
REST_LOST = "Lost: the rest of the CT, before which it is compared, was not found."


@dataclass(frozen=True)
class Pace:
    """How much is done for a frame that is followed.

    tolerance_mm: a step of this or less at the finest resolution is the last.
    assessed: whether it gets the verdict of a registration, or is at best to be checked.
    """

    tolerance_mm: float
    assessed: bool


PACES = {"thorough": Pace(0.05, True), "quick": Pace(0.3, False)}


@dataclass(frozen=True, eq=False)
class Tracked:
    """What was found in a frame.

    number: from 0.   how: "registered", "followed", "found again" or "lost".
    world_from_ct: (4, 4), None where nothing was found; of a rejected frame it is only the best there was.
    verdict, reasons: see `assessment.verdict`.   similarity: local NCC by view, none where nothing was found.
    upper95_mm: what the error stays below in 95 of 100 such results, where that was measured.
    cameras: in which the pose holds, by view.   seconds: from images that are loaded to the verdict.
    rest: the same of the whole CT, where a structure was compared before the rest of it.
    """

    number: int
    how: str
    world_from_ct: np.ndarray | None
    verdict: str
    reasons: list[str]
    similarity: tuple[float, ...] = ()
    upper95_mm: float | None = None
    cameras: tuple[Camera, ...] = ()
    seconds: float = 0.0
    rest: Tracked | None = None

    @property
    def kept(self) -> bool:
        """Whether it may be used, and starts the next frame."""
        return self.verdict != "reject"


class Tracker:
    """One structure through a sequence.

    search: how far it may have moved where it is lost.   targets: (N, 3) CT mm, as in `assessment.verdict.assess`.
    assumed: whether something of the views' geometry was assumed.

    Cameras are taken as exact.
    """

    def __init__(
        self,
        anatomy: PreparedCT,
        pace: Pace,
        search: Range,
        targets: np.ndarray | None = None,
        *,
        assumed: bool = False,
    ) -> None:
        self._anatomy, self._pace, self._search, self._targets, self._assumed = anatomy, pace, search, targets, assumed
        self._rest = Tracker(anatomy.full_ct, replace(pace, assessed=False), search) if anatomy.full_ct else None
        self._compared = anatomy
        self._kept: list[tuple[int, np.ndarray]] = []
        self._similarity: list[tuple[float, ...]] = []

    def on(self, anatomy: PreparedCT) -> Tracker:
        """The same where another makes the objectives of the same CT, see `PreparedCT.on`."""
        other = copy(self)
        other._anatomy = other._compared = anatomy
        other._rest = self._rest and self._rest.on(anatomy.full_ct)
        return other

    @property
    def begun(self) -> bool:
        """Whether there is a pose to begin from."""
        return bool(self._kept)

    def keep(self, found: Tracked) -> None:
        """The next frame may begin from this one."""
        if found.kept:
            self._kept = [*self._kept[-1:], (found.number, found.world_from_ct)]
            self._similarity = [*self._similarity[1 - REMEMBERED :], found.similarity]
        if found.rest:
            self._rest.keep(found.rest)

    def follow(self, number: int, views: list[View], given: np.ndarray | None = None) -> Tracked:
        """Find the structure in a frame, by those that were kept before it.

        views: with exact cameras.   given: (4, 4) a start pose of this frame, where somebody gives one; asked only where it is lost.
        """
        began = perf_counter()
        if self._rest is None or not self._rest.begun:
            found = self._in_frame(number, views, given)
        else:
            found = self._before_rest(number, views, given)
        return replace(found, seconds=perf_counter() - began)

    def _before_rest(self, number: int, views: list[View], given: np.ndarray | None) -> Tracked:
        rest = self._rest.follow(number, views)
        if not rest.kept:
            return Tracked(number, "lost", None, "reject", [REST_LOST], rest=rest)
        before = copy(self)
        before._compared = self._anatomy.with_background(rest.world_from_ct)
        return replace(before._in_frame(number, views, given), rest=rest)

    def _in_frame(self, number: int, views: list[View], given: np.ndarray | None) -> Tracked:
        last, expected = self._kept[-1][1], predicted(self._kept, number)
        found = self._followed(number, views, [expected, last])
        if found is None:
            starts = [expected, last, *([] if given is None else [given])]
            found = self._found_again(number, views, starts)
        return found

    def _followed(self, number: int, views: list[View], starts: list[np.ndarray]) -> Tracked | None:
        for start in starts:
            found = self._descended(views, start)
            if found is not None and self._alike(found.fit.similarity):
                told = self._assessed(views, found, start) if self._pace.assessed else Assessment("check", [FOLLOWED])
                if told.verdict != "reject":
                    return _tracked(number, "followed", found, told)
        return None

    def _descended(self, views: list[View], pose: np.ndarray) -> Refinement | None:
        """From a start nearby, at all but the coarsest resolution; None where the X-rays show too little of the CT."""
        levels = self._compared.levels(views, pose)[1:]
        for level in levels:
            objective = self._compared.objective(views, level, pose)
            if level is levels[-1]:
                pose, fit = _finished(objective, level, pose, self._pace.tolerance_mm)
            else:
                left_mm = level.tolerance_mm if self._anatomy.structure else LEFT_MM
                pose, _, fit = minimise(objective, pose, iterations=level.iterations, tolerance_mm=left_mm)
            if not np.isfinite(fit.cost):
                return None
        return Refinement(pose, fit, [], views, np.zeros(6), world_from_background=self._compared.world_from_background)

    def _found_again(self, number: int, views: list[View], poses: Sequence[np.ndarray]) -> Tracked:
        starts = [Start(pose, MAX_EXPECTED_MM) for pose in poses]
        try:
            found = refine_from(self._compared, views, starts, centre=poses[1], reach=self._search)
        except InputError:
            return Tracked(
                number,
                "lost",
                None,
                "reject",
                ["Lost: within the range of the search the X-rays show too little of the CT."],
            )
        found = replace(found, world_from_background=self._compared.world_from_background)
        told = self._assessed(views, found, poses[1])
        if not self._alike(found.fit.similarity):
            told = replace(told, verdict="reject", reasons=[f"Lost: {self._unlike(views, found)}", *told.reasons])
        return _tracked(number, "lost" if told.verdict == "reject" else "found again", found, told)

    def _assessed(self, views: list[View], found: Refinement, start: np.ndarray) -> Assessment:
        return verdict.assess(self._anatomy, views, found, start, self._targets, assumed=self._assumed)

    def _usual(self) -> np.ndarray:
        """(views,) the local NCC of the frames before."""
        return np.median(self._similarity, axis=0)

    def _alike(self, similarity: Sequence[float]) -> bool:
        return bool((np.array(similarity) >= self._usual() - LESS_ALIKE).all())

    def _unlike(self, views: list[View], found: Refinement) -> str:
        usual = self._usual()
        worst = int(np.argmin(np.array(found.fit.similarity) - usual))
        return (
            f"the best pose found looks less like {views[worst].name} (local NCC {found.fit.similarity[worst]:.2f}) than the frames "
            f"before did ({usual[worst]:.2f})."
        )


def _finished(
    objective: Objective, level: ResolutionLevel, pose: np.ndarray, tolerance_mm: float
) -> tuple[np.ndarray, PoseFit]:
    """By one step of Gauss and Newton that is short enough to be right without a look at where it leads, else by a descent.

    The pose (4, 4), and the fit there or that step before.
    """
    fit = objective.evaluate(EvaluationPoint(pose)).linearise()
    if np.isfinite(fit.cost):
        step = -np.linalg.solve(fit.hessian + 1e-12 * np.eye(6), fit.gradient)
        if np.linalg.norm(step[3:]) + LEVER_MM * np.linalg.norm(step[:3]) <= tolerance_mm:
            return moved(pose, step, objective.pivot), fit
    pose, _, fit = minimise(objective, pose, iterations=level.iterations, tolerance_mm=tolerance_mm)
    return pose, fit


def _tracked(number: int, how: str, found: Refinement, told: Assessment) -> Tracked:
    upper = told.prediction.upper95_mm if told.prediction else None
    return Tracked(
        number,
        how,
        found.world_from_ct,
        told.verdict,
        told.reasons,
        tuple(map(float, found.fit.similarity)),
        upper,
        tuple(view.camera for view in found.views),
    )
