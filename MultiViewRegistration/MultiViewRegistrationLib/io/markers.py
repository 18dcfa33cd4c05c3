"""Views of a case whose cameras come from a marker of beads in their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import InputError, naming
from ..geometry.camera import Camera
from ..imaging.xray import load_image, to_line_integrals
from .bead_model import read_bead_model
from .calibration.bead_camera import BeadCamera
from .calibration.from_beads import calibrate_from_beads
from .view_record import FIXED_TO, ViewRecord


def with_marker_cameras(file: str, views: Sequence[ViewRecord]) -> list[ViewRecord]:
    """Return the views with the cameras that the marker in their images shows.

    Views of which none names a file of beads stay as they are. A camera that a view gives beside
    its marker says whether the image is mirrored, and about how far the detector is.

    Raises
    ------
    InputError
        Beginning with `file`: where some views have no marker, or another one, and as
        `calibrate_from_beads`.
    """
    models = {view.marker_model.path.resolve() for view in views if view.marker_model}
    if not models:
        return list(views)
    without = [view.name for view in views if view.marker_model is None]
    if without:
        raise InputError(
            f'{file}: view "{without[0]}" has no marker and others have one, expected it in every '
            "view, as their cameras share its frame; add it, or remove it from the others."
        )
    if len(models) > 1:
        raise InputError(
            f"{file}: the views have {len(models)} models of a marker, expected one, as its frame "
            "is the world of all; write the beads into one file."
        )
    asked = tuple(
        (view.name, view.image_path, view.frame, view.intensity, _hint(view)) for view in views
    )
    paths = (*models, *(view.image_path for view in views))
    with naming(file):
        cameras = _cameras(models.pop(), asked, tuple(path.stat().st_mtime_ns for path in paths))
    return [
        replace(
            view,
            geometry=camera.camera,
            uncertainty={**camera.uncertainty, **view.uncertainty},
            geometry_field=f"{file}: views[{number}].marker",
            assumptions=(*view.assumptions, *bead_assumptions(camera, view.marker)),
            marker_model=None,
        )
        for number, (view, camera) in enumerate(zip(views, cameras, strict=True))
    ]


def bead_origin(camera: BeadCamera) -> str:
    """Return where a camera comes from, in a few words."""
    return f"{len(camera.beads)} beads, {camera.residual_px:.2f} px"


def bead_assumptions(camera: BeadCamera, fixed_to: str) -> tuple[str, ...]:
    """Return where a camera comes from and what is assumed of it, a sentence each.

    Parameters
    ----------
    fixed_to
        One of FIXED_TO.
    """
    sentence = (
        f"The camera comes from {len(camera.beads)} beads in the image, which it shows "
        f"{camera.residual_px:.2f} px off."
    )
    return sentence, FIXED_TO[fixed_to]


def _hint(view: ViewRecord) -> tuple[tuple[float, ...], tuple[int, int]] | None:
    """Return intrinsics and size of the camera that a view gives beside its marker."""
    camera = None if view.has_gaps else view.own_camera
    return None if camera is None else (tuple(camera.intrinsics.ravel().tolist()), camera.size)


@lru_cache(maxsize=8)
def _cameras(model: Path, asked: tuple, changed: tuple[int, ...]) -> list[BeadCamera]:
    """Return the cameras of the images; `changed`, when the files were, keeps them apart in memory."""
    names = []
    images = []
    hints = []
    for name, path, frame, intensity, hint in asked:
        names.append(name)
        images.append(to_line_integrals(load_image(path, frame), intensity))
        known = hint and Camera(np.reshape(hint[0], (3, 3)), np.eye(4), hint[1])
        hints.append(known)
    return calibrate_from_beads(images, read_bead_model(model), names=names, cameras=hints)
