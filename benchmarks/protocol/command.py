"""The protocol: simulates, registers and assesses thousands of cases, as docs/tables/verdicts.md says.

python -m benchmarks protocol CASES --cts CT... --seed N --rows ROWS.jsonl [--page FILE.md]

CTs are files in Hounsfield units of patients head first and supine. The first CASES registrations of
the list are done, which are spread over all conditions; the whole list has 649 for each CT. With
`--kind real` the files are case.json files of real X-rays, to which another projection of the bone is
added as a truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..study import Options, Study
from .cases import RealCases, SimulatedCases
from .page import page
from .runs import measured


@lru_cache(maxsize=1)
def cases_of(files: tuple[Path, ...], seed: int, kind: str) -> SimulatedCases | RealCases:
    """The list, and what makes its cases."""
    if kind == "real":
        return RealCases(files, seed)
    return SimulatedCases(files, seed)


def row(options: Options, seed: int, number: int) -> dict:
    """A registration of the list."""
    cases = cases_of(tuple(options.cts), seed, options.kind)
    return measured(cases.trials[number], cases)


def keys(options: Options) -> Iterable[tuple]:
    """The first of the list."""
    listed = cases_of(tuple(options.cts), options.seed, options.kind).trials
    return [(options.seed, trial.number) for trial in listed[: options.cases]]


STUDY = Study(
    __doc__,
    row,
    page,
    keys,
    {
        "cts": {"type": Path, "nargs": "+", "default": []},
        "kind": {"choices": ("rtk", "real"), "default": "rtk", "help": "whose X-rays"},
    },
)
