"""`mvreg case`: make, check, show and anonymise the file that describes what there is to register."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from ..errors import collect_warnings
from .case_new import add_new
from .options import Parser, Run, add_one_case, add_out, add_page, keep_page, sentence, tell

if TYPE_CHECKING:
    from ..io.case import Case

#: Where a detector of unknown distance is drawn, in distances of the anatomy.
UNKNOWN_DETECTOR = 1.5


def add_case(command: Parser) -> None:
    """Add the parts of `mvreg case`."""
    command.describe(
        None,
        "new|check|show|anonymise ...",
        "new --ct CT --view AP ap.dcm --view LAT lat.dcm    # asks for what is missing",
        "check case.json",
        "show case.json --open",
    )
    parts = command.add_subparsers(required=True, metavar="new|check|show|anonymise")
    add_new(parts)

    _part(
        parts,
        "check",
        _check,
        "read the whole case; explain its geometry and what is suspicious",
        "case.json",
    )

    part = _part(
        parts,
        "show",
        _show,
        "draw the scene in 3D, and the CT's box in each image",
        "case.json --open",
        "case.json --out look.html",
    )
    add_page(part, "case.html")

    part = _part(
        parts,
        "anonymise",
        _anonymise,
        "copy a case without names, IDs, dates and headers",
        "case.json --out copy",
    )
    add_out(part, "a new or empty folder", required=True)


def _part(
    parts: argparse._SubParsersAction, name: str, run: Run, about: str, *examples: str
) -> Parser:
    part = parts.add_parser(name, help=about, description=sentence(about))
    part.describe(run, "CASE [options]", *examples)
    add_one_case(part)
    return part


def _check(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from ..io.case_check import case_report, check_case

    with collect_warnings() as collected:
        case = Case.load(options.case)
    answer = case_report(check_case(case))
    answer["findings"] = collected + answer["findings"]
    found = [f"Suspicious: {finding}" for finding in answer["findings"]]
    lines = answer["lines"] + (found or ["Nothing looks suspicious."])
    valid = f"{answer['name']}: the case is complete and valid."
    tell(options, valid, *(f"  {line}" for line in lines))
    return answer


def _show(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from ..io.case_check import case_report, check_case
    from ..io.files import write_atomically

    case = Case.load(options.case)
    report = case_report(check_case(case))
    keep_page(options, lambda out: write_atomically(out, _page(case, report)))
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
    from ..io.case_writer import anonymise

    path, left_out = anonymise(options.case, options.out)
    tell(options, f"Wrote {path}. Left out or changed:", *(f"  {each}" for each in left_out))
    return {"case": str(path), "left_out": left_out}
