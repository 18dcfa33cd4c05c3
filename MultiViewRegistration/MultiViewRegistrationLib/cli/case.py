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
from .main import add_json

if TYPE_CHECKING:
    from ..io.case import Case

#: Where a detector of unknown distance is drawn, in distances of the anatomy.
UNKNOWN_DETECTOR = 1.5


def add_case(command: argparse.ArgumentParser) -> None:
    """Add the parts of `mvreg case`."""
    parts = command.add_subparsers(required=True, metavar="new|check|show|anonymise")
    add_new(parts)

    part = parts.add_parser("check", help="read the whole case; explain its geometry and what is suspicious")
    add_json(part)
    part.add_argument("case", type=Path, help="case.json, or a folder that holds one")
    part.set_defaults(run=_check)

    part = parts.add_parser("show", help="draw the scene in 3D, and the CT's box in each image")
    add_json(part)
    part.add_argument("case", type=Path, help="case.json, or a folder that holds one")
    part.add_argument(
        "--out", type=Path, metavar="FILE.html", help="the page (default: case.html here; none with --json)"
    )
    part.add_argument("--open", action="store_true", help="open the page in a browser")
    part.set_defaults(run=_show)

    part = parts.add_parser("anonymise", help="copy a case without names, IDs, dates and headers")
    add_json(part)
    part.add_argument("case", type=Path, help="case.json, or a folder that holds one")
    part.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    part.set_defaults(run=_anonymise)


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
        print("\n".join(f"  Suspicious: {finding}" for finding in answer["findings"]) or "  Nothing looks suspicious.")
    return answer


def _show(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from ..io.case_check import case_report, check_case
    from ..io.files import write_atomically

    if options.out and options.out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out: found {options.out.name}, expected the name of a page, as in case.html; correct it.")
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
    from ..report.scene_svg import Scene, case_page

    views = report["views"]
    detector_mm = [view["source_to_detector_mm"] or UNKNOWN_DETECTOR * view["anatomy_depth_mm"] for view in views]
    unknown = [view["name"] for view in views if view["source_to_detector_mm"] is None]
    notes = []
    if unknown:
        notes.append(
            f"The detector of {', '.join(unknown)} is drawn at {UNKNOWN_DETECTOR} times the distance of the anatomy, as its distance "
            "is unknown; the beam is true."
        )
    if report["start_pose"] == "assumed":
        notes.append(
            "The case has no start pose: the CT is drawn where the views meet, with its axes along the world's; with a single view, "
            "or parallel ones, at the world's origin."
        )
    scene = Scene(case.views, detector_mm, np.array(report["ct_corners_world"]), np.array(report["world_from_ct"]))
    return case_page(report["name"], scene, report["lines"], report["findings"], notes)


def _anonymise(options: argparse.Namespace) -> dict:
    from ..io.case_anonymise import anonymise

    path, left_out = anonymise(options.case, options.out)
    if not options.json:
        print(f"Wrote {path}. Left out or changed:")
        print("\n".join(f"  {sentence}" for sentence in left_out))
    return {"case": str(path), "left_out": left_out}
