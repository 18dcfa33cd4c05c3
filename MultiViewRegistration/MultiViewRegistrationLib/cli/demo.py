"""`mvreg demo`."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

from ..api import register
from ..errors import install_command
from ..io.case import Case
from ..regressor.initialise import Regressor
from ..regressor.learning import missing_packages, train
from ..report.result import Result
from ..report.result_page import Entry, save_result, write_report
from ..simulation.cases import demo_case
from .options import Parser, add_json, add_progress, out_folder, progress_of
from .register import say_report, summarise

CHEST_NOTE = (
    "A real chest CT. RTK's projector, not this program's own, made its X-rays, with a polychromatic beam, scatter, noise, an unknown "
    "gain, and a body that continues beyond the CT."
)
SEARCH_NOTE = "The same X-rays without the start: a search within the case's range about it."
REGRESSOR_NOTE = (
    "The same X-rays without the start: by a network trained for {minutes:g} minute{s} on this program's own renderings of this CT, "
    "never on these X-rays. Half of its poses for such renderings are within {median:.1f} mm; the refinement does the rest."
)
#: Minutes of training, and its share of the demo's time.
MINUTES, TRAINING_SHARE = 1.0, 0.75


def add_demo(command: Parser) -> None:
    """Add the options of `mvreg demo`."""
    command.describe("[options]", "--open    # and look at the report in a browser")
    add = command.add_argument
    add_json(command)
    add_progress(command)
    add(
        "--out",
        type=out_folder,
        default="demo-result",
        metavar="DIR",
        help="folder of the results (default: %(default)s)",
    )
    add("--open", action="store_true", help="open the report in a browser")
    command.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> dict:
    with progress_of(options, "Demo") as line:
        results = run_demo(options.out, on_progress=line.show)
    for result in results:
        summarise(result)
    if missing_packages():
        print(f"  No network was trained, as PyTorch is not installed: {install_command('torch')}.", file=sys.stderr)
    say_report(options.out)
    if options.open:
        webbrowser.open((options.out / "report.html").resolve().as_uri())
    return {"report": str(options.out / "report.html"), "results": [result.to_json() for result in results]}


@dataclass(frozen=True)
class _Run:
    """A case to register, its start, and a note for the report."""

    case: Case
    note: str
    start: str = "given"
    model: Regressor | None = None


def run_demo(out: Path, on_progress: Callable[[float, str], object] = lambda fraction, stage: None) -> list[Result]:
    """Make, register and save the demo's cases in folders of `out`, with one report.html: the chest from a given start, by a search, and
    by a network that is trained first if PyTorch is installed.

    InputError if the chest CT cannot be downloaded.
    """
    on_progress(0.0, "making X-rays of a chest CT")
    chest = Case.load(demo_case(out / "chest"))
    runs = [_Run(chest, CHEST_NOTE), _Run(replace(chest, name="chest-search"), SEARCH_NOTE, "search")]
    if missing_packages():
        runs[-1] = replace(
            runs[-1], note=f"{SEARCH_NOTE} A network that finds the pose needs PyTorch, which is not installed here."
        )
    else:
        runs.append(
            _trained(
                chest,
                out / "network",
                lambda fraction, stage: on_progress(TRAINING_SHARE * fraction, f"network: {stage}"),
            )
        )
    entries: list[Entry] = []
    for number, run in enumerate(runs):

        def step(progress, done: int = number, name: str = run.case.name) -> None:
            on_progress(
                TRAINING_SHARE + (1 - TRAINING_SHARE) * (done + progress.fraction) / len(runs),
                f"{name}: {progress.stage}",
            )

        result = register(run.case, run.start, progress=step, model=run.model)
        save_result(result, out / run.case.name, names=True, replace=True)
        entries.append(Entry(result, run.note, names=True))
    write_report(out / "report.html", entries)
    return [entry.result for entry in entries]


def _trained(case: Case, folder: Path, on_progress: Callable[[float, str], object]) -> _Run:
    """The case by a network that is trained now; one of an earlier demo is replaced."""
    rmtree(folder, ignore_errors=True)
    model = train(
        case, folder, minutes=MINUTES, progress=lambda fraction, stage, error_mm: on_progress(fraction, stage)
    )
    note = REGRESSOR_NOTE.format(minutes=MINUTES, s="" if MINUTES == 1 else "s", median=model.card.expected[0])
    return _Run(replace(case, name="chest-regressor"), note, "regressor", model)
