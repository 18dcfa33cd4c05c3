"""`mvreg calibrate`: the cameras of X-rays from beads that they show, and an image intensifier's distortion."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, naming
from .options import Parser, out_file, progress_of, say, tell

if TYPE_CHECKING:
    from ..imaging.reading import RawImage


def add_calibrate(command: Parser) -> None:
    """Add the options of `mvreg calibrate`."""
    command.describe(
        _calibrate,
        "--beads MODEL|--plate holes|beads --view NAME IMAGE... --out FILE.json [options]",
        "--beads phantom.csv --view AP ap.dcm --view LAT lat.dcm --out cameras.json",
    )
    add = command.add_argument
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--beads",
        type=Path,
        metavar="MODEL",
        help="where the beads are, in mm: lines of name,x,y,z; JSON; or Slicer's .mrk.json, .fcsv",
    )
    what.add_argument(
        "--plate",
        choices=("holes", "beads"),
        help="measure an image intensifier's distortion by X-rays of a plate on it with a square "
        "grid of these, one for each pose of the C-arm",
    )
    add(
        "--angles",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "RAO_LAO", "CRA_CAU"),
        help="of the C-arm at an X-ray, degrees, for --plate and --distortion",
    )
    add(
        "--distortion",
        type=Path,
        metavar="FILE",
        help="of --plate; the X-rays without it are written beside --out, for the case",
    )
    add(
        "--view",
        nargs=2,
        action="append",
        dest="views",
        required=True,
        metavar=("NAME", "IMAGE"),
        help="an X-ray that shows the model; once for each",
    )
    add(
        "--intrinsics",
        default="free",
        metavar="free|shared|FILE",
        help="principal point and distance: found for each image, for all together, or those of "
        "the cameras in a calibration (default: %(default)s)",
    )
    add("--pixel-mm", type=float, metavar="MM", help="between the pixels of the detector, if known")
    add(
        "--source-to-detector-mm",
        type=float,
        metavar="MM",
        help="distance, if known; near is enough, as it is found where intrinsics are free",
    )
    add(
        "--mirrored",
        choices=("yes", "no"),
        help="whether the images are stored as seen from the detector (default: as the beads show)",
    )
    add(
        "--intensity",
        choices=("linear", "log", "auto"),
        default="auto",
        help="linear: metal dark; log: bright (default: %(default)s)",
    )
    add(
        "--out",
        type=out_file,
        required=True,
        metavar="cameras.json",
        help="the cameras, in the model's frame, for case new --calibration; the report is beside "
        "it, as .html",
    )


def _calibrate(options: argparse.Namespace) -> dict:
    if options.out.suffix.lower() != ".json":
        raise InputError(
            f"--out: found {options.out.name}, expected the name of a .json file; correct it."
        )
    names = [name for name, _ in options.views]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f'--view: found "{name}" twice, expected a name for each X-ray; rename one.'
            )
    if options.plate and options.distortion:
        raise InputError("--distortion: stands beside --plate, which measures it; remove it.")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    angles = _angles(options, names)
    return _plate(options, names, angles) if options.plate else _beads(options, names, angles)


def _angles(options: argparse.Namespace, names: list[str]) -> dict[str, tuple[float, float]]:
    """Return the C-arm's angles by the names of the X-rays that have them."""
    angles = {}
    for name, *degrees in options.angles:
        if name not in names:
            raise InputError(
                f'--angles: found "{name}", expected the name of a --view; correct it.'
            )
        try:
            primary, secondary = map(float, degrees)
        except ValueError:
            raise InputError(
                f"--angles: found {' '.join(degrees)} of {name}, expected two numbers in degrees; "
                "correct them."
            ) from None
        angles[name] = primary, secondary
    return angles


def _plate(
    options: argparse.Namespace, names: list[str], angles: dict[str, tuple[float, float]]
) -> dict:
    """Measure the distortion of an image intensifier."""
    from ..io.calibration.from_plate import measure_plate, plate_json
    from ..report.bead_picture import plate_page

    missing = [name for name in names if name not in angles]
    if missing and len(names) > 1:
        raise InputError(
            f"--angles: those of {missing[0]} are missing, expected the C-arm's at each X-ray of "
            "the plate; give them."
        )
    with progress_of(options, "Finding the plate") as line:
        poses = measure_plate(
            [image for _, image in options.views],
            names,
            [angles.get(name, (0.0, 0.0)) for name in names],
            options.plate,
            options.intensity,
            line.show,
        )
    page = plate_page(f"{options.out.stem}: distortion", poses)
    sentences = [pose.sentence for pose in poses]
    return _written(options, "distortion", plate_json(poses), page, sentences)


def _straightened(
    options: argparse.Namespace, angles: dict[str, tuple[float, float]]
) -> dict[str, RawImage]:
    """Write the X-rays without their distortion beside --out, and return them by name."""
    from ..io.calibration.from_plate import read_plate, write_straightened

    measured = read_plate(options.distortion)
    images: dict[str, RawImage] = {}
    for name, path in options.views:
        with naming(name):
            raw = measured.straightened(path, angles.get(name))
        images[name] = write_straightened(raw, options.out.with_name(f"{name}.mha"))
    return images


def _beads(
    options: argparse.Namespace, names: list[str], angles: dict[str, tuple[float, float]]
) -> dict:
    """Find the cameras of X-rays."""
    from ..io.calibration.from_beads import calibrate_from_beads, cameras_json
    from ..io.points import read_bead_model
    from ..report.bead_picture import bead_page

    straight = _straightened(options, angles) if options.distortion else {}
    images: list[Any] = [straight.get(name, image) for name, image in options.views]
    how = options.intrinsics
    cameras = None
    if how not in ("free", "shared"):
        how = "known"
        cameras = _known(Path(options.intrinsics), names)
    model = read_bead_model(options.beads)
    mirrored = None if options.mirrored is None else options.mirrored == "yes"
    with progress_of(options, "Finding the beads") as line:
        found = calibrate_from_beads(
            images,
            model,
            names=names,
            intrinsics=how,
            cameras=cameras,
            intensity=options.intensity,
            pixel_mm=options.pixel_mm,
            distance_mm=options.source_to_detector_mm,
            mirrored=mirrored,
            progress=line.show,
        )
    lines = [
        f"{camera.name}: {len(camera.beads)} of {len(camera.beads) + len(camera.missing)} beads, "
        f"{camera.residual_px:.2f} px from the camera that fits them; within 80 mm of the model it "
        f"is right to {camera.sd_px:.2f} px (one standard deviation)."
        for camera in found
    ]
    page = bead_page(f"{options.beads.name}: cameras", found, lines)
    next_step = f"Look at the report, then: mvreg case new --calibration {options.out} ..."
    text = cameras_json(found, options.beads.name, how)
    return _written(options, "cameras", text, page, [*lines, next_step])


def _written(
    options: argparse.Namespace, what: str, text: str, page: str, sentences: list[str]
) -> dict:
    """Write the file and its report, say so, and return both with the file's content."""
    from ..io.files import write_atomically

    report = options.out.with_suffix(".html")
    write_atomically(options.out, text)
    write_atomically(report, page)
    say(f"Wrote {options.out} and {report}")
    tell(options, *sentences)
    return {what: str(options.out), "report": str(report), **json.loads(text)}


def _known(file: Path, names: list[str]) -> list:
    """Return the cameras of a calibration, one for each name, or the one that it has for all."""
    from ..io.calibration.read import read_calibration

    by_name = {each.name: each.camera for each in read_calibration(file)}
    if len(by_name) == 1:
        by_name = dict.fromkeys(names, next(iter(by_name.values())))
    missing = [name for name in names if by_name.get(name) is None]
    if missing:
        raise InputError(
            f'--intrinsics: {file} has no camera with intrinsics for "{missing[0]}", expected one '
            "for each view, or one for all; name another file."
        )
    return [by_name[name] for name in names]
