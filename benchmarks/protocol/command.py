"""The command `protocol`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from MultiViewRegistrationLib.cli.evaluate import write_page
from MultiViewRegistrationLib.cli.options import (
    PREPARING,
    add_json,
    out_file,
    out_folder,
    progress_of,
)
from MultiViewRegistrationLib.errors import InputError

from .cases import RealCases, SimulatedCases
from .page import page
from .runs import run


def main() -> None:
    """Run what is not done yet, keep each registration, and write the page of all that is done."""
    parser = argparse.ArgumentParser(
        description="Simulates, registers and assesses thousands of cases, as docs/tables/verdicts.md says. It can be stopped at any time "
        "and goes on where it was."
    )
    parser.set_defaults(progress="line")
    add_json(parser)
    add = parser.add_argument
    add(
        "files",
        type=Path,
        nargs="+",
        metavar="CT",
        help="files of CTs (Hounsfield units, head first, supine)",
    )
    add(
        "--real",
        action="store_true",
        help="instead of CTs, case.json files of real X-rays, to which another projection of the bone is added as a truth",
    )
    add(
        "--simulator",
        choices=["rtk", "gvxr"],
        default="rtk",
        help="whose X-rays; gVirtualXray, the extra gvxr, knows bodies alone (default: %(default)s)",
    )
    add(
        "--out",
        type=out_folder,
        metavar="DIR",
        required=True,
        help="a small file for each registration, and pictures",
    )
    add(
        "--limit",
        type=int,
        metavar="N",
        help="only the first N registrations, which are spread over all conditions; the page shows all that are done "
        "(default: all)",
    )
    add("--seed", type=int, default=0)
    add(
        "--page",
        type=out_file,
        metavar="FILE.md",
        help="where to write the page (default: DIR/protocol.md)",
    )
    add("--append", action="store_true", help="add to that page instead of replacing it")
    add("--title", default="Protocol", help="of that page (default: %(default)s)")
    add("--description", default="", metavar="TEXT", help="what the cases are, for that page")
    options = parser.parse_args()
    if options.real and options.simulator != "rtk":
        raise InputError(
            "--simulator: found with --real, whose X-rays are real; leave out one of the two."
        )
    cases = (
        RealCases(options.files, options.seed)
        if options.real
        else SimulatedCases(options.files, options.seed, options.simulator)
    )
    with progress_of(options, "Protocol") as line:
        line.show(0.0, PREPARING)
        done = run(cases, options.out, options.limit, line.show)
    file = options.page or options.out / "protocol.md"
    text, pictures = page(done, options.description, options.title, file.with_suffix("").name)
    write_page(file, text, pictures, options.append)
    print(
        json.dumps({"done": len(done.rows), "planned": done.planned, "page": str(file)})
        if options.json
        else text
    )
