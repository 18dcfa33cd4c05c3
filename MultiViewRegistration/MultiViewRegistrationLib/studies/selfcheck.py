"""A CT registered to its own localizers from many starts.

How far from the scanner's pose it ends (docs/scouts.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from ..api import register
from ..assessment import metrics
from ..assessment.scanners_pose import misfits
from ..errors import InputError, Show, warn
from ..finding import seed_of
from ..io.case import Case
from ..io.files import printable
from ..io.localizer import study_with_localizers
from ..registration.optimizer import Range
from ..registration.pipeline import Progress, Refinement, Report, pose_difference, refine
from ..registration.prepared_ct import PreparedCT
from ..registration.warm_up import warm_up
from ..report.result import Result
from .statistics import Consensus, consensus, perturbed

#: How far the starts are from the scanner's pose, and how far about each is searched.
START_DEG = 18.0
START_MM = 55.0
#: Starts agree if they end this near their consensus.
WITHIN_DEG = 0.2
WITHIN_MM = 0.3
#: What the scanner's pose is worth: the patient may move between localizer and slices, and headers
#: round (docs/scouts.md).
TRUTH_MM = 1.5
#: How much of the time of a registration a verdict takes.
ASSESSED_RUNS = 3


@dataclass(frozen=True, eq=False)
class Run:
    """The registration from one start: a search about it, at whose edge the scanner's pose lies.

    Attributes
    ----------
    start_world_from_ct
        (4, 4).
    start_mtre_mm
        Of the start, against the scanner's pose.
    seconds
        From images and CT in memory to the pose.
    found
        None where the start shows too little of the CT.
    mtre_mm
        Against the scanner's pose; None where nothing was found.
    """

    start_world_from_ct: np.ndarray
    start_mtre_mm: float
    seconds: float
    found: Refinement | None
    mtre_mm: float | None


@dataclass(frozen=True, eq=False)
class SelfCheck:
    """What came of all starts.

    Attributes
    ----------
    result
        Of the start that led to the best fit, assessed as `mvreg register` does it.
    agreement
        Of the poses that were found, with their common pose.
    misfits
        Localizers that do not show the CT where the scanner has it, a sentence each.
    """

    case: Case
    anatomy: PreparedCT
    runs: Sequence[Run]
    result: Result
    agreement: Consensus
    misfits: list[str]

    @property
    def mtre_mm(self) -> float:
        """The mTRE of the result from the scanner's pose."""
        assert self.result.errors is not None
        return self.result.errors.mtre_mm

    @property
    def agreeing(self) -> int:
        """How many runs ended in the common pose."""
        return round(self.agreement.share * len(self.agreement.distance_mm))

    @property
    def from_scanner(self) -> tuple[float, float]:
        """Distance in mm at the centre of the bone, and angle in degrees, of the result from the scanner's pose."""
        assert self.case.truth_world_from_ct is not None
        return pose_difference(
            self.result.world_from_ct, self.case.truth_world_from_ct, self.anatomy.centroid
        )

    @property
    def summary(self) -> list[str]:
        """What came of it, a sentence each."""
        mm, degrees = self.from_scanner
        return [
            f"{self.agreeing} of {len(self.runs)} starts, {START_DEG:g} degrees and {START_MM:g} "
            f"mm off, end within {WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees of one pose.",
            f"The best fit is {mm:.1f} mm and {degrees:.1f} degrees from the scanner's pose: mTRE "
            f"{self.mtre_mm:.2f} mm.",
            f"The scanner's pose is itself good to some {TRUTH_MM:g} mm: the patient may have "
            "moved between scouts and slices.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what `mvreg selfcheck --json` prints."""
        mm, degrees = self.from_scanner
        agreed = iter(
            zip(
                self.agreement.distance_mm.tolist(),
                self.agreement.rotation_deg.tolist(),
                strict=True,
            )
        )
        content = self.result.to_json()
        return {
            "name": self.case.name,
            "mtre_mm": self.mtre_mm,
            "verdict": self.result.verdict,
            "summary": self.summary,
            "misfits": self.misfits,
            "from_scanner": {"distance_mm": mm, "rotation_deg": degrees},
            "agreeing": self.agreeing,
            "runs": [
                {
                    "start_world_from_ct": run.start_world_from_ct.tolist(),
                    "start_mtre_mm": run.start_mtre_mm,
                    "world_from_ct": run.found and run.found.world_from_ct.tolist(),
                    "mtre_mm": run.mtre_mm,
                    "from_common": run.found
                    and dict(zip(("distance_mm", "rotation_deg"), next(agreed), strict=True)),
                    "similarity": run.found and list(run.found.fit.similarity),
                    "seconds": run.seconds,
                }
                for run in self.runs
            ],
            **{
                key: content[key]
                for key in (
                    "reasons",
                    "reason_codes",
                    "predicted_tre_mm",
                    "world_from_ct",
                    "views",
                    "errors",
                    "software",
                    "inputs",
                )
            },
        }


def study_to_check(path: Path) -> Case:
    """Return the case of a study's folder, or one that `mvreg case new --scouts` made.

    Raises
    ------
    InputError
        As `study_with_localizers` and `Case.load`; for a case without truth, or with other views
        than slot scans.

    Warns
    -----
    UserWarning
        Of localizers and series of the study that are left out.
    """
    if path.is_file() or (path / "case.json").is_file():
        case = Case.load(path)
        if case.truth_world_from_ct is None or any(
            view.camera.fan_axes == 2 for view in case.views
        ):
            raise InputError(
                f"{printable(path)}: is no case of a CT's own scouts with the scanner's pose as "
                "truth, expected one as mvreg case new --scouts makes it; name that, or the "
                "folder of the study."
            )
        return case
    study = study_with_localizers(path)
    for sentence in study.left_out:
        warn(sentence)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "case.json"
        file.write_text(json.dumps(study.case()))
        try:
            case = Case.load(file)
        except InputError as error:
            raise InputError(str(error).replace(printable(file), printable(path))) from None
    case.inputs.pop(file.name, None)
    return replace(case, path=None, name=printable(path.resolve().name))


def selfcheck(case: Case, starts: int, seed: int, show: Show) -> SelfCheck:
    """Register a CT to its own localizers from starts about the scanner's pose.

    Parameters
    ----------
    case
        As of `study_to_check`; without targets, errors are those of the bone that all localizers
        show, or of the body's corners.
    starts, seed
        How many starts, of random directions by this seed.
    show
        Called with the fraction done and the stage.

    Raises
    ------
    InputError
        For a localizer that was mirrored or turned, and where no start shows enough of the CT.
    """
    if starts < 1:
        raise InputError(f"--starts: found {starts}, expected 1 or more; correct it.")
    seed = seed_of(seed)
    warm_up()
    anatomy = PreparedCT(case.ct)
    truth = case.truth_world_from_ct
    assert truth is not None
    if case.targets is None:
        bone = metrics.default_targets(anatomy, case.views, truth)
        case = replace(case, targets=bone if len(bone) else None)
    found_misfits = misfits(anatomy, case.views, truth)
    poses = perturbed(truth, anatomy.centroid, START_DEG, START_MM, starts, seed)
    whole = starts + ASSESSED_RUNS
    case = replace(case, search={"rotation_deg": START_DEG, "translation_mm": START_MM})
    runs: list[Run] = []
    for number, start in enumerate(poses):
        stage = f"start {number + 1} of {starts}"
        show(number / whole, stage)

        def report(now: Progress, number: int = number, stage: str = stage) -> None:
            show((number + now.fraction) / whole, stage)

        runs.append(_run(case, anatomy, start, number, report))
    answered = [(number, run.found) for number, run in enumerate(runs) if run.found]
    if not answered:
        raise InputError(
            f"{case.name}: the scouts show too little of the CT from every start, expected scouts "
            "and slices of the same part of the patient; choose others."
        )

    def assessing(now: Progress) -> None:
        show((starts + ASSESSED_RUNS * now.fraction) / whole, "assessing the best fit")

    best, _ = max(answered, key=lambda each: each[1].fit.evidence)
    result = register(
        replace(case, world_from_ct=poses[best]), "search", assessing, anatomy, seed=best
    )
    ends = np.stack([found.world_from_ct for _, found in answered])
    agreement = consensus(ends, anatomy.centroid, WITHIN_DEG, WITHIN_MM)
    return SelfCheck(case, anatomy, runs, result, agreement, found_misfits)


def _run(
    case: Case,
    anatomy: PreparedCT,
    start: np.ndarray,
    seed: int,
    report: Report,
) -> Run:
    began = perf_counter()
    found = None
    error = None
    truth = case.truth_world_from_ct
    targets = anatomy.corners() if case.targets is None else case.targets
    assert truth is not None
    try:
        found = refine(
            anatomy,
            case.views,
            start,
            report,
            case.shared_unknowns,
            reach=Range(**case.search_range),
            seed=seed,
        )
        error = metrics.mtre(found.world_from_ct, truth, targets)
    except InputError:  # it shows too little of the CT
        pass
    return Run(start, metrics.mtre(start, truth, targets), perf_counter() - began, found, error)
