"""`mvreg case new`: make a case from options; at a terminal, missing values are requested."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, warn
from ..geometry.fields import SLOT_SCAN_UNCERTAINTY, TABLES
from .case_views import UNKNOWN, Ask, asked_views, path_of, prompt, view_of
from .options import (
    Parser,
    SearchRange,
    add_json,
    add_structures,
    checked,
    out_file,
    parse_structures,
    progress_of,
    say,
)

if TYPE_CHECKING:
    import numpy as np

    from ..geometry.landmarks import Landmark
    from ..io.case import Case
    from ..io.case_file import BodySource
    from ..io.case_settings import CaseSettings


class _View(argparse.Action):
    """Begins a view; the options of views that follow are its own."""

    def __call__(self, parser, namespace, values, option_string=None):
        namespace.views = [*(namespace.views or []), {"view": values}]


class _OfView(argparse.Action):
    """An option of the view that was begun last."""

    def __call__(self, parser, namespace, values, option_string=None):
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
        description="Make a case.json of a CT and X-rays; at a terminal it asks for what is missing.\n"
        "Files stay where they are, and the case names them relative to itself.",
    )
    assert isinstance(part, Parser)
    part.describe(
        "[--ct CT] [--view NAME IMAGE [options of the view]]... [options]",
        "--ct ct.nii.gz --view AP ap.dcm --view LAT lat.dcm    # by the DICOM headers of the "
        "X-rays",
        "--ct STUDY --scouts                                   # of a CT's own scouts",
        "--ct ct.nii.gz --view AP ap.png --projection-matrix ap.txt --view LAT lat.png "
        "--projection-matrix lat.txt",
        "--ct ct.nii.gz --view AP ap.png --c-arm source_to_detector_mm=1000 "
        "source_to_isocentre_mm=700 pixel_mm=0.3 rao_lao_deg=0 cra_cau_deg=0 mirrored=yes",
    )
    add_json(part)
    add = part.add_argument
    words = "[lps|ras] [forward|resampling]"
    add(
        "--ct",
        type=Path,
        metavar="CT",
        help="file that SimpleITK reads, or a folder of DICOM slices",
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
        "--search",
        action=SearchRange,
        help="how far the CT may be from its start (default: 15 45)",
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
        action=_View,
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
        unknown = f", or {UNKNOWN}" if field.nullable else ""
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
    part.set_defaults(run=_new)


def _described(kind: str, what: str) -> str:
    """Return the help of the values of a C-arm or a slot scan."""
    table = [field for key, field in TABLES[kind].items() if key != "size"]
    listed = "; ".join(f"{field.key}: {field.help or field.allowed}" for field in table)
    optional = " and ".join(field.key for field in table if not field.asked)
    return f"{what}. {listed}. A DICOM header gives those left out; {optional} are only given if needed"


def _deviation(text: str) -> float | None:
    return None if text == UNKNOWN else float(text)


def _new(options: argparse.Namespace) -> dict:
    from ..io.case_check import case_report, check_case
    from ..io.case_file import ALL, BodySource, CaseFile
    from ..io.case_writer import write_new_case
    from ..io.files import InputFile

    ask = prompt if sys.stdin.isatty() and not options.json else None
    with suppress(ImportError):  # on Windows; elsewhere the tab key completes the names of files
        import readline

        readline.parse_and_bind("tab: complete")
    out = _new_file(options)
    if options.structures and not options.ct_labels:
        raise InputError(
            "--ct-labels: is missing beside --structures, expected the file with their labels; add "
            "it."
        )
    if options.ct_labels and options.ct_mask:
        raise InputError(
            "--ct-mask: stands beside --ct-labels, expected one of the two; leave one out."
        )
    more = _parts(options)
    bodies = _bodies(options, more.get("world_from_ct"))
    of_ct = options.ct_mask, options.ct_labels, options.ct_series, options.scouts
    ct: Any = options.ct
    if ct is None and (any(of_ct) or not bodies):
        if ask is None:
            raise InputError(
                "--ct: is missing, expected the CT's file, or the folder of its DICOM slices; give "
                "--ct CT."
            )
        ct = ask("CT (a file, or a folder of DICOM slices): ", path_of)
    given = options.views or []
    suspicious: list[str] = []
    if options.scouts:
        ct, given, pose = _with_scouts(ct, given)
        more = {**vars(pose), **more}

    def check(case: Case) -> None:
        if options.scouts:
            suspicious.extend(_scout_misfits(case))

    series = _chosen_series(ct, options.ct_series, ask) if ct and ct.is_dir() else None
    views = [view_of(each, ask) for each in given]
    if not views:
        if ask is None:
            raise InputError(
                "--view: is missing, expected one for each X-ray; give --view AP IMAGE --view LAT "
                "IMAGE."
            )
        views = asked_views(ask)
    ct, mask, labels = (
        each and InputFile(str(each), each) for each in (ct, options.ct_mask, options.ct_labels)
    )
    if ct:
        whole = BodySource(
            ct=ct,
            unit=options.ct_unit,
            series=series,
            mask=mask,
            labels=labels,
            structures=tuple(parse_structures(options.structures or [ALL])),
        )
        bodies.insert(0, whole)
    more.setdefault("world_from_ct", bodies[0].world_from_ct)
    new = CaseFile(path=out, bodies=tuple(bodies), views=views, **more)
    with progress_of(options, "Making the case") as line:
        line.show(0.0, "reading the CT and the X-rays")
        case = write_new_case(new, force=options.force, copy=options.copy, check=check)
        report = case_report(check_case(case))
    report["findings"] += suspicious
    unstated = [view.name for view in views if view.presumed]
    if unstated and len(views) == 2:
        say(
            "mvreg: the case does not say how well the principal point of "
            f"{' and '.join(unstated)} is known, without which two X-rays are not accepted; give "
            "--principal-point-sd 0.5 if the camera was measured where the X-ray was taken."
        )
    if not options.json:
        print(f"Wrote {out}.")
        lines = report["lines"] + [f"Suspicious: {finding}" for finding in report["findings"]]
        print("\n".join(f"  {line}" for line in lines))
        print(
            f"Look at it before you use it: mvreg case show {out}; then register it: mvreg "
            f"register {out}"
        )
    return {"case": str(out), **report}


def _bodies(options: argparse.Namespace, start: np.ndarray | None) -> list[BodySource]:
    """Return the bones and implants of --body, at a start (4, 4) where they have none of their own.

    Raises
    ------
    InputError
        For other words than the option takes, and for what is no implant beside a CT.
    """
    from ..imaging.ct import UNITS, per_mm_of
    from ..io.case_file import BodySource
    from ..io.files import InputFile
    from ..io.transforms import read_pose

    bodies = []
    for what, *pose in options.bodies or []:
        name, is_named, file = what.partition("=")
        if not is_named:
            raise InputError(
                f"--body: found {what}, expected NAME=FILE[:UNIT], as stem=stem.stl:titanium; "
                "correct it."
            )
        path, _, unit = file.rpartition(":")
        if not path or unit not in UNITS and per_mm_of(unit) is None:
            path = file
            unit = options.ct_unit
        if (options.ct or options.ct_labels) and per_mm_of(unit) is None:
            raise InputError(
                f"--body: {name} stands beside --ct or --ct-labels, expected an implant and its "
                "material, as stem=stem.stl:titanium; correct it."
            )
        own = read_pose(pose[0], "world_from_ct", pose[1:]) if pose else start
        ct = InputFile(path, Path(path))
        bodies.append(BodySource(ct=ct, name=name, unit=unit, world_from_ct=own))
    return bodies


def _new_file(options: argparse.Namespace) -> Path:
    """Return the case.json to write.

    Raises
    ------
    InputError
        Where it is there, or cannot be written.
    """
    out = (
        options.out / "case.json" if options.out.is_dir() or not options.out.suffix else options.out
    )
    if out.exists() and not options.force:
        raise InputError(
            f"{out}: exists already, expected the name of a new file; choose another as --out, or "
            "add --force."
        )
    return checked(out_file, out)


def _chosen_series(folder: Path, wanted: str | None, ask: Ask | None) -> str | None:
    """Return the UID of the series that is meant in a folder; None where there is no choice."""
    from ..imaging.dicom_file import ct_series

    found = ct_series(folder)
    if len(found) < 2 and wanted is None:
        return None
    listed = "".join(f"\n  {series}" for series in found) or " none"

    def understood(answer: str) -> str:
        for series in found:
            if answer in (series.number, series.uid):
                return series.uid
        raise InputError(
            f'--ct-series: found "{answer}", expected the number or the UID of a CT series of {folder}:{listed}'
        )

    if wanted is not None:
        return understood(wanted)
    if ask is None:
        raise InputError(
            f"{folder}: found {len(found)} CT series, expected one; name it with --ct-series "
            f"NUMBER:{listed}"
        )
    return ask(
        f"{folder} has {len(found)} CT series:{listed}\nnumber of the one to register: ", understood
    )


def _with_scouts(folder: Path, given: list[dict]) -> tuple[Path, list[dict], CaseSettings]:
    """Return the CT of a study, its scouts as views, and the scanner's pose.

    Scouts that are given, with their options, come first.
    """
    from ..io.localizer import SCANNERS_POSE, study_with_localizers

    study = study_with_localizers(folder)
    scouts = {path.resolve(): name for name, path in study.localizers.items()}
    for each in given:
        name, image = each["view"]
        if scouts.pop(Path(image).resolve(), None) is None and Path(image).is_file():
            raise InputError(
                f"view {name}: {image} is no scout of this CT, expected one of its study and its "
                "frame of reference that shows the same part of the patient; leave out this view, "
                "or --scouts."
            )
    for sentence in study.left_out:
        warn(sentence)
    return (
        study.ct,
        [*given, *({"view": (name, str(path))} for path, name in scouts.items())],
        SCANNERS_POSE,
    )


def _scout_misfits(case: Case) -> list[str]:
    from ..assessment.diagnosis import misfits
    from ..registration.prepared_ct import PreparedCT

    pose = case.truth_world_from_ct
    assert pose is not None
    return misfits(PreparedCT(case.ct), case.views, pose)


def _parts(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the case for poses, search, targets and landmarks.

    Raises
    ------
    InputError
        For invalid content.
    """
    from ..io.points import read_targets
    from ..io.transforms import read_pose
    from ..io.view_headers import planned_pose

    more: dict[str, Any] = {}
    for key in ("world_from_ct", "reference_from_world"):
        if given := getattr(options, key):
            more[key] = read_pose(given[0], key, given[1:])
    if options.rt_plan:
        if "world_from_ct" in more:
            raise InputError(
                "--rt-plan: stands beside --world-from-ct, expected one start pose; leave one out."
            )
        more["world_from_ct"] = planned_pose(options.rt_plan)
    if options.search:
        more["search"] = options.search
    if options.targets:
        if len(options.targets) > 2:
            raise InputError(
                f"--targets: found {len(options.targets)} words, expected a file and lps or ras; "
                "correct it."
            )
        more["targets"] = read_targets(*options.targets)
    if landmarks := _landmarks(options.landmarks, options.views or []):
        more["landmarks"] = landmarks
    return more


def _landmarks(file: str | None, views: list[dict[str, Any]]) -> list[Landmark]:
    """Return the landmarks of the CT, with the pixels at which views show them."""
    from ..geometry.landmarks import Landmark
    from ..io.points import read_markups, read_pixels

    pixels = {
        view["view"][0]: read_pixels(view["landmark_pixels"])
        for view in views
        if "landmark_pixels" in view
    }
    if file is None:
        if pixels:
            raise InputError(
                "--landmarks: is missing beside --landmark-pixels, expected the file of their "
                "places in the CT; add it."
            )
        return []
    points = read_markups(file)
    for view, seen in pixels.items():
        if unknown := [name for name in seen if name not in points]:
            raise InputError(
                f'--landmark-pixels: view {view} has "{unknown[0]}", which {file} has not, expected names of its points '
                f"({', '.join(list(points)[:6])}); rename it."
            )
    return [
        Landmark(name, point, {view: seen[name] for view, seen in pixels.items() if name in seen})
        for name, point in points.items()
    ]
