"""`mvreg case`: make, check, show and anonymise the file that describes what there is to register."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, collect_warnings
from .case_new import add_new
from .options import CASE_HELP, Parser, add_json, case_path, out_file, out_folder, sentence

if TYPE_CHECKING:
    from ..io.case import Case

#: Where a detector of unknown distance is drawn, in distances of the anatomy.
UNKNOWN_DETECTOR = 1.5


def add_case(command: Parser) -> None:
    """Add the parts of `mvreg case`."""
    command.describe(
        "new|check|show|anonymise ...",
        "new --ct CT --view AP ap.dcm --view LAT lat.dcm    # asks for what is missing",
        "check case.json",
        "show case.json --open",
    )
    parts = command.add_subparsers(required=True, metavar="new|check|show|anonymise")
    add_new(parts)

    part = _part(
        parts,
        "check",
        "read the whole case; explain its geometry and what is suspicious",
        "case.json",
    )
    part.set_defaults(run=_check)

    part = _part(
        parts,
        "show",
        "draw the scene in 3D, and the CT's box in each image",
        "case.json --open",
        "case.json --out look.html",
    )
    part.add_argument(
        "--out",
        type=out_file,
        metavar="FILE.html",
        help="the page (default: case.html here; none with --json)",
    )
    part.add_argument("--open", action="store_true", help="open the page in a browser")
    part.set_defaults(run=_show)

    part = _part(
        parts,
        "anonymise",
        "copy a case without names, IDs, dates and headers",
        "case.json --out copy",
    )
    part.add_argument(
        "--out", type=out_folder, required=True, metavar="DIR", help="a new or empty folder"
    )
    part.set_defaults(run=_anonymise)


def _part(parts: argparse._SubParsersAction, name: str, about: str, *examples: str) -> Parser:
    part = parts.add_parser(name, help=about, description=sentence(about))
    part.describe("CASE [options]", *examples)
    add_json(part)
    part.add_argument("case", type=case_path, metavar="CASE", help=CASE_HELP)
    return part


def _check(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from ..io.case_check import case_report, check_case

    with collect_warnings() as collected:
        case = Case.load(options.case)
    answer = case_report(check_case(case))
    answer["findings"] = collected + answer["findings"]
    if not options.json:
        print(f"{answer['name']}: the case is complete and valid.")
        print("\n".join(f"  {line}" for line in answer["lines"]))
        print(
            "\n".join(f"  Suspicious: {finding}" for finding in answer["findings"])
            or "  Nothing looks suspicious."
        )
    return answer


def _show(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from ..io.case_check import case_report, check_case
    from ..io.files import write_atomically

    if options.out and options.out.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"--out: found {options.out.name}, expected the name of a page, as in case.html; "
            "correct it."
        )
    case = Case.load(options.case)
    report = case_report(check_case(case))
    out = options.out or (None if options.json else Path("case.html"))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, _page(case, report))
        print(f"Wrote {out}", file=sys.stderr)
        if options.open:
            webbrowser.open(out.resolve().as_uri())
    return report


def _page(case: Case, report: dict) -> str:
    from ..report.scene_svg import DrawnView, Scene, case_page

    views = report["views"]
    detector_mm = [
        view["source_to_detector_mm"] or UNKNOWN_DETECTOR * view["anatomy_depth_mm"]
        for view in views
    ]
    unknown = [view["name"] for view in views if view["source_to_detector_mm"] is None]
    notes = []
    if unknown:
        notes.append(
            f"The detector of {', '.join(unknown)} is drawn at {UNKNOWN_DETECTOR} times the "
            "distance of the anatomy, as its distance is unknown; the beam is true."
        )
    if report["start_pose"] == "assumed":
        notes.append(
            "The case has no start pose: the CT is drawn where the views meet, with its axes along "
            "the world's; with a single view, or parallel ones, at the world's origin."
        )
    pairs = zip(case.views, detector_mm, strict=True)
    scene = Scene(
        [DrawnView.of(*each) for each in pairs],
        np.array(report["ct_corners_world"]),
        np.array(report["world_from_ct"]),
        patient_axes=case.ct.unit == "hu",
    )
    return case_page(report["name"], scene, report["lines"], report["findings"], notes)


def _anonymise(options: argparse.Namespace) -> dict:
    from ..io.case_anonymise import anonymise

    path, left_out = anonymise(options.case, options.out)
    if not options.json:
        print(f"Wrote {path}. Left out or changed:")
        print("\n".join(f"  {sentence}" for sentence in left_out))
    return {"case": str(path), "left_out": left_out}
