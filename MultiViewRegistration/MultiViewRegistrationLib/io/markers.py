"""Views of a case whose cameras come from a marker of beads in their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import InputError, naming
from ..geometry.camera import Camera
from ..imaging.xray import load_image, to_line_integrals
from .bead_model import read_bead_model
from .calibration.from_beads import BeadCamera, calibrate_from_beads
from .files import InputFile, JsonObject, input_file
from .view_record import ViewRecord

#: What a marker is fixed to, and what is assumed then.
FIXED_TO = {
    "patient": "The marker is taken as fixed to the patient.",
    "world": "The marker is fixed to the table: the patient is taken as still between the X-rays.",
}


@dataclass(frozen=True)
class Marker:
    """A marker of beads that the image of a view shows.

    Attributes
    ----------
    model
        File of its beads, whose frame is the world.
    fixed_to
        One of FIXED_TO.
    """

    model: InputFile
    fixed_to: str


def read_marker(entry: JsonObject, folder: Path) -> Marker | None:
    """Return the marker of an entry of "views", None where it has none.

    Raises
    ------
    InputError
        Where it is incomplete.
    """
    if not entry.has("marker"):
        return None
    section = entry.section("marker")
    model = input_file(section, "model", folder)
    return Marker(model, section.choice("fixed_to", tuple(FIXED_TO)))


def with_marker_cameras(
    file: str, views: Sequence[ViewRecord], markers: Sequence[Marker | None]
) -> list[ViewRecord]:
    """Return the views with the cameras that the marker in their images shows.

    A camera that a view gives beside its marker says whether the image is mirrored, and about how
    far the detector is.

    Raises
    ------
    InputError
        Beginning with `file`: where some views have no marker, or another one, and as
        `calibrate_from_beads`.
    """
    found = [marker for marker in markers if marker is not None]
    if not found:
        return list(views)
    without = [view.name for view, marker in zip(views, markers, strict=True) if marker is None]
    if without:
        raise InputError(
            f'{file}: view "{without[0]}" has no marker and others have one, expected it in every '
            "view, as their cameras share its frame; add it, or remove it from the others."
        )
    models = {marker.model.path.resolve() for marker in found}
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
            assumptions=(*view.assumptions, *bead_assumptions(camera, marker.fixed_to)),
            marker=marker.fixed_to,
        )
        for number, (view, camera, marker) in enumerate(zip(views, cameras, found, strict=True))
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
    images = [
        to_line_integrals(load_image(path, frame), intensity)
        for _, path, frame, intensity, _ in asked
    ]
    hints = [
        None if hint is None else Camera(np.reshape(hint[0], (3, 3)), np.eye(4), hint[1])
        for *_, hint in asked
    ]
    names = [name for name, *_ in asked]
    return calibrate_from_beads(images, read_bead_model(model), names=names, cameras=hints)
