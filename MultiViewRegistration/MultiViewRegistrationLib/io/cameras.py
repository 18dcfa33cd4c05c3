"""The cameras of a case: read from its JSON, and settled by what only the images and the CT tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.c_arm import CArm
from ..geometry.camera import Camera
from ..geometry.distortion import Distortion, EqualAngles
from ..geometry.epipolar import closest_point
from ..geometry.slot_scan import FANS, SlotScan
from .files import JsonObject

GEOMETRIES = ("projection_matrix", "camera", "c_arm", "slot_scan")
PARALLEL = 0.015  # 1 - cos(10 degrees): nearer to parallel than that, where two rays meet means nothing
#: Of three planes with normals of length 1, the determinant below which they meet in no point; voxels by which planes may miss one.
PARALLEL_PLANES, TOUCHING = 1e-12, 1e-7

#: How well cameras are known where a case does not say: the keys of a view with their values.
#: A calibration is right to half a pixel: it is reproduced to 0.2 mm on the detector (Daly et al., Med Phys 35, 2008).
CALIBRATION: dict[str, float | None] = {
    "rotation_sd_deg": 0.0,
    "translation_sd_mm": 0.0,
    "principal_point_sd_px": 0.5,
    "distance_sd_percent": 0.1,
}
#: Angles and distances read off a C-arm, from a header or typed, and how far the principal point moves on the detector as the C-arm
#: bends: by up to 16 mm, its source by 8 mm and its detector by 3 degrees on a mobile one (Daly et al.).
READINGS: dict[str, float | None] = {"rotation_sd_deg": 1.0, "translation_sd_mm": 3.0, "distance_sd_percent": 1.0}
PRINCIPAL_POINT_SD_MM = 3.0
#: A slot scan by a machine's own word: of a CT scanner's scouts the fan was 0.4 and 0.8 % wider than that (docs/scouts.md).
SLOT_SCAN: dict[str, float | None] = {
    "rotation_sd_deg": 0.1,
    "translation_sd_mm": 0.3,
    "distance_sd_percent": 0.5,
    "step_sd_percent": 0.1,
}
FAN_CENTRE_SD_MM = 0.5


#: An assumption: a mask leaves out what did not fit at an earlier pose.
LEFT_OUT = "What did not fit at an earlier pose, and its mask leaves out, is none of the CT."


def camera_uncertainty(view: Mapping[str, Any]) -> dict[str, Any]:
    """The standard deviations of a view of a case.json, as it says, or as usual for where its geometry comes from."""
    usual, c_arm = CALIBRATION, view.get("c_arm")
    if c_arm is not None:
        usual = {
            **CALIBRATION,
            **READINGS,
            "principal_point_sd_px": PRINCIPAL_POINT_SD_MM / float(min(c_arm["pixel_mm"])),
        }
    elif (slot_scan := view.get("slot_scan")) is not None:
        usual = {
            **CALIBRATION,
            **SLOT_SCAN,
            "principal_point_sd_px": FAN_CENTRE_SD_MM / float(slot_scan["pixel_mm"][0]),
        }
    return {key: view.get(key, sd) for key, sd in usual.items()}


def describe_uncertainty(uncertainty: Mapping[str, float | None]) -> str:
    """How well a camera is known, in a few words: "\u00b11\u00b0, 3 mm, 4 px, 1 %", "exact" or "unknown"."""
    rotation, translation, pixels, percent = (uncertainty[key] for key in CALIBRATION)
    if rotation is None and translation is None:
        return "unknown"
    known = [
        "any angle" if rotation is None else f"{rotation:.2g}\u00b0" if rotation else "",
        "any place" if translation is None else f"{translation:.2g} mm" if translation else "",
        f"{pixels:.2g} px" if pixels else "",
        f"{percent:.2g} %" if percent else "",
    ]
    return "\u00b1" + ", ".join(filter(None, known)) if any(known) else "exact"


@dataclass(frozen=True, eq=False)
class Geometry:
    """A view's geometry as the case gives it.

    It is either `projection_matrix` (3, 4), whose sign and image size are still open, or `camera`, which has its `pixel_mm` if it was
    given as a C-arm or a slot scan, and that as `c_arm` or `slot_scan` as in a case.json. `distortion` is that of the image as it was
    taken, only ever with a `camera`, whose intrinsics it goes with. `field` is its name in messages: "case.json: views[0].c_arm".
    """

    field: str
    projection_matrix: np.ndarray | None = None
    camera: Camera | None = None
    pixel_mm: tuple[float, float] | None = None
    distortion: Distortion | EqualAngles | None = None
    c_arm: dict[str, Any] | None = None
    slot_scan: dict[str, Any] | None = None

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3), of a geometry that has a camera."""
        assert self.camera is not None
        return self.camera.intrinsics

    def plain_camera(self, size: tuple[int, int]) -> Camera:
        """The camera of an image of `size` (columns, rows). A projection matrix is taken as not mirrored.

        Raises
        ------
        InputError
            Where the case gives another size.
        """
        if self.camera is None:
            return Camera.from_projection_matrix(self.projection_matrix, size)
        if self.camera.size != size:
            raise InputError(
                f"{self.field}.size is {list(self.camera.size)}, but the image has {size[0]} columns and "
                f"{size[1]} rows, expected the size of the image as it is stored; correct it or the image."
            )
        return self.camera


def camera_entry(camera: Camera) -> dict[str, Any]:
    """What a view of a case.json says of a camera, as "camera"."""
    return {
        "intrinsics": camera.intrinsics.tolist(),
        "camera_from_world": camera.camera_from_world.tolist(),
        "size": list(camera.size),
    }


def read_geometry(view: JsonObject) -> Geometry:
    """The one geometry in an entry of "views"."""
    given = [key for key in GEOMETRIES if view.has(key)]
    if len(given) != 1:
        what, remedy = (
            (" and ".join(given), "keep one")
            if given
            else ("no geometry, and its image no DICOM header with one", "add the one you know")
        )
        expected = f"one of {', '.join(GEOMETRIES)}"
        raise InputError(f"{view.file}: {view.name} has {what}, expected {expected}; {remedy}.")
    key = given[0]
    field = f"{view.file}: {view.label(key)}"
    if key != "camera" and view.has("distortion"):
        view.refuse(
            "distortion",
            f"stands beside {key}",
            "a camera, whose intrinsics it goes with",
            "give the geometry as a camera, or undistort the image",
        )
    if key == "projection_matrix":
        matrix = view.array(key, (3, 4), "3 rows of 4 numbers that take world mm (LPS) to pixels", limit=1e100)
        _built(Camera.from_projection_matrix, view, projection_matrix=matrix, size=(1, 1))
        return Geometry(field, projection_matrix=matrix)
    fields = view.section(key)
    if key == "c_arm":
        return _c_arm(field, fields)
    if key == "slot_scan":
        return _slot_scan(field, fields)
    camera = _built(
        Camera,
        fields,
        intrinsics=fields.array("intrinsics", (3, 3), "3 rows of 3 numbers, in pixels"),
        camera_from_world=fields.array("camera_from_world", (4, 4), "a rigid matrix of 4 rows of 4 numbers"),
        size=fields.array("size", (2,), "[columns, rows] of the image"),
    )
    coefficients = view.optional("distortion", view.array, (None,), "OpenCV's coefficients, [k1, k2, p1, p2, k3, ...]")
    distortion = None if coefficients is None else _built(Distortion, view, coefficients=coefficients)
    return Geometry(field, camera=camera, distortion=distortion)


#: Of a C-arm's readings: how many numbers, whether it is needed, and what it is.
_READINGS = {
    "source_to_detector_mm": ((), True, "a number of mm"),
    "source_to_isocentre_mm": ((), True, "a number of mm"),
    "pixel_mm": ((2,), True, "the mm between [columns, rows] on the detector"),
    "size": ((2,), True, "[columns, rows] of the image"),
    "rao_lao_deg": ((), True, "a number of degrees"),
    "cra_cau_deg": ((), True, "a number of degrees"),
    "roll_deg": ((), False, "a number of degrees"),
    "principal_point": ((2,), False, "a pixel [column, row]"),
    "isocentre_offset_mm": ((2,), False, "[x, y] in mm"),
}


def c_arm_readings(fields: JsonObject, *, whole: bool = True) -> dict[str, Any]:
    """What a "c_arm" says: all that is needed, or what is given of it."""
    readings = _numbers(fields, _READINGS, whole=whole)
    if fields.has("mirrored"):
        readings["mirrored"] = fields.value("mirrored", "true or false", bool)
    return readings


def _c_arm(field: str, fields: JsonObject) -> Geometry:
    readings = c_arm_readings(fields)
    camera = _built(lambda **values: CArm(**values).camera(), fields, **readings)
    return Geometry(field, camera=camera, pixel_mm=tuple(readings["pixel_mm"].tolist()), c_arm=dict(fields.values))


_DIRECTION = ((3,), True, "a direction [x, y, z] in the world (LPS)")
#: Of a slot scan: how many numbers, whether it is needed, and what it is.
_SLOT_SCAN = {
    "isocentre": ((3,), True, "a point [x, y, z] in world mm (LPS), of the first row"),
    "isocentre_to_source": _DIRECTION,
    "source_to_isocentre_mm": ((), True, "a number of mm"),
    "columns_along": _DIRECTION,
    "rows_along": _DIRECTION,
    "pixel_mm": ((2,), True, "the mm between [columns at the isocentre, rows along the scan]"),
    "size": ((2,), True, "[columns, rows] of the image"),
    "central_column": ((), False, "a column"),
}


def slot_scan_values(fields: JsonObject, *, whole: bool = True) -> dict[str, Any]:
    """What a "slot_scan" says but for its fan: all that is needed, or what is given of it."""
    return _numbers(fields, _SLOT_SCAN, whole=whole)


def _slot_scan(field: str, fields: JsonObject) -> Geometry:
    values = slot_scan_values(fields)
    fan = fields.optional("fan", fields.choice, FANS, default=FANS[0])
    camera = _built(lambda **values: SlotScan(**values).camera(), fields, **values)
    bent = EqualAngles() if fan == "equal_angles" else None
    pixel_mm = tuple(values["pixel_mm"].tolist())
    return Geometry(field, camera=camera, pixel_mm=pixel_mm, distortion=bent, slot_scan=dict(fields.values))


def _numbers(fields: JsonObject, wanted: Mapping[str, tuple], *, whole: bool = True) -> dict[str, Any]:
    """The numbers that are given; the needed ones, too, where they are to be whole."""
    missing = [key for key, (_shape, needed, _expected) in wanted.items() if needed and whole and not fields.has(key)]
    if len(missing) > 1:
        raise InputError(f"{fields.file}: {fields.name} is missing {', '.join(missing)}; add them.")
    return {
        key: fields.array(key, shape, expected) if shape else fields.number(key, expected)
        for key, (shape, needed, expected) in wanted.items()
        if fields.has(key) or needed and whole
    }


def _built(kind: Callable[..., Any], fields: JsonObject, **values: Any) -> Any:
    """`kind(**values)`; its errors begin with a keyword, and here name that as it stands in the file."""
    try:
        with np.errstate(over="ignore"):  # infinite intrinsics, of a pixel of 1e-308 mm, are refused
            return kind(**values)
    except InputError as error:
        raise InputError(f"{fields.file}: {fields.label(str(error))}") from None


def settle(geometries: list[Geometry], sizes: list[tuple[int, int]], ct_centre: np.ndarray | None) -> list[Camera]:
    """The camera of each view, for images of `sizes` (columns, rows) and a CT at `ct_centre` (3,), world mm.

    Without a start pose `ct_centre` is None, and the views' meeting_point stands for it.

    P and -P are one projection, so the sign of a matrix as written says something only together with a point
    that the image shows. If that has a positive depth (third row), a negative determinant of the left 3x3
    means a mirrored image; if both are negative the whole matrix has the other sign; a negative depth alone
    has the point behind the source.
    """
    cameras = [geometry.plain_camera(size) for geometry, size in zip(geometries, sizes)]
    point = meeting_point(cameras) if ct_centre is None else ct_centre
    what = "the point where the views meet" if ct_centre is None else "the CT at its start pose"
    return [_before(point, what, geometry, camera) for geometry, camera in zip(geometries, cameras)]


def _before(point: np.ndarray | None, what: str, geometry: Geometry, plain: Camera) -> Camera:
    """The camera with `point`, which is `what`, before its source; `plain` is the one not mirrored."""
    P, advice = geometry.projection_matrix, ""
    if P is not None:
        negative = np.linalg.slogdet(P[:, :3] / np.abs(P).max())[0] < 0
        if point is None and negative:
            raise InputError(
                f"{geometry.field} has a negative determinant and may be that of a mirrored image, expected "
                "a way to tell; add world_from_ct, or multiply it by -1 if the image is not mirrored."
            )
        if point is not None and negative and plain.depth(point) < 0:
            return Camera.from_projection_matrix(P, plain.size, in_front=point)
        advice = ", or multiply the matrix of a mirrored image by -1 so that depths are positive"
    if point is not None and plain.depth(point) <= 0:
        raise InputError(
            f"{geometry.field} has {what} behind the X-ray source, expected it between source and "
            f"detector; correct it or world_from_ct{advice}."
        )
    return plain


def meeting_point(cameras: list[Camera]) -> np.ndarray | None:
    """The point (3,) in world mm with the least squared distances to one line a view, from the source through
    the middle of the image; None for a single view, and where the lines are nearly parallel."""
    directions = np.stack([camera.ray_directions((np.array(camera.size) - 1) / 2) for camera in cameras])
    if len(cameras) - np.linalg.eigvalsh(directions.T @ directions)[-1] < PARALLEL:
        return None
    return closest_point(np.stack([camera.source for camera in cameras]), directions)[0]


def sees(camera: Camera, world_from_index: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    """Whether any point of the box from `low` to `high` (3,), in voxel indices, falls on the camera's image.

    What both have in common is convex and bounded: where there is anything, it has a corner, in which three of their planes meet.
    """
    outside = camera.field_planes @ world_from_index  # @ (i, j, k, 1) <= 0 within the field
    outside /= np.linalg.norm(outside[:, :3], axis=1, keepdims=True)
    if (outside @ [*(low + high) / 2, 1.0] <= 0).all():
        return True
    box = np.vstack([np.c_[-np.eye(3), low], np.c_[np.eye(3), -high]])
    planes = np.vstack([outside, box])
    meeting = planes[np.array(list(combinations(range(len(planes)), 3)))]
    meeting = meeting[np.abs(np.linalg.det(meeting[..., :3])) > PARALLEL_PLANES]
    corners = np.linalg.solve(meeting[..., :3], -meeting[..., 3:])[..., 0]
    within = corners @ planes[:, :3].T + planes[:, 3] <= TOUCHING
    return bool(within.all(axis=1).any())
