"""X-rays, and what looks like a bead in them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from ...geometry.camera import Camera
from ...imaging.beads import Bead, find_beads
from ...imaging.field import find_field
from ...imaging.reading import RawImage, raw_image
from ...imaging.xray import XRay, load_image, to_line_integrals

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
