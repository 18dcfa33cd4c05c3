"""The protocol: simulates, registers and assesses thousands of cases, as docs/tables/verdicts.md says.

python -m benchmarks protocol CASES --cts CT... --seed N --rows ROWS.jsonl [--page FILE.md]

CTs are files in Hounsfield units of patients head first and supine. The first CASES registrations of
the list are done, which are spread over all conditions; the whole list has 649 for each CT.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..study import Options, Study
from .cases import SimulatedCases
from .page import page
from .runs import measured


@lru_cache(maxsize=1)
def cases_of(files: tuple[Path, ...], seed: int) -> SimulatedCases:
    """The list, and what makes its cases."""
    return SimulatedCases(files, seed)


def row(options: Options, seed: int, number: int) -> dict:
    """A registration of the list."""
    cases = cases_of(tuple(options.cts), seed)
    return measured(cases.trials[number], cases)


def keys(options: Options) -> Iterable[tuple]:
    """The first of the list."""
    listed = cases_of(tuple(options.cts), options.seed).trials
    return [(options.seed, trial.number) for trial in listed[: options.cases]]


CTS = {"type": Path, "nargs": "+", "default": []}
STUDY = Study(__doc__, row, page, keys, {"cts": CTS})
