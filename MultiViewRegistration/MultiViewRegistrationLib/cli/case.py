"""`mvreg case`: make, check, show and anonymise the file that describes a registration, and list DICOM folders."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import collect_warnings
from ..geometry.fields import SLOT_SCAN_UNCERTAINTY, TABLES
from .options import (
    Parser,
    Run,
    SearchRange,
    add_one_case,
    add_out,
    add_page,
    add_structures,
    keep_page,
    sentence,
    tell,
)

if TYPE_CHECKING:
    from ..io.case import Case

_UNKNOWN = "unknown"


class _OfView(argparse.Action):
    """Begins a view, or is an option of the view that was begun last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if self.dest == "views":
            namespace.views = [*(namespace.views or []), {"view": values}]
            return
        if not namespace.views:
            parser.error(f"{option_string} belongs to a view: it comes behind --view NAME IMAGE")
        view = namespace.views[-1]
        if self.dest in view:
            parser.error(f"{option_string} is given twice for view {view['view'][0]}")
        view[self.dest] = values


def add_new(parts: argparse._SubParsersAction) -> None:
    """Add `mvreg case new`."""
    part = parts.add_parser(
        "new",
        help="make a case.json of a CT and X-rays",
        description="Make a case.json of a CT and X-rays.\n"
        "Files stay where they are, and the case names them relative to itself.",
    )
    assert isinstance(part, Parser)
    part.describe(
        _new,
        "[--ct CT] [--view NAME IMAGE [options of the view]]... [options]",
        "--ct ct.nii.gz --view AP ap.dcm --view LAT lat.dcm    # by the DICOM headers of the "
        "X-rays",
        "--ct STUDY --scouts                                   # of a CT's own scouts",
        "--ct ct.nii.gz --view AP ap.png --projection-matrix ap.txt --view LAT lat.png "
        "--projection-matrix lat.txt",
        "--ct ct.nii.gz --view AP ap.png --c-arm source_to_detector_mm=1000 "
        "source_to_isocentre_mm=700 pixel_mm=0.3 rao_lao_deg=0 cra_cau_deg=0 mirrored=yes",
    )
    add = part.add_argument
    words = "[lps|ras] [forward|resampling]"
    add(
        "--ct",
        type=Path,
        metavar="CT",
        help="file that SimpleITK reads, or a folder of DICOM slices, or one above it, as of an export with a DICOMDIR",
    )
    add(
        "--ct-series",
        metavar="NUMBER|UID",
        help="of a folder with several CT series: the number by which they are listed without this option, or the SeriesInstanceUID",
    )
    add(
        "--scouts",
        action="store_true",
        help="--ct is the folder of a CT study: add its own scouts (localizers, topograms) as views, with the scanner's pose as truth "
        "and start; one that needs more than its header says is given as a --view, too",
    )
    add(
        "--ct-unit",
        default="hu",
        metavar="hu|relative|MATERIAL",
        help="relative: 0 is nothing; a material: of a surface (default: %(default)s)",
    )
    add(
        "--body",
        nargs="+",
        action="append",
        dest="bodies",
        metavar=("NAME=FILE[:UNIT]", f"START {words}"),
        help="once for each implant, a surface and its material or attenuation (stem=stem.stl:titanium, liner.stl:0.02/mm), or, "
        "in place of --ct, bone with a CT that shows nothing else; and its start pose, as of --world-from-ct",
    )
    add("--ct-mask", type=Path, metavar="FILE", help="register only this structure of the CT")
    add_structures(part, "all")
    add(
        "--world-from-ct",
        nargs="+",
        metavar=("FILE", words),
        help="start pose: a transform that takes points of the CT to the world (resampling: of the world to the CT); axes "
        "are LPS in files of ITK, and must be named for text, .npy and .json that do not say them",
    )
    add(
        "--rt-plan",
        type=Path,
        metavar="FILE",
        help="start pose: an RT Plan, or an RT Image, whose isocentre lies at the world's origin",
    )
    add(
        "--reference-from-world",
        nargs="+",
        metavar=("FILE", words),
        help="to the frame of a tracker, likewise; ras of a matrix from Slicer or Plus",
    )
    add(
        "--search", action=SearchRange, help="how far the CT may be from its start (default: 15 45)"
    )
    add(
        "--targets",
        nargs="+",
        metavar=("FILE", "lps|ras"),
        help="points of the CT at which errors count: Slicer's .fcsv or .mrk.json, or a text of x, y, z in mm a line, with "
        "its axes",
    )
    add(
        "--landmarks",
        metavar="FILE",
        help="points of the CT by name, for --start landmarks: Slicer's .fcsv or .mrk.json",
    )
    add(
        "--out",
        type=Path,
        default="case.json",
        metavar="case.json",
        help="the new file, or its folder (default: %(default)s here)",
    )
    add("--force", action="store_true", help="replace an existing file")
    add("--copy", action="store_true", help="copy CT and images beside it")
    views = part.add_argument_group("views, each --view followed by its own options")
    views.add_argument(
        "--view",
        nargs=2,
        action=_OfView,
        dest="views",
        metavar=("NAME", "IMAGE"),
        help="an X-ray, and a name for it",
    )

    def of_view(option: str, help: str | None = None, **settings: Any) -> None:
        views.add_argument(option, action=_OfView, default=argparse.SUPPRESS, help=help, **settings)

    matrix = "3x4, world LPS mm to pixels; or intrinsics 3x3 and camera_from_world: text, or JSON"
    of_view("--projection-matrix", matrix, type=Path, metavar="FILE")
    of_view(
        "--calibration",
        "file of another program (docs/calibration.md), and the name of the camera in a file of "
        "several; the image is undistorted on load",
        nargs="+",
        metavar=("FILE", "CAMERA"),
    )
    missing = "values missing in the calibration, as unit=mm axes=lps first_pixel=0"
    of_view("--given", missing, nargs="+", metavar="KEY=VALUE")
    for kind, what in (
        ("c_arm", "readings of a C-arm"),
        ("slot_scan", "of a CT scout, or of a slot scanner such as EOS"),
    ):
        of_view(
            f"--{kind.replace('_', '-')}", _described(kind, what), nargs="+", metavar="KEY=VALUE"
        )
    of_view("--frame", "of a multi-frame image, from 0", type=int)
    tones = (
        "linear: bone dark; log: line integrals, bone bright; auto (default): as the image looks"
    )
    of_view("--intensity", tones, choices=("linear", "log", "auto"))
    of_view("--mask", "pixels to use", type=Path, metavar="FILE")
    for field in SLOT_SCAN_UNCERTAINTY.values():
        unknown = f", or {_UNKNOWN}" if field.nullable else ""
        of_view(
            f"--{field.key.rpartition('_')[0].replace('_', '-')}",
            f"standard deviation {field.help}{unknown} (default: as usual for a calibration, or "
            "for readings)",
            type=_deviation if field.nullable else float,
            metavar=field.unit.upper(),
            dest=field.key,
        )
    pixels = 'where the view shows the points of --landmarks: "name, column, row" a line'
    of_view("--landmark-pixels", pixels, type=Path, metavar="FILE")


def _described(kind: str, what: str) -> str:
    """Return the help of the values of a C-arm or a slot scan."""
    table = [field for key, field in TABLES[kind].items() if key != "size"]
    listed = "; ".join(f"{field.key}: {field.help or field.allowed}" for field in table)
    optional = " and ".join(field.key for field in table if not field.asked)
    return f"{what}. {listed}. A DICOM header gives those left out; {optional} are only given if needed"


def _deviation(text: str) -> float | None:
    return None if text == _UNKNOWN else float(text)


def _new(options: argparse.Namespace) -> dict:
    from .make_case import make_case

    return make_case(options)


#: Where a detector of unknown distance is drawn, in distances of the anatomy.
UNKNOWN_DETECTOR = 1.5


def add_case(command: Parser) -> None:
    """Add the parts of `mvreg case`."""
    command.describe(
        None,
        "new|list|check|show|anonymise ...",
        "new --ct CT --view AP ap.dcm --view LAT lat.dcm",
        "list export                                        # which CT and X-rays it holds",
        "check case.json",
        "show case.json --open",
    )
    parts = command.add_subparsers(required=True, metavar="new|list|check|show|anonymise")
    add_new(parts)

    about = "list the patients, studies and series of a folder of DICOM files"
    part = parts.add_parser(
        "list",
        help=about,
        description=f"{sentence(about)}\nNames and IDs are printed at the terminal, and are not part of --json.",
    )
    assert isinstance(part, Parser)
    part.describe(_list, "FOLDER", "export", "export/DICOMDIR")
    part.add_argument("folder", type=Path, metavar="FOLDER", help="searched with its subfolders")

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
    part.add_argument(
        "--accept-unrecognised",
        action="store_true",
        help="copy an image that may show text that was not found, too: with wide uniform margins that are not recognised, or "
        "BurnedInAnnotation YES",
    )


def _part(
    parts: argparse._SubParsersAction, name: str, run: Run, about: str, *examples: str
) -> Parser:
    part = parts.add_parser(name, help=about, description=sentence(about))
    part.describe(run, "CASE [options]", *examples)
    add_one_case(part)
    return part


def _list(options: argparse.Namespace) -> dict:
    from ..io.dicom_list import list_folder

    listing = list_folder(options.folder)
    tell(options, *listing.lines)
    return listing.to_json()


def _check(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from ..io.case_check import case_report, check_case

    with collect_warnings() as collected:
        case = Case.load(options.case)
    answer = case_report(check_case(case))
    answer["findings"] = collected + answer["findings"]
    found = [f"Suspicious: {finding}" for finding in answer["findings"]]
    lines = answer["lines"] + (found or ["Nothing looks suspicious."])
    tell(options, "The case is complete and valid.", *(f"  {line}" for line in lines))
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
    from ..report.scene import DrawnView, Scene, case_page

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

    copy = anonymise(options.case, options.out, accept_unrecognised=options.accept_unrecognised)
    tell(
        options,
        f"Wrote {copy.path}. Images:",
        *(f"  {image}" for image in copy.images),
        "Left out or changed:",
        *(f"  {change}" for change in copy.changes),
    )
    images = [asdict(image) for image in copy.images]
    return {"case": str(copy.path), "images": images, "left_out": copy.changes}
