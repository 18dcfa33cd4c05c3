"""The figure of an evaluation: how many registrations reach which error, for each method."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..assessment.records import WRONG_MM
from ..report.plot import plain_text
from .evaluation import Row
from .statistics import grouped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
#: The smallest error drawn, on an axis that is logarithmic; smaller ones are drawn here.
MIN_DRAWN_MM = 1e-3


def has_errors(rows: Sequence[Row]) -> bool:
    """Return whether any registration has a known error, or failed where the truth is known."""
    return any(row["success"] is not None or row["mtre_mm"] is not None for row in rows)


def error_figure(rows: Sequence[Row]) -> Figure:
    """Draw the cumulative distribution of the mTRE for each method.

    Parameters
    ----------
    rows
        Those of `evaluation_table.table_rows`. A registration of the whole CT without a pose counts
        as one whose error exceeds every limit. Structures with a known error share a dashed curve.

    Returns
    -------
    matplotlib.figure.Figure
        One curve for each refinement and start; a vertical line marks `WRONG_MM`.
    """
    from matplotlib.figure import Figure

    curves = []
    for (refinement, start, bones), members in grouped(rows, _method):
        known = [row for row in members if row["success"] is not None or row["mtre_mm"] is not None]
        errors = [row["mtre_mm"] for row in known if row["mtre_mm"] is not None]
        if known:
            what = "bones, " if bones else ""
            label = f"{what}{refinement}, start {start} (n = {len(known)})"
            curves.append((label, bones, np.maximum(np.sort(errors), MIN_DRAWN_MM), len(known)))
    drawn = np.concatenate([[WRONG_MM], *(errors for _, _, errors, _ in curves)])
    low_mm = drawn.min() / 2
    high_mm = drawn.max() * 2
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for label, bones, errors, count in curves:
        reached = 100 * np.arange(len(errors) + 1) / count
        axes.step(
            [low_mm, *errors, high_mm],
            [*reached, reached[-1]],
            where="post",
            linestyle="--" if bones else "-",
            label=plain_text(label),
        )
    axes.axvline(WRONG_MM, color="0.4", linestyle=":", label=f"limit {WRONG_MM:g} mm")
    axes.set(
        xscale="log",
        xlim=(low_mm, high_mm),
        ylim=(0, 102),
        xlabel="mTRE (mm)",
        ylabel="Registrations with at most this error (%)",
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    return figure


def _method(row: Row) -> tuple[str, str, bool]:
    return row["refinement"], row["start"], bool(row["structure"])


def figure_bytes(figure: Figure, file_format: str) -> bytes:
    """Return the figure encoded in `file_format`, one of `FORMATS`."""
    content = io.BytesIO()
    metadata = {"Date": None} if file_format == "svg" else None
    figure.savefig(content, format=file_format, dpi=150, metadata=metadata)
    return content.getvalue()
