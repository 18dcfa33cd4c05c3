"""`mvreg evaluate`: many registrations, on one process or shared by Dask."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import InputError
from ..io.files import write_atomically
from ..studies.evaluation import STARTS, Evaluation, EvaluationSetup, evaluate
from ..studies.evaluation_page import pages
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
)

LOCAL = "local"


def add_evaluate(command: Parser) -> None:
    """Add the options of `mvreg evaluate`."""
    command.describe(
        _evaluate,
        "CASE... [options]",
        "cases/* --page table.md",
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
        help="where to start, see register --start; several are tabulated side by side "
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
        "--page",
        type=out_file,
        metavar="FILE.md",
        help="also write the tables as a Markdown page, and pictures in a folder of the same name",
    )
    add("--append", action="store_true", help="add to that page instead of replacing it")
    add("--title", default="Accuracy", help="of that page (default: %(default)s)")
    add("--description", default="", metavar="TEXT", help="what the cases are, for that page")
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
    folder = (options.page or Path("pictures")).with_suffix("")
    text = pages(evaluations, options.description, options.title, folder.name)
    if options.page:
        pictures: dict[str, bytes] = {}
        for evaluation in evaluations:
            pictures |= evaluation.pictures
        write_page(options.page, text, pictures, options.append)
    tell(options, text)
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


def write_page(page: Path, text: str, pictures: dict[str, bytes], append: bool) -> None:
    """Write a page, after its pictures, which go into a folder of its name.

    `append` adds to a page that is there.
    """
    for name, picture in pictures.items():
        write_atomically(page.with_suffix("") / name, picture)
    before = page.read_text(encoding="utf-8") + "\n" if append and page.exists() else ""
    write_atomically(page, before + text)
