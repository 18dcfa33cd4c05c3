"""Beads that an X-ray shows, the cameras that they show, and the file that has those."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...geometry.camera import Camera, check_size
from ...imaging.bead_fit import Bead
from ...imaging.beads import find_beads
from ...imaging.field import find_field
from ...imaging.reading import RawImage, raw_image
from ...imaging.xray import XRay, load_image, to_line_integrals
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
        of_bead = ("name", "pixel", "residual_px")
        return {
            "name": self.name,
            "projection_matrix": self.camera.projection_matrix,
            "camera": self.camera,
            "size": self.camera.size,
            **self.uncertainty,
            "residual_px": self.residual_px,
            "sd_px": self.sd_px,
            "beads": [{key: getattr(bead, key) for key in of_bead} for bead in self.beads],
            "missing": self.missing,
            "others": self.others,
        }


def cameras_json(cameras: Sequence[BeadCamera], model_file: str, intrinsics: str) -> str:
    """Return the file of cameras, in the frame of the model, that `read_cameras` reads."""
    content = {
        "format": FORMAT,
        "version": 1,
        "model": model_file,
        "intrinsics": intrinsics,
        "views": cameras,
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


#: Diameters of beads, mm, and by how much the image magnifies them at most.
DIAMETERS_MM = (1.0, 10.0)
MAX_MAGNIFICATION = 2.5
#: Radii of beads in an image of unknown pixel size: least, px, and largest, as a share of it.
MIN_RADIUS_PX = 1.3
MAX_RADIUS_SHARE = 0.03
#: Beads, in numbers of the model's, that are looked at in an image.
MAX_BEADS = 4


@dataclass(frozen=True, eq=False)
class BeadImage:
    """An X-ray, and what looks like a bead in it.

    Attributes
    ----------
    xray
        Valid within its field.
    beads
        In any order.
    near
        A camera that shows the model about where the beads are, None where none is known.
    """

    xray: XRay
    beads: list[Bead]
    near: Camera | None = None


Image = str | os.PathLike | np.ndarray | RawImage | XRay | BeadImage


def find_in_image(
    image: Image, count: int, intensity: str | None = None, pixel_mm: float | None = None
) -> BeadImage:
    """Return an image with its beads, those that stop most of the radiation first.

    Parameters
    ----------
    image, intensity, pixel_mm
        As of `calibrate_from_beads`.
    count
        Of the beads in the model.
    """
    xray = _xray(image, intensity)
    return BeadImage(xray, _beads(xray, count, pixel_mm))


def _xray(image: Image, intensity: str | None) -> XRay:
    """Return the image as line integrals, all of its field valid."""
    if isinstance(image, XRay):
        xray = image
    else:
        if isinstance(image, str | os.PathLike):
            raw = load_image(os.fspath(image))
            intensity = intensity or "auto"
        else:
            raw = image if isinstance(image, RawImage) else raw_image(np.asarray(image), None)
        everything = np.ones(raw.values.shape[:2], bool)
        xray = to_line_integrals(raw, intensity or "linear", valid=everything)
    # Beads may be the darkest thing of all, as burned-in letters are, and those are left out.
    return replace(xray, valid=find_field(xray.line_integrals))


def _beads(xray: XRay, count: int, pixel_mm: float | None) -> list[Bead]:
    pixel = pixel_mm or (xray.pixel_mm and min(xray.pixel_mm))
    size = max(xray.line_integrals.shape)
    if pixel:
        low, high = np.array(DIAMETERS_MM) / 2 / pixel
        radii = max(MIN_RADIUS_PX, low), max(2 * MIN_RADIUS_PX, MAX_MAGNIFICATION * high)
    else:
        radii = MIN_RADIUS_PX, max(2 * MIN_RADIUS_PX, MAX_RADIUS_SHARE * size)
    radii = radii[0], min(radii[1], size / 8)
    return find_beads(xray.line_integrals, xray.valid, radii)[: MAX_BEADS * count]
