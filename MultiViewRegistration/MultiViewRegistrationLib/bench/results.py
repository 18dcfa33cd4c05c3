"""The benchmark's results file, docs/benchmarks/results.json: what each job found last, when, and on which machine.

The page is written from it, so that parts can be run again on their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from ..errors import InputError
from ..io.files import write_atomically
from .job import Curves, Job, Measured
from .machine import machine, now
from .rows import Row

VERSION = 1


@dataclass(frozen=True)
class Record:
    """What one job found, when (text) and on which machine (`machine.machine`)."""

    part: str
    when: str
    machine: dict
    rows: list[Row]
    curves: Curves

    @classmethod
    def of(cls, job: Job, measured: Measured, device: str | None = None) -> Record:
        """Of a job that has just ended.   device: on which, see `machine.machine`."""
        return cls(job.part, now(), machine(device), measured.rows, measured.curves)

    def to_json(self) -> dict:
        """Plain data."""
        return {
            "part": self.part,
            "when": self.when,
            "machine": self.machine,
            "rows": [row.to_json() for row in self.rows],
            "curves": self.curves,
        }


Results = dict[str, Record]
"""By the job's key, in the order of the page."""


def load(path: Path) -> Results:
    """The results in a file; none where there is no file. InputError where it is something else."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise ValueError
        return {key: _record(record) for key, record in content["records"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}: found something else than results of this version of mvreg bench, expected those or no file; "
            "move it away."
        ) from None


def save(path: Path, results: Results) -> None:
    """Write the file; it appears whole or not at all."""
    content = {"version": VERSION, "records": {key: record.to_json() for key, record in results.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def merged(earlier: Results, later: Results, order: list[str]) -> Results:
    """The later results in place of the earlier of the same jobs; jobs in the given order, and none that no longer exists."""
    both = {**earlier, **later}
    return {key: both[key] for key in order if key in both}


def _record(content: dict) -> Record:
    names = {field.name for field in fields(Row)}
    rows = [
        Row(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in row.items() if name in names}
        )
        for row in content["rows"]
    ]
    curves = {
        figure: {line: [(x, y) for x, y in points] for line, points in lines.items()}
        for figure, lines in content["curves"].items()
    }
    return Record(content["part"], content["when"], content["machine"], rows, curves)
