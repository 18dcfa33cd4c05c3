"""An evaluation as a table: a row for each registration, as CSV, and a summary of groups of cases."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from ..assessment.metrics import Errors
from ..io.case_file import case_name
from .evaluation import INTERVAL_MM, Evaluation, Row, agreeing, group_name, is_right
from .statistics import SuccessRate, capture_range, grouped, percent, table

#: Columns of the CSV table. Errors are those of `metrics.Errors`; empty cells are unknown.
COLUMNS = (
    "case",
    "views",
    "relative_geometry",
    "refinement",
    "start",
    "structure",
    "run",
    "start_mtre_mm",
    "success",
    *Errors.__dataclass_fields__,
    "consensus_distance_mm",
    "consensus_rotation_deg",
    "agrees",
    "verdict",
    "reasons",
    "predicted_upper95_mm",
    "moved_mm",
    "candidates",
    "evidence_ratio",
    "initial_mtre_mm",
    "expected_mm",
    "selected_start",
    "regressor_seconds",
    "seconds",
    "failure",
)


def table_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return a row for each registration of each case and of each of its structures.

    Returns
    -------
    list of dict
        Each with all of `COLUMNS`; None where a value is unknown. `structure` is "" for the whole
        CT. A case that could not be evaluated has one row with the reason in `failure`.
    """
    found = chain.from_iterable(map(_rows_of, evaluations))
    return [dict.fromkeys(COLUMNS) | row for row in found]


def _rows_of(evaluation: Evaluation) -> Iterable[Row]:
    setup = evaluation.setup
    method: Row = {"refinement": setup.method.name, "start": setup.start, "structure": ""}
    for case in evaluation.cases:
        about = method | {"case": case["name"], "views": case["views"]}
        about["relative_geometry"] = case["relative_geometry"]
        for number, run in enumerate(case["runs"]):
            yield about | {"run": number, "success": is_right(run)} | _measured(run)
        if case["agreement"]:
            yield from (about | row for row in _agreement_rows(case["agreement"]))
        for bone in case["structures"]:
            reasons = "; ".join(map(str, bone["reasons"]))
            yield about | _measured(bone) | {"structure": bone["name"], "reasons": reasons}
    for failed in evaluation.failed:
        yield method | {"case": case_name(Path(failed["case"])), "failure": failed["error"]}


def _measured(run: Row) -> Row:
    """Return the values of a registration that are columns, its errors among them."""
    return {name: run[name] for name in COLUMNS if name in run} | (run["errors"] or {})


def _agreement_rows(agreement: Row) -> Iterable[Row]:
    values = zip(
        agreement["distance_mm"],
        agreement["rotation_deg"],
        agreeing(agreement).tolist(),
        agreement["seconds"],
        strict=True,
    )
    for number, (mm, degrees, agrees, seconds) in enumerate(values):
        yield {
            "run": number,
            "consensus_distance_mm": mm,
            "consensus_rotation_deg": degrees,
            "agrees": agrees,
            "seconds": seconds,
        }


def csv_text(rows: Sequence[Row]) -> str:
    """Return the rows of `table_rows` as CSV under a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summary(rows: Sequence[Row]) -> str:
    """Return a Markdown table with a row for each group of cases, start and structure.

    Columns without any value are omitted. Success is a final mTRE below `SUCCESS_MM`, with its
    95 % Wilson interval. Errors are those of all registrations with a pose, failures included.
    Cases that could not be evaluated are listed below the table.
    """
    evaluated = [row for row in rows if row["run"] is not None]
    groups = grouped(
        evaluated, lambda row: (group_name(row["case"]), row["start"], row["structure"])
    )
    lines = []
    for (group, start, structure), members in groups:
        line = {"cases": group, "start": start, "structure": structure}
        lines.append(line | _summary_of(members, start))
    names = [name for name in (lines[0] if lines else ()) if any(line[name] for line in lines)]
    parts = [table(names, [[line[name] for name in names] for line in lines])] if lines else []
    parts += [
        f"Not evaluated: {row['case']}: {row['failure']}" for row in rows if row["run"] is None
    ]
    return "\n\n".join(parts)


def _summary_of(rows: Sequence[Row], start: str) -> dict[str, str]:
    """Return the summary's columns for the registrations of a group."""
    known = [row for row in rows if row["success"] is not None]
    errors = [row["mtre_mm"] for row in rows if row["mtre_mm"] is not None]
    agrees = [row["agrees"] for row in rows if row["agrees"] is not None]
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    verdicts = Counter(row["verdict"] for row in rows if row["verdict"])
    upper = [row["predicted_upper95_mm"] for row in rows if row["predicted_upper95_mm"] is not None]
    return {
        "runs": str(len(rows)),
        "success": percent(SuccessRate.of([row["success"] for row in known])) if known else "",
        "capture range mm": _capture_range(known) if start == "given" else "",
        "median mTRE mm": _statistic(errors, 50, 3),
        "95th percentile mm": _statistic(errors, 95, 3),
        "worst mm": _statistic(errors, 100, 3),
        "agree": f"{sum(agrees)} of {len(agrees)}" if agrees else "",
        "verdicts": ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items())),
        "95 % bound mm": _statistic(upper, 50, 2),
        "s": _statistic(seconds, 50, 2),
    }


def _statistic(values: Sequence[float], percentile: float, digits: int) -> str:
    return f"{np.percentile(values, percentile):.{digits}f}" if values else ""


def _capture_range(rows: Sequence[Row]) -> str:
    """Return the capture range in mm; "" with less than one start for each interval."""
    starts = [row["start_mtre_mm"] for row in rows]
    edges = np.arange(0, max(starts, default=0) + INTERVAL_MM, INTERVAL_MM)
    if len(starts) < max(2, len(edges) - 1):
        return ""
    final = [np.inf if row["mtre_mm"] is None else row["mtre_mm"] for row in rows]
    return f"{capture_range(starts, final, edges):.0f}"
