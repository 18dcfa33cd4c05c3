"""`mvreg render`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError, Show, warn
from ..finding import start_pose
from ..geometry.camera import Camera
from ..imaging.reading import itk_image, write_image
from ..io.case import Case
from ..io.files import written_atomically
from ..io.result_json import RegistrationExport
from ..io.transforms import read_transform
from ..registration.bone import parts_of, placed
from ..registration.prepared_ct import PreparedCT
from ..report.exports import cameras_of
from .options import Parser, add_one_case, add_out, progress_of, tell


def add_render(command: Parser) -> None:
    """Add the options of `mvreg render`."""
    command.describe(
        _render,
        "CASE --out DIR [options]",
        "case.json --out drr",
        "case.json --pose result --out drr",
    )
    add = command.add_argument
    add_one_case(command)
    add(
        "--pose",
        default="start",
        metavar="start|truth|RESULT|FILE.tfm",
        help="poses: the case's start (or where a search starts), its truth, or those of a result, each bone at its own; "
        "or a transform file, for the CT (default: %(default)s)",
    )
    add_out(command, "folder of NAME_drr.mha (line integrals) and NAME_drr.png", required=True)


def _render(options: argparse.Namespace) -> dict:
    case = Case.load(options.case)
    with progress_of(options, "Rendering") as line:
        files = render_views(case, options.pose, options.out, line.show)
    tell(options, "Wrote", *(f"  {file}" for file in files))
    return {"files": list(map(str, files))}


def render_views(case: Case, pose: str, folder: Path, on_progress: Show) -> list[Path]:
    """Write for each view NAME_drr.mha (line integrals, float32, with the pixel size if known) and NAME_drr.png (bone bright).

    Parameters
    ----------
    pose
        "start", "truth", a result.json or its folder, or a transform file that takes CT LPS mm to
        world LPS mm. Raises InputError where it is missing.
    """
    cameras, places = _poses(case, pose)
    if any(places.get(body.name) is None for body in case.bodies):
        case.warn_of_other_bones()
    anatomy, world_from_ct = placed(parts_of(case.bodies, PreparedCT(case.ct), places), places)
    written = []
    for number, (view, camera) in enumerate(zip(case.views, cameras, strict=True)):
        on_progress(number / len(case.views), view.name)
        drr = anatomy.line_integrals(camera, world_from_ct)
        grid = np.diag([*(view.xray.pixel_mm or (1.0, 1.0)), 1.0])
        with written_atomically(folder / f"{view.name}_drr.mha") as path:
            write_image(path, itk_image(drr, grid))
        bright = 255 * np.clip(drr / max(float(np.percentile(drr, 99.9)), 1e-6), 0, 1)
        with written_atomically(folder / f"{view.name}_drr.png") as path:
            Image.fromarray(bright.astype(np.uint8)).save(path)
        written += [folder / f"{view.name}_drr.mha", folder / f"{view.name}_drr.png"]
    return written


def _poses(case: Case, pose: str) -> tuple[list[Camera], dict[str, Any]]:
    """Return the views' cameras, and the poses (4, 4) of bodies, as far as they are known, by their names; "" is a patient's CT."""
    if Path(pose).is_dir() or pose.endswith(".json"):
        result, every = RegistrationExport.every(pose)
        if result.refused:
            warn(f"{pose}: {result.warning}")
        poses = {each.structure or "": each.world_from_ct for each in every}
        return cameras_of(result, case), poses
    first = case.first_bone
    starts = {body.name: body.world_from_ct for body in case.bodies}
    truths = {"": case.truth_world_from_ct, **case.structure_truths}
    known: dict[str, dict[str, Any]] = {"start": starts, "truth": truths}
    places = known.get(pose, {})
    if pose not in known:
        if not Path(pose).is_file():
            raise InputError(
                f'--pose: found "{pose}", expected start, truth or the file of a transform; correct it.'
            )
        places[first] = read_transform(pose)
    elif places.get(first) is None:
        if pose == "truth":
            raise InputError(
                "--pose: found truth, but the case holds none; leave it out, or give a transform file."
            )
        warn(
            "The case has no start pose (world_from_ct): the CT is drawn with its axes along "
            "the world's, where the central rays of the views meet."
        )
        places[first] = start_pose(case, case.ct.centroid())
    return [view.camera for view in case.views], places
