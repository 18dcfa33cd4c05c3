"""`mvreg export`: a result as files for other programs, or to navigation through OpenIGTLink."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np

from ..errors import InputError, warn
from ..imaging.body import WHOLE
from ..io.case_file import ALL, CaseFile
from ..io.files import describe
from ..io.navigation import CASE_KINDS, POSE_FORMATS, VOLUME_FORMATS
from ..io.result_json import NOT_ASSESSED, RegistrationExport
from ..io.transforms import AXES, DIRECTIONS, ITK_WRITERS, MATRIX_WRITERS
from .options import (
    RESULT_HELP,
    Parser,
    add_out,
    case_path,
    result_path,
    say,
)

#: What a verdict other than "accept" means.
MEANINGS = {
    "check": "the program cannot tell whether it is right, so compare the outlines with every X-ray before you use it",
    "reject": "the images contradict it, so do not use it",
    "not shown": "no X-ray shows it, so do not use it",
    None: "nothing has checked it, so look at every X-ray before you use it",
}


def add_export(command: Parser) -> None:
    """Add the options of `mvreg export`."""
    command.describe(
        run,
        "RESULT --as KIND... --out DIR, or --igtl HOST:PORT, or --igtl-server PORT",
        "result --as all --out exported --case case.json",
        "result --as resampled-ct drr cameras --case case.json --out exported",
        "result --structure L1 L2 --as tfm dicom --out exported",
        "result --igtl 127.0.0.1:18944",
    )
    add = command.add_argument
    add("result", type=result_path, metavar="RESULT", help=RESULT_HELP)
    add(
        "--as",
        dest="kinds",
        nargs="+",
        choices=[*POSE_FORMATS, "all", *CASE_KINDS],
        metavar="KIND",
        help=f"what to write of the pose: {', '.join(POSE_FORMATS)} or all of these; of the case at this pose, with --case: "
        f"{', '.join(CASE_KINDS)}",
    )
    add(
        "--structure",
        nargs="+",
        metavar="NAME",
        help="these bones alone, each in files of its name; all: each that was not rejected (default: these and the whole CT)",
    )
    add_out(command, "folder of the files")
    add(
        "--direction",
        choices=DIRECTIONS,
        help="forward: takes points of the CT to the world; resampling: the inverse, which Slicer wants of an ITK file "
        "(default: both, each by its name)",
    )
    add(
        "--frame",
        choices=AXES,
        help=f"axes of the matrices in {', '.join(MATRIX_WRITERS)} (default: both, each by its name)",
    )
    add(
        "--case",
        type=case_path,
        help="the case of this result: to check whether its files have changed, and for its CT and views",
    )
    add(
        "--volume",
        choices=VOLUME_FORMATS,
        help=f"file of a resampled CT or mask (default: {VOLUME_FORMATS[0]})",
    )
    add(
        "--identity",
        action="store_true",
        help="put patient and study of the X-rays into the DICOM files; files carry no patient identity without this; needs "
        "--case",
    )
    add(
        "--override",
        action="store_true",
        help="export a rejected or stale result; every file then says so",
    )
    add(
        "--igtl",
        metavar="HOST:PORT",
        help="send it, and each bone under its name, to an OpenIGTLink server, until Ctrl-C",
    )
    add(
        "--igtl-server",
        type=int,
        metavar="PORT",
        help="offer it as an OpenIGTLink server on 127.0.0.1, until Ctrl-C",
    )
    add("--seconds", type=float, help="of --igtl and --igtl-server, rather than until Ctrl-C")


def run(options: argparse.Namespace) -> dict:
    """Export; returns the files, and the warning that they carry."""
    links = [link for link in (options.igtl, options.igtl_server) if link is not None]
    if bool(options.kinds) != bool(options.out) or not (options.kinds or links) or len(links) > 1:
        raise InputError(
            "export: give one of --as KIND --out DIR, --igtl HOST:PORT, or --igtl-server PORT."
        )
    named = set(options.kinds or ())
    kinds = [
        kind
        for kind in (*POSE_FORMATS, *CASE_KINDS)
        if kind in named or kind in POSE_FORMATS and "all" in named
    ]
    _refuse_idle_options(options, kinds)
    if options.seconds is not None and not 0 < options.seconds < 1e6:
        raise InputError(
            f"--seconds: found {options.seconds:g}, expected a number above 0; correct it."
        )
    result, every = RegistrationExport.every(options.result)
    told, exports = _settled(result, every, options)
    _say_verdicts(exports)
    files = _write(exports, result.world_from_ct, kinds, options) if kinds else []
    if links:
        _send(told, exports, options)
    bones = [
        {
            "name": each.structure,
            "verdict": each.verdict,
            "checked": each.said.get("checked"),
            "override": each.warning,
        }
        for each in exports
        if each.structure is not None
    ]
    return {
        **({"structures": bones} if bones else {}),
        "files": [str(file) for file in files],
        "verdict": told.verdict,
        "checked": told.said.get("checked"),
        "override": told.warning,
    }


#: Options with the kinds of files that they apply to, and what is said of the others.
APPLY_TO = {
    "frame": (MATRIX_WRITERS, " (ITK and DICOM are LPS, OpenIGTLink is RAS)"),
    "direction": ((*ITK_WRITERS, *MATRIX_WRITERS), ""),
    "volume": (("resampled-ct", "resampled-mask"), ""),
    "identity": (("dicom", "drr"), ""),
}


def _refuse_idle_options(options: argparse.Namespace, kinds: list[str]) -> None:
    for option, (applies_to, why) in APPLY_TO.items():
        given = getattr(options, option)
        if given and given != "forward" and not {*applies_to} & {*kinds}:
            *most, last = applies_to
            raise InputError(
                f"--{option}: applies to {', '.join(most)} and {last} only{why}; leave it out."
            )
    needing = [kind for kind in kinds if kind in CASE_KINDS]
    needing += ["--identity"] * options.identity
    if needing and not options.case:
        raise InputError(
            f"--case: is missing, expected the case of this result for {', '.join(needing)}; add "
            "--case CASE."
        )


def _settled(
    result: RegistrationExport, every: list[RegistrationExport], options: argparse.Namespace
) -> tuple[RegistrationExport, list[RegistrationExport]]:
    """Return that of which the verdict is told, and the poses to hand on, with inputs compared.

    What is told of is the result itself, or the bone in the greatest doubt of those that were named,
    or of all where the result was rejected.

    Raises
    ------
    InputError
        For a warning without --override, but that of what was not named beside usable bones.
    """
    named = options.structure and _named(every, options.structure)
    every = [result, *(named or every)]
    if options.case:
        stale = result.changes(options.case)
        every = [each.with_changes(stale) for each in every]
    elif not options.json:
        say("  Inputs not re-checked; pass --case to verify them.")
    if options.override:
        every = [replace(each, overridden=True) for each in every]
    result, *exports = every
    kept = [each for each in exports if not each.refused]
    left_out = [each for each in exports if each.refused]
    needed = [] if named or kept else [result]
    if not kept or named and options.structure != [ALL]:
        needed += left_out
    for each in filter(attrgetter("refused"), needed):
        warning = str(each.warning)
        warning = f"{warning[0].lower()}{warning[1:].rstrip('.')}"
        name = "" if each.structure is None else f", {each.structure}"
        raise InputError(
            f"{each.path}{name}: {warning}; register again, or add --override, which every file "
            "then carries."
        )
    if left_out:
        names = ", ".join(each.structure or "the CT in one piece" for each in left_out)
        warn(f"{names}: rejected or not shown, and not exported; check them, or add --override.")
    if named or result.refused:
        result = max(kept, key=attrgetter("doubt"))
    return result, kept


def _named(every: Sequence[RegistrationExport], names: Sequence[str]) -> list[RegistrationExport]:
    """Return the bones of these names; `ALL` alone means every one.

    Raises
    ------
    InputError
        For a name that none has or that is given twice, and for `ALL` among others.
    """
    bones = {str(each.structure).casefold(): each for each in every if each.structure}
    wanted = [name.casefold() for name in names]
    if ALL in names and len(names) > 1:
        raise InputError(
            f"--structure: found {ALL} among other names, expected one of the two; leave one out."
        )
    if ALL in names and bones:
        return list(bones.values())
    for n, name in enumerate(wanted):
        if name not in bones:
            known = ", ".join(str(each.structure) for each in bones.values())
            expected = f"one of {known}" if known else "a result of a case with structures"
            raise InputError(
                f"--structure: found {describe(names[n])}, expected {expected}; correct it."
            )
        if name in wanted[:n]:
            raise InputError(
                f"--structure: found {describe(bones[name].structure)} twice, expected it once; "
                "leave one out."
            )
    return [bones[name] for name in wanted]


def _say_verdicts(exports: Sequence[RegistrationExport]) -> None:
    """Say on stderr what the verdicts mean, before anything is written or sent."""
    for verdict, meaning in MEANINGS.items():
        doubtful = [each.structure or WHOLE for each in exports if each.verdict == verdict]
        if doubtful:
            of = f" of {', '.join(doubtful)}" if exports[1:] or exports[0].structure else ""
            word = verdict or NOT_ASSESSED
            say(f'  The 3D position{of} is "{word}": {meaning}.')
    for each in exports:
        if checked := each.said.get("checked"):
            say(f"  Checked, {each.structure or WHOLE}: {checked}.")


def _write(
    exports: list[RegistrationExport],
    world_from_ct: np.ndarray,
    kinds: list[str],
    options: argparse.Namespace,
) -> list[Path]:
    from ..io.case import Case
    from ..io.dicom_identity import ct_images
    from ..io.navigation.exports import write_together
    from ..report.exports import files_of, identities_of

    identities = identities_of(options.case) if options.identity else {}
    slices = {}
    if "dicom" in kinds and options.case:
        bodies = CaseFile.read(options.case).bodies
        slices = {body.name: ct_images(body.ct.path, body.series) for body in bodies}
    if "dicom" in kinds and not identities:
        say(
            "  The DICOM file names no patient and no study, under which a PACS could file it; "
            "--identity with --case adds them."
        )
    case = None
    if set(kinds) & set(CASE_KINDS):
        case = Case.load(options.case, world_from_ct=world_from_ct)
    directions = [options.direction] if options.direction else DIRECTIONS
    axes = [options.frame] if options.frame else AXES
    of_case = case, options.volume or VOLUME_FORMATS[0], identities
    jobs = files_of(exports, kinds, directions, axes, slices, *of_case)
    files = write_together(jobs, options.out, exports[0].path)
    for file in files:
        say(f"  {file}")
    return files


def _send(
    told: RegistrationExport, exports: list[RegistrationExport], options: argparse.Namespace
) -> None:
    """Send these poses, and the status of what is told of."""
    from ..io.navigation.igtl import address, messages_of, pictures_beside, send_to, serve

    def notify(text: str) -> None:
        say(f"  OpenIGTLink: {text}")

    messages = messages_of(told, exports, pictures_beside(told))
    stop = threading.Event()
    if not messages.images:
        notify("no IMAGE is sent: there are no overlays beside the result.json")
    if options.seconds is not None:
        timer = threading.Timer(options.seconds, stop.set)
        timer.daemon = True
        timer.start()
    try:
        if options.igtl is not None:
            send_to(*address(options.igtl), messages, stop, notify)
        else:
            serve(options.igtl_server, messages, stop, notify)
    except KeyboardInterrupt:  # the way to end it
        stop.set()
