"""C-arms, and slot scanners such as CT scouts (localizers, topograms, surviews) and EOS: readings, to a camera and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import rigid
from .camera import Camera
from .fields import C_ARM, FANS, SLOT_SCAN, check_fields, to_json

WORLD_FROM_CAMERA_AP = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]])
"""Camera axes (columns) in the world at 0/0: x to the patient's right, y to the feet, z to the
front."""


DEG = "°"
#: A second letter is written where the direction is as near to its axis as this cosine: from 30
#: degrees off the first.
SECOND_LETTER = 0.5


@dataclass(frozen=True, kw_only=True)
class CArm:
    """A C-arm's reading. The world has its origin at the isocentre and the patient's LPS axes, in mm.

    The angles say where the detector is, as in DICOM PS3.3 C.8.7.5.1.2 (tags 0018,1510 and
    0018,1511), like longitude and latitude: the source sees along
        d = (sin p cos s, -cos p cos s, sin s),    p = rao_lao_deg, s = cra_cau_deg.
    At 0/0 the detector is before the patient and the source behind. Without roll the head is up in
    the image.

    Parameters
    ----------
    source_to_detector_mm
        Along the central axis, square to the detector.
    source_to_isocentre_mm
        Along the same axis; less than source_to_detector_mm.
    pixel_mm
        (distance between columns, distance between rows) on the detector; DICOM puts rows first.
    size
        (columns, rows).
    rao_lao_deg
        Positive towards LAO; +90 puts the detector at the patient's left.
    cra_cau_deg
        -90 to 90, positive towards CRA, i.e. with the detector towards the head.
    principal_point
        Pixel (u, v) of the central axis; None puts it in the middle of the image.
    roll_deg
        Turn of the image about the central axis, clockwise as the source sees it.
    isocentre_offset_mm
        (x, y) of the isocentre in the camera: how far the central axis misses it.
    mirrored
        False if the image is stored as the source sees it (at 0/0 the patient's right is on its
        right), True if as seen from the detector, facing the patient (on its left; DICOM
        C.8.19.6.13.1.2).

    Raises
    ------
    InputError
        Names the field that is wrong.
    """

    source_to_detector_mm: float
    source_to_isocentre_mm: float
    pixel_mm: tuple[float, float]
    size: tuple[int, int]
    rao_lao_deg: float
    cra_cau_deg: float
    principal_point: tuple[float, float] | None = None
    roll_deg: float = 0.0
    isocentre_offset_mm: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False

    def __post_init__(self) -> None:
        check_fields(C_ARM, self)
        if self.source_to_isocentre_mm >= self.source_to_detector_mm:
            raise InputError(
                f"source_to_isocentre_mm: found {self.source_to_isocentre_mm:g}, expected more "
                f"than 0 and less than source_to_detector_mm, {self.source_to_detector_mm:g}."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the reading as "c_arm" of a case.json."""
        return to_json(C_ARM, self)

    def camera(self) -> Camera:
        """Return the camera of this reading.

        world_from_camera turns by Rz(p) Rx(-s) AP Rz(-roll).
        """
        fx, fy = self.source_to_detector_mm / np.array(self.pixel_mm)
        cx, cy = self.principal_point or (np.array(self.size) - 1) / 2
        intrinsics = np.array([[-fx if self.mirrored else fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        R = rotation(self.rao_lao_deg, self.cra_cau_deg) @ about_axis(2, -self.roll_deg)
        isocentre = (*self.isocentre_offset_mm, self.source_to_isocentre_mm)
        return Camera(intrinsics, rigid.from_rotation_translation(R.T, isocentre), self.size)

    @classmethod
    def from_camera(cls, camera: Camera, pixel_mm: Any, tolerance_px: float = 0.5) -> CArm:
        """Return the reading of a camera whose world is that of a C-arm.

        The pose is kept in full: what angles and distances cannot say stands in `roll_deg` and
        `isocentre_offset_mm`, both 0 on an ideal C-arm. At cra_cau_deg = 90 or -90, where
        rao_lao_deg and roll_deg are one rotation, rao_lao_deg is 0. Skew and a pixel shape other
        than pixel_mm are given up: source_to_detector_mm is the geometric mean of those along x and
        y.

        Parameters
        ----------
        pixel_mm
            (width, height) on the detector.
        tolerance_px
            How far `reading.camera()` may show points of the image from where `camera` does.

        Raises
        ------
        InputError
            If pixels would move further, if the isocentre is not between source and detector, and
            for a slot scan.
        """
        if camera.is_slot_scan:
            raise InputError(
                "camera: is that of a slot scan, expected one with a single source, which a C-arm "
                "has."
            )
        pixel_mm = C_ARM["pixel_mm"].check(pixel_mm)
        (fx, skew, _), (_, fy, _), _ = camera.intrinsics
        p, s, roll = angles(camera.camera_from_world[:3, :3].T)
        x, y, depth = camera.camera_from_world[:3, 3]
        to_detector = np.sqrt(abs(fx) * fy * pixel_mm[0] * pixel_mm[1])
        if not 0 < depth < to_detector:
            raise InputError(
                f"camera: the world's origin lies {depth:.6g} mm from the source on its axis, "
                f"expected 0 to {to_detector:.6g} mm (the detector); "
                "put the origin at the isocentre or correct pixel_mm."
            )
        reading = cls(
            source_to_detector_mm=to_detector,
            source_to_isocentre_mm=depth,
            pixel_mm=pixel_mm,
            size=camera.size,
            rao_lao_deg=p,
            cra_cau_deg=s,
            principal_point=(float(camera.principal_point[0]), float(camera.principal_point[1])),
            roll_deg=roll,
            isocentre_offset_mm=(x, y),
            mirrored=bool(fx < 0),
        )
        corners = camera.at_depth(camera.corners, depth)
        moved = np.linalg.norm(reading.camera().project(corners) - camera.corners, axis=1).max()
        if moved > tolerance_px:
            width, height = pixel_mm
            raise InputError(
                f"camera: pixels of {fy / abs(fx):.6g}:1 (width:height), skewed by {skew:.4g}, "
                f"do not fit pixel_mm {width:g}, {height:g} ({moved:.3g} px off, expected up to "
                f"{tolerance_px:g}); correct pixel_mm or allow a larger tolerance_px."
            )
        return reading


def about_axis(axis: int, degrees: float) -> np.ndarray:
    """Return the rotation (3, 3) about coordinate axis 0, 1 or 2."""
    return rigid.exp_so3(np.radians(degrees) * np.eye(3)[axis])


def rotation(rao_lao_deg: float, cra_cau_deg: float) -> np.ndarray:
    """Return the rotation (3, 3), world from camera, without roll."""
    return about_axis(2, rao_lao_deg) @ about_axis(0, -cra_cau_deg) @ WORLD_FROM_CAMERA_AP


def angles(R: np.ndarray) -> tuple[float, float, float]:
    """Return (rao_lao, cra_cau, roll) in degrees of a rotation (3, 3), world from camera."""
    x, y, z = R[:, 2]
    level = np.hypot(x, y)
    p = (
        np.degrees(np.arctan2(x, -y)) if level > 1e-12 else 0.0
    )  # at the poles any longitude would do
    s = np.degrees(np.arctan2(z, level))
    turn = rotation(p, s).T @ R
    return p, s, np.degrees(np.arctan2(turn[0, 1], turn[0, 0]))


def angle(degrees: float, positive: str, negative: str) -> str:
    """Return "LAO 30 degrees" for 30, "RAO 30 degrees" for -30, with the sign for degrees."""
    return f"{positive if degrees >= 0 else negative} {round(abs(degrees), 1):g}{DEG}"


def side_of_direction(direction: ArrayLike) -> str:
    """Return the patient's side in this direction, world LPS: L or R, A or P, H or F.

    A second letter where it is oblique.
    """
    way = rigid.unit(np.asarray(direction))
    letters = ""
    for axis in np.argsort(-np.abs(way))[:2]:
        if not letters or abs(way[axis]) > SECOND_LETTER:
            letters += ("LR", "PA", "HF")[axis][int(way[axis] < 0)]
    return letters


#: The angles of a C-arm's reading, by their keys in a case.json.
ANGLES = ("rao_lao_deg", "cra_cau_deg", "roll_deg")


def left_side(values: Mapping[str, Any], mirrored: bool) -> str:
    """Return the patient's side at the left edge of an image, the first letter of `side_of_direction`.

    Parameters
    ----------
    values
        Of a C-arm's reading; angles that are not given count as 0.
    mirrored
        Whether the image is seen from the detector.
    """
    p, s, roll = (float(values.get(key, 0)) for key in ANGLES)
    to_right = (rotation(p, s) @ about_axis(2, -roll))[:, 0]
    return side_of_direction(to_right if mirrored else -to_right)[0]


def image_sides(camera: Camera, world_from_patient: np.ndarray) -> tuple[str, str, str, str]:
    """Return the patient's sides at the left, right, top and bottom edge of an image.

    Parameters
    ----------
    world_from_patient
        (4, 4) from his axes (LPS).
    """
    right, down = (world_from_patient[:3, :3].T @ camera.plane_at(1.0)[:, :2]).T
    left, right, top, bottom = (side_of_direction(way) for way in (-right, right, -down, down))
    return left, right, top, bottom


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
    is_slot_scan = True

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
    if any(camera.is_slot_scan for camera in cameras):
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
