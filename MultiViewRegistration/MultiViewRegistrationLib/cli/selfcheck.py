"""`mvreg selfcheck`: register a CT to its own scouts, whose pose the scanner knows, or find known offsets of a result again."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError, warn
from ..io.case import Case
from ..io.folders import RESULT
from ..io.result_json import RegistrationExport
from ..report.messages import sentences
from ..studies.selfcheck import (
    START_DEG,
    START_MM,
    TOLERANCE,
    check_offsets,
    selfcheck,
    study_to_check,
    write_offsets,
    write_page,
)
from .options import (
    Parser,
    add_page,
    add_progress,
    add_seed,
    case_path,
    checked,
    keep_page,
    progress_of,
    tell,
)
from .register import EXIT_STATUS

#: Exit status of offsets that are not found again, that of a rejected pose.
NOT_FOUND = EXIT_STATUS["reject"]


def add_selfcheck(command: Parser) -> None:
    """Add the options of `mvreg selfcheck`."""
    command.describe(
        _selfcheck,
        "STUDY [options], or CASE|RESULT --offsets [options]",
        "STUDY                  # a folder of DICOM files",
        "case.json --starts 10 --open",
        "result --offsets       # its pose must be found again from known offsets",
    )
    add = command.add_argument
    add_progress(command)
    add(
        "study",
        type=Path,
        metavar="STUDY",
        help="folder of a CT study in DICOM, slices and scouts (localizers, topograms); or the case.json that mvreg case new --scouts "
        "made of one",
    )
    add(
        "--offsets",
        action="store_true",
        help="register any case, or a result, again from known offsets: 10 mm and 1 degree, and, by a search, "
        f"{START_MM:g} mm and {START_DEG:g} degrees; exit status {NOT_FOUND} where one is not found again within {TOLERANCE}, or "
        "the pose is rejected",
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


def _selfcheck(options: argparse.Namespace) -> dict:
    if options.offsets:
        return _check_offsets(options)
    with progress_of(options, "Checking") as line:
        check = selfcheck(study_to_check(options.study), options.starts, options.seed, line.show)
    findings = [finding for finding in check.result.findings if finding.code != "assumed"]
    reasons = [f"  {sentence}" for sentence in sentences(findings)]
    verdict = f"Verdict, without knowing the scanner's pose: {check.result.verdict}."
    tell(options, *check.summary, *check.misfits, verdict, *reasons)
    keep_page(options, lambda out: write_page(out, check))
    return check.to_json()


def _check_offsets(options: argparse.Namespace) -> dict:
    path = options.study
    pose = None
    if path.name == RESULT or (path / RESULT).is_file():
        result = RegistrationExport.read(path)
        folder = result.path.parent
        beside = [each / "case.json" for each in (folder, folder.absolute().parent)]
        path = next(filter(Path.is_file, beside), None)
        if path is None:
            raise InputError(
                f"{result.path}: found no case.json in its folder or the one above, expected the case that it was found from; "
                "name that in place of the result."
            )
        pose = result.world_from_ct
        if stale := result.changes(path):
            warn(stale)
    case = Case.load(checked(case_path, path))
    with progress_of(options, "Checking") as line:
        check = check_offsets(case, pose, line.show)
    tell(options, *check.summary)
    keep_page(options, lambda out: write_offsets(out, check))
    options.status = 0 if check.passed else NOT_FOUND
    return check.to_json()
