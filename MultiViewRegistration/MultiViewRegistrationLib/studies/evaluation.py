"""Registering many cases from many starts.

How often it succeeds, how exact it is, how long it takes.

Cases with truth follow van de Kraats et al. (IEEE TMI 2005): starts of every size up to a maximum.
Cases without truth, real radiographs, show whether all starts lead to one pose.

What was measured is plain data, the same in `--json` and in the records of a cohort.
The outcome of a case:

    name, views, relative_geometry     of the case; the number of its views
    runs                               of a case with truth, a row for each registration
    agreement                          of a case without, rotation_deg, distance_mm and seconds of each start; None with truth
    structures                         a row for each structure of the case and each registration: run, name, verdict, reasons, errors,
                                       predicted_upper95_mm, moved_mm, seconds of all structures;
                                       the verdict is None where it was not registered, errors also
                                       without its truth

A row: start_mtre_mm, errors (of `metrics.Errors`) and seconds, both None without an answer,
failure (the reason why there is none), candidates (poses that were scored), evidence_ratio (see
`AlternativeSolution`). Where a regressor was used also initial_mtre_mm, the error of its most credible pose
before any refinement, expected_mm, the error that it expected itself, selected_start, and
regressor_seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..api import register_further
from ..assessment import metrics
from ..assessment.bodies import BodyRegistration, BodyResult
from ..assessment.risk import bone_risk_model
from ..assessment.together import register_together
from ..errors import InputError, Show, unseen
from ..finding import (
    REGRESSOR_STARTS,
    SEARCH_STARTS,
    TimedRegistration,
    check_structures,
    find_in_air,
    find_pose,
    refinement_method,
    seed_of,
)
from ..geometry import rigid
from ..io.case import Case
from ..io.case_file import CaseFile
from ..registration.optimizer import Range, Refinement, RefinementMethod
from ..registration.prepared_ct import PreparedCT, anatomies_of
from ..registration.warm_up import warm_up
from ..regressor.initialise import Regressor, model_for
from ..report.messages import sentences
from .statistics import SUCCESS_MM, consensus, perturbed, starting_poses

STARTS = ("given", "search", "regressor", "auto")
INTERVAL_MM = 2.0
#: Starts of a case without truth agree if they end this near their consensus.
WITHIN_DEG = 1.5
WITHIN_MM = 0.3

Row = dict[str, Any]
#: What a row has of a start without an answer, and without a regressor.
UNKNOWN: Row = dict.fromkeys(
    "errors seconds failure evidence_ratio initial_mtre_mm expected_mm selected_start".split()
) | {"candidates": 0, "regressor_seconds": 0.0}


@dataclass(frozen=True)
class EvaluationSetup:
    """The settings of an evaluation's registrations; plain data but for a `model` that is one.

    Parameters
    ----------
    starts
        How often each case is registered; once where only a regressor starts, which predicts the
        same each time.
    max_start_error_mm
        With truth, start mTREs are uniform from 0 to this.
    perturb
        Without truth, (degrees, mm) by which starts differ from the pose to which the case's own
        start leads.
    seed
        Seed of all that is drawn.
    refinement, device
        See `finding.refinement_method`.
    search
        (degrees, mm) range of "search" and "auto", by default each case's own. With truth, the
        centres of the ranges are spread evenly about it.
    start
        "given", poses about the true one; "search", "regressor" or "auto", see `api.register`.
    model
        The regressor or its folder, by default the newest one of each case's CT.
    """

    starts: int = 20
    max_start_error_mm: float = 22.0
    perturb: tuple[float, float] = (8.0, 8.0)
    seed: int = 0
    refinement: str = "joint"
    device: str = "cpu"
    search: tuple[float, float] | None = None
    start: str = "given"
    model: str | Path | Regressor | None = None

    def check(self) -> None:
        """Refuse impossible settings.

        Raises
        ------
        InputError
            Naming the setting.
        """
        if self.starts < 1 or self.max_start_error_mm <= 0 or min(self.perturb) < 0:
            raise InputError(
                "--starts, --max-start-error, --perturb: found a number that is too small, "
                "expected one start or more and a maximum above 0."
            )
        seed_of(self.seed)
        if self.start not in STARTS:
            raise InputError(f'start: found "{self.start}", expected one of {", ".join(STARTS)}.')
        if self.start == "search" and self.method.name != "joint":
            raise self.method.missing_pose()

    @cached_property
    def method(self) -> RefinementMethod:
        """The refinement.

        Raises
        ------
        InputError
            If there is none of that name or device.
        """
        return refinement_method(self.refinement, self.device)

    @property
    def runs(self) -> int:
        """The number of registrations of each case."""
        return 1 if self.start == "regressor" else self.starts

    def to_json(self) -> Row:
        """Return the setup as plain data."""
        return asdict(
            replace(self, model=self.model and str(getattr(self.model, "folder", self.model)))
        )

    def range(self, case: Case) -> Range:
        """Return the range of a search for a case."""
        return Range(*self.search) if self.search else Range(**case.search_range)

    def starts_about_truth(self, case: Case, anatomy: PreparedCT) -> np.ndarray:
        """Return the starts (runs, 4, 4) about the true pose.

        Their mTRE is uniform up to the maximum, or a search from them finds the truth within its
        range.
        """
        truth, targets = truth_of(case)
        if self.start == "regressor":
            return truth[None]  # it starts from its own
        if self.start in SEARCH_STARTS:
            random = np.random.default_rng(self.seed).random((self.starts, 6))
            return self.range(case).poses(truth, anatomy.centroid, random)
        intervals = max(1, round(self.max_start_error_mm / INTERVAL_MM))
        edges = np.linspace(0, self.max_start_error_mm, intervals + 1)
        poses = starting_poses(truth, targets, edges, -(-self.starts // intervals), self.seed)
        return poses[np.unique(np.linspace(len(poses) - 1, 0, self.starts).round().astype(int))]

    def regressor(self, case: Case) -> Regressor | None:
        """Return the case's regressor, None where none is used.

        Raises
        ------
        InputError
            If one is needed and there is none.
        """
        if self.start not in REGRESSOR_STARTS:
            return None
        found = model_for(case, self.start, self.model)
        if found is None and self.start == "regressor":
            raise InputError(
                f"{case.name}: found no model of its CT that fits its views, expected one; train "
                "one with mvreg train."
            )
        return found

    def register(
        self,
        case: Case,
        anatomy: PreparedCT,
        start: np.ndarray | None,
        number: int = 0,
        model: Regressor | None = None,
    ) -> tuple[PreparedCT, TimedRegistration]:
        """Register a case from an initial pose (4, 4), the centre of a search.

        The returned CT and pose are those of `api.register`, which refines the pose again if the
        X-rays show air beyond an end of the CT.
        """
        registration = find_pose(
            case,
            anatomy,
            self.method,
            self.start,
            start,
            regressor=model,
            search=self.range(case),
            seed=self.seed + number,
        )
        return find_in_air(case, anatomy, self.method, registration)


def truth_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return pose (4, 4) and targets (n, 3) of a case with truth.

    Raises
    ------
    ValueError
        For a case without.
    """
    if case.truth_world_from_ct is None or case.targets is None:
        raise ValueError(f"{case.name} has no truth with targets")
    return case.truth_world_from_ct, case.targets


@dataclass(frozen=True)
class Evaluation:
    """All that was measured, and how.

    Parameters
    ----------
    cases
        The outcomes, see above.
    shared
        Whether processes shared the cases, see `cohort`.
    failed
        Case and error, a sentence, of those without a measurement.
    """

    cases: list[Row]
    setup: EvaluationSetup
    shared: bool = False
    failed: list[Row] = field(default_factory=list)

    def to_json(self) -> Row:
        """Return everything as plain data."""
        measured = {"cases": self.cases, "failed": self.failed}
        return {**measured, **self.setup.to_json(), "shared": self.shared}


@dataclass(frozen=True, eq=False)
class EvaluatedCase:
    """A case with its outcome, and the CT that the next one may share."""

    case: Case
    anatomy: PreparedCT
    outcome: Row


def evaluate(
    paths: Sequence[str | Path],
    setup: EvaluationSetup,
    progress: Show = unseen,
) -> Evaluation:
    """Register every case from all starts.

    Raises
    ------
    InputError
        For a bad case: for what its case.json says before any registration, for its images when
        their turn comes; and where a regressor is requested and there is none.
    """
    setup.check()
    for path in paths:
        check(path)
    warm_up()
    evaluation = Evaluation([], setup)
    last: EvaluatedCase | None = None
    for number, path in enumerate(paths):

        def show(fraction: float, name: str, number: int = number) -> None:
            progress((number + fraction) / len(paths), name)

        last = evaluate_case(path, setup, show, last)
        evaluation.cases.append(last.outcome)
    return evaluation


def check(path: str | Path) -> CaseFile:
    """Read a case.json, before anything else is loaded.

    Raises
    ------
    InputError
        If the case cannot be evaluated.
    """
    file = CaseFile.read(path)
    if file.world_from_ct is None and (file.truth_world_from_ct is None or file.targets is None):
        raise InputError(
            f"{path}: found neither truth with targets nor a start pose, expected one of them; add "
            "it to the case."
        )
    return file


def evaluate_case(
    path: str | Path,
    setup: EvaluationSetup,
    progress: Show = unseen,
    last: EvaluatedCase | None = None,
) -> EvaluatedCase:
    """Register one case from all starts.

    Parameters
    ----------
    progress
        Called with the fraction done, and the case's name.
    last
        The case before, whose CT is taken if it is the same.
    """
    case = Case.load(path, last.case if last else None)
    check_structures(case)
    anatomy = (
        last.anatomy if last and last.case.anatomy_key == case.anatomy_key else PreparedCT(case.ct)
    )

    def show(done: int) -> None:
        progress(done / setup.runs, case.name)

    outcome: Row = {
        "name": case.name,
        "views": len(case.views),
        "relative_geometry": case.relative_geometry,
        "runs": [],
        "agreement": None,
        "structures": [],
    }
    bones = outcome["structures"]
    if case.truth_world_from_ct is not None and case.targets is not None:
        outcome["runs"] = _with_truth(case, anatomy, setup, show, bones)
    else:
        outcome["agreement"] = _without_truth(case, anatomy, setup, show, bones)
    return EvaluatedCase(case, anatomy, outcome)


def _with_truth(
    case: Case,
    anatomy: PreparedCT,
    setup: EvaluationSetup,
    progress: Callable[[int], None],
    bones: list[Row],
) -> list[Row]:
    truth, targets = truth_of(case)
    model = setup.regressor(case)
    rows: list[Row] = []
    for start in setup.starts_about_truth(case, anatomy):
        row: Row = {"start_mtre_mm": metrics.mtre(start, truth, targets), **UNKNOWN}
        done = None
        registered = anatomy
        try:
            registered, done = setup.register(case, anatomy, start, len(rows), model)
        except InputError as error:  # this start shows too little of the CT
            row["failure"] = str(error)
        bones += _structures(case, registered, setup, done, len(rows))
        if done:
            row |= _measured(case, setup, done)
        rows.append(row)
        progress(len(rows))
    return rows


def _measured(case: Case, setup: EvaluationSetup, done: TimedRegistration) -> Row:
    found = done.refinement
    report = done.regressor
    (truth, targets) = truth_of(case)
    row: Row = {
        "errors": _errors(found, found.world_from_ct, truth, targets),
        "seconds": done.seconds,
        "candidates": found.candidates,
        "evidence_ratio": found.alternative and found.alternative.evidence_ratio,
    }
    if report and report.candidates:
        first = metrics.mtre(np.array(report.candidates[0].world_from_ct), truth, targets)
        row |= {
            "initial_mtre_mm": first,
            "expected_mm": report.expected_mm,
            "selected_start": report.selected_start,
            "regressor_seconds": done.regressor_seconds,
        }
        if setup.start != "auto":
            row["start_mtre_mm"] = first
    return row


def _structures(
    case: Case,
    anatomy: PreparedCT,
    setup: EvaluationSetup,
    done: TimedRegistration | None,
    run: int,
) -> list[Row]:
    """Return the row of each structure.

    Its verdict is None where it cannot be registered, after a published refinement for one.
    """
    unknown = dict.fromkeys(("verdict", "errors", "predicted_upper95_mm", "moved_mm", "seconds"))
    rows: dict[str, Row] = {}
    for name in case.bone_names:
        rows[name] = {"run": run, "name": name, **unknown, "reasons": []}
    if not rows or done is None or setup.method.name != "joint":
        return [*rows.values()]
    began = perf_counter()
    whole = done.refinement
    anatomies = anatomies_of(case.bodies, anatomy)
    how = None, unseen, setup.seed, setup.method
    others = register_further(case, anatomies, whole.views, *how)
    places = [each.refinement.world_from_ct for each in (done, *others)]
    registered = list(map(BodyRegistration, case.bodies, anatomies, places))
    bones = register_together(registered, whole.views, poses=done.bone_poses).bodies
    seconds = perf_counter() - began
    for bone in bones:
        findings = bone.assessment.findings if bone.assessment else ()
        truth = case.structure_truths.get(bone.name)
        row = rows[bone.name]
        row |= {"verdict": bone.verdict, "reasons": sentences(findings), "seconds": seconds}
        row |= {"moved_mm": bone.moved and bone.moved.mm}
        row |= {"predicted_upper95_mm": _predicted_upper95_mm(bone)}
        if truth is not None and bone.bone:
            row["errors"] = _errors(whole, bone.world_from_ct, truth, bone.bone.surface)
    return [*rows.values()]


def _predicted_upper95_mm(bone: BodyResult) -> float | None:
    """Return the 95 % error bound that the risk model predicts for a bone of a CT; None if no view shows it.

    It does not include the uncertainty of the cameras, since the whole CT is not assessed here.
    """
    if not bone.moved or bone.features is None or bone.verdict == "not shown":
        return None
    return bone_risk_model().predict(bone.features).upper95_mm


def _errors(found: Refinement, pose: np.ndarray, truth: np.ndarray, points: np.ndarray) -> Row:
    """Return the errors of points (N, 3) at a pose, as the views show them."""
    cameras = [view.camera for view in found.views]
    pixels = [view.xray.pixel_mm for view in found.views]
    return asdict(metrics.errors(cameras, pose, truth, points, pixels))


def is_right(row: Row) -> bool:
    """Return whether a registration succeeded."""
    return row["errors"] is not None and row["errors"]["mtre_mm"] < SUCCESS_MM


def _without_truth(
    case: Case,
    anatomy: PreparedCT,
    setup: EvaluationSetup,
    progress: Callable[[int], None],
    bones: list[Row],
) -> Row:
    _, own = replace(setup, start="given").register(case, anatomy, case.world_from_ct)
    reference = own.refinement.world_from_ct
    model = setup.regressor(case)
    seconds = []
    found: list[np.ndarray] = []
    for start in perturbed(reference, anatomy.centroid, *setup.perturb, setup.runs, setup.seed):
        registered, done = setup.register(case, anatomy, start, len(found), model)
        bones += _structures(case, registered, setup, done, len(found))
        found.append(done.refinement.world_from_ct)
        seconds.append(done.seconds)
        progress(len(found))
    if setup.start == "regressor":  # once, so that there are no others to agree with
        mm, degrees = (
            [each] for each in rigid.pose_difference(found[0], reference, anatomy.centroid)
        )
    else:
        agreed = consensus(np.stack(found), anatomy.centroid, WITHIN_DEG, WITHIN_MM)
        degrees = agreed.rotation_deg.tolist()
        mm = agreed.distance_mm.tolist()
    return {"rotation_deg": degrees, "distance_mm": mm, "seconds": seconds}


def agreeing(agreement: Row) -> np.ndarray:
    """Return the starts, (n,) bool, that ended near the consensus."""
    degrees = np.array(agreement["rotation_deg"])
    mm = np.array(agreement["distance_mm"])
    return (degrees <= WITHIN_DEG) & (mm <= WITHIN_MM)


def group_name(case: str) -> str:
    """Return a case's name without a running number at its end."""
    return re.sub(r"[-_ ]*\d+$", "", case) or case
