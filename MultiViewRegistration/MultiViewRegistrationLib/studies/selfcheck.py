"""A CT registered to its own localizers from many starts, and the page of that.

How far from the scanner's pose it ends (docs/scouts.md). And a result from known offsets, as radiotherapy does each day.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..api import register
from ..assessment import metrics
from ..assessment.scanner_pose import misfits
from ..errors import InputError, Show, warn
from ..finding import find_pose, refinement_method, seed_of
from ..geometry import rigid
from ..imaging.ct_series import export_folder
from ..imaging.xray import SharedUnknowns
from ..io.case import Case
from ..io.files import printable, write_atomically
from ..io.localizer import study_with_localizers
from ..registration.optimizer import Progress, Range, Refinement, Report
from ..registration.pipeline import refine
from ..registration.prepared_ct import PreparedCT
from ..registration.warm_up import warm_up
from ..report.html import Content, number, page, table, tag
from ..report.plot import STYLES, Axis, Line, image_of, line_plot
from ..report.result import Result
from ..report.result_page import Entry, badge, write_report
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
#: What is told of the best fit as a result.json has it.
OF_RESULT = (
    "reasons",
    "findings",
    "predicted_tre_mm",
    "world_from_ct",
    "views",
    "errors",
    "software",
    "inputs",
)


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
        return rigid.pose_difference(
            self.result.world_from_ct, self.case.truth_world_from_ct, self.anatomy.centroid
        )

    @property
    def summary(self) -> list[str]:
        """What came of it, a sentence each."""
        mm, degrees = self.from_scanner
        return [
            f"{self.agreeing} of {len(self.runs)} starts, {START_DEG:g} degrees and {START_MM:g} "
            f"mm off, end within {WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees of one pose.",
            f"The best fit is {mm:.1f} mm, at the centre of the bone, and {degrees:.1f} degrees from "
            f"the scanner's pose: mTRE {self.mtre_mm:.2f} mm, at {self.result.error_points}.",
            f"The scanner's pose is itself good to some {TRUTH_MM:g} mm: the patient may have "
            "moved between scouts and slices.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what `mvreg selfcheck --json` prints."""
        mm, degrees = self.from_scanner
        mms = self.agreement.distance_mm.tolist()
        turns = self.agreement.rotation_deg.tolist()
        agreed = (dict(zip(("distance_mm", "rotation_deg"), each)) for each in zip(mms, turns))
        runs = []
        for run in self.runs:
            found = run.found
            runs.append(
                {
                    "start_world_from_ct": run.start_world_from_ct.tolist(),
                    "start_mtre_mm": run.start_mtre_mm,
                    "world_from_ct": found and found.world_from_ct.tolist(),
                    "mtre_mm": run.mtre_mm,
                    "from_common": found and next(agreed),
                    "similarity": found and list(found.fit.similarity),
                    "seconds": run.seconds,
                }
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
            "runs": runs,
            **{key: content[key] for key in OF_RESULT},
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
    path = export_folder(path)
    if path.is_file() or (path / "case.json").is_file():
        case = Case.load(path)
        if case.truth_world_from_ct is None or any(
            not view.camera.is_slot_scan for view in case.views
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
        As of `study_to_check`; for errors see `metrics.target_points`.
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
    points = metrics.target_points(anatomy, case.views, truth, case.targets).points
    found_misfits = misfits(anatomy, case.views, truth)
    poses = perturbed(truth, anatomy.centroid, START_DEG, START_MM, starts, seed)
    whole = starts + ASSESSED_RUNS
    case = replace(case, search={"rotation_deg": START_DEG, "translation_mm": START_MM})
    runs: list[Run] = []
    for n, start in enumerate(poses):
        stage = f"start {n + 1} of {starts}"
        show(n / whole, stage)

        def report(now: Progress, n: int = n, stage: str = stage) -> None:
            show((n + now.fraction) / whole, stage)

        runs.append(_run(case, anatomy, start, points, n, report))
    answered = [(n, run.found) for n, run in enumerate(runs) if run.found]
    if not answered:
        raise InputError(
            f"{case.name}: the scouts show too little of the CT from every start, expected scouts "
            "and slices of the same part of the patient; choose others."
        )

    def assessing(now: Progress) -> None:
        show((starts + ASSESSED_RUNS * now.fraction) / whole, "assessing the best fit")

    best, _ = max(answered, key=lambda each: each[1].fit.evidence)
    result = register(case.starting_at(poses[best]), "search", assessing, anatomy, seed=best)
    # The starts were placed so that the scanner's pose is at the edge of the search range.
    result = replace(result, refinement=replace(result.refinement, rim=""))
    ends = np.stack([found.world_from_ct for _, found in answered])
    agreement = consensus(ends, anatomy.centroid, WITHIN_DEG, WITHIN_MM)
    return SelfCheck(case, anatomy, runs, result, agreement, found_misfits)


def _run(
    case: Case,
    anatomy: PreparedCT,
    start: np.ndarray,
    points: np.ndarray,
    seed: int,
    report: Report,
) -> Run:
    began = perf_counter()
    found = None
    error = None
    truth = case.truth_world_from_ct
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
        error = metrics.mtre(found.world_from_ct, truth, points)
    except InputError:  # it shows too little of the CT
        pass
    return Run(start, metrics.mtre(start, truth, points), perf_counter() - began, found, error)


#: mm, degrees and start: AAPM's TG-135 moves a phantom by up to 10 mm and 1 degree, from where a
#: pose is refined; farther off, it is searched for within that range.
SIZES = ((10.0, 1.0, "given"), (START_MM, START_DEG, "search"))
#: A pose is found again within these: the daily positioning of radiosurgery, and its couch
#: (AAPM-RSS MPPG 9.a, doi 10.1002/acm2.12146, table 1).
RECOVERED_MM = 1.0
RECOVERED_DEG = 0.5
TOLERANCE = f"{RECOVERED_MM:g} mm and {RECOVERED_DEG:g} degrees"
#: Of the patient, CT LPS.
AXES = ("left", "posterior", "superior")
#: mm and degrees: what is nearer or farther is drawn there.
DRAWN = (0.001, 100.0)
#: Small enough for one printed sheet.
STYLE = "@media print { body { font-size: 8pt } td, tbody th { padding: 0 8px 0 0 } }"


class Offset(NamedTuple):
    """A known motion of the CT.

    Attributes
    ----------
    start, reach
        How it is registered from there.
    motion
        (4, 4): a turn about the bone's centre, as if that were the origin, and a shift, in CT axes.
    """

    name: str
    start: str
    reach: Range
    motion: np.ndarray


def known_offsets() -> Iterator[Offset]:
    """Give the offsets: of each size, both ways along, about, and along and about each axis."""
    for mm, degrees, start in SIZES:
        for sign in (1, -1):
            for name, axis in zip(AXES, sign * np.eye(3), strict=True):
                along = f"{sign * mm:+g} mm {name}"
                about = f"{sign * degrees:+g}\u00b0 about {name}"
                for title, shift, turn in (
                    (along, mm, 0),
                    (about, 0, degrees),
                    (f"{along} and {degrees:g}\u00b0", mm, degrees),
                ):
                    motion = rigid.turn_and_shift(np.radians(turn) * axis, shift * axis)
                    yield Offset(title, start, Range(degrees, mm), motion)


class Return(NamedTuple):
    """A body found again from an offset, so far from its pose."""

    body: str
    offset: str
    distance_mm: float
    rotation_deg: float

    @property
    def found(self) -> bool:
        """Whether the pose is found again."""
        return self.distance_mm <= RECOVERED_MM and self.rotation_deg <= RECOVERED_DEG


@dataclass(frozen=True, eq=False)
class OffsetCheck:
    """A registration, and the returns from offsets of its pose."""

    result: Result
    returns: list[Return]

    @property
    def passed(self) -> bool:
        """Whether all poses are found again, and the first is neither rejected nor likely wrong."""
        assessment = self.result.assessment
        found = assessment is not None and not assessment.is_likely_wrong
        return found and all(each.found for each in self.returns)

    @property
    def summary(self) -> list[str]:
        """What came of it, a sentence each."""
        lost = [f"{each.body} {each.offset}".strip() for each in self.returns if not each.found]
        count = len(self.returns)
        return [
            f"{'PASS' if self.passed else 'FAIL'}: {count - len(lost)} of {count} known offsets are "
            f"found again within {TOLERANCE}.",
            f"The verdict on the pose is {self.result.verdict}. Offsets show that a pose is reproducible, not "
            "that it is right.",
            *([f"Not found again: {'; '.join(lost)}."] if lost else []),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what `mvreg selfcheck --offsets --json` prints."""
        return {
            "name": self.result.case.name,
            "passed": self.passed,
            "verdict": self.result.verdict,
            "summary": self.summary,
            "offsets": [each._asdict() | {"found": each.found} for each in self.returns],
        }


def check_offsets(case: Case, world_from_ct: np.ndarray | None, show: Show) -> OffsetCheck:
    """Register a case, and each of its bodies again from known offsets of its pose.

    Bones of one CT move with it.

    Parameters
    ----------
    world_from_ct
        (4, 4): the pose of an earlier result, from which it is registered anew and which must be
        found again; by default the pose that a registration finds.
    show
        Called with the fraction done and the stage.

    Raises
    ------
    InputError
        As `register`.
    """
    start = case if world_from_ct is None else case.starting_at(world_from_ct)
    offsets = list(known_offsets())
    runs = 1 + len(offsets) * len(case.bodies)
    result = register(start, progress=lambda now: show(now.fraction / runs, now.stage))
    returns: list[Return] = []
    for n, body in enumerate(case.bodies):
        single = replace(case, bodies=(body,))
        pose = result.bodies[body.title].world_from_ct
        if n == 0 and world_from_ct is not None:
            pose = world_from_ct
        if len(case.bodies) > 1:
            views = [view.exact() for view in result.views]
            single = replace(single, views=views, shared_unknowns=SharedUnknowns())
        anatomy = result.anatomy if n == 0 else PreparedCT(body.ct)
        for offset in offsets:
            show((1 + len(returns)) / runs, offset.name)
            end = pose @ rigid.about(anatomy.centroid, offset.motion)
            with suppress(InputError):  # it shows too little of the CT, and stays there
                found = find_pose(
                    single,
                    anatomy,
                    refinement_method("joint"),
                    offset.start,
                    end,
                    search=offset.reach,
                )
                end = found.refinement.world_from_ct
            returns.append(
                Return(body.name, offset.name, *rigid.pose_difference(end, pose, anatomy.centroid))
            )
    return OffsetCheck(result, returns)


def write_offsets(path: Path, check: OffsetCheck) -> None:
    """Write one HTML page to keep, which prints on one sheet; its folder is made."""
    headline, *rest = check.summary
    mm = [each.distance_mm for each in check.returns]
    degrees = [each.rotation_deg for each in check.returns]
    numbers = range(1, len(mm) + 1)
    ends = [1, len(mm)]
    lines = [
        Line("mm", numbers, mm, joined=False),
        Line("degrees", numbers, degrees, joined=False),
        Line(f"allowed, {RECOVERED_MM:g} mm", ends, [RECOVERED_MM] * 2),
        Line(f"allowed, {RECOVERED_DEG:g} degrees", ends, [RECOVERED_DEG] * 2),
    ]
    title = "What is left of each offset"
    plot = line_plot(lines, title, Axis("offset"), Axis(title, "log", DRAWN))
    rows: list[list[Content]] = []
    for nth, each in enumerate(check.returns, start=1):
        left = number(each.distance_mm, "mm", 3), number(each.rotation_deg, "\u00b0", 3)
        word = "found" if each.found else "not found"
        rows.append([f"{nth} {each.body} {each.offset}", *left, word])
    said = [tag("p", tag("strong", headline)), *(tag("p", sentence) for sentence in rest)]
    section = tag(
        "section",
        tag("div", badge(check.result), *said, class_="verdict"),
        tag("div", image_of(plot), table(["Offset", title, "", ""], rows), class_="plots"),
        class_="case",
    )
    when = datetime.now().astimezone().isoformat(" ", "minutes")
    write_atomically(path, page(f"Offsets, {when}, {__version__}", [], [section], STYLE))


NOTE = (
    "The report of the start that led to the best fit, as mvreg register writes it. It was judged "
    "without the scanner's pose, which is the truth in its errors."
)
#: Nearer ends are drawn at this distance.
LEAST_MM = 0.001
WORTH = f"what the scanner's pose is worth, {TRUTH_MM:g} mm"
AGREE = f"within what starts agree, {WITHIN_MM:g} mm"


def write_page(path: Path, check: SelfCheck) -> None:
    """Write one HTML file to keep; its folder is made."""
    write_report(path, [Entry(check.result, note=NOTE)], "Self-check", [_all_starts(check)])


def _all_starts(check: SelfCheck) -> ET.Element:
    headline, *rest = check.summary
    warnings = [tag("li", sentence) for sentence in check.misfits]
    return tag(
        "section",
        tag("h2", "The CT and its own scouts"),
        tag(
            "div",
            tag("p", tag("strong", headline)),
            *(tag("p", sentence) for sentence in rest),
            tag("ul", *warnings) if warnings else None,
            class_="verdict",
        ),
        tag("h3", "Where the starts end"),
        tag("div", *_plots(check), class_="plots"),
        tag("details", tag("summary", "As numbers"), _numbers(check)),
        class_="case",
    )


def _plots(check: SelfCheck) -> list[ET.Element]:
    """Return plots of the distance from the scanner's pose before and after, and from the common pose, of each start."""
    numbers = range(1, len(check.runs) + 1)
    found = [nth for nth, run in zip(numbers, check.runs, strict=True) if run.found]
    errors = [run.mtre_mm for run in check.runs if run.mtre_mm is not None]
    across = [1, max(2, len(numbers))]
    start, end, limit = STYLES[:3]
    from_scanner = [
        Line("start", numbers, [run.start_mtre_mm for run in check.runs], start, joined=False),
        Line("end", found, errors, end, joined=False),
        Line(WORTH, across, [TRUTH_MM] * 2, limit),
    ]
    from_common = [
        Line("end", found, check.agreement.distance_mm.tolist(), end, joined=False),
        Line(AGREE, across, [WITHIN_MM] * 2, limit),
    ]
    start_axis = Axis("start")
    limits = LEAST_MM, max(1.0, *check.agreement.distance_mm)
    distance = Axis("from the common pose (mm)", "log", limits)
    title = "Distance of the ends from their common pose"
    plots = [
        line_plot(
            from_scanner, "mTRE from the scanner's pose", start_axis, Axis("mTRE (mm)", "log")
        ),
        line_plot(from_common, title, start_axis, distance),
    ]
    return [image_of(plot) for plot in plots]


def _numbers(check: SelfCheck) -> ET.Element:
    agreed = iter(zip(check.agreement.distance_mm, check.agreement.rotation_deg, strict=True))
    rows: list[list[Content]] = []
    for nth, run in enumerate(check.runs, start=1):
        mm, degrees = next(agreed) if run.found else (None, None)
        similarity = run.found.fit.similarity if run.found else [None] * len(check.case.views)
        rows.append(
            [
                str(nth),
                number(run.start_mtre_mm, "mm", 1),
                number(run.mtre_mm, "mm", 2),
                number(mm, "mm", 3),
                number(degrees, "\u00b0", 3),
                *(number(each, "", 3) for each in similarity),
                number(run.seconds, "s", 1),
            ]
        )
    views = [f"Local NCC, {view.name}" for view in check.case.views]
    return table(["Start", "mTRE", "mTRE, end", "From common pose", "", *views, "Time"], rows)
