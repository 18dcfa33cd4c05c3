"""`mvreg export`: a result as files for other programs, or to navigation through OpenIGTLink."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..io.axes import AXES, DIRECTIONS
from ..io.navigation import KINDS

if TYPE_CHECKING:
    from ..io.navigation.handover import Handover

MATRICES = ("txt", "npy", "json")


def add(commands, common: argparse.ArgumentParser) -> None:
    """Make the command's parser."""
    command = commands.add_parser("export", parents=[common], help="write a result's pose for other programs, or send it to navigation")
    command.add_argument("result", type=Path, help="result.json, or a folder that holds one")
    command.add_argument("--as", dest="kinds", nargs="+", choices=[*KINDS, "all"], metavar="KIND",
                         help=f"what to write: {', '.join(KINDS)} or all")
    command.add_argument("--out", type=Path, help="folder of the files")
    command.add_argument("--direction", choices=DIRECTIONS,
                         help="forward: takes points of the CT to the world; resampling: the inverse, which Slicer wants of an ITK file "
                              "(default: both, each by its name)")
    command.add_argument("--frame", choices=AXES, help="axes of the matrices in txt, npy and json (default: both, each by its name)")
    command.add_argument("--case", type=Path, help="the case of this result, to find out whether a file of it has changed since")
    command.add_argument("--override", action="store_true", help="hand on a result that was rejected or is stale; it then says so")
    command.add_argument("--igtl", metavar="HOST:PORT", help="send it to an OpenIGTLink server, until Ctrl-C")
    command.add_argument("--igtl-server", type=int, metavar="PORT", help="offer it as an OpenIGTLink server on 127.0.0.1, until Ctrl-C")
    command.add_argument("--seconds", type=float, help="of --igtl and --igtl-server, rather than until Ctrl-C")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Do it; returns what was written, and whether it carries a caution."""
    from ..io.navigation.handover import Handover

    links = [link for link in (options.igtl, options.igtl_server) if link is not None]
    if bool(options.kinds) != bool(options.out) or not (options.kinds or links) or len(links) > 1:
        raise InputError("export: found no single thing to do, expected --as KIND --out DIR, --igtl HOST:PORT or --igtl-server PORT; add "
                         "what is missing.")
    kinds = [kind for kind in KINDS if options.kinds and {kind, "all"} & set(options.kinds)]
    _refuse_idle_options(options, kinds)
    if options.seconds is not None and not 0 < options.seconds < 1e6:
        raise InputError(f"--seconds: found {options.seconds:g}, expected a number above 0; correct it.")
    handover = _settled(Handover.read(options.result), options)
    files = _write(handover, kinds, options) if kinds else []
    if links:
        _send(handover, options)
    return {"files": [str(file) for file in files], "verdict": handover.verdict, "override": handover.caution}


def _refuse_idle_options(options: argparse.Namespace, kinds: list[str]) -> None:
    if options.frame and not set(MATRICES) & set(kinds):
        raise InputError(f"--frame: found {options.frame} without txt, npy or json, expected it with these alone (ITK and DICOM are LPS, "
                         "OpenIGTLink is RAS); leave it out.")
    if options.direction == "resampling" and not set(kinds) - {"dicom"}:
        raise InputError("--direction: found resampling without a file that has a direction, expected it with tfm, h5, txt, npy or json; "
                         "leave it out.")


def _settled(handover: Handover, options: argparse.Namespace) -> Handover:
    """The result, its inputs compared; InputError where something speaks against it that nobody has overridden."""
    if options.case:
        handover = handover.beside(options.case)
    elif not options.json:
        print("  whether an input has changed since was not looked at: that needs --case", file=sys.stderr)
    if handover.caution and not (handover.overridden or options.override):
        caution = handover.caution[0].lower() + handover.caution[1:].rstrip(".")
        raise InputError(f"{handover.path}: {caution}, expected a result that stands; register again, or add --override, which every file "
                         "then tells of.")
    return handover


def _write(handover: Handover, kinds: list[str], options: argparse.Namespace) -> list[Path]:
    from ..io.navigation.exports import write_exports

    directions = [options.direction] if options.direction else DIRECTIONS
    files = write_exports(handover, options.out, kinds, directions, [options.frame] if options.frame else AXES)
    for file in files:
        print(f"  {file}", file=sys.stderr)
    return files


def _send(handover: Handover, options: argparse.Namespace) -> None:
    from ..io.navigation.igtl import address, send_to, serve
    from ..io.navigation.messages import messages_of

    def tell(text: str) -> None:
        print(f"  OpenIGTLink: {text}", file=sys.stderr, flush=True)

    messages, stop = messages_of(handover), threading.Event()
    if not messages.images:
        tell("there are no overlays beside the result.json, so no IMAGE is sent")
    if options.seconds is not None:
        timer = threading.Timer(options.seconds, stop.set)
        timer.daemon = True
        timer.start()
    try:
        if options.igtl is not None:
            send_to(*address(options.igtl), messages, stop, tell)
        else:
            serve(options.igtl_server, messages, stop, tell)
    except KeyboardInterrupt:  # the way to end it
        stop.set()
