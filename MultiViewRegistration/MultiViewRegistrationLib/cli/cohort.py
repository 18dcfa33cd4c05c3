"""`mvreg evaluate --scheduler`: the same evaluation on many processes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..studies.evaluation import Evaluation

LOCAL = "local"


def add_options(command: argparse.ArgumentParser) -> None:
    """To the parser of `mvreg evaluate`."""
    command.add_argument(
        "--scheduler",
        nargs="?",
        const=LOCAL,
        metavar="ADDRESS",
        help="share the cases among processes, by Dask: those of the scheduler at this address, such as "
        "tcp://127.0.0.1:8786, or, without one, processes on this computer; what is done already is not done again",
    )
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes on this computer, for --scheduler (default: one a core)"
    )
    command.add_argument(
        "--records",
        type=Path,
        metavar="DIR",
        help="folder of what came of each case, for --scheduler; one that all workers see (default: in your store)",
    )
    command.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="for --scheduler with --start regressor or auto: first train a regressor so long for each CT and geometry "
        "(default: those in your store are taken)",
    )


def evaluator(options: argparse.Namespace) -> Callable[..., Evaluation]:
    """What evaluates, with the arguments of `evaluation.evaluate`. InputError for options that say nothing without a scheduler."""
    from ..studies.evaluation import evaluate

    given = [name for name in ("workers", "records", "minutes") if getattr(options, name) is not None]
    if options.scheduler is None:
        if given:
            raise InputError(
                f"--{given[0]}: found without --scheduler, expected them together; add it, or leave this out."
            )
        return evaluate
    if options.workers is not None and (options.workers < 1 or options.scheduler != LOCAL):
        raise InputError(
            f"--workers: found {options.workers}, expected 1 or more, and no address of a scheduler, which has its own; "
            "correct it, or leave it out."
        )
    from ..studies.cohort import evaluate_cohort

    return partial(
        evaluate_cohort,
        scheduler=options.scheduler,
        workers=options.workers,
        folder=options.records,
        minutes=options.minutes,
    )
