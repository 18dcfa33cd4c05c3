"""Registering many cases from many starts: how often it succeeds, how exact it is, how long it takes.

Cases with truth follow van de Kraats et al. (IEEE TMI 2005): starts of every size up to a reach. Cases without truth, real
radiographs, are asked whether all starts lead to one pose, and, where one camera took several images of the structure, whether
the poses predict the motion that is tracked in the images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from ..assessment import metrics
from ..errors import InputError
from ..imaging.view import View
from ..io.case import Case
from ..io.case_file import CaseFile
from ..published.methods import refinement_method
from ..registration.prepared_ct import PreparedCT, warm_up
from ..registration.schedule import Range
from ..regressor.initialise import Regressor, missing_pose_error
from . import statistics as protocol
from .evaluation_method import SEARCH_STARTS, STARTS, Method
from .failure_figure import failure_figure
from .motion_statistics import Motion, check_motion

#: Starts of a case without truth agree if they end this near their consensus.
WITHIN_DEG, WITHIN_MM = 1.5, 0.3
#: Misses beyond this many are told without a picture.
MOST_PICTURES = 20


@dataclass(frozen=True)
class Run:
    """One registration of a case with truth; errors and seconds are None where it gave no answer.

    candidates: how many poses were scored.   gap: see `AlternativeSolution`.   picture: name in `Evaluation.pictures`, of a miss.
    said_mtre_mm, expected_mm, taken: the error of the regressor's most credible pose before any refinement, the one it expected, and
        where the answer came from, see `initialise.RegressorReport`; None where none was asked.   asked: the seconds it took to say so.
    """

    start_mtre_mm: float
    errors: metrics.Errors | None
    seconds: float | None
    candidates: int = 0
    gap: float | None = None
    picture: str | None = None
    said_mtre_mm: float | None = None
    expected_mm: float | None = None
    taken: str | None = None
    asked: float = 0.0

    @property
    def mtre_mm(self) -> float:
        """The final mTRE, NaN without an answer."""
        return self.errors.mtre_mm if self.errors else float("nan")


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
    """Either `runs` (with truth) or `agreement` (without).   relative_geometry: see `Case`."""

    name: str
    views: int
    runs: list[Run]
    agreement: Agreement | None
    relative_geometry: str | None = None

    @property
    def group(self) -> str:
        """The name without a running number at its end."""
        return re.sub(r"[-_ ]*\d+$", "", self.name) or self.name


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A case that was evaluated, with what the next one may share. world_from_ct: (4, 4), on which its starts agreed, without truth."""

    case: Case
    anatomy: PreparedCT
    outcome: CaseOutcome
    world_from_ct: np.ndarray | None


@dataclass(frozen=True)
class Failed:
    """A case of a cohort that could not be evaluated, and why, in a sentence."""

    case: str
    error: str


@dataclass(frozen=True)
class MotionOutcome:
    """Tracked against predicted motion between two cases of one structure, in one view."""

    first: str
    second: str
    view: str
    motion: Motion


@dataclass(frozen=True)
class Evaluation:
    """All that was measured, and how.

    start: one of STARTS.
    refinement: by its name, on torch's device where it ran by torch, or on another `device` than the processor.
    search: the range through which was searched, None for each case's.
    pictures: JPEG files of misses, by name.   shared: whether processes shared the cases, see `cohort`; failed: of those.
    """

    cases: list[CaseOutcome]
    motions: list[MotionOutcome]
    starts: int
    reach_mm: float
    off: tuple[float, float]
    seed: int
    refinement: str = "joint"
    torch_device: str | None = None
    search: Range | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)
    start: str = "given"
    shared: bool = False
    failed: list[Failed] = field(default_factory=list)
    device: str = ""

    @property
    def searched(self) -> bool:
        return self.start in SEARCH_STARTS

    def to_json(self) -> dict:
        """Everything but the pictures, as plain data."""
        return asdict(replace(self, pictures={}))


def evaluate(
    paths: Sequence[Path],
    *,
    starts: int,
    reach_mm: float,
    off: tuple[float, float],
    seed: int,
    progress: Callable[[float, str], object] = lambda fraction, stage: None,
    refinement: str = "joint",
    device: str = "cpu",
    search: Range | None = None,
    start: str | None = None,
    model: str | Path | Regressor | None = None,
) -> Evaluation:
    """Register every case from `starts` starts.

    start: "given", poses about the true one; "search", "regressor" or "auto", see `workflow.register`; by default "search" if there is a
        range, else "given". A regressor says the same each time: it registers each case once.
    reach_mm: with truth, start mTREs are uniform from 0 to this.
    off: without truth, (degrees, mm) by which starts differ from the pose to which the case's own start leads.
    refinement, device: see `published.methods.refinement_method`.
    search: the range of "search" and "auto", by default each case's own. With truth, the centres of the ranges are spread evenly about it.
    model: the regressor or its folder, by default the newest one of each case's CT.

    Raises InputError for a bad case: for what its case.json says before any registration, for its images when their turn comes; and where
    a regressor is asked for and there is none.
    """
    method = method_of(starts, reach_mm, off, seed, refinement, device, search, start, model)
    for path in paths:
        check(path)
    warm_up()
    pictures: dict[str, bytes] = {}
    outcomes: list[CaseOutcome] = []
    unknown: list[tuple[Case, np.ndarray]] = []
    last = None
    for number, path in enumerate(paths):
        last = evaluate_case(
            path, method, pictures, lambda f, name, done=number: progress((done + f) / len(paths), name), last
        )
        outcomes.append(last.outcome)
        if last.world_from_ct is not None:
            unknown.append((last.case, last.world_from_ct))
    return Evaluation(
        outcomes,
        motions(unknown),
        method.starts,
        reach_mm,
        off,
        seed,
        method.by.name,
        method.by.torch_device,
        search,
        pictures,
        method.start,
        device=method.by.compute_device.display_name,
    )


def method_of(
    starts: int,
    reach_mm: float,
    off: tuple[float, float],
    seed: int,
    refinement: str,
    device: str,
    search: Range | None,
    start: str | None,
    model: str | Path | Regressor | None,
) -> Method:
    """How the cases are registered, see `evaluate`. InputError for what cannot be."""
    if starts < 1 or reach_mm <= 0 or min(off) < 0:
        raise InputError(
            "--starts, --reach, --off: found a number that is too small, expected one start or more and a reach above 0."
        )
    by = refinement_method(refinement, device)
    start = start or ("search" if search else "given")
    if start not in STARTS:
        raise InputError(f'start: found "{start}", expected one of {", ".join(STARTS)}.')
    if start == "search" and by.name != "joint":
        raise missing_pose_error(by)
    return Method(by, start, model, search, 1 if start == "regressor" else starts, reach_mm, off, seed)


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
    method: Method,
    pictures: dict[str, bytes],
    tell: Callable[[float, str], object] = lambda fraction, name: None,
    last: Evaluated | None = None,
) -> Evaluated:
    """One case from all starts.

    pictures: of misses, to which its own are added, up to MOST_PICTURES.   tell: called with the fraction done, and the case's name.
    last: whose CT is taken if it is the same.
    """
    case = Case.load(path, last and last.case)
    anatomy = last.anatomy if last and last.case.anatomy_key == case.anatomy_key else PreparedCT(case.ct)

    def told(fraction: float) -> None:
        tell(fraction, case.name)

    if case.truth_world_from_ct is not None and case.targets is not None:
        return Evaluated(case, anatomy, _with_truth(case, anatomy, method, pictures, told), None)
    return Evaluated(case, anatomy, *_without_truth(case, anatomy, method, told))


def _with_truth(
    case: Case, anatomy: PreparedCT, method: Method, pictures: dict[str, bytes], tell: Callable[[float], object]
) -> CaseOutcome:
    truth, pixels = case.truth_world_from_ct, [view.xray.pixel_mm for view in case.views]
    model, runs = method.regressor(case), []
    for start in method.starts_about_truth(case, anatomy):
        run = Run(metrics.mtre(start, truth, case.targets), None, None)
        try:
            done = method.run(case, anatomy, start, len(runs), model)
        except InputError:  # this start shows too little of the CT
            pass
        else:
            found, cameras = done.refinement, [view.camera for view in done.refinement.views]
            errors = metrics.errors(cameras, found.world_from_ct, truth, case.targets, pixels)
            run = replace(
                run,
                errors=errors,
                seconds=done.seconds,
                candidates=found.candidates,
                gap=found.alternative and found.alternative.evidence_ratio,
            )
            if done.started and done.started.candidates:
                said = metrics.mtre(np.array(done.started.candidates[0].world_from_ct), truth, case.targets)
                run = replace(
                    run,
                    said_mtre_mm=said,
                    expected_mm=done.started.expected_mm,
                    taken=done.started.selected_start,
                    asked=done.asked,
                )
                run = run if method.start == "auto" else replace(run, start_mtre_mm=said)
            if not run.mtre_mm < protocol.SUCCESS_MM and len(pictures) < MOST_PICTURES:
                run = replace(run, picture=f"{case.name}-{method.name}-from-{run.start_mtre_mm:.1f}mm.jpg")
                pictures[run.picture] = _picture(found.views, anatomy, found.world_from_ct, truth)
        runs.append(run)
        tell(len(runs) / method.starts)
    return CaseOutcome(case.name, len(case.views), runs, None, case.relative_geometry)


def _picture(views: list[View], anatomy: PreparedCT, found: np.ndarray, truth: np.ndarray) -> bytes:
    drrs = [[anatomy.drr(view.camera, pose) for view in views] for pose in (found, truth)]
    return failure_figure([view.xray for view in views], *drrs)


def _without_truth(
    case: Case, anatomy: PreparedCT, method: Method, tell: Callable[[float], object]
) -> tuple[CaseOutcome, np.ndarray]:
    reference = replace(method, start="given").run(case, anatomy, case.world_from_ct).refinement.world_from_ct
    model, found, seconds = method.regressor(case), [], []
    for start in protocol.perturbed(reference, anatomy.centroid, *method.off, method.starts, method.seed):
        done = method.run(case, anatomy, start, len(found), model)
        found.append(done.refinement.world_from_ct)
        seconds.append(done.seconds)
        tell(len(found) / method.starts)
    if method.start == "regressor":  # once, so that there are no others to agree with
        away = metrics.geodesics(found[0], reference, anatomy.centroid, 50.0)
        agreement = Agreement([away.rotation_deg], [away.translation_mm], seconds)
        return CaseOutcome(case.name, len(case.views), [], agreement, case.relative_geometry), found[0]
    agreed = protocol.consensus(np.stack(found), anatomy.centroid, WITHIN_DEG, WITHIN_MM)
    agreement = Agreement(agreed.rotation_deg.tolist(), agreed.distance_mm.tolist(), seconds)
    return CaseOutcome(case.name, len(case.views), [], agreement, case.relative_geometry), agreed.world_from_ct


def motions(registered: list[tuple[Case, np.ndarray]]) -> list[MotionOutcome]:
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
