"""`mvreg calibrate`: the cameras of X-rays from beads of known places that they show."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import InputError
from .options import Parser, add_json, out_file, progress_of


def add_calibrate(command: Parser) -> None:
    """Add the options of `mvreg calibrate`."""
    command.describe(
        "--beads MODEL --view NAME IMAGE... --out cameras.json [options]",
        "--beads phantom.csv --view AP ap.dcm --view LAT lat.dcm --out cameras.json",
    )
    add = command.add_argument
    add_json(command)
    add(
        "--beads",
        type=Path,
        required=True,
        metavar="MODEL",
        help="where the beads are, in mm: lines of name,x,y,z; JSON; or Slicer's .mrk.json, .fcsv",
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
    command.set_defaults(run=_calibrate)


def _calibrate(options: argparse.Namespace) -> dict:
    from ..io.bead_model import read_bead_model
    from ..io.calibration.from_beads import calibrate_from_beads, cameras_json
    from ..io.files import write_atomically
    from ..report.bead_page import bead_page

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
    model = read_bead_model(options.beads)
    how, cameras = options.intrinsics, None
    if how not in ("free", "shared"):
        how, cameras = "known", _known(Path(options.intrinsics), names)
    with progress_of(options, "Finding the beads") as line:
        found = calibrate_from_beads(
            [image for _, image in options.views],
            model,
            names=names,
            intrinsics=how,
            cameras=cameras,
            intensity=options.intensity,
            pixel_mm=options.pixel_mm,
            distance_mm=options.source_to_detector_mm,
            mirrored=None if options.mirrored is None else options.mirrored == "yes",
            progress=line.show,
        )
    text = cameras_json(found, model, how)
    lines = [
        f"{camera.name}: {len(camera.beads)} of {len(model.names)} beads, "
        f"{camera.residual_px:.2f} px from the camera that fits them; within 80 mm of the model it "
        f"is right to {max(camera.sd_px, camera.bootstrap_sd_px):.2f} px (one standard deviation)."
        for camera in found
    ]
    report = options.out.with_suffix(".html")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out, text)
    write_atomically(report, bead_page(f"{options.beads.name}: cameras", found, lines))
    print(f"Wrote {options.out} and {report}", file=sys.stderr)
    if not options.json:
        print("\n".join(lines))
        print(f"Look at {report}, then: mvreg case new --calibration {options.out} ...")
    return {"cameras": str(options.out), "report": str(report), **json.loads(text)}


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
