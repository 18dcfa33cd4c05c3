"""`mvreg case new`: one command with options for scripts; what is missing is asked for at a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .case_calibration import calibrated_geometry
from .case_parts import add_parts, parts_of

if TYPE_CHECKING:
    from ..io.case_new import NewView

INTENSITIES = ("linear", "log", "auto")
_UNKNOWN = "unknown"


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


def add(parts: argparse._SubParsersAction, common: argparse.ArgumentParser) -> None:
    part = parts.add_parser(
        "new",
        parents=[common],
        help="make a case.json of a CT and X-rays",
        description="At a terminal, what is missing is asked for. Files stay where they are, and the case names them "
        "relative to itself.",
    )
    part.add_argument("--ct", type=Path, metavar="CT", help="file that SimpleITK reads, or a folder of DICOM slices")
    part.add_argument(
        "--ct-unit", choices=["hu", "relative"], default="hu", help="relative: 0 is nothing (default: %(default)s)"
    )
    part.add_argument("--ct-mask", type=Path, metavar="FILE", help="register only this structure of the CT")
    add_parts(part)
    part.add_argument("--out", type=Path, metavar="case.json", help="the new file, or its folder")
    part.add_argument("--force", action="store_true", help="replace an existing file")
    part.add_argument("--copy", action="store_true", help="copy CT and images beside it")
    views = part.add_argument_group("views, each --view followed by its own options")
    views.add_argument("--view", nargs=2, action=_View, dest="views", metavar=("NAME", "IMAGE"))
    views.add_argument(
        "--projection-matrix",
        type=Path,
        action=_OfView,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="3x4, world LPS mm to pixels; or intrinsics 3x3 and camera_from_world: text, or JSON",
    )
    views.add_argument(
        "--calibration",
        nargs="+",
        action=_OfView,
        metavar=("FILE", "CAMERA"),
        default=argparse.SUPPRESS,
        help="file of another program (docs/calibration.md), and the name of the camera in it where it has several; the "
        "image is freed of distortion on load",
    )
    views.add_argument(
        "--given",
        nargs="+",
        action=_OfView,
        metavar="KEY=VALUE",
        default=argparse.SUPPRESS,
        help="what the calibration does not say, as unit=mm axes=lps first_pixel=0",
    )
    views.add_argument(
        "--c-arm",
        nargs="+",
        action=_OfView,
        metavar="KEY=VALUE",
        default=argparse.SUPPRESS,
        help="source_to_detector_mm, source_to_isocentre_mm, pixel_mm, rao_lao_deg, cra_cau_deg, mirrored, and, if need be, "
        "principal_point, roll_deg, isocentre_offset_mm; a DICOM header's own readings stand for those left out",
    )
    views.add_argument(
        "--frame", type=int, action=_OfView, default=argparse.SUPPRESS, help="of a multi-frame image, from 0"
    )
    views.add_argument(
        "--intensity",
        choices=INTENSITIES,
        action=_OfView,
        default=argparse.SUPPRESS,
        help="linear: bone dark; log: line integrals, bone bright; auto, as if left out: by looking at the image",
    )
    views.add_argument(
        "--mask", type=Path, action=_OfView, metavar="FILE", default=argparse.SUPPRESS, help="pixels to use"
    )
    views.add_argument(
        "--rotation-sd",
        type=_deviation,
        action=_OfView,
        metavar="DEG",
        default=argparse.SUPPRESS,
        help=f"of its geometry, against the first view, or {_UNKNOWN} (0, calibrated, if left out)",
    )
    views.add_argument("--translation-sd", type=_deviation, action=_OfView, metavar="MM", default=argparse.SUPPRESS)
    views.add_argument(
        "--landmark-pixels",
        type=Path,
        action=_OfView,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help='where it shows the points of --landmarks: "name, column, row" a line',
    )
    part.set_defaults(run=_new)


def _deviation(text: str) -> float | None:
    return None if text == _UNKNOWN else float(text)


def _new(options: argparse.Namespace) -> dict:
    from ..io.case_check import check_case
    from ..io.case_new import NewCase, write_new_case
    from ..io.case_summary import findings, summary_lines, to_json

    ask = _asked if sys.stdin.isatty() and not options.json else None
    ct = options.ct or Path(_need(ask, "--ct", "CT (a file, or a folder of DICOM slices)"))
    views = [_view(given, ask) for given in options.views or []]
    if not views:
        if ask is None:
            raise InputError("--view: found none, expected one for each X-ray; give --view NAME IMAGE.")
        views = _asked_views(ask)
    out = options.out or Path(_need(ask, "--out", "write the case to", "case.json"))
    out = out / "case.json" if out.is_dir() or not out.suffix else out
    more = {"ct_unit": options.ct_unit, **parts_of(options, options.views or [])}
    case = write_new_case(out, NewCase(ct, views, options.ct_mask, more), force=options.force, copy=options.copy)
    check = check_case(case)
    if not options.json:
        print(f"Wrote {out}.")
        print(
            "\n".join(
                f"  {line}" for line in summary_lines(check) + [f"Suspicious: {finding}" for finding in findings(check)]
            )
        )
        print(f"Look at it before you use it: mvreg case show {out}")
    return {"case": str(out), **to_json(check)}


def _view(given: dict, ask: Callable[[str], str] | None) -> NewView:
    """A view from its options and its image, and from the answers to what is missing."""
    from ..imaging.xray import load_image
    from ..io.calibration.matrix_text import read_matrix_file
    from ..io.case_new import C_ARM, DEFAULT_INTENSITY, NewView, parse_reading, tells_its_intensity

    name, image = given["view"]
    intensity = given.get("intensity", DEFAULT_INTENSITY)
    if intensity == "auto" and ask and not tells_its_intensity(Path(image), given.get("frame")):
        intensity = _until(
            ask, f"{name}: is bone dark (linear) or bright, as in line integrals (log): ", _linear_or_log
        )
    geometries = [option for option in ("projection_matrix", "calibration", "c_arm") if option in given]
    if len(geometries) > 1:
        first, second = (f"--{option.replace('_', '-')}" for option in geometries[:2])
        raise InputError(f"view {name}: has {first} and {second}, expected one of them; keep the one that is right.")
    if "given" in given and "calibration" not in given:
        raise InputError(
            f"view {name}: has --given without --calibration, expected the file that it is about; add it, or leave it out."
        )
    keys = {"frame": "frame", "rotation_sd": "rotation_sd_deg", "translation_sd": "translation_sd_mm"}
    more = {key: given[option] for option, key in keys.items() if option in given}
    view = NewView(name, Path(image), given.get("mask"), more={**more, "intensity": intensity})
    if "projection_matrix" in given:
        view.projection_matrix = read_matrix_file(given["projection_matrix"]).projection_matrix
        return view
    if "calibration" in given:
        rows, columns = load_image(image, given.get("frame")).values.shape
        view.calibrated = calibrated_geometry(
            name, given["calibration"], given.get("given", []), (columns, rows), ask and partial(_until, ask)
        )
        return view
    view.c_arm = dict(parse_reading(reading) for reading in given.get("c_arm", []))
    if ask and not view.c_arm:
        view.calibrated = _until(
            ask,
            f"{name}: file of its projection matrix, or calibration (empty for the readings of a C-arm): ",
            lambda file: _geometry_in(file, name, image, given.get("frame"), ask) if file else None,
        )
    for key, reading in view.from_header().items():
        print(f"mvreg: {name}: {key} is {reading} by the DICOM header", file=sys.stderr)
    if ask:
        while missing := view.missing():
            key = next(iter(missing))
            view.c_arm[key] = _until(
                ask, f"{name}: {C_ARM[key]}: ", lambda value, key=key: parse_reading(f"{key}={value}")[1]
            )
    return view


def _geometry_in(file: str, name: str, image: str, frame: int | None, ask: Callable[[str], str]) -> dict[str, Any]:
    """What a file says of a view's geometry: a matrix that needs no question, or else a calibration."""
    from ..imaging.xray import load_image
    from ..io.calibration.matrix_text import read_matrix_file

    try:
        return {"projection_matrix": read_matrix_file(file).projection_matrix.tolist()}
    except InputError:
        rows, columns = load_image(image, frame).values.shape
        return calibrated_geometry(name, [file], [], (columns, rows), partial(_until, ask))


def _asked_views(ask: Callable[[str], str]) -> list[NewView]:
    views = []
    while name := ask(f"name of X-ray {len(views) + 1}" + (" (empty when that is all): " if views else ": ")):
        views.append(_view({"view": (name, _until(ask, f"{name}: image file: ", _image_file))}, ask))
    if not views:
        raise InputError("the case: has no X-ray, expected at least one; name one.")
    return views


def _image_file(file: str) -> str:
    from ..imaging.xray import load_image

    load_image(file)
    return file


def _linear_or_log(answer: str) -> str:
    if answer not in ("linear", "log"):
        raise InputError(f'the intensity: found "{answer}", expected linear or log; choose one.')
    return answer


def _until(ask: Callable[[str], str], question: str, understood: Callable[[str], Any]) -> Any:
    """The first answer to a question that is understood; what is wrong with others is told."""
    while True:
        try:
            return understood(ask(question))
        except InputError as error:  # noqa: PERF203
            print(f"  {error}", file=sys.stderr)


def _need(ask: Callable[[str], str] | None, option: str, what: str, default: str = "") -> str:
    """The answer to a question, where there is somebody to ask."""
    answer = ask(f"{what}{f' [{default}]' if default else ''}: ") or default if ask else ""
    if not answer:
        raise InputError(f"{option}: is missing, expected a path; give {option}.")
    return answer


def _asked(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        raise KeyboardInterrupt from None
