"""The detector plane of an X-ray as it lies in the scene, RAS: what falls where on it, and which of its pixels a point is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.camera import Camera
from .frames import lps_from_ras, ras_from_lps
from .layout import tag_of
from .registration import Registration
from .xray import ATTRIBUTE, XRayView, world_from_pixel

ON_PLANE_MM = 0.6
"""A point is on a detector's plane if it is no farther off than this: half the slice of the image, which is 1 mm thick."""
BESIDE = 0.5
"""And if it is no farther beside the image than this share of its size, so that a point may be dragged over the edge."""


@dataclass(frozen=True, eq=False)
class DetectorPlane:
    """An X-ray, where it lies.

    slice_id: the ID that the node of its slice view has, or will have once there is one; None for an X-ray that is not shown.
    ras_from_pixel: (4, 4), takes (column, row, mm off the plane along the beam, 1) to RAS.
    stamp: equal for equal detectors of one view.
    """

    view: XRayView
    slice_id: str | None
    camera: Camera
    ras_from_pixel: np.ndarray
    stamp: tuple

    @property
    def source(self) -> np.ndarray:
        """RAS mm (3,)."""
        return ras_from_lps(self.camera.source)

    def pixels(self, points) -> np.ndarray:
        """Pixels (..., 2) on which points (..., 3), RAS mm, fall."""
        return self.camera.project(lps_from_ras(points))

    def depth(self, points) -> np.ndarray:
        """Distances (...) of points (..., 3), RAS mm, from the source along the beam; negative behind it."""
        return self.camera.depth(lps_from_ras(points))

    def on_plane(self, pixels) -> np.ndarray:
        """RAS mm (..., 3) of pixels (..., 2)."""
        place = self.ras_from_pixel
        return np.asarray(pixels, float) @ place[:3, :2].T + place[:3, 3]

    def locate(self, point) -> tuple[np.ndarray, float]:
        """The pixel (2,) that is square under a point (3,), RAS mm, and how far off the plane the point is, mm along the beam."""
        column, row, off, _ = np.linalg.solve(self.ras_from_pixel, [*point, 1.0])
        return np.array([column, row]), float(off)

    def holds(self, point) -> bool:
        """Whether a point (3,), RAS mm, lies on the image or beside it."""
        pixel, off = self.locate(point)
        size = np.array(self.camera.size)
        return abs(off) <= ON_PLANE_MM and bool((np.abs(pixel - (size - 1) / 2) <= (0.5 + BESIDE) * size).all())


def detectors(registration: Registration) -> list[DetectorPlane]:
    """Those of the X-rays whose geometry is known."""
    return [_detector(view) for view in registration.xrays if view.placed]


def _detector(view: XRayView) -> DetectorPlane:
    camera, tag = view.camera, tag_of(view)
    return DetectorPlane(
        view,
        tag and f"vtkMRMLSliceNode{tag}",
        camera,
        ras_from_lps(world_from_pixel(camera, view.detector_mm)),
        stamp=(view.node.GetID(), view.node.GetAttribute(ATTRIBUTE), view.size, tag),
    )


def detector_of(point, among: list[DetectorPlane]) -> DetectorPlane | None:
    """The one on whose plane a point (3,), RAS mm, lies; of several the nearest plane, of one plane the image nearest to its middle."""

    def order(detector: DetectorPlane) -> tuple[float, float]:
        pixel, off = detector.locate(point)
        return round(abs(off), 2), float(np.abs((pixel + 0.5) / detector.camera.size - 0.5).max())

    return min((detector for detector in among if detector.holds(point)), key=order, default=None)
