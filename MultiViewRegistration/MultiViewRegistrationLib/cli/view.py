"""`mvreg view`: the same work as in 3D Slicer's panel in a web page."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError, install_command
from .interrupt import exit_on_ctrl_c
from .options import Parser


def add_view(command: Parser) -> None:
    """Add the options of `mvreg view`."""
    command.describe(
        _view,
        "[PATH] [options]",
        "           # the start page: open files there",
        "case.json",
        "result",
    )
    add = command.add_argument
    add(
        "path",
        type=Path,
        nargs="?",
        metavar="CASE|RESULT|TRACK|SCENE.mrb",
        help="case.json, result.json, track.json, or a folder that holds one, or a scene of Slicer (default: the start "
        "page)",
    )
    add(
        "--case",
        type=Path,
        help="the case of a RESULT (default: the case.json beside it) or of a TRACK (default: the one that was tracked)",
    )
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to serve on; on another than this computer's own nothing is encrypted (default: %(default)s)",
    )
    add("--port", type=int, default=0, help="default: any that is free")
    add("--no-browser", action="store_true", help="only print the page's address")


def _view(options: argparse.Namespace) -> dict:
    if not 0 <= options.port < 2**16:
        raise InputError(
            f"--port: found {options.port}, expected a number from 1 to 65535; correct it, or "
            "leave it out."
        )
    if options.path is not None and not options.path.exists():
        raise InputError(
            f"{options.path} is not there, expected a case.json, a result.json, a track.json, a "
            "folder that holds one, or a scene; correct the path."
        )
    if find_spec("trame_slicer") is None:
        raise InputError(
            f'mvreg view: found no trame-slicer, expected the extra "viewer"; install it: {install_command("viewer")}.'
        )
    with exit_on_ctrl_c():
        from ..viewer.serving import serve

    serve(
        options.path,
        case=options.case,
        host=options.host,
        port=options.port,
        open_browser=not options.no_browser,
    )
    return {}
