"""Makes a case from the options of `mvreg case new`, the images, and answers to what is missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, warn
from ..geometry.fields import CALIBRATION, SLOT_SCAN_UNCERTAINTY, TABLES
from ..geometry.landmarks import Landmark
from ..geometry.machines import left_side
from ..imaging.ct import UNITS, per_mm_of
from ..imaging.ct_series import CTSeries, ct_series, export_folder
from ..imaging.xray import load_image
from ..io.calibration.calibrated import OPEN, MissingInformation
from ..io.calibration.matrices import IN_LPS_MM, read_matrix_file
from ..io.calibration.read import read_calibration
from ..io.case import Case
from ..io.case_check import case_report, check_case
from ..io.case_file import ALL, BodySource, CaseFile
from ..io.case_writer import DEFAULT_INTENSITY, tells_its_intensity, write_new_case
from ..io.files import YES_OR_NO, InputFile, parse_field
from ..io.localizer import SCANNERS_POSE, Study, study_with_localizers
from ..io.points import read_markups, read_pixels, read_targets
from ..io.transforms import read_pose
from ..io.view_headers import by_header, header_of, missing_readings, planned_pose
from ..io.view_record import Readings, ViewRecord
from .options import checked, out_file, parse_structures, progress_of, say, tell

_GEOMETRIES = ("projection_matrix", "calibration", "c_arm", "slot_scan")
#: Asks a question until the answer is understood: the question, and what makes a value of the
#: answer, or an InputError.
Ask = Callable[..., Any]


def make_case(options: argparse.Namespace) -> dict:
    """Make the case that the options describe, and return what is printed of it."""
    ask = _prompt if sys.stdin.isatty() and not options.json else None
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
    start = more.pop("world_from_ct", None)
    bodies = _bodies(options, start)
    of_ct = options.ct_mask, options.ct_labels, options.ct_series, options.scouts
    ct: Any = options.ct
    if ct is None and (any(of_ct) or not bodies):
        if ask is None:
            raise InputError(
                "--ct: is missing, expected the CT's file, or the folder of its DICOM slices; give "
                "--ct CT."
            )
        ct = ask("CT (a file, or a folder of DICOM slices): ", _path)
    given = options.views or []
    suspicious: list[str] = []
    ct = ct and export_folder(ct)
    chosen = None
    if ct and ct.is_dir() and (options.ct_series or not options.scouts):
        chosen = _chosen_series(ct, options.ct_series, ask)
    series = None
    if options.scouts:
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

    views = [_view(each, ask) for each in given]
    if not views:
        if ask is None:
            raise InputError(
                "--view: is missing, expected one for each X-ray; give --view AP IMAGE --view LAT "
                "IMAGE."
            )
        views = _asked_views(ask)
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


def _chosen_series(folder: Path, wanted: str | None, ask: Ask | None) -> CTSeries | None:
    """Return the series that is meant in a folder or below it; None for no series."""
    found = ct_series(folder)
    if len(found) < 2 and wanted is None:
        return found[0] if found else None
    listed = "".join(f"\n  {series}{_place(series, folder)}" for series in found) or " none"

    def understood(answer: str) -> CTSeries:
        for series in found:
            if answer in (series.number, series.uid):
                return series
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
    from ..assessment.faults import misfits  # few cases need them
    from ..registration.prepared_ct import PreparedCT

    pose = case.truth_world_from_ct
    assert pose is not None
    return misfits(PreparedCT(case.ct), case.views, pose)


def _view(given: dict, ask: Ask | None) -> ViewRecord:
    """Return a view from its options and its image, and from the answers to what is missing."""
    name, file = given["view"]
    frame = given.get("frame")
    mask = given.get("mask")
    image = Path(file)
    intensity = given.get("intensity", DEFAULT_INTENSITY)
    if intensity == "auto" and ask and not tells_its_intensity(image, frame):
        intensity = ask(f"{name}: is bone dark or bright? ", _linear_or_log)
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
        return _calibrated(view, given, given["calibration"], ask)
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
    if (
        ask
        and kind not in given
        and kind == "c_arm"
        and missing_readings(view).keys() - {"mirrored"}
    ):
        question = f"{name}: file of its projection matrix, or calibration (empty for the readings of a C-arm): "
        if calibrated := ask(
            question, lambda file: _geometry_in(view, file, given, ask) if file else None
        ):
            return _asked_calibrated(calibrated, ask)
    while ask and (missing := missing_readings(view)):
        key, why = next(iter(missing.items()))
        if key == "mirrored":
            readings[key] = _asked_mirrored(name, {**found, **readings}, ask)
        else:
            field = table[key]
            what = f"{field.title} ({field.help}{f'; not in its header: {why}' if why else ''})"
            readings[key] = ask(
                f"{name}: {what}: ",
                lambda value, key=key: parse_field(option, table, f"{key}={value}")[1],
            )
        view = replace(view, geometry=Readings(kind, readings))
    return view


def _plain(reading: Any) -> str:
    """Return a value as one types it after --c-arm and --slot-scan."""
    if isinstance(reading, list):
        return ",".join(map(_plain, reading))
    if isinstance(reading, bool):
        return "yes" if reading else "no"
    return f"{reading + 0.0:g}" if isinstance(reading, (int, float)) else reading


def _asked_mirrored(name: str, c_arm: dict[str, Any], ask: Ask) -> bool:
    """Ask which side of the patient is at the image's left, and return whether the image is mirrored."""
    if_mirrored = left_side(c_arm, True)
    side = {"A": "front", "P": "front", "H": "head", "F": "head"}.get(if_mirrored, "right")
    question = f"{name}: is the patient's {side} on the left of the image (yes or no)? "
    return ask(question, _yes_or_no) == (if_mirrored in "RAH")


def _asked_calibrated(view: ViewRecord, ask: Ask) -> ViewRecord:
    """Ask whether the camera of a view was measured for it, where that is not stated."""
    question = f"{view.name}: was the camera measured where this X-ray was taken (yes or no)? "
    if not view.presumed or not ask(question, _yes_or_no):
        return view
    known = {**view.uncertainty, **CALIBRATION}
    return replace(view, uncertainty=known)


def _yes_or_no(answer: str) -> bool:
    if answer.lower() not in YES_OR_NO:
        raise InputError(f'found "{answer}", expected yes or no; type one of the two.')
    return YES_OR_NO[answer.lower()]


def _geometry_in(view: ViewRecord, file: str, given: dict, ask: Ask) -> ViewRecord:
    """Return a view with the geometry in a file.

    A matrix that needs no question, or else a calibration.
    """
    try:
        return read_matrix_file(file).settled(file, IN_LPS_MM).given_to(view)
    except InputError:
        return _calibrated(view, given, [file], ask)


def _calibrated(
    view: ViewRecord, given: dict, calibration: Sequence[str], ask: Ask | None
) -> ViewRecord:
    """Return a view with the geometry of a calibration.

    Prints the reader's notes on stderr. InputError where the file or an answer is wrong or missing.

    Parameters
    ----------
    given
        The view's options.
    calibration
        The file, and the camera in it that is meant where it has several.
    """
    name = view.name
    rows, columns = load_image(view.image_path, view.frame).values.shape
    if len(calibration) > 2:
        raise InputError(
            f"view {name}: found {len(calibration)} words behind --calibration, expected a file "
            "and the name of a camera in it; put names with spaces in quotes."
        )
    values = dict(parse_field("--given", OPEN, text) for text in given.get("given", []))
    while True:
        try:
            cameras = read_calibration(calibration[0], **values)
            break
        except MissingInformation as error:
            key = error.key
            if key == "size":
                values[key] = (columns, rows)
            elif ask is None:
                raise InputError(
                    f"view {name}: {str(error).rstrip('.')}, as --given {key}=VALUE."
                ) from None
            else:
                values[key] = ask(
                    f"{name}: {Path(calibration[0]).name} does not say the {OPEN[key].words}: "
                    f"{OPEN[key].help or OPEN[key].allowed}: ",
                    lambda answer, key=key: parse_field("--given", OPEN, f"{key}={answer}")[1],
                )
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


def _asked_views(ask: Ask) -> list[ViewRecord]:
    """Ask for X-rays until there are no more, and return their views."""
    views: list[ViewRecord] = []
    while name := ask(
        f"name of X-ray {len(views) + 1} ({'empty when that is all' if views else 'such as AP'}): "
    ):
        views.append(_view({"view": (name, ask(f"{name}: image file: ", _image_file))}, ask))
    if not views:
        raise InputError("the case: has no X-ray, expected at least one; name one.")
    return views


def _path(answer: str) -> Path:
    """Return the file or folder of an answer, which may be in quotes, as a file manager drops it."""
    path = Path(answer.strip("'\"")).expanduser()
    if not answer or not path.exists():
        raise InputError(
            f'found "{answer}", expected a file or folder that is there; correct the path.'
        )
    return path


def _image_file(answer: str) -> str:
    file = str(_path(answer))
    load_image(file)
    return file


def _linear_or_log(answer: str) -> str:
    tones = {"dark": "linear", "linear": "linear", "bright": "log", "log": "log"}
    if answer.lower() not in tones:
        raise InputError(f'found "{answer}", expected dark or bright; type one of the two.')
    return tones[answer.lower()]


def _prompt(question: str, understood: Callable[[str], Any] = str) -> Any:
    """Ask until the answer is valid, and return it; invalid ones get an error message."""
    while True:
        try:
            return understood(input(question).strip())
        except EOFError:  # noqa: PERF203
            raise KeyboardInterrupt from None
        except InputError as error:
            say(f"  {error}")


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
