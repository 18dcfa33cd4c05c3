"""Print the summary of a table that `mvreg evaluate --csv` wrote, with the names of its cases.

python -m benchmarks summary FILE.csv
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

from MultiViewRegistrationLib.studies.evaluation_table import summary

from . import parser_of

TEXTS = {"case", "start", "structure", "verdict", "failure"}
WORDS = {"": None, "True": True, "False": False}


def read_rows(path: Path) -> list[dict]:
    """Return the rows of a table as `evaluation_table.table_rows` does."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: _value(name, cell) for name, cell in row.items()} for row in csv.DictReader(file)
        ]


def _value(name: str, cell: str) -> str | float | bool | None:
    if name in TEXTS:
        return cell
    if cell in WORDS:
        return WORDS[cell]
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def main() -> None:
    """The command."""
    parser = parser_of(__doc__)
    parser.add_argument("table", type=Path)
    print(summary(read_rows(parser.parse_args().table)))
