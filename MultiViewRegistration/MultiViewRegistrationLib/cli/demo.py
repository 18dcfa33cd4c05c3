"""`mvreg demo`: a real CT registered to X-rays of it, and real radiographs where they are at hand, in one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

from ..api import register
from ..io.case import Case
from ..regressor.initialise import Model
from ..regressor.learning import missing_packages, train
from ..report.result import Result, write_report
from ..simulation.cases import demo_case

CHEST_NOTE = (
    "A real chest CT; its X-rays were made from it by RTK's projector, not by this program's own, with a polychromatic beam, scatter, "
    "noise, an unknown gain, and a body that goes on beyond the CT."
)
SEARCH_NOTE = "The same X-rays without the start: searched for within the case's range about it."
REGRESSOR_NOTE = (
    "The same X-rays without the start: by a network that was trained on the spot, for {minutes:g} minute{s}, on images of this CT by this "
    "program's own renderer, never on these. Half of its poses for such images are within {median:.1f} mm; the refinement does the rest."
)
WRIST_NOTE = (
    "Real biplane radiographs of a cadaver wrist, registered to a CT of this one bone. The true pose is not known: look at the "
    "bone's outline in both views."
)
#: Beside the project, where somebody has put it.
WRIST = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "wrist"
WRIST_CASES = ("radius_0099", "ulna_0099")
#: Of training, and its share of the demo's time.
MINUTES, TRAINING_SHARE = 1.0, 0.75


@dataclass(frozen=True)
class _Run:
    """A case to register, from which start, and what is said of it."""

    case: Case
    note: str
    start: str = "given"
    model: Model | None = None


def demo(out: Path, tell: Callable[[float, str], object] = lambda fraction, stage: None) -> list[Result]:
    """Make, register and save the demo's cases in folders of `out`, with one report.html over all of them: the chest from a given start,
    by a search, and by a network that is trained first where PyTorch is there.

    Raises InputError where the chest CT cannot be had.
    """
    tell(0.0, "making X-rays of a chest CT")
    chest = Case.load(demo_case(out / "chest"))
    runs = [_Run(chest, CHEST_NOTE), _Run(replace(chest, name="chest-search"), SEARCH_NOTE, "search")]
    if missing_packages():
        runs[-1] = replace(
            runs[-1], note=f"{SEARCH_NOTE} A network that finds the pose needs PyTorch, which is not installed here."
        )
    else:
        runs.append(
            _trained(
                chest, out / "network", lambda fraction, stage: tell(TRAINING_SHARE * fraction, f"network: {stage}")
            )
        )
    if WRIST.is_dir():
        runs += [_Run(Case.load(WRIST / f"{name}.json"), WRIST_NOTE) for name in WRIST_CASES]
    results, told = [], []
    for number, run in enumerate(runs):

        def step(progress, done: int = number, name: str = run.case.name) -> None:
            tell(
                TRAINING_SHARE + (1 - TRAINING_SHARE) * (done + progress.fraction) / len(runs),
                f"{name}: {progress.stage}",
            )

        result = register(run.case, run.start, progress=step, model=run.model)
        result.save(out / run.case.name)
        results.append(result)
        told.append(replace(result.report, note=run.note))
    write_report(out / "report.html", told)
    return results


def _trained(case: Case, folder: Path, tell: Callable[[float, str], object]) -> _Run:
    """The case by a network that is trained now; one of an earlier demo is replaced."""
    rmtree(folder, ignore_errors=True)
    model = train(case, folder, minutes=MINUTES, progress=lambda fraction, stage, error_mm: tell(fraction, stage))
    note = REGRESSOR_NOTE.format(minutes=MINUTES, s="" if MINUTES == 1 else "s", median=model.card.expected[0])
    return _Run(replace(case, name="chest-regressor"), note, "regressor", model)
