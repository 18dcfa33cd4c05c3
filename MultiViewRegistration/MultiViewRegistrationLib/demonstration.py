"""`mvreg demo`: a real CT registered to X-rays of it, and real radiographs where they are at hand, in one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .demo.cases import demo_case
from .io.case import Case
from .result import Result, write_report
from .workflow import register

CHEST_NOTE = (
    "A real chest CT; its X-rays were made from it by RTK's projector, not by this program's own, with a polychromatic beam, scatter, "
    "noise, an unknown gain, and a body that goes on beyond the CT."
)
WRIST_NOTE = (
    "Real biplane radiographs of a cadaver wrist, registered to a CT of this one bone. The true pose is not known: look at the "
    "bone's outline in both views."
)
#: Beside the project, where somebody has put it.
WRIST = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "wrist"
WRIST_CASES = ("radius_0099", "ulna_0099")


def demo(out: Path, tell: Callable[[float, str], object] = lambda fraction, stage: None) -> list[Result]:
    """Make, register and save the demo's cases in folders of `out`, with one report.html over all of them.

    Raises InputError where the chest CT cannot be had.
    """
    tell(0.0, "making X-rays of a chest CT")
    cases = [(Case.load(demo_case(out / "chest")), CHEST_NOTE)]
    if WRIST.is_dir():
        cases += [(Case.load(WRIST / f"{name}.json"), WRIST_NOTE) for name in WRIST_CASES]
    results, told = [], []
    for number, (case, note) in enumerate(cases):
        def step(progress, done: int = number, name: str = case.name) -> None:
            tell((done + progress.fraction) / len(cases), f"{name}: {progress.stage}")

        tell(number / len(cases), f"{case.name}: preparing")
        result = register(case, progress=step)
        result.save(out / case.name)
        results.append(result)
        told.append(replace(result.report, note=note))
    write_report(out / "report.html", told)
    return results
