"""Slot-scan images: CT scouts (localizers, topograms, surviews) and slot scanners such as EOS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import rigid
from .camera import Camera
from .fields import FANS, SLOT_SCAN, check_fields, to_json

#: Cosine up to which two axes count as at right angles: 0.06 degrees, what a header rounds away.
RIGHT_ANGLE = 1e-3


class SlotScanCamera(Camera):
    """The linear pushbroom camera (Gupta and Hartley, IEEE TPAMI 19, 1997).

    A fan across, parallel along the scan.

    Source and slot move together along y, a row at a time. A world point X falls on pixel (u, v)
    with

        (x, y, z) = R X + t,    u = fx x / z + cx,    v = fy y + cy,

    [R | t] the upper rows of camera_from_world, whose origin is the source of row cy: x along
    columns, y along the scan, z from the source to the detector.

    Parameters
    ----------
    intrinsics
        (3, 3) [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]: fx in pixels, < 0 if the image is stored
        mirrored, as seen from the detector; fy in rows per mm, > 0.
    camera_from_world, size
        As of `Camera`.

    Raises
    ------
    InputError
        Names the field that is wrong.
    """

    fan_axes = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.intrinsics[0, 1]:
            raise InputError(
                f"intrinsics: found a skew of {self.intrinsics[0, 1]:g}, expected 0 of a slot "
                "scan, whose rows are at right angles to the scan."
            )

    @property
    def projection_matrix(self) -> np.ndarray:
        """Refuse: a slot scan has no projection matrix.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            "a slot-scan image has no projection matrix, as each row has a source of its own, but "
            "one is needed here; use an X-ray with a single source."
        )

    @cached_property
    def linear_forms(self) -> np.ndarray:
        """See `Camera`; d is constant."""
        a, b, c = self.camera_from_world[:3]
        (fx, _, cx), (_, fy, cy), d = *self.intrinsics[:2], np.eye(4)[3]
        return np.stack([fx * a + cx * c, fy * b + cy * d, c, d])

    @cached_property
    def source(self) -> np.ndarray:
        """Source (3,) of the middle row in world mm."""
        return self.sources(np.array([0, (self.size[1] - 1) / 2]))

    @property
    def source_step(self) -> np.ndarray:
        """(3,) world mm by which the source moves from one row to the next."""
        return self.camera_from_world[1, :3] / self.intrinsics[1, 1]

    def sources(self, pixels: ArrayLike) -> np.ndarray:
        """Return world points (..., 3) in mm where the rays of pixels (..., 2) begin."""
        rows = np.asarray(pixels, float)[..., 1:] - self.intrinsics[1, 2]
        return self.world_from_camera[:3, 3] + rows * self.source_step

    @cached_property
    def ray_matrix(self) -> np.ndarray:
        """See `Camera`: its middle column is 0, as rows are parallel."""
        (fx, _, cx), _, _ = self.intrinsics
        return self.camera_from_world[:3, :3].T @ np.array(
            [[1 / fx, 0, -cx / fx], [0, 0, 0], [0, 0, 1]]
        )

    def pixel_mm(self, points: ArrayLike) -> np.ndarray:
        """Return the size (..., 2) of a pixel, mm across columns and down rows, at the depths of world points (..., 3)."""
        depth = self.depth(points)
        return np.stack(
            [depth / self.focal_px, np.full_like(depth, 1 / self.intrinsics[1, 1])], axis=-1
        )

    def from_other_side(self, depth_mm: float) -> SlotScanCamera:
        """Return the camera with its source on the other side of a plane, of which the image shows the same points as before.

        Parameters
        ----------
        depth_mm
            The distance of the plane from the source along z.
        """
        turn = np.diag([-1.0, 1, -1, 1])
        turn[2, 3] = 2 * depth_mm
        intrinsics = np.diag([-1.0, 1, 1]) @ self.intrinsics
        intrinsics[0, 2] = self.intrinsics[0, 2]
        return replace(self, intrinsics=intrinsics, camera_from_world=turn @ self.camera_from_world)

    def corrected(
        self, scale: float, shift_px: np.ndarray, step_scale: float = 1.0
    ) -> SlotScanCamera:
        """Return the camera with its fan spread, its rows denser, and then moved.

        Parameters
        ----------
        scale
            How many times as wide the fan is.
        shift_px
            (2,) pixels by which the principal point moves then.
        step_scale
            How many times as dense the rows are.
        """
        intrinsics = np.diag([scale, step_scale, 1.0]) * self.intrinsics
        intrinsics[:2, 2] = self.intrinsics[:2, 2] + shift_px
        return replace(self, intrinsics=intrinsics)


def require_single_source(cameras: Iterable[Camera], what: str) -> None:
    """Refuse cameras of slot scans.

    Parameters
    ----------
    what
        Needs others, as in "tracking".

    Raises
    ------
    InputError
        If one of the cameras is that of a slot scan.
    """
    if any(camera.fan_axes == 1 for camera in cameras):
        raise InputError(
            f"views: {what} needs X-rays with a single source, but a slot scan (CT scout, EOS) is "
            "among them; leave it out, or register the views once by a search."
        )


@dataclass(frozen=True, kw_only=True)
class SlotScan:
    """A slot scan as one describes it, in world mm (LPS).

    Parameters
    ----------
    isocentre
        (3,) where the first row's central ray meets the plane in which `pixel_mm` holds.
    isocentre_to_source
        (3,) the direction from there to the source, of any length.
    source_to_isocentre_mm
        The distance of the two.
    columns_along, rows_along
        (3,) directions in which columns and rows follow each other, the latter that of the scan; at
        right angles to each other and to the central ray, of any length.
    pixel_mm
        (between columns at the isocentre, between rows along the scan).
    size
        (columns, rows).
    central_column
        That of the central ray; None puts it in the middle of the image.
    fan
        One of `fields.FANS`: columns at equal distances on a plane, or at equal angles.

    Raises
    ------
    InputError
        Names the field that is wrong.
    """

    isocentre: tuple[float, float, float]
    isocentre_to_source: tuple[float, float, float]
    source_to_isocentre_mm: float
    columns_along: tuple[float, float, float]
    rows_along: tuple[float, float, float]
    pixel_mm: tuple[float, float]
    size: tuple[int, int]
    central_column: float | None = None
    fan: str = FANS[0]

    def __post_init__(self) -> None:
        check_fields(SLOT_SCAN, self)
        x, y, z = self._axes()
        for key, cosine in (("columns_along", x @ z), ("rows_along", y @ z), ("rows_along", x @ y)):
            if abs(cosine) > RIGHT_ANGLE:
                raise InputError(
                    f"{key}: found {np.degrees(np.arccos(cosine)):.2f} degrees to another axis, "
                    "expected columns_along, rows_along and isocentre_to_source at right angles; "
                    "correct it."
                )

    def to_json(self) -> dict[str, Any]:
        """Return the scan as "slot_scan" of a case.json."""
        return to_json(SLOT_SCAN, self)

    def camera(self) -> SlotScanCamera:
        """Return the camera of its image, whose columns are at equal distances on a plane (else see `distortion.EqualAngles`)."""
        x, y, z = self._axes()
        distance = self.source_to_isocentre_mm
        width, height = self.pixel_mm
        central = (self.size[0] - 1) / 2 if self.central_column is None else self.central_column
        y -= (y @ z) * z
        y = rigid.unit(y)
        across = np.cross(y, z)
        source = self.isocentre - distance * z
        world_from_camera = rigid.from_rotation_translation(
            np.stack([across, y, z], axis=1), source
        )
        intrinsics = np.diag([np.sign(across @ x) * distance / width, 1 / height, 1])
        intrinsics[0, 2] = central
        return SlotScanCamera(intrinsics, rigid.inverse(world_from_camera), self.size)

    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return unit vectors along columns, along rows, and from the source to the isocentre."""
        return (
            self._direction("columns_along"),
            self._direction("rows_along"),
            -self._direction("isocentre_to_source"),
        )

    def _direction(self, key: str) -> np.ndarray:
        """Return a unit vector."""
        vector = np.array(getattr(self, key))
        length = np.linalg.norm(vector)
        if not length:
            raise InputError(f"{key}: found no length, expected a direction.")
        return vector / length
