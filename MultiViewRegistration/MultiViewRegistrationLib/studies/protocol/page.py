"""The protocol's tables and pictures as a Markdown page."""

from __future__ import annotations

import platform
import re
from collections import Counter
from datetime import date
from importlib.metadata import version

from ... import __version__
from ...assessment.prediction import WRONG_MM
from ...rendering.threads import available_threads
from ...simulation.surfaces import LEVELS_HU
from ..evaluation_tables import table
from ..statistics import SUCCESS_MM
from . import planted, success_tables, trust_tables
from .conditions import INTERVALS, REACH_MM
from .plots import reliability_plot
from .rows import Rows, grouped, is_sound, mtre
from .run import Outcome
from .sheets import contact_sheet

#: The plot, after what the page's pictures are called.
FIGURE = "reliability.png"
#: Whose X-rays, by `Outcome.simulator`.
BY = {
    "rtk": "RTK, as those of the cases of `mvreg demo`, not by this program's own renderer",
    "gvxr": "gVirtualXray, a simulator on which no prediction was fitted: rays through the isosurfaces of the CT at "
    f"{', '.join(f'{hu:g}' for hu in LEVELS_HU)} HU, one kind of tissue between two of them; spectrum, scatter, noise and blur are "
    "as with RTK. What is registered is the CT itself",
}


def page(
    done: Outcome, about: str = "", title: str = "Protocol", pictures: str = "protocol"
) -> tuple[str, dict[str, bytes]]:
    """The page, and its pictures by their names, for the folder `pictures` beside it."""
    rows = [row for row in done.rows if "skipped" not in row]
    if not rows:
        return f"{_head(done, title)}\n\n{about}\n\nNo registration is done yet.\n", {}
    name = "real" if done.real else "protocol" if done.simulator == "rtk" else done.simulator
    sheets = _sheets(done, rows, name)
    figure = f"{name}-{FIGURE}"
    predicted = any(row.get("wrong") is not None for row in rows)
    files = {**({figure: reliability_plot(rows)} if predicted else {}), **dict(sheets.values())}
    parts = [
        _head(done, title),
        about,
        "## Against what it is to reach",
        trust_tables.goals(rows),
        "## Success and errors",
        f"Under {SUCCESS_MM:g} mm: share of registrations whose final mTRE is, with its 95 % Wilson interval; one "
        f"without an answer is a failure. Capture range: up to where each {success_tables.STEP_MM:g} mm of the start's mTRE succeed in at "
        f"least 95 %, where each has {success_tables.FEWEST} starts or more. Seconds: of the registration, median, on a machine that does "
        "other things, too.",
        success_tables.by_condition(rows),
        f"Under {SUCCESS_MM:g} mm by the start's mTRE:",
        success_tables.by_start(rows),
        "What a nuisance costs, beside the same pose and cameras without it, where both answers are within "
        f"{WRONG_MM:g} mm:",
        success_tables.against_clean(rows) or "No pairs yet.",
        "## Verdicts",
        f"Wrong is an mTRE above {WRONG_MM:g} mm.",
        trust_tables.by_kind(rows),
        trust_tables.by_condition(rows),
        "## Predicted error",
        *(
            (
                trust_tables.predictions(rows),
                trust_tables.said_and_found(rows),
                f"![said against found]({pictures}/{figure})",
            )
            if predicted
            else ("None yet.",)
        ),
        "Along the first view's beam and across it, of answers that are right across it, by the 95 % intervals of each result:",
        trust_tables.along_the_beam(rows),
        "## Uncertain geometry",
        "How far further cameras are off against the first, about and at the "
        "isocentre, as they were given and as they were corrected: medians of the right answers.",
        trust_tables.corrections(rows),
        _failures(rows, {key: f"{pictures}/{name}" for key, (name, _) in sheets.items()}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n", files


def _head(done: Outcome, title: str) -> str:
    option = " --real" if done.real else "" if done.simulator == "rtk" else f" --simulator {done.simulator}"
    return (
        f"# {title}\n\n"
        f"Written by `mvreg evaluate --protocol{option}`; do not edit by hand. {date.today().isoformat()}, version {__version__}, "
        f"{platform.machine()} with {available_threads()} threads, Python {platform.python_version()}, numba {version('numba')}. "
        f"**{len(done.rows)} of {done.planned} registrations are done**"
        + (_real(done.rows) if done.real else _simulated(done))
    )


def _simulated(done: Outcome) -> str:
    rtk = done.simulator == "rtk"
    bones = (
        "Bones: the largest ones, thresholded and divided at their necks, each picked out by a mask, among all others"
        if rtk
        else "No single bones"
    )
    return (
        ", in an order of which any beginning is spread over all conditions. "
        f"X-rays are by {BY[done.simulator]}; what else is in the images is put "
        f"on them. Starts are given, with an mTRE drawn evenly from {INTERVALS} intervals up to {REACH_MM:g} mm. Each is registered and "
        "assessed as `mvreg register` does it; what is predicted is by a model that was not fitted to its CT. Bodies: the whole CT is "
        f"registered. {bones}{_skipped(done.rows)}. Pose and cameras are the same for all conditions of one geometry, so that results are "
        "not independent and intervals somewhat too narrow."
    )


def _real(rows: Rows) -> str:
    (near, far), turned = planted.APART_MM, planted.TURNED_DEG
    return (
        ". X-rays are real. To each, one more projection of the bone is added, by RTK, not by this program's own renderer, as dense as the "
        f"bone itself shows in these images, {near:g} to {far:g} mm beside it and turned against it by up to {turned:g} degrees: that pose "
        "is the truth, and the bone itself is one of the neighbours. Starts are given, with an mTRE drawn evenly from "
        f"{planted.INTERVALS} intervals up to {planted.REACH_MM:g} mm. Each is registered and assessed as `mvreg register` does it"
        f"{_skipped(rows)}. Results of one image "
        "are not independent, so that intervals are somewhat too narrow."
    )


def _skipped(rows: Rows) -> str:
    reasons = Counter(row["skipped"] for row in rows if "skipped" in row)
    return "".join(f"; {count} could not be simulated ({reason})" for reason, count in reasons.items())


def _sheets(done: Outcome, rows: Rows, prefix: str) -> dict[tuple[str, str], tuple[str, bytes]]:
    """By what is registered and condition, name and JPEG of all its misses that have a picture, those from the nearest starts first."""
    sheets = {}
    for (part, condition), group in grouped(_wrong(rows), "part", "condition"):
        group = [row for row in sorted(group, key=_start) if done.records.picture(row["number"]).exists()]
        if group:
            name = f"{prefix}-{part}-{re.sub('[^a-z0-9]+', '-', condition.lower())}.jpg"
            sheets[part, condition] = (
                name,
                contact_sheet(
                    [(str(row["number"]), done.records.picture(row["number"]).read_bytes()) for row in group]
                ),
            )
    return sheets


def _failures(rows: Rows, sheets: dict[tuple[str, str], str]) -> str:
    wrong = _wrong(rows)
    if not wrong:
        return "No registration is wrong."
    sound = [row for row in wrong if is_sound(row)]
    body = [(row["number"], row["ct"], row["part"], row["condition"], *_told(row)) for row in sorted(sound, key=_start)]
    listed = table(("number", "CT", "registered", "condition", "start mTRE mm", "final mTRE mm", "verdict"), body)
    shown = [f"{part}, {condition}:\n\n![{part}, {condition}]({file})" for (part, condition), file in sheets.items()]
    about = (
        "All wrong answers by their numbers: contours of the CT over each view, above at the pose that was found, or at the start, "
        "below at the true one; those from the nearest starts first. Larger ones lie in `pictures`, beside the rows."
    )
    parts = ["## Failures"]
    if sound:
        parts += ["All wrong answers whose geometry is right, or as uncertain as it is said to be:", listed]
    if shown:
        parts += ["### Pictures", about, *shown]
    return "\n\n".join(parts)


def _wrong(rows: Rows) -> list[dict]:
    return [row for row, mm in zip(rows, mtre(rows), strict=True) if mm > WRONG_MM]


def _start(row: dict) -> float:
    return row.get("start_mm", 0.0)


def _told(row: dict) -> tuple[str, str, str]:
    if row["failed"] is not None:
        return f"{row['start_mm']:.1f}" if "start_mm" in row else "none", row["failed"].replace("|", "/"), "none"
    return f"{row['start_mm']:.1f}", f"{row['mtre_mm']:.2f}", row["verdict"]
