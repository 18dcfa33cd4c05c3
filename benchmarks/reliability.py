"""Draws what was predicted against what was found: python -m benchmarks reliability ROWS... FIGURE.svg

Rows are files or archives of `protocol`. The probability of a wrong answer against the share of
wrong ones, with Wilson's 95 % intervals; beside it the 95 % bound against the error.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MultiViewRegistrationLib.assessment.prediction import WRONG_MM
from MultiViewRegistrationLib.io.files import write_atomically
from MultiViewRegistrationLib.report.plot import Axis, Line, line_plot, svg_file

from . import parser_of
from .kept import rows_of
from .protocol.acceptance import Rows, mtre, verdict_is
from .protocol.page import column, predicted, reliability
from .protocol.runs import judged

#: Okabe and Ito's colours that stand out on white, and a mark each.
STYLES = {
    "accept": ("#009e73", "circle", None),
    "check": ("#e69f00", "square", None),
    "reject": ("#d55e00", "diamond", None),
}
DIAGONAL, INTERVAL, SHARE = (
    ("#1a1a1a", None, None),
    ("#666666", None, None),
    ("#0072b2", "circle", None),
)
#: Ends of the axes: probabilities, and mm.
SHARES, LIMITS_MM = (0.001, 0.999), (0.01, 100.0)


def figure(rows: Rows) -> str:
    """SVG of both plots."""
    rows = predicted(rows)
    ticks = {share: f"{100 * share:g} %" for share in (*SHARES, 0.01, 0.1, 0.5, 0.9, 0.99)}
    lines = [Line("", SHARES, SHARES, DIAGONAL)]
    bands = reliability(rows)
    lines += [Line("", [mean, mean], found.interval, INTERVAL) for _, _, mean, found in bands]
    means = [mean for _, _, mean, _ in bands]
    shares = [found.rate for *_, found in bands]
    lines.append(Line("share found wrong", means, shares, SHARE, joined=False))
    probability = f"predicted probability of an error above {WRONG_MM:g} mm"
    axes = (Axis(label, "logit", SHARES, ticks) for label in (probability, "found"))
    left = line_plot(lines, "Reliability of the predicted probability", *axes)
    points = [Line("", LIMITS_MM, LIMITS_MM, DIAGONAL)]
    mm, bounds = np.minimum(mtre(rows), LIMITS_MM[1]), column(rows, "upper95_mm")
    for verdict, style in STYLES.items():
        own = verdict_is(rows, verdict)
        points.append(Line(verdict, bounds[own].tolist(), mm[own].tolist(), style, joined=False))
    labels = "predicted: mTRE below this with 95 % (mm)", "mTRE (mm)"
    right = line_plot(
        points, "Error against its bound", *(Axis(label, "log", LIMITS_MM) for label in labels)
    )
    return svg_file([left, right])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument("figure", type=Path)
    options = parser.parse_args()
    rows = [row for path in options.rows for row in rows_of(path).values()]
    rows = judged([row for row in rows if "skipped" not in row])
    write_atomically(options.figure, figure(rows))
