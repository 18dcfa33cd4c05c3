"""The page of a self-check: what came of all starts, and the report of the best fit."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from ..report.html import Content, number, table, tag
from ..report.plot import STYLES, Axis, Line, line_plot
from ..report.result_page import Entry, write_report
from .selfcheck import TRUTH_MM, WITHIN_MM, SelfCheck

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
    return [
        line_plot(
            from_scanner, "mTRE from the scanner's pose", Axis("start"), Axis("mTRE (mm)", "log")
        ),
        line_plot(
            from_common,
            "Distance of the ends from their common pose",
            Axis("start"),
            Axis(
                "from the common pose (mm)",
                "log",
                (LEAST_MM, max(1.0, *check.agreement.distance_mm)),
            ),
        ),
    ]


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
