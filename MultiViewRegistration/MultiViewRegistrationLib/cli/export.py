"""`mvreg export`: a result as files for other programs, or to navigation through OpenIGTLink."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import InputError, warn
from ..io.case_file import ALL, CaseFile
from ..io.navigation import CASE_KINDS, KINDS, VOLUME_FORMATS
from ..io.navigation.registration_export import NOT_ASSESSED, RegistrationExport, result_content
from ..io.transforms import AXES, DIRECTIONS
from .options import RESULT_HELP, Parser, add_json, add_out, case_path, result_path, say

MATRICES = ("txt", "npy", "json")
#: What a verdict other than "accept" means.
MEANINGS = {
    "check": "the program cannot tell whether it is right, so compare the outlines with every X-ray before you use it",
    "reject": "it is most likely wrong, so do not use it",
    "not shown": "no X-ray shows it, so do not use it",
    None: "nothing has checked it, so look at every X-ray before you use it",
}
#: How doubtful a verdict is.
DOUBT = {"accept": 0, "check": 1, None: 2, "not shown": 3, "reject": 4}


def add_export(command: Parser) -> None:
    """Add the options of `mvreg export`."""
    command.describe(
        "RESULT --as KIND... --out DIR, or --igtl HOST:PORT, or --igtl-server PORT",
        "result --as all --out exported --case case.json",
        "result --as resampled-ct drr cameras --case case.json --out exported",
        "result --structure L1 L2 --as tfm dicom --out exported",
        "result --igtl 127.0.0.1:18944",
    )
    add = command.add_argument
    add_json(command)
    add("result", type=result_path, metavar="RESULT", help=RESULT_HELP)
    add(
        "--as",
        dest="kinds",
        nargs="+",
        choices=[*KINDS, "all", *CASE_KINDS],
        metavar="KIND",
        help=f"what to write of the pose: {', '.join(KINDS)} or all of these; of the case at this pose, with --case: "
        f"{', '.join(CASE_KINDS)}",
    )
    add(
        "--structure",
        nargs="+",
        metavar="NAME",
        help="the poses of these bones in place of the whole CT's, each in files of its name; all: each that was not rejected",
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
        help="axes of the matrices in txt, npy and json (default: both, each by its name)",
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
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Export; returns the files, and the warning that they carry."""
    links = [link for link in (options.igtl, options.igtl_server) if link is not None]
    if bool(options.kinds) != bool(options.out) or not (options.kinds or links) or len(links) > 1:
        raise InputError(
            "export: give one of --as KIND --out DIR, --igtl HOST:PORT, or --igtl-server PORT."
        )
    named = set(options.kinds or ())
    kinds = [
        kind for kind in (*KINDS, *CASE_KINDS) if kind in named or kind in KINDS and "all" in named
    ]
    _refuse_idle_options(options, kinds)
    if options.seconds is not None and not 0 < options.seconds < 1e6:
        raise InputError(
            f"--seconds: found {options.seconds:g}, expected a number above 0; correct it."
        )
    if options.structure is not None:
        read = RegistrationExport.read_structures(options.result, options.structure)
    elif links:
        read = RegistrationExport.usable(*result_content(options.result))
    else:
        read = [RegistrationExport.read(options.result)]
    settled = _settled(read, options)
    exports = settled if options.structure is not None else settled[:1]
    _say_verdicts(settled)
    files = _write(exports, kinds, options) if kinds else []
    if links:
        _send(settled, options)
    answer = {
        "files": [str(file) for file in files],
        "verdict": exports[0].verdict,
        "checked": exports[0].said.get("checked"),
        "override": exports[0].warning,
    }
    if options.structure is None:
        return answer
    bones = [
        {"name": each.structure, "verdict": each.verdict, "override": each.warning}
        for each in exports
    ]
    return (
        {"structures": bones, **answer}
        if len(bones) == 1
        else {"structures": bones, "files": answer["files"]}
    )


def _refuse_idle_options(options: argparse.Namespace, kinds: list[str]) -> None:
    if options.frame and not set(MATRICES) & set(kinds):
        raise InputError(
            f"--frame: {options.frame} applies to txt, npy and json only (ITK and DICOM are LPS, "
            "OpenIGTLink is RAS); leave it out."
        )
    if options.direction == "resampling" and not set(kinds) & {"tfm", "h5", *MATRICES}:
        raise InputError(
            "--direction: resampling applies to tfm, h5, txt, npy and json only; leave it out."
        )
    if options.volume and not {"resampled-ct", "resampled-mask"} & set(kinds):
        raise InputError(
            f"--volume: {options.volume} applies to resampled-ct and resampled-mask only; leave it "
            "out."
        )
    if options.identity and not {"dicom", "drr"} & set(kinds):
        raise InputError("--identity: applies to dicom and drr only; leave it out.")
    needing = [
        *(kind for kind in kinds if kind in CASE_KINDS),
        *(["--identity"] if options.identity else []),
    ]
    if needing and not options.case:
        raise InputError(
            f"--case: is missing, expected the case of this result for {', '.join(needing)}; add "
            "--case CASE."
        )


def _settled(
    exports: list[RegistrationExport], options: argparse.Namespace
) -> list[RegistrationExport]:
    """Return the results with their inputs compared, of all structures those that may be used.

    Raises
    ------
    InputError
        For a warning without --override.
    """
    if options.case:
        stale = exports[0].changes(options.case)
        exports = [each.with_changes(stale) for each in exports]
    elif not options.json:
        say("  Inputs not re-checked; pass --case to verify them.")
    refused = [
        each for each in exports if each.warning and not (each.overridden or options.override)
    ]
    kept = [each for each in exports if each not in refused]
    if refused and kept and options.structure == [ALL]:
        names = ", ".join(str(each.structure) for each in refused)
        warn(f"{names}: rejected or not shown, and not exported; check them, or add --override.")
        return kept
    for each in refused:
        warning = str(each.warning)
        warning = f"{warning[0].lower()}{warning[1:].rstrip('.')}"
        name = "" if each.structure is None else f", {each.structure}"
        raise InputError(
            f"{each.path}{name}: {warning}; register again, or add --override, which every file "
            "then carries."
        )
    return exports


def _say_verdicts(exports: Sequence[RegistrationExport]) -> None:
    """Say on stderr what the verdicts mean, before anything is written or sent."""
    for verdict, meaning in MEANINGS.items():
        doubtful = [each.structure for each in exports if each.verdict == verdict]
        names = ", ".join(filter(None, doubtful))
        if doubtful:
            word = verdict or NOT_ASSESSED
            say(f'  In the room the pose{names and f" of {names}"} is "{word}": {meaning}.')
    if checked := exports[0].said.get("checked"):
        say(f"  Checked: {checked}.")


def _write(
    exports: list[RegistrationExport], kinds: list[str], options: argparse.Namespace
) -> list[Path]:
    from ..io.case import Case
    from ..io.dicom_identity import ct_images
    from ..io.navigation.exports import export_files, write_together
    from ..report.exports import case_files, identities_of

    directions = [options.direction] if options.direction else DIRECTIONS
    identities = identities_of(options.case) if options.identity else {}
    if "dicom" in kinds and options.case:
        slices = ct_images(CaseFile.read(options.case))
        exports = [replace(each, ct_images=slices) for each in exports]
    if "dicom" in kinds and not identities:
        say(
            "  The DICOM file names no patient and no study, under which a PACS could file it; "
            "--identity with --case adds them."
        )
    case = None
    if set(kinds) & set(CASE_KINDS):
        case = Case.load(options.case, world_from_ct=exports[0].world_from_ct)
    jobs: dict[str, Callable[[Path], object]] = {}
    for exported in exports:
        further = {}
        if case is not None:
            further = case_files(
                exported, case, kinds, options.volume or VOLUME_FORMATS[0], identities
            )
        jobs |= export_files(
            exported,
            [kind for kind in kinds if kind in KINDS],
            directions,
            [options.frame] if options.frame else AXES,
            further,
            next(iter(identities.values()), None),
        )
    files = write_together(jobs, options.out, exports[0].path)
    for file in files:
        say(f"  {file}")
    return files


def _send(exports: list[RegistrationExport], options: argparse.Namespace) -> None:
    """Send these poses, and the status of the whole CT, else of the bone in the greatest doubt."""
    from ..io.navigation.igtl import address, messages_of, pictures_beside, send_to, serve

    def notify(text: str) -> None:
        say(f"  OpenIGTLink: {text}")

    first = exports[0]
    if first.structure is not None:
        first = max(exports, key=lambda each: (each.warning is not None, DOUBT[each.verdict]))
    others = [each for each in exports if each is not first]
    messages = messages_of(first, others, pictures_beside(first))
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
