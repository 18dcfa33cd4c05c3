"""The protocol's tables and pictures as a Markdown page."""

from __future__ import annotations

import platform
import re
from collections import Counter
from datetime import date
from importlib.metadata import version

import numpy as np

from .. import __version__
from ..assessment.prediction import WRONG_MM
from ..figures import Axis, Line, line_plot, svg_file
from ..rendering.threads import available_threads
from ..simulation.projector import LEVELS_HU
from . import protocol_cases, protocol_tables
from .conditions import INTERVALS, MAX_START_ERROR_MM
from .failure_figure import contact_sheet
from .protocol import Outcome
from .protocol_tables import VERDICTS, Rows, column, grouped, is_sound, mtre, predicted, reliability, verdict_is
from .statistics import SUCCESS_MM
from .tables import table

#: The plot, after what the page's pictures are called.
FIGURE = "reliability.svg"
#: Okabe and Ito's colours that stand out on white, and a mark each.
STYLES = dict(zip(VERDICTS, (("#009e73", "circle"), ("#e69f00", "square"), ("#d55e00", "diamond")), strict=True))
#: Ends of the reliability plot: probabilities, and mm.
SHARES, LIMITS_MM = (0.001, 0.999), (0.01, 100.0)
#: Whose X-rays, by `Outcome.kind`.
BY = {
    "rtk": "RTK, as those of the cases of `mvreg demo`, not by this program's own renderer",
    "gvxr": "gVirtualXray, a simulator on which no prediction was fitted: rays through the isosurfaces of the CT at "
    f"{', '.join(f'{hu:g}' for hu in LEVELS_HU)} HU, one kind of tissue between two of them; spectrum, scatter, noise and blur are "
    "as with RTK. What is registered is the CT itself",
}


def page(
    done: Outcome, description: str = "", title: str = "Protocol", pictures: str = "protocol"
) -> tuple[str, dict[str, bytes]]:
    """The page, and its pictures by their names, for the folder `pictures` beside it."""
    rows = [row for row in done.rows if "skipped" not in row]
    if not rows:
        return f"{_head(done, title)}\n\n{description}\n\nNo registration is done yet.\n", {}
    name = "protocol" if done.kind == "rtk" else done.kind
    sheets = _sheets(done, rows, name)
    figure = f"{name}-{FIGURE}"
    plotted = {figure: reliability_plot(rows).encode()} if predicted(rows) else {}
    parts = [
        _head(done, title),
        description,
        "## Against what it is to reach",
        protocol_tables.goals(rows),
        "## Success and errors",
        f"Under {SUCCESS_MM:g} mm: share of registrations whose final mTRE is, with its 95 % Wilson interval; one "
        f"without an answer is a failure. Capture range: up to where each {protocol_tables.STEP_MM:g} mm of the start's mTRE succeed in at "
        f"least 95 %, where each has {protocol_tables.MIN_PER_STEP} starts or more. Seconds: of the registration, median, on a machine "
        "that does other things, too.",
        protocol_tables.success_by_condition(rows),
        f"Under {SUCCESS_MM:g} mm by the start's mTRE:",
        protocol_tables.success_by_start(rows),
        "What a nuisance costs, beside the same pose and cameras without it, where both answers are within "
        f"{WRONG_MM:g} mm:",
        protocol_tables.cost_of_nuisances(rows) or "No pairs yet.",
        "## Verdicts",
        f"Wrong is an mTRE above {WRONG_MM:g} mm.",
        protocol_tables.verdicts_by_kind(rows),
        protocol_tables.verdicts_by_condition(rows),
        "## Predicted error",
        protocol_tables.predictions(rows) if plotted else "None yet.",
        protocol_tables.reliability_table(rows) if plotted else "",
        f"![predicted against found]({pictures}/{figure})" if plotted else "",
        "Along the first view's beam and across it, of answers that are right across it, by the 95 % intervals of each result:",
        protocol_tables.along_the_beam(rows),
        "## Uncertain geometry",
        "How far further cameras are off against the first, about and at the "
        "isocentre, as they were given and as they were corrected: medians of the right answers.",
        protocol_tables.corrections(rows),
        _failures(rows, {key: f"{pictures}/{file}" for key, (file, _) in sheets.items()}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n", {**plotted, **dict(sheets.values())}


def reliability_plot(rows: Rows) -> str:
    """SVG: the probability of a wrong answer against the share of wrong ones, with Wilson's 95 % intervals.

    Beside it the 95 % bound against the error, of every result that has one.
    """
    share_ticks = {share: f"{100 * share:g} %" for share in (SHARES[0], 0.01, 0.1, 0.5, 0.9, 0.99, SHARES[1])}
    bands = reliability(rows)
    diagonal = ("#1a1a1a", None, None)
    lines = [Line("", SHARES, SHARES, diagonal)]
    lines += [Line("", [mean, mean], found.interval, ("#666666", None, None)) for _, _, mean, found in bands]
    means, shares = [mean for _, _, mean, _ in bands], [found.rate for *_, found in bands]
    lines.append(Line("share found wrong", means, shares, ("#0072b2", "circle", None), joined=False))
    axes = (
        Axis(label, "logit", SHARES, share_ticks)
        for label in (f"predicted probability of an error above {WRONG_MM:g} mm", "found")
    )
    left = line_plot(lines, "Reliability of the predicted probability", *axes)
    points = []
    for verdict, (colour, marker) in STYLES.items():
        group = [row for row in predicted(rows) if verdict_is([row], verdict)]
        bounds = column(group, "upper95_mm").tolist()
        points.append(Line(verdict, bounds, _at_most(mtre(group)), (colour, marker, None), joined=False))
    axes = (Axis(label, "log", LIMITS_MM) for label in ("predicted: mTRE below this with 95 % (mm)", "mTRE (mm)"))
    right = line_plot([Line("", LIMITS_MM, LIMITS_MM, diagonal), *points], "Error against its bound", *axes)
    return svg_file([left, right], points)


def _at_most(mm: np.ndarray) -> list[float]:
    """Without infinity, which no plot can show."""
    return np.minimum(mm, LIMITS_MM[1]).tolist()


def _head(done: Outcome, title: str) -> str:
    option = {"real": " --real", "rtk": ""}.get(done.kind, f" --simulator {done.kind}")
    return (
        f"# {title}\n\n"
        f"Written by `mvreg evaluate --protocol{option}`; do not edit by hand. {date.today().isoformat()}, version {__version__}, "
        f"{platform.machine()} with {available_threads()} threads, Python {platform.python_version()}, numba {version('numba')}. "
        f"**{len(done.rows)} of {done.planned} registrations are done**"
        + (_real(done.rows) if done.kind == "real" else _simulated(done))
    )


def _simulated(done: Outcome) -> str:
    bones = (
        "Bones: the largest ones, thresholded and divided at their necks, each picked out by a mask, among all others"
        if done.kind == "rtk"
        else "No single bones"
    )
    return (
        ", in an order of which any beginning is spread over all conditions. "
        f"X-rays are by {BY[done.kind]}; what else is in the images is put "
        f"on them. Starts are given, with an mTRE drawn evenly from {INTERVALS} intervals up to {MAX_START_ERROR_MM:g} mm. Each is "
        "registered and assessed as `mvreg register` does it; what is predicted is by a model that was not fitted to its CT. Bodies: the "
        f"whole CT is registered. {bones}{_skipped(done.rows)}. Pose and cameras are the same for all conditions of one geometry, so that "
        "results are not independent and intervals somewhat too narrow."
    )


def _real(rows: Rows) -> str:
    (near, far), turned = protocol_cases.APART_MM, protocol_cases.TURNED_DEG
    return (
        ". X-rays are real. To each, one more projection of the bone is added, by RTK, not by this program's own renderer, as dense as the "
        f"bone itself shows in these images, {near:g} to {far:g} mm beside it and turned against it by up to {turned:g} degrees: that pose "
        "is the truth, and the bone itself is one of the neighbours. Starts are given, with an mTRE drawn evenly from "
        f"{protocol_cases.REAL_INTERVALS} intervals up to {protocol_cases.REAL_MAX_START_ERROR_MM:g} mm. Each is registered and assessed "
        f"as `mvreg register` does it{_skipped(rows)}. Results of one image are not independent, so that intervals are somewhat too narrow."
    )


def _skipped(rows: Rows) -> str:
    reasons = Counter(row["skipped"] for row in rows if "skipped" in row)
    return "".join(f"; {count} could not be simulated ({reason})" for reason, count in reasons.items())


def _sheets(done: Outcome, rows: Rows, prefix: str) -> dict[tuple[str, str], tuple[str, bytes]]:
    """By what is registered and condition, name and JPEG of all its misses that have a picture, those from the nearest starts first."""
    sheets = {}
    for (part, condition), group in grouped(_wrong(rows), "part", "condition"):
        files = [(row["number"], done.records.picture(row["number"])) for row in sorted(group, key=_start)]
        figures = [(str(number), file.read_bytes()) for number, file in files if file.exists()]
        if figures:
            name = f"{prefix}-{part}-{re.sub('[^a-z0-9]+', '-', condition.lower())}.jpg"
            sheets[part, condition] = name, contact_sheet(figures)
    return sheets


def _failures(rows: Rows, sheets: dict[tuple[str, str], str]) -> str:
    wrong = sorted(_wrong(rows), key=_start)
    if not wrong:
        return "No registration is wrong."
    sound = [
        (row["number"], row["ct"], row["part"], row["condition"], *_outcome(row)) for row in wrong if is_sound(row)
    ]
    parts = ["## Failures"]
    if sound:
        head = ("number", "CT", "registered", "condition", "start mTRE mm", "final mTRE mm", "verdict")
        parts += ["All wrong answers whose geometry is right, or as uncertain as it is said to be:", table(head, sound)]
    if sheets:
        parts += [
            "### Pictures",
            "All wrong answers by their numbers: contours of the CT over each view, above at the pose that was found, or at the start, "
            "below at the true one; those from the nearest starts first. Larger ones lie in `pictures`, beside the rows.",
            *(f"{part}, {condition}:\n\n![{part}, {condition}]({file})" for (part, condition), file in sheets.items()),
        ]
    return "\n\n".join(parts)


def _wrong(rows: Rows) -> list[dict]:
    return [row for row, mm in zip(rows, mtre(rows), strict=True) if mm > WRONG_MM]


def _start(row: dict) -> float:
    return row.get("start_mm", 0.0)


def _outcome(row: dict) -> tuple[str, str, str]:
    """Start mTRE, final mTRE, or why there is none, and verdict."""
    start = f"{row['start_mm']:.1f}" if "start_mm" in row else "none"
    return (start, row["failed"], "none") if row["failed"] else (start, f"{row['mtre_mm']:.2f}", row["verdict"])
