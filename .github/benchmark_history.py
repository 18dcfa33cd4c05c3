"""Adds what `make bench` measured to a history: a line for each row, and a page of the last ten runs.

python .github/benchmark_history.py RESULTS.json HISTORY.csv

The page, README.md beside the history, has the ratios alone: other machines give other times and much the same ratios.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

FIELDS = ("when", "version", "cpu", "name", "unit", "ours", "peer_name", "peer", "ratio")
#: Runs that the page shows.
SHOWN = 10


def measured(results: dict) -> list[dict[str, str]]:
    """The rows of a run's results."""
    rows = []
    for record in results["records"].values():
        machine = record["machine"]
        known = {
            "when": record["when"],
            "cpu": machine["cpu"],
            "version": machine["versions"]["multiview-registration"],
        }
        rows += [{**row, **known} for row in record["rows"] if row.get("ratio")]
    return [{field: str(row[field]) for field in FIELDS} for row in rows]


def page(rows: list[dict[str, str]]) -> str:
    """A table of the ratios of the last runs, a line for each of what they measured."""
    days = sorted({row["when"][:10] for row in rows})[-SHOWN:]
    ratios = {(row["name"], row["when"][:10]): float(row["ratio"]) for row in rows}
    lines = [f"| peer / ours | {' | '.join(days)} |", f"| --- |{' ---: |' * len(days)}"]
    for name in sorted({row["name"] for row in rows}):
        shown = [ratios.get((name, day)) for day in days]
        cells = " | ".join("" if ratio is None else f"{ratio:.3g}" for ratio in shown)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(["# Benchmarks by day", "", *lines, ""])


def add(results: Path, history: Path) -> None:
    """Add a run that the history does not have."""
    rows: list[dict[str, str]] = []
    if history.exists():
        with history.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    known = {(row["when"], row["name"]) for row in rows}
    found = measured(json.loads(results.read_text(encoding="utf-8")))
    rows += [row for row in found if (row["when"], row["name"]) not in known]
    with history.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    history.with_name("README.md").write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    add(Path(sys.argv[1]), Path(sys.argv[2]))
