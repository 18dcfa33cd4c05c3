"""One X-ray with its camera, and how well the cameras are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from .xray import XRay


@dataclass(frozen=True)
class SharedUnknowns:
    """What is not exactly known of a geometry and the same in all its views: standard deviations, None = known exactly.

    Attributes
    ----------
    source_to_detector_sd_mm
        Of the distance from source to detector; the scale of the images follows it.
    principal_point_sd_px
        Of the principal point, in pixels of the images as they are stored, along either axis.
    isocentre_sd_mm
        Of the place of the world origin in the cameras' frame, along each axis.
    """

    source_to_detector_sd_mm: float | None = None
    principal_point_sd_px: float | None = None
    isocentre_sd_mm: float | None = None


@dataclass(frozen=True, eq=False)
class View:
    """An X-ray, the camera that took it, and the camera's uncertainty.

    Attributes
    ----------
    rotation_sd_deg, translation_sd_mm
        Standard deviation of `camera_from_world` against the first view, rotation about the world origin. 0 =
        calibrated, None = unknown.

    Raises
    ------
    InputError
        Where the image has another size than the camera.
    """

    name: str
    xray: XRay
    camera: Camera
    rotation_sd_deg: float | None = 0.0
    translation_sd_mm: float | None = 0.0

    def __post_init__(self) -> None:
        rows, columns = self.xray.valid.shape
        if tuple(self.camera.size) != (columns, rows):
            raise InputError(
                f'view "{self.name}": the image has {columns} x {rows} pixels, its camera {self.camera.size[0]} x '
                f"{self.camera.size[1]}; give the camera for the image as it is stored."
            )

    def exact(self) -> View:
        """The view with its camera taken as exact."""
        return replace(self, rotation_sd_deg=0.0, translation_sd_mm=0.0)

    def pooled(self, factor: int) -> View:
        """The view with image and camera at 1 / `factor` of the resolution."""
        return replace(self, xray=self.xray.pooled(factor), camera=self.camera.pooled(factor))

    def cropped(self, left: int, top: int, columns: int, rows: int) -> View:
        """The part of the view whose top-left pixel is (left, top)."""
        part = np.s_[top : top + rows, left : left + columns]
        xray = XRay(np.ascontiguousarray(self.xray.line_integrals[part]), self.xray.valid[part], self.xray.pixel_mm)
        return replace(self, xray=xray, camera=self.camera.cropped(left, top, columns, rows))
