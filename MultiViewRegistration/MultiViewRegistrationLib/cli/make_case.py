"""Make a case from the options of `mvreg case new` and the images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, warn
from ..geometry.fields import SLOT_SCAN_UNCERTAINTY, TABLES
from ..geometry.landmarks import Landmark
from ..imaging.ct import UNITS, per_mm_of
from ..imaging.ct_series import CTSeries, ct_series, export_folder
from ..imaging.xray import load_image
from ..io.calibration.calibrated import OPEN, MissingInformation
from ..io.calibration.matrices import read_matrix_file
from ..io.calibration.read import read_calibration
from ..io.case import Case
from ..io.case_check import case_report, check_case
from ..io.case_file import ALL, BodySource, CaseFile
from ..io.case_writer import (
    DEFAULT_INTENSITY,
    has_recognisable_intensity,
    missing_geometry,
    write_new_case,
)
from ..io.files import InputFile, parse_field
from ..io.localizer import SCANNERS_POSE, Study, study_with_localizers
from ..io.points import read_markups, read_pixels, read_targets
from ..io.transforms import read_pose
from ..io.view_headers import by_header, header_of, planned_pose
from ..io.view_record import Readings, ViewRecord
from .options import checked, out_file, parse_structures, progress_of, say, tell

#: Valid values by which a calibration file is read on after a value is missing.
_PLACEHOLDERS = {
    "unit": "mm",
    "axes": "lps",
    "first_pixel": 0,
    "seen_from": "source",
    "projects_to": "opengl",
}
_GEOMETRIES = ("projection_matrix", "calibration", "c_arm", "slot_scan")


def make_case(options: argparse.Namespace) -> dict:
    """Make the case that the options describe, and return what is printed of it."""
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
    start = more.pop("world_from_ct", None)
    bodies = _bodies(options, start)
    of_ct = options.ct_mask, options.ct_labels, options.ct_series, options.scouts
    ct: Any = options.ct
    missing: list[str] = []
    if ct is None and (any(of_ct) or not bodies):
        missing.append(
            "--ct is missing. Add --ct CT, the CT's file or the folder of its DICOM slices."
        )
    given = options.views or []
    suspicious: list[str] = []
    ct = ct and export_folder(ct)
    chosen = None
    if ct and ct.is_dir() and (options.ct_series or not options.scouts):
        chosen = _chosen_series(ct, options.ct_series, missing)
    series = None
    if options.scouts and ct:
        study = study_with_localizers(ct, chosen.uid if chosen else None)
        ct = study.ct
        series = study.series
        given = _with_scouts(study, given)
        start = SCANNERS_POSE if start is None else start
        more["truth_world_from_ct"] = SCANNERS_POSE
    elif chosen:
        ct = chosen.folder
        series = chosen.uid if len(ct_series(ct)) > 1 else None

    def check(case: Case) -> None:
        if options.scouts:
            suspicious.extend(_scout_misfits(case))

    views = [_view(each, missing) for each in given]
    if not views and (ct or not options.scouts):
        missing.append("--view is missing. Add --view NAME IMAGE for each X-ray.")
    missing.extend(missing_geometry(views))
    if missing:
        raise InputError(" ".join(missing))
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
            world_from_ct=start,
        )
        bodies.insert(0, whole)
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
    lines = report["lines"] + [f"Suspicious: {finding}" for finding in report["findings"]]
    tell(
        options,
        f"Wrote {out}.",
        *(f"  {line}" for line in lines),
        f"Look at it before you use it: mvreg case show {out}; then register it: mvreg "
        f"register {out}",
    )
    return {"case": str(out), **report}


def _bodies(options: argparse.Namespace, start: np.ndarray | None) -> list[BodySource]:
    """Return the bones and implants of --body, at a start (4, 4) where they have none of their own.

    Raises
    ------
    InputError
        For other words than the option takes, and for what is no implant beside a CT.
    """
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


def _chosen_series(folder: Path, wanted: str | None, missing: list[str]) -> CTSeries | None:
    """Return the CT series selected in a folder or below it, or None.

    If several are there and none is selected, the option that selects one is added to `missing`.
    """
    found = ct_series(folder)
    if len(found) < 2 and wanted is None:
        return found[0] if found else None
    listed = "".join(f"\n  {series}{_place(series, folder)}" for series in found) or " none"

    if wanted is None:
        missing.append(
            f"{folder}: has {len(found)} CT series. Select one by --ct-series NUMBER:{listed}\n"
        )
        return None
    for series in found:
        if wanted in (series.number, series.uid):
            return series
    raise InputError(
        f'--ct-series: found "{wanted}", expected the number or the UID of a CT series of {folder}:{listed}'
    )


def _place(series: CTSeries, folder: Path) -> str:
    return "" if series.folder == folder else f", in {series.folder.relative_to(folder)}"


def _with_scouts(study: Study, given: list[dict]) -> list[dict]:
    """Return the scouts of a study as views; those that are given, with their options, come first."""
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
    return [*given, *({"view": (name, str(path))} for path, name in scouts.items())]


def _scout_misfits(case: Case) -> list[str]:
    from ..assessment.scanner_pose import misfits  # few cases need them
    from ..registration.prepared_ct import PreparedCT

    pose = case.truth_world_from_ct
    assert pose is not None
    return misfits(PreparedCT(case.ct), case.views, pose)


def _view(given: dict, missing: list[str]) -> ViewRecord:
    """Return a view from its options and its image; add what a calibration lacks to `missing`."""
    name, file = given["view"]
    frame = given.get("frame")
    mask = given.get("mask")
    image = Path(file)
    intensity = given.get("intensity", DEFAULT_INTENSITY)
    if intensity == "auto" and not has_recognisable_intensity(image, frame):
        missing.append(
            f"view {name}: the image does not show whether bone is dark or bright. "
            "Add --intensity linear (dark) or log (bright)."
        )
    geometries = [f"--{option.replace('_', '-')}" for option in _GEOMETRIES if option in given]
    if len(geometries) > 1:
        raise InputError(
            f"view {name}: has {geometries[0]} and {geometries[1]}, expected one of them; keep the "
            "one that is right."
        )
    if "given" in given and "calibration" not in given:
        raise InputError(
            f"view {name}: has --given without --calibration, expected the file that it is about; "
            "add it, or leave it out."
        )
    view = ViewRecord(
        name,
        InputFile(file, image),
        frame,
        intensity,
        None if mask is None else InputFile(str(mask), mask),
        uncertainty={key: given[key] for key in SLOT_SCAN_UNCERTAINTY if key in given},
    )
    if "projection_matrix" in given:
        return read_matrix_file(given["projection_matrix"]).given_to(view)
    if "calibration" in given:
        return _calibrated(view, given, given["calibration"], missing)
    rows, columns = load_image(image, frame).values.shape
    kind = next((kind for kind in ("c_arm", "slot_scan") if kind in given), by_header(view).kind)
    option = f"--{kind.replace('_', '-')}"
    table = {key: field for key, field in TABLES[kind].items() if key != "size"}
    readings = {
        "size": [columns, rows],
        **dict(parse_field(option, table, text) for text in given.get(kind, [])),
    }
    view = replace(view, geometry=Readings(kind, readings))
    header = header_of(view)
    found = (
        {key: value for key, value in header.values.items() if key not in readings}
        if header
        else {}
    )
    if found:
        listed = "; ".join(f"{key} {_plain(reading)}" for key, reading in found.items())
        say(f"mvreg: {name}: by the DICOM header: {listed}")
    return view


def _plain(reading: Any) -> str:
    """Return a value as one types it after --c-arm and --slot-scan."""
    if isinstance(reading, list):
        return ",".join(map(_plain, reading))
    if isinstance(reading, bool):
        return "yes" if reading else "no"
    return f"{reading + 0.0:g}" if isinstance(reading, (int, float)) else reading


def _calibrated(
    view: ViewRecord, given: dict, calibration: Sequence[str], missing: list[str]
) -> ViewRecord:
    """Return a view with the geometry of a calibration.

    Prints the reader's notes on stderr. Raises InputError if the calibration file is invalid.

    Parameters
    ----------
    given
        The view's options.
    calibration
        The file, and the name of the camera, which is required if the file has several.
    missing
        Extended by the values that the file lacks, each with its option.
    """
    name = view.name
    rows, columns = load_image(view.image_path, view.frame).values.shape
    if len(calibration) > 2:
        raise InputError(
            f"view {name}: found {len(calibration)} words behind --calibration, expected a file "
            "and the name of a camera in it; put names with spaces in quotes."
        )
    values = dict(parse_field("--given", OPEN, text) for text in given.get("given", []))
    lacking: list[str] = []
    while True:
        try:
            cameras = read_calibration(calibration[0], **values)
            break
        except MissingInformation as error:
            key = error.key
            if key == "size":
                values[key] = (columns, rows)
                continue
            lacking.append(f"view {name}: {str(error).rstrip('.')}, as --given {key}=VALUE.")
            values[key] = _PLACEHOLDERS.get(key)  # to learn what else is missing
            if values[key] is None:
                cameras = []
                break
        except InputError:
            if not lacking:
                raise
            cameras = []
            break
    if lacking:
        missing.extend(lacking)
        return view
    camera = _chosen(name, cameras, calibration)
    for note in camera.notes:
        say(f"mvreg: {name}: {note}")
    return camera.given_to(view)


def _chosen(view: str, cameras: list, calibration: Sequence[str]):
    by_name = {camera.name: camera for camera in cameras}
    wanted = view if view in by_name else None
    if len(calibration) > 1:
        wanted = calibration[1]
    if wanted is None and len(cameras) == 1:
        return cameras[0]
    if wanted not in by_name:
        what = "has several cameras" if wanted is None else f'has no camera "{wanted}"'
        names = ", ".join([*by_name][:12]) + (", ..." if len(by_name) > 12 else "")
        raise InputError(
            f"view {view}: {calibration[0]} {what}, expected one of {names}; name it behind the "
            "file."
        )
    return by_name[wanted]


def _parts(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the case for poses, search, targets and landmarks.

    Raises
    ------
    InputError
        For invalid content.
    """
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
    marked = [view for view in views if "landmark_pixels" in view]
    pixels = {view["view"][0]: read_pixels(view["landmark_pixels"]) for view in marked}
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
    landmarks = []
    for name, point in points.items():
        shown = {view: seen[name] for view, seen in pixels.items() if name in seen}
        landmarks.append(Landmark(name, point, shown))
    return landmarks
