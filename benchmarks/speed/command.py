"""The command `speed`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from MultiViewRegistrationLib.cli.options import add_json, out_file, progress_of
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.rendering.devices import CPU, torch_device

from .measurement import Setting, machine
from .program import run, terminal


def main() -> None:
    """Measure, and print a table, or with --json the machine and the rows."""
    parser = argparse.ArgumentParser(
        description="Measures speed, memory and accuracy beside other programs."
    )
    parser.set_defaults(progress="line")
    add_json(parser)
    parser.add_argument(
        "--only",
        default="",
        metavar="PART,...",
        help="render, registration, growth, memory, search, or a piece of a row's name (default: all, half an hour)",
    )
    parser.add_argument(
        "--case",
        metavar="CASE",
        help="measure on its CT and two X-rays, of which a truth is known (default: the demo's, whose CT is fetched)",
    )
    parser.add_argument(
        "--device",
        metavar="cuda[:N]",
        help="measure on this CUDA device, or torch-cpu, beside nanodrr there: rendering in batches, registration, "
        "growth, memory, search (default: everything on the processor)",
    )
    parser.add_argument(
        "--page",
        type=out_file,
        metavar="FILE.md",
        help="also write a Markdown page with figures; what is not measured again stays as it was",
    )
    options = parser.parse_args()
    device = None if options.device in (None, CPU) else torch_device(options.device)
    setting = Setting(options.case and Case.load(options.case), device)
    with progress_of(options, "Measuring") as line:
        results = run(setting, options.only, options.page, progress=line.show)
    rows = [row for record in results.values() for row in record.rows]
    if options.json:
        said = {"machine": machine(device), "rows": rows}
        print(json.dumps(said, indent=1, default=asdict))
    else:
        print(terminal(rows))
