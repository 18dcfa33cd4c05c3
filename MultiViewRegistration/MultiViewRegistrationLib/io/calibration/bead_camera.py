"""Cameras that beads show, and the file that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...geometry.camera import Camera, check_size
from ..files import JsonObject, json_text
from ..view_record import read_uncertainty
from .calibrated import CalibratedView

#: What marks the file of `to_json`.
FORMAT = "mvreg cameras"


@dataclass(frozen=True, eq=False)
class SeenBead:
    """A bead of the model in an image.

    Attributes
    ----------
    name
        In the model.
    pixel
        (2,) where the image shows it.
    residual_px
        (2,) from there to where the camera shows it.
    radius_px
        Of its outline.
    """

    name: str
    pixel: np.ndarray
    residual_px: np.ndarray
    radius_px: float


@dataclass(frozen=True, eq=False)
class BeadCamera:
    """The camera of one image, from the beads that it shows.

    Attributes
    ----------
    name
        Of the image.
    camera
        In the frame of the model, mm.
    uncertainty
        Standard deviations by their keys in a case.json, as `Bundle.equivalent` has them.
    residual_px
        Weighted rms distance of the beads from where the camera shows them.
    sd_px
        Rms standard deviation of where it shows points within 80 mm of the model.
    beads
        Those of the model.
    missing_pixels
        Where beads of the model should be that were not found, (2,) by their names.
    others
        (k, 2) pixels of what looked like beads and is none of the model's.
    line_integrals
        (rows, columns) of the image, None where the camera was read from a file.
    """

    name: str
    camera: Camera
    uncertainty: dict[str, float]
    residual_px: float
    sd_px: float
    beads: tuple[SeenBead, ...] = ()
    missing_pixels: Mapping[str, np.ndarray] = field(default_factory=dict)
    others: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    line_integrals: np.ndarray | None = field(default=None, repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of beads of the model that were not found."""
        return tuple(self.missing_pixels)

    def to_json(self) -> dict[str, Any]:
        """Return the camera as an entry of `views` in a file of cameras."""
        return {
            "name": self.name,
            "projection_matrix": self.camera.projection_matrix.tolist(),
            "camera": self.camera.to_json(),
            "size": list(self.camera.size),
            **self.uncertainty,
            "residual_px": self.residual_px,
            "sd_px": self.sd_px,
            "beads": [
                {
                    "name": bead.name,
                    "pixel": bead.pixel.tolist(),
                    "residual_px": bead.residual_px.tolist(),
                }
                for bead in self.beads
            ],
            "missing": list(self.missing),
            "others": self.others.tolist(),
        }


def cameras_json(cameras: Sequence[BeadCamera], model_file: str, intrinsics: str) -> str:
    """Return the file of cameras, in the frame of the model, that `read_cameras` reads."""
    content = {
        "format": FORMAT,
        "version": 1,
        "model": model_file,
        "intrinsics": intrinsics,
        "views": [camera.to_json() for camera in cameras],
    }
    return json_text(content)


def read_cameras(content: dict, file: str) -> list[CalibratedView]:
    """Return the views of a file of cameras."""
    views = []
    for entry in JsonObject(file, "", content).sections("views", "a list of one or more views"):
        section = entry.section("camera")
        camera = Camera(
            section.array("intrinsics", (3, 3), "3 rows of 3 numbers"),
            section.array("camera_from_world", (4, 4), "4 rows of 4 numbers"),
            check_size(section.array("size", (2,), "[columns, rows]")),
        )
        views.append(
            CalibratedView(
                entry.text("name", "a name for the view"),
                camera.projection_matrix,
                camera.size,
                camera,
                uncertainty=read_uncertainty(entry, "camera"),
            )
        )
    return views
