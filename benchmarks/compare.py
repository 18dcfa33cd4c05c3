"""Compares rows of two runs: whether verdicts are the same, and how far errors and poses lie apart.

    python -m benchmarks compare BEFORE AFTER

Each is a file of a study or of `protocol`, which may be compressed by xz.
Rows that both have are held against each other; fails where a verdict differs, or an error or the
origin of a pose by more than 0.02 mm.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import parser_of
from .kept import Rows

APART_MM = 0.02
VERDICTS = ("verdict", "body")


def flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Verdicts, errors in mm and poses of a row, by where they stand in it."""
    key = name.rpartition(".")[2]
    if isinstance(value, dict):
        for each, part in value.items():
            yield from flat(part, f"{name}.{each}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, part in enumerate(value):
            yield from flat(part, f"{name}.{number}")
    elif key in VERDICTS:
        yield name, value
    elif key in ("mm", "mtre_mm", "across_mm", "depth_mm") and value is not None:
        yield name, np.array([value], float)
    elif key == "world_from_ct":
        yield name, np.array(value, float)[:3, 3]


def differences(before: dict, after: dict) -> list[str]:
    """What differs between two rows, in words."""
    other, found = dict(flat(after)), []
    for name, value in flat(before):
        if isinstance(value, np.ndarray):
            apart = np.linalg.norm(other.get(name, np.inf) - value)
            if not apart <= APART_MM:
                found.append(f"{name[1:]} {apart:.3f} mm apart")
        elif other.get(name) != value:
            found.append(f"{name[1:]} {value}, then {other.get(name)}")
    return found


def main() -> None:
    """Print what differs."""
    parser = parser_of(__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    before, after = Rows(options.before).rows, Rows(options.after).rows
    common = [key for key in before if key in after]
    wrong = 0
    for key in common:
        if found := differences(before[key], after[key]):
            wrong += 1
            print(f"{key}: {'; '.join(found)}")
    print(f"{len(common)} rows compared, {wrong} differ.")
    if wrong or not common:
        sys.exit(1)
