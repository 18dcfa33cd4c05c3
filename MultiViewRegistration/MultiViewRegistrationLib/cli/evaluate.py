"""`mvreg evaluate`: many registrations, on one process or shared by Dask."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import InputError, install_command, warn
from ..io.files import write_atomically
from ..studies.evaluation import STARTS, Evaluation, EvaluationSetup, Row, evaluate
from ..studies.evaluation_figure import FORMATS, error_figure, figure_bytes, has_errors
from ..studies.evaluation_table import csv_text, summary, table_rows
from .options import (
    Parser,
    SearchRange,
    add_progress,
    add_refinement,
    add_seed,
    case_path,
    out_file,
    out_folder,
    progress_of,
    tell,
    without_folders,
)

LOCAL = "local"


def add_evaluate(command: Parser) -> None:
    """Add the options of `mvreg evaluate`."""
    command.describe(
        _evaluate,
        "CASE... [options]",
        "cases/* --csv table.csv --figure errors.png",
        "cases/* --start given search --search 18 55",
        "cases/* --scheduler                           # shared among processes",
    )
    add = command.add_argument
    add_progress(command)
    add_refinement(command)
    add(
        "cases",
        type=case_path,
        nargs="+",
        metavar="CASE",
        help="case.json files, or folders that hold one",
    )
    add(
        "--starts",
        type=int,
        default=20,
        metavar="N",
        help="starts of each case (default: %(default)s)",
    )
    add(
        "--max-start-error",
        type=float,
        default=22.0,
        metavar="MM",
        help="with truth: starts have an mTRE from 0 up to this, uniformly (default: %(default)s)",
    )
    add(
        "--perturb",
        type=float,
        nargs=2,
        default=(8.0, 8.0),
        metavar=("DEG", "MM"),
        help="without truth: starts are turned and moved by this from where the case's own start leads (default: 8 8)",
    )
    add(
        "--search",
        action=SearchRange,
        help="range of a search (default: each case's), and by itself --start search; with truth, centres are spread "
        "evenly about it",
    )
    add(
        "--start",
        choices=STARTS,
        nargs="+",
        help="where to start, see register --start; several are compared "
        "(default: given, or search where there is a --search)",
    )
    add(
        "--model",
        type=Path,
        metavar="DIR",
        help="folder of the regressor (default: the newest one of each case's CT)",
    )
    add_seed(command, "of the starts")
    add(
        "--csv",
        type=out_file,
        metavar="FILE.csv",
        help="also write a table with a row for each registration, of the whole CT and of each bone",
    )
    add(
        "--figure",
        type=_figure_file,
        metavar="FILE.png|svg",
        help="also draw the cumulative distribution of the mTRE for each --start",
    )
    add(
        "--scheduler",
        nargs="?",
        const=LOCAL,
        metavar="ADDRESS",
        help="share the cases among processes, by Dask: those of the scheduler at this address, such as "
        "tcp://127.0.0.1:8786, or, without one, processes on this computer; what is done already "
        "is not done again",
    )
    add(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this computer, for --scheduler (default: one a core)",
    )
    add(
        "--records",
        type=out_folder,
        metavar="DIR",
        help="folder of what came of each case, for --scheduler; one that all workers see (default: in your store)",
    )
    add(
        "--minutes",
        type=float,
        metavar="N",
        help="for --scheduler with --start regressor or auto: first train a regressor so long for each CT and geometry "
        "(default: those in your store are taken)",
    )


def _evaluate(options: argparse.Namespace) -> dict:
    setup = EvaluationSetup(
        starts=options.starts,
        max_start_error_mm=options.max_start_error,
        perturb=options.perturb,
        seed=options.seed,
        refinement=options.refine,
        device=options.device,
        search=options.search and tuple(options.search.values()),
        model=options.model,
    )
    starts = options.start or [None]
    execute = _evaluator(options)
    evaluations = []
    with progress_of(options, "Evaluating") as line:
        for done, start in enumerate(starts):

            def show(fraction: float, stage: str, done: int = done) -> None:
                line.show((done + fraction) / len(starts), stage)

            start = start or ("search" if options.search else "given")
            evaluations.append(execute(options.cases, replace(setup, start=start), show))
    rows = table_rows(evaluations)
    for row in rows:
        row["failure"] = row["failure"] and without_folders(row["failure"])
    if options.csv:
        write_atomically(options.csv, csv_text(rows))
    if options.figure:
        _write_figure(options.figure, rows)
    tell(options, summary(rows))
    contents = [evaluation.to_json() for evaluation in evaluations]
    return contents[0] if len(contents) == 1 else {"evaluations": contents}


def _evaluator(options: argparse.Namespace) -> Callable[..., Evaluation]:
    """Return the function that evaluates, called as `evaluation.evaluate` is.

    Raises
    ------
    InputError
        For options that need a scheduler, without one.
    """
    given = [
        name for name in ("workers", "records", "minutes") if getattr(options, name) is not None
    ]
    if options.scheduler is None:
        if given:
            raise InputError(f"--{given[0]}: belongs to --scheduler; add that, or leave this out.")
        return evaluate
    if options.workers is not None and (options.workers < 1 or options.scheduler != LOCAL):
        raise InputError(
            f"--workers: found {options.workers}, expected 1 or more, and no address of a "
            "scheduler, which has its own; correct it, or leave it out."
        )
    from ..studies.cohort import evaluate_cohort

    return partial(
        evaluate_cohort,
        scheduler=options.scheduler,
        workers=options.workers,
        folder=options.records,
        minutes=options.minutes,
    )


def _figure_file(text: str) -> Path:
    """Check the option for the file of the figure, and that it can be drawn."""
    path = out_file(text)
    if path.suffix.lower().lstrip(".") not in FORMATS:
        raise argparse.ArgumentTypeError(
            f"{path.name} must end in .png or .svg. Change its ending."
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise argparse.ArgumentTypeError(
            f"matplotlib, which draws the figure, is not installed. Run {install_command('viewer')}."
        ) from None
    return path


def _write_figure(path: Path, rows: Sequence[Row]) -> None:
    """Write the figure, or warn that there is no error to draw."""
    if not has_errors(rows):
        warn(
            "--figure: no case has a ground truth, so no figure was written. Add truths to the cases."
        )
        return
    write_atomically(path, figure_bytes(error_figure(rows), path.suffix.lower().lstrip(".")))
