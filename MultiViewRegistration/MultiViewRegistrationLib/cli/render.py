"""`mvreg render`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image

from ..errors import InputError, Show, warn
from ..finding import start_pose
from ..imaging.ct import attenuation
from ..io.case import Case
from ..io.files import written_atomically
from ..io.transforms import read_transform
from ..rendering.drr import Projector
from .options import Parser, add_json, add_one_case, add_out, progress_of


def add_render(command: Parser) -> None:
    """Add the options of `mvreg render`."""
    command.describe(
        "CASE --out DIR [options]",
        "case.json --out drr",
        "case.json --pose result/world_from_ct.tfm --out drr",
    )
    add = command.add_argument
    add_json(command)
    add_one_case(command)
    add(
        "--pose",
        default="start",
        metavar="start|truth|FILE.tfm",
        help="pose of the CT: the case's start (or where a search starts) or truth, or a transform file (default: %(default)s)",
    )
    add_out(command, "folder of NAME_drr.mha (line integrals) and NAME_drr.png", required=True)
    command.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> dict:
    case = Case.load(options.case)
    case.warn_of_other_bones(
        "its structures are drawn where this pose of the whole CT has them, not each at its own."
    )
    with progress_of(options, "Rendering") as line:
        files = render_views(case, options.pose, options.out, line.show)
    if not options.json:
        print("\n  ".join(["Wrote", *map(str, files)]))
    return {"files": list(map(str, files))}


def render_views(case: Case, pose: str, folder: Path, on_progress: Show) -> list[Path]:
    """Write for each view NAME_drr.mha (line integrals, float32, with the pixel size if known) and NAME_drr.png (bone bright).

    Parameters
    ----------
    pose
        "start", "truth", or a transform file that takes CT LPS mm to world LPS mm. Raises
        InputError where it is missing.
    """
    world_from_ct = _pose(case, pose)
    projector = Projector(attenuation(case.ct))
    written = []
    for number, view in enumerate(case.views):
        on_progress(number / len(case.views), view.name)
        drr = projector.render(view.camera, world_from_ct).image
        image = sitk.GetImageFromArray(drr)
        image.SetSpacing(view.xray.pixel_mm or (1.0, 1.0))
        with written_atomically(folder / f"{view.name}_drr.mha") as path:
            sitk.WriteImage(image, str(path), useCompression=True)
        bright = 255 * np.clip(drr / max(float(np.percentile(drr, 99.9)), 1e-6), 0, 1)
        with written_atomically(folder / f"{view.name}_drr.png") as path:
            Image.fromarray(bright.astype(np.uint8)).save(path)
        written += [folder / f"{view.name}_drr.mha", folder / f"{view.name}_drr.png"]
    return written


def _pose(case: Case, pose: str) -> np.ndarray:
    if pose == "start":
        if case.world_from_ct is None:
            warn(
                "The case has no start pose (world_from_ct): the CT is drawn with its axes along "
                "the world's, where the central rays of the views meet."
            )
        return start_pose(case, case.ct.centroid())
    if pose != "truth":
        if not Path(pose).is_file():
            raise InputError(
                f'--pose: found "{pose}", expected start, truth or the file of a transform; correct it.'
            )
        return read_transform(pose)
    if case.truth_world_from_ct is None:
        raise InputError(
            "--pose: found truth, but the case holds none; leave it out, or give a transform file."
        )
    return case.truth_world_from_ct
