"""Known offsets of a pose, which must be found again: the daily check of radiotherapy (docs/scouts.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..api import register
from ..errors import InputError, Show
from ..finding import find_pose, refinement_method
from ..geometry import rigid
from ..imaging.structures import WHOLE
from ..imaging.xray import SharedUnknowns
from ..io.case import Case
from ..io.files import write_atomically
from ..registration.optimizer import Range
from ..registration.pipeline import pose_difference
from ..registration.prepared_ct import PreparedCT
from ..report.html import Content, number, page, table, tag
from ..report.plot import Axis, Line, line_plot
from ..report.result import Result
from ..report.result_page import badge
from .selfcheck import START_DEG, START_MM

#: mm, degrees and start: AAPM's TG-135 moves a phantom by up to 10 mm and 1 degree, from where a
#: pose is refined; farther off, it is searched for within that range.
SIZES = ((10.0, 1.0, "given"), (START_MM, START_DEG, "search"))
#: A pose is found again within these: the daily positioning of radiosurgery, and its couch
#: (AAPM-RSS MPPG 9.a, doi 10.1002/acm2.12146, table 1).
WITHIN_MM = 1.0
WITHIN_DEG = 0.5
TOLERANCE = f"{WITHIN_MM:g} mm and {WITHIN_DEG:g} degrees"
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
        return self.distance_mm <= WITHIN_MM and self.rotation_deg <= WITHIN_DEG


@dataclass(frozen=True, eq=False)
class OffsetCheck:
    """A registration, and the returns from offsets of its pose."""

    result: Result
    returns: list[Return]

    @property
    def passed(self) -> bool:
        """Whether all poses are found again, and the first is not rejected."""
        return self.result.verdict != "reject" and all(each.found for each in self.returns)

    @property
    def summary(self) -> list[str]:
        """What came of it, a sentence each."""
        lost = [f"{each.body} {each.offset}".strip() for each in self.returns if not each.found]
        count = len(self.returns)
        return [
            f"{'PASS' if self.passed else 'FAIL'}: {count - len(lost)} of {count} known offsets are "
            f"found again within {TOLERANCE}.",
            f"The pose is judged: {self.result.verdict}. Offsets show that a pose is found again, not "
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
    start = case if world_from_ct is None else replace(case, world_from_ct=world_from_ct)
    offsets = list(known_offsets())
    runs = 1 + len(offsets) * len(case.bodies)
    result = register(start, progress=lambda now: show(now.fraction / runs, now.stage))
    returns: list[Return] = []
    for n, body in enumerate(case.bodies):
        single = replace(case, bodies=(body,))
        pose = result.bodies[body.name or WHOLE].world_from_ct
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
                Return(body.name, offset.name, *pose_difference(end, pose, anatomy.centroid))
            )
    return OffsetCheck(result, returns)


def write_page(path: Path, check: OffsetCheck) -> None:
    """Write one HTML page to keep, which prints on one sheet; its folder is made."""
    headline, *rest = check.summary
    mm = [each.distance_mm for each in check.returns]
    degrees = [each.rotation_deg for each in check.returns]
    numbers = range(1, len(mm) + 1)
    ends = [1, len(mm)]
    lines = [
        Line("mm", numbers, mm, joined=False),
        Line("degrees", numbers, degrees, joined=False),
        Line(f"allowed, {WITHIN_MM:g} mm", ends, [WITHIN_MM] * 2),
        Line(f"allowed, {WITHIN_DEG:g} degrees", ends, [WITHIN_DEG] * 2),
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
        tag("div", plot, table(["Offset", title, "", ""], rows), class_="plots"),
        class_="case",
    )
    when = datetime.now().astimezone().isoformat(" ", "minutes")
    write_atomically(path, page(f"Offsets, {when}, {__version__}", [], [section], STYLE))
