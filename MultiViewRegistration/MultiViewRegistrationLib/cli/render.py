"""`mvreg render`: DRRs of a case as files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image

from ..errors import InputError
from ..imaging.ct import attenuation
from ..io.case import Case
from ..io.files import written_atomically
from ..io.transforms import read_transform
from ..rendering.drr import Projector
from .terminal import add_json


def add_render(command: argparse.ArgumentParser) -> None:
    """Add the options of `mvreg render`."""
    add_json(command)
    command.add_argument("case", type=Path, help="case.json, or a folder that holds one")
    command.add_argument(
        "--pose",
        default="start",
        metavar="start|truth|FILE.tfm",
        help="pose of the CT: the case's start or truth, or a transform file (default: %(default)s)",
    )
    command.add_argument(
        "--out", type=Path, required=True, help="folder of NAME_drr.mha (line integrals) and NAME_drr.png"
    )
    command.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> dict:
    return {"files": [str(path) for path in render_views(Case.load(options.case), options.pose, options.out)]}


def render_views(case: Case, pose: str, folder: Path) -> list[Path]:
    """Write for each view NAME_drr.mha (line integrals, float32, with the pixel size if known) and NAME_drr.png (bone bright).

    pose: "start", "truth", or a transform file that takes CT LPS mm to world LPS mm. Raises InputError where it is missing.
    """
    world_from_ct = _pose(case, pose)
    folder.mkdir(parents=True, exist_ok=True)
    projector = Projector(attenuation(case.ct))
    written = []
    for view in case.views:
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
    known = {"start": case.world_from_ct, "truth": case.truth_world_from_ct}
    if pose not in known:
        return read_transform(pose)
    if known[pose] is None:
        raise InputError(f'--pose: found "{pose}", but the case holds none; give the other one, or a transform file.')
    return known[pose]
