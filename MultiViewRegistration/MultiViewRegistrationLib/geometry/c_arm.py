"""C-arm angles and distances, to a camera and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import rigid
from .camera import Camera
from .fields import C_ARM, check_fields, to_json

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
        if camera.fan_axes == 1:
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
