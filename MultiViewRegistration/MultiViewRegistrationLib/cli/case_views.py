"""The X-rays of `mvreg case new`, from the options of each view, its image, and answers to what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..geometry.fields import CALIBRATION, SLOT_SCAN_UNCERTAINTY, TABLES
from .options import say

if TYPE_CHECKING:
    from ..io.view_record import ViewRecord


UNKNOWN = "unknown"
_GEOMETRIES = ("projection_matrix", "calibration", "c_arm", "slot_scan")
#: Asks a question until the answer is understood: the question, and what makes a value of the
#: answer, or an InputError.
Ask = Callable[..., Any]


def view_of(given: dict, ask: Ask | None) -> ViewRecord:
    """Return a view from its options and its image, and from the answers to what is missing."""
    from ..imaging.xray import load_image
    from ..io.calibration.matrices import read_matrix_file
    from ..io.case_writer import DEFAULT_INTENSITY, tells_its_intensity
    from ..io.files import InputFile, parse_field
    from ..io.view_headers import by_header, header_of, missing_readings
    from ..io.view_record import Readings, ViewRecord

    (name, file) = given["view"]
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
    from ..geometry.c_arm import left_side

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
    from ..io.files import YES_OR_NO

    if answer.lower() not in YES_OR_NO:
        raise InputError(f'found "{answer}", expected yes or no; type one of the two.')
    return YES_OR_NO[answer.lower()]


def _geometry_in(view: ViewRecord, file: str, given: dict, ask: Ask) -> ViewRecord:
    """Return a view with the geometry in a file.

    A matrix that needs no question, or else a calibration.
    """
    from ..io.calibration.matrices import IN_LPS_MM, read_matrix_file

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
    from ..imaging.xray import load_image
    from ..io.calibration.calibrated import OPEN, MissingInformation
    from ..io.calibration.read import read_calibration
    from ..io.files import parse_field

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


def asked_views(ask: Ask) -> list[ViewRecord]:
    """Ask for X-rays until there are no more, and return their views."""
    views: list[ViewRecord] = []
    while name := ask(
        f"name of X-ray {len(views) + 1} ({'empty when that is all' if views else 'such as AP'}): "
    ):
        views.append(view_of({"view": (name, ask(f"{name}: image file: ", _image_file))}, ask))
    if not views:
        raise InputError("the case: has no X-ray, expected at least one; name one.")
    return views


def path_of(answer: str) -> Path:
    """Return the file or folder of an answer, which may be in quotes, as a file manager drops it."""
    path = Path(answer.strip("'\"")).expanduser()
    if not answer or not path.exists():
        raise InputError(
            f'found "{answer}", expected a file or folder that is there; correct the path.'
        )
    return path


def _image_file(answer: str) -> str:
    from ..imaging.xray import load_image

    file = str(path_of(answer))
    load_image(file)
    return file


def _linear_or_log(answer: str) -> str:
    tones = {"dark": "linear", "linear": "linear", "bright": "log", "log": "log"}
    if answer.lower() not in tones:
        raise InputError(f'found "{answer}", expected dark or bright; type one of the two.')
    return tones[answer.lower()]


def prompt(question: str, understood: Callable[[str], Any] = str) -> Any:
    """Ask until the answer is valid, and return it; invalid ones get an error message."""
    while True:
        try:
            return understood(input(question).strip())
        except EOFError:  # noqa: PERF203
            raise KeyboardInterrupt from None
        except InputError as error:
            say(f"  {error}")
