"""`mvreg selfcheck`: register a CT to its own scouts, whose pose the scanner knows."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..studies.selfcheck import START_DEG, START_MM, selfcheck, study_to_check
from ..studies.selfcheck_page import write_page
from .options import (
    Parser,
    add_json,
    add_page,
    add_progress,
    add_seed,
    keep_page,
    progress_of,
)


def add_selfcheck(command: Parser) -> None:
    """Add the options of `mvreg selfcheck`."""
    command.describe(
        "STUDY [options]",
        "STUDY                  # a folder of DICOM files",
        "case.json --starts 10 --open",
    )
    add = command.add_argument
    add_json(command)
    add_progress(command)
    add(
        "study",
        type=Path,
        metavar="STUDY",
        help="folder of a CT study in DICOM, slices and scouts (localizers, topograms); or the case.json that mvreg case new --scouts "
        "made of one",
    )
    add(
        "--starts",
        type=int,
        default=40,
        metavar="N",
        help=f"searches, each about a start {START_DEG:g} degrees and {START_MM:g} mm from the true pose (default: %(default)s, a minute)",
    )
    add_seed(command, "of the starts' directions")
    add_page(command, "selfcheck.html")
    command.set_defaults(run=_selfcheck)


def _selfcheck(options: argparse.Namespace) -> dict:
    with progress_of(options, "Checking") as line:
        check = selfcheck(study_to_check(options.study), options.starts, options.seed, line.show)
    if not options.json:
        reasons = [f"  {reason}" for reason in check.result.reasons if reason.code != "assumed"]
        verdict = f"Verdict, without knowing the scanner's pose: {check.result.verdict}."
        print("\n".join([*check.summary, *check.misfits, verdict, *reasons]))
    keep_page(options, lambda out: write_page(out, check))
    return check.to_json()
