"""Registering many cases from many starts: how often it succeeds, how exact it is, how long it takes.

Cases with truth follow van de Kraats et al. (IEEE TMI 2005): starts of every size up to a maximum. Cases without truth, real
radiographs, are asked whether all starts lead to one pose, and, where one camera took several images of the structure, whether
the poses predict the motion that is tracked in the images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..api import TimedRegistration, find_pose
from ..assessment import metrics
from ..errors import InputError
from ..io.case import Case
from ..io.case_file import CaseFile
from ..published.methods import RefinementMethod, refinement_method
from ..registration.prepared_ct import PreparedCT, warm_up
from ..registration.schedule import Range
from ..regressor.initialise import Regressor, missing_pose_error, model_for
from .failure_figure import failure_figure
from .motion_check import Motion, check_motion
from .statistics import SUCCESS_MM, consensus, perturbed, starting_poses

STARTS = ("given", "search", "regressor", "auto")
#: What goes through a range about a pose, and does not begin with that pose.
SEARCH_STARTS = ("search", "auto")
INTERVAL_MM = 2.0
#: Starts of a case without truth agree if they end this near their consensus.
WITHIN_DEG, WITHIN_MM = 1.5, 0.3
#: Misses beyond this many have no picture.
MAX_PICTURES = 20


@dataclass(frozen=True)
class EvaluationSetup:
    """How the cases of an evaluation are registered; plain data but for a `model` that is one.

    Parameters
    ----------
    starts : how often each case is registered; once where only a regressor starts, which predicts the same each time.
    max_start_error_mm : with truth, start mTREs are uniform from 0 to this.
    perturb : without truth, (degrees, mm) by which starts differ from the pose to which the case's own start leads.
    seed : of all that is drawn.
    refinement, device : see `published.methods.refinement_method`.
    search : (degrees, mm) range of "search" and "auto", by default each case's own. With truth, the centres of the ranges are spread
        evenly about it.
    start : "given", poses about the true one; "search", "regressor" or "auto", see `api.register`.
    model : the regressor or its folder, by default the newest one of each case's CT.
    """

    starts: int = 20
    max_start_error_mm: float = 22.0
    perturb: Sequence[float] = (8.0, 8.0)
    seed: int = 0
    refinement: str = "joint"
    device: str = "cpu"
    search: Sequence[float] | None = None
    start: str = "given"
    model: str | Path | Regressor | None = None

    def check(self) -> None:
        """InputError for what cannot be."""
        if self.starts < 1 or self.max_start_error_mm <= 0 or min(self.perturb) < 0:
            raise InputError(
                "--starts, --max-start-error, --perturb: found a number that is too small, expected one start or more and a maximum "
                "above 0."
            )
        if self.start not in STARTS:
            raise InputError(f'start: found "{self.start}", expected one of {", ".join(STARTS)}.')
        if self.start == "search" and self.method.name != "joint":
            raise missing_pose_error(self.method)

    @cached_property
    def method(self) -> RefinementMethod:
        """The refinement. InputError where there is none of that name or device."""
        return refinement_method(self.refinement, self.device)

    @property
    def searched(self) -> bool:
        return self.start in SEARCH_STARTS

    @property
    def runs(self) -> int:
        """How often each case is registered."""
        return 1 if self.start == "regressor" else self.starts

    def to_json(self) -> dict:
        """Plain data."""
        return asdict(replace(self, model=self.model and str(getattr(self.model, "folder", self.model))))

    def range(self, case: Case) -> Range:
        return Range(*self.search) if self.search else Range(**case.search)

    def starts_about_truth(self, case: Case, anatomy: PreparedCT) -> np.ndarray:
        """(runs, 4, 4): with an mTRE uniform up to the maximum, or from which a search finds the truth within its range."""
        truth = case.truth_world_from_ct
        if self.start == "regressor":
            return truth[None]  # it starts from its own
        if self.searched:
            random = np.random.default_rng(self.seed).random((self.starts, 6))
            return self.range(case).poses(truth, anatomy.centroid, random)
        intervals = max(1, round(self.max_start_error_mm / INTERVAL_MM))
        edges = np.linspace(0, self.max_start_error_mm, intervals + 1)
        poses = starting_poses(truth, case.targets, edges, -(-self.starts // intervals), self.seed)
        return poses.world_from_ct[np.unique(np.linspace(len(poses.mtre_mm) - 1, 0, self.starts).round().astype(int))]

    def regressor(self, case: Case) -> Regressor | None:
        """The case's, where one is used. InputError where one is needed and there is none."""
        found = model_for(case, self.start, self.model)
        if found is None and self.start == "regressor":
            raise InputError(
                f"{case.name}: found no model of its CT that fits its views, expected one; train one with mvreg train."
            )
        return found

    def register(
        self, case: Case, anatomy: PreparedCT, start: np.ndarray, number: int = 0, model: Regressor | None = None
    ) -> TimedRegistration:
        """The registration from a start (4, 4), the centre of a search."""
        more = {"regressor": model, "search": self.range(case), "seed": self.seed + number, "with_background": False}
        return find_pose(case, anatomy, self.method, self.start, start, **more)


@dataclass(frozen=True)
class RegistrationRecord:
    """One registration of a case with truth; errors and seconds are None where it gave no answer.

    Parameters
    ----------
    candidates : how many poses were scored.
    evidence_ratio : see `AlternativeSolution`, None without one.
    picture : of a miss, its name in `Evaluation.pictures`.
    initial_mtre_mm, expected_mm, selected_start : the error of the regressor's most credible pose before any refinement, the error that it
        expected itself, and from which of its poses the answer came; None where none was asked.
    regressor_seconds : that the regressor took.
    """

    start_mtre_mm: float
    errors: metrics.Errors | None
    seconds: float | None
    candidates: int = 0
    evidence_ratio: float | None = None
    picture: str | None = None
    initial_mtre_mm: float | None = None
    expected_mm: float | None = None
    selected_start: str | None = None
    regressor_seconds: float = 0.0

    @property
    def mtre_mm(self) -> float:
        """The final mTRE, infinite without an answer."""
        return self.errors.mtre_mm if self.errors else float("inf")


@dataclass(frozen=True)
class Agreement:
    """Registrations of a case without truth: each start's rotation and distance from their consensus."""

    rotation_deg: list[float]
    distance_mm: list[float]
    seconds: list[float]

    @property
    def agreeing(self) -> np.ndarray:
        """(n,) bool, the starts that ended near the consensus."""
        return (np.array(self.rotation_deg) <= WITHIN_DEG) & (np.array(self.distance_mm) <= WITHIN_MM)


@dataclass(frozen=True)
class CaseOutcome:
    """The outcome of a case: either `runs` (with truth) or `agreement` (without). relative_geometry: see `Case`."""

    name: str
    views: int
    runs: list[RegistrationRecord]
    agreement: Agreement | None
    relative_geometry: str | None = None

    @property
    def group(self) -> str:
        """The name without a running number at its end."""
        return re.sub(r"[-_ ]*\d+$", "", self.name) or self.name

    @classmethod
    def from_json(cls, content: dict[str, Any], pictures: Sequence[str]) -> CaseOutcome:
        """An outcome from plain data; a run's picture is named only where it is among the pictures."""
        runs = [
            RegistrationRecord(
                **{
                    **run,
                    "errors": run["errors"] and metrics.Errors(**run["errors"]),
                    "picture": run["picture"] if run["picture"] in pictures else None,
                }
            )
            for run in content["runs"]
        ]
        agreement = content["agreement"] and Agreement(**content["agreement"])
        return cls(**{**content, "runs": runs, "agreement": agreement})


@dataclass(frozen=True)
class MotionOutcome:
    """Tracked against predicted motion between two cases of one structure, in one view."""

    first: str
    second: str
    view: str
    motion: Motion


@dataclass(frozen=True)
class FailedCase:
    """A case that could not be evaluated, and why, in a sentence."""

    case: str
    error: str


@dataclass(frozen=True)
class Evaluation:
    """All that was measured, and how.

    Parameters
    ----------
    pictures : JPEG files of misses, by name.
    shared : whether processes shared the cases, see `cohort`.
    failed : the cases of which nothing was measured.
    """

    cases: list[CaseOutcome]
    motions: list[MotionOutcome]
    setup: EvaluationSetup
    pictures: dict[str, bytes] = field(default_factory=dict)
    shared: bool = False
    failed: list[FailedCase] = field(default_factory=list)

    def to_json(self) -> dict:
        """Everything but the pictures, as plain data."""
        lists = {key: [asdict(each) for each in getattr(self, key)] for key in ("cases", "motions", "failed")}
        return {**lists, **self.setup.to_json(), "shared": self.shared}


@dataclass(frozen=True, eq=False)
class EvaluatedCase:
    """A case that was evaluated, with what the next one may share.

    Parameters
    ----------
    pictures : of misses, by name.
    world_from_ct : (4, 4), on which its starts agreed; without truth.
    """

    case: Case
    anatomy: PreparedCT
    outcome: CaseOutcome
    pictures: dict[str, bytes]
    world_from_ct: np.ndarray | None


def evaluate(
    paths: Sequence[str | Path],
    setup: EvaluationSetup,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
) -> Evaluation:
    """Register every case from all starts.

    Raises
    ------
    InputError for a bad case: for what its case.json says before any registration, for its images when their turn comes; and where
    a regressor is asked for and there is none.
    """
    setup.check()
    for path in paths:
        check(path)
    warm_up()
    pictures: dict[str, bytes] = {}
    outcomes, without_truth, last = [], [], None
    for number, path in enumerate(paths):

        def tell(fraction: float, name: str, number: int = number) -> None:
            progress((number + fraction) / len(paths), name)

        last = evaluate_case(path, setup, tell, last, MAX_PICTURES - len(pictures))
        outcomes.append(last.outcome)
        pictures |= last.pictures
        if last.world_from_ct is not None:
            without_truth.append((last.case, last.world_from_ct))
    return Evaluation(outcomes, motions(without_truth), setup, pictures)


def check(path: str | Path) -> CaseFile:
    """What a case.json says, before anything else is loaded. InputError where it cannot be evaluated."""
    file = CaseFile.read(path)
    if file.world_from_ct is None and (file.truth_world_from_ct is None or file.targets is None):
        raise InputError(
            f"{path}: found neither truth with targets nor a start pose, expected one of them; add it to the case."
        )
    return file


def evaluate_case(
    path: str | Path,
    setup: EvaluationSetup,
    tell: Callable[[float, str], object] = lambda fraction, name: None,
    last: EvaluatedCase | None = None,
    max_pictures: int = MAX_PICTURES,
) -> EvaluatedCase:
    """One case from all starts.

    Parameters
    ----------
    tell : called with the fraction done, and the case's name.
    last : whose CT is taken if it is the same.
    max_pictures : of misses.
    """
    case = Case.load(path, last and last.case)
    anatomy = last.anatomy if last and last.case.anatomy_key == case.anatomy_key else PreparedCT(case.ct)

    def tell_run(done: int) -> None:
        tell(done / setup.runs, case.name)

    pictures: dict[str, bytes] = {}
    runs, agreement, pose = [], None, None
    if case.truth_world_from_ct is not None and case.targets is not None:
        runs = _with_truth(case, anatomy, setup, tell_run, pictures, max_pictures)
    else:
        agreement, pose = _without_truth(case, anatomy, setup, tell_run)
    outcome = CaseOutcome(case.name, len(case.views), runs, agreement, case.relative_geometry)
    return EvaluatedCase(case, anatomy, outcome, pictures, pose)


def _with_truth(
    case: Case,
    anatomy: PreparedCT,
    setup: EvaluationSetup,
    tell: Callable,
    pictures: dict[str, bytes],
    max_pictures: int,
) -> list[RegistrationRecord]:
    truth, model, runs = case.truth_world_from_ct, setup.regressor(case), []
    name = setup.method.name if setup.start in ("given", "search") else f"{setup.method.name}-{setup.start}"
    for start in setup.starts_about_truth(case, anatomy):
        run = RegistrationRecord(metrics.mtre(start, truth, case.targets), None, None)
        try:
            done = setup.register(case, anatomy, start, len(runs), model)
        except InputError:  # this start shows too little of the CT
            pass
        else:
            run = _record(case, setup, run.start_mtre_mm, done)
            if not run.mtre_mm < SUCCESS_MM and len(pictures) < max_pictures:
                run = replace(run, picture=f"{case.name}-{name}-from-{run.start_mtre_mm:.1f}mm.jpg")
                found = done.refinement
                pictures[run.picture] = failure_figure(anatomy, found.views, found.world_from_ct, truth)
        runs.append(run)
        tell(len(runs))
    return runs


def _record(case: Case, setup: EvaluationSetup, start_mtre_mm: float, done: TimedRegistration) -> RegistrationRecord:
    found, truth, report = done.refinement, case.truth_world_from_ct, done.regressor
    cameras, pixels = [view.camera for view in found.views], [view.xray.pixel_mm for view in case.views]
    by_regressor = {}
    if report and report.candidates:
        initial_mtre_mm = metrics.mtre(np.array(report.candidates[0].world_from_ct), truth, case.targets)
        start_mtre_mm = start_mtre_mm if setup.start == "auto" else initial_mtre_mm
        by_regressor = {
            "initial_mtre_mm": initial_mtre_mm,
            "expected_mm": report.expected_mm,
            "selected_start": report.selected_start,
            "regressor_seconds": done.regressor_seconds,
        }
    return RegistrationRecord(
        start_mtre_mm,
        metrics.errors(cameras, found.world_from_ct, truth, case.targets, pixels),
        done.seconds,
        found.candidates,
        found.alternative and found.alternative.evidence_ratio,
        **by_regressor,
    )


def _without_truth(
    case: Case, anatomy: PreparedCT, setup: EvaluationSetup, tell: Callable
) -> tuple[Agreement, np.ndarray]:
    reference = replace(setup, start="given").register(case, anatomy, case.world_from_ct).refinement.world_from_ct
    model, found, seconds = setup.regressor(case), [], []
    for start in perturbed(reference, anatomy.centroid, *setup.perturb, setup.runs, setup.seed):
        done = setup.register(case, anatomy, start, len(found), model)
        found.append(done.refinement.world_from_ct)
        seconds.append(done.seconds)
        tell(len(found))
    if setup.start == "regressor":  # once, so that there are no others to agree with
        apart = metrics.geodesics(found[0], reference, anatomy.centroid, 50.0)
        return Agreement([apart.rotation_deg], [apart.translation_mm], seconds), found[0]
    agreed = consensus(np.stack(found), anatomy.centroid, WITHIN_DEG, WITHIN_MM)
    return Agreement(agreed.rotation_deg.tolist(), agreed.distance_mm.tolist(), seconds), agreed.world_from_ct


def motions(registered: Sequence[tuple[Case, np.ndarray]]) -> list[MotionOutcome]:
    """The motion check for every two cases of one structure and each camera that they share."""
    outcomes = []
    for (first, pose), (second, other_pose) in combinations(registered, 2):
        if first.anatomy_key != second.anatomy_key:
            continue
        for view, other in zip(first.views, second.views, strict=False):
            if np.allclose(view.camera.projection_matrix, other.camera.projection_matrix):
                motion = check_motion(first.ct, view, other, pose, other_pose)
                if motion.patches:
                    outcomes.append(MotionOutcome(first.name, second.name, view.name, motion))
    return outcomes
