"""A view's calibration in this program's convention, and the options that complete a file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ...errors import InputError, MissingInformation, naming
from ...geometry import rigid
from ...geometry.camera import Camera, check_size
from ...geometry.distortion import Distortion
from ..cameras import camera_entry
from ..files import MAX_NUMBER, parse_numbers, printable
from ..transforms import DIRECTIONS

CALIBRATION = "a calibration file"  # for messages
_DOCTYPE = re.compile(r"<!DOCTYPE\s+\w+\s*>")  # names the root element and nothing else, as RTK writes it

UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
#: The file's world axes from LPS, (3, 3): all of them rotations.
AXES = {"lps": np.eye(3), "ras": np.diag([-1.0, -1, 1]), "own": np.eye(3)}
CHOICES = {
    "unit": tuple(UNITS),
    "axes": tuple(AXES),
    "first_pixel": (0, 0.5, 1),
    "projects_to": ("opengl",),
    "direction": DIRECTIONS,
}

MAX_MATRIX_ENTRY = 1e100  # a projection matrix may have any scale

#: Values that a file may leave open: a description, and how to set them.
QUESTIONS = {
    "unit": ("the unit of its lengths", '"mm", "cm" or "m"'),
    "axes": (
        "which way its world axes run",
        '"lps" (DICOM, ITK), "ras" (3D Slicer), or "own" (of a calibration object, which becomes the world as it is)',
    ),
    "first_pixel": (
        "which coordinates the centre of the top-left pixel has",
        "0 (OpenCV), 0.5 (its corner is 0, 0), or 1 (MATLAB)",
    ),
    "projects_to": (
        "what its 4x4 matrix with a perspective in its last row projects to",
        '"opengl" (OpenGL, VTK, ImFusion: x and y run from -1 to 1, y upward)',
    ),
    "size": ("the size of the image", "its columns and rows"),
    "detector_spacing_mm": ("the size of a pixel on the detector", "the mm between columns and between rows"),
    "detector_origin_mm": (
        "where on the detector the image lies",
        "the detector's mm at the centre of the top-left pixel, as the image's Origin",
    ),
    "intrinsics": (
        "the camera's intrinsics",
        "3 rows of 3 numbers, in pixels, for a camera that looks along its own z axis",
    ),
    "camera_frame": (
        "which of its frames is the camera's",
        "the name of the frame at the source with x along columns, y down rows, z to the detector",
    ),
    "world_frame": ("which of its frames is the world", "the name of a frame"),
    "fixed_transforms": (
        "where the camera is on the tracked object",
        'the path of a Plus configuration, or of a transform file, with that transform ("none" if the file itself is the '
        "camera's pose)",
    ),
    "direction": (
        "which way its transform goes",
        '"forward" (points of the C-arm to the world) or "resampling" (the inverse, as Slicer saves transforms)',
    ),
}


@dataclass(frozen=True, eq=False)
class CalibrationOptions:
    """Values that the calibration file does not state and the user gives, None where unknown. QUESTIONS explains each.

    Raises
    ------
    InputError
        For a value that is none of the choices.
    """

    unit: str | None = None
    axes: str | None = None
    first_pixel: float | None = None
    projects_to: str | None = None
    size: tuple[int, int] | None = None
    detector_spacing_mm: tuple[float, float] | None = None
    detector_origin_mm: tuple[float, float] | None = None
    intrinsics: np.ndarray | None = None
    camera_frame: str | None = None
    world_frame: str | None = None
    fixed_transforms: str | os.PathLike | None = None
    direction: str | None = None

    def __post_init__(self):
        for key, choices in CHOICES.items():
            value = getattr(self, key)
            if value is not None and value not in choices:
                raise InputError(f"{key}: found {value!r}, expected {QUESTIONS[key][1]}; choose one of these.")
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        for key in ("detector_spacing_mm", "detector_origin_mm"):
            if getattr(self, key) is not None:
                object.__setattr__(self, key, tuple(rigid.check_numbers(getattr(self, key), (2,), key).tolist()))
        if self.detector_spacing_mm is not None and min(self.detector_spacing_mm) <= 0:
            raise InputError(f"detector_spacing_mm: found {self.detector_spacing_mm}, expected two lengths above 0.")
        if self.intrinsics is not None:
            object.__setattr__(self, "intrinsics", rigid.check_numbers(self.intrinsics, (3, 3), "intrinsics"))

    def require(self, key: str, file: str) -> Any:
        """The value of `key`.

        Raises
        ------
        MissingInformation
            Beginning with `file`, where it is not given.
        """
        value = getattr(self, key)
        if value is None:
            what, choices = QUESTIONS[key]
            raise MissingInformation(f"{file}: does not say {what}; set {key} to {choices}.", key)
        return value

    def scale(self, file: str) -> float:
        """mm in a unit of length of the file."""
        return UNITS[self.require("unit", file)]

    def pixels_at_0(self, file: str) -> np.ndarray:
        """(3, 3): pixels with integer centres from those of the file. Requires `first_pixel`."""
        first = float(self.require("first_pixel", file))
        return np.array([[1, 0, -first], [0, 1, -first], [0, 0, 1]])

    def file_from_lps(self, file: str) -> np.ndarray:
        """(4, 4): the file's world, in its unit, from LPS mm. Requires `axes` and `unit`."""
        matrix = np.eye(4)
        matrix[:3, :3] = AXES[self.require("axes", file)] / self.scale(file)
        return matrix

    def in_lps_mm(self, P: np.ndarray, file: str) -> np.ndarray:
        """A matrix (3, 4) of the file's unit, axes and pixels as one of mm, LPS and integer pixel centres. Asks for all three."""
        check_magnitude(P, f"{file}: projection_matrix", MAX_MATRIX_ENTRY)
        return self.pixels_at_0(file) @ P @ self.file_from_lps(file)

    def pose_in_lps_mm(self, camera_from_world: np.ndarray, file: str) -> np.ndarray:
        """camera_from_world (4, 4), rigid, from the file's axes and unit to LPS and mm."""
        pose = np.array(camera_from_world, float)
        pose[:3, :3] = pose[:3, :3] @ AXES[self.require("axes", file)]
        pose[:3, 3] *= self.scale(file)
        return pose


@dataclass(frozen=True, eq=False)
class CalibratedView:
    """A view's geometry: world mm, OpenCV's pinhole, pixel centres integers, mirrored = negative fx.

    Attributes
    ----------
    name
        Of the view, as the file has it, or its number.
    projection_matrix
        (3, 4), world mm to pixels. Where the file defines the front side, depths (third row) are positive before
        the source; a 3x4 matrix alone does not, and keeps the sign with which it is written.
    size
        (columns, rows) of the image, None where unknown.
    camera
        None without the size, or where before and behind are unknown.
    distortion
        Of the image as it was taken; only ever with a camera.
    notes
        For a person, a sentence each.
    """

    name: str
    projection_matrix: np.ndarray
    size: tuple[int, int] | None = None
    camera: Camera | None = None
    distortion: Distortion | None = None
    notes: tuple[str, ...] = ()

    def content(self) -> dict[str, Any]:
        """Its keys in a view of a case.json: "camera" with "distortion", if any, or "projection_matrix"."""
        if self.camera is None:
            return {"projection_matrix": self.projection_matrix.tolist()}
        distortion = {} if self.distortion is None else {"distortion": self.distortion.coefficients.tolist()}
        return {"camera": camera_entry(self.camera), **distortion}


def from_matrix(file: str, name: str, P, size=None, *, signed: bool, notes: tuple[str, ...] = ()) -> CalibratedView:
    """The view of a matrix (3, 4) from world mm to pixels; `signed` if its depths are positive before the source.

    Raises
    ------
    InputError
        Beginning with `file` and `name`, where it is no camera's.
    """
    with naming(f"{file}: {name}"):
        P = rigid.check_numbers(P, (3, 4), "projection_matrix")
        plain = Camera.from_projection_matrix(P, size or (1, 1))
        camera = None
        if signed:
            z = P[2, :3] / np.linalg.norm(P[2, :3])
            camera = Camera.from_projection_matrix(P, size or (1, 1), in_front=plain.source + z)
            P = camera.projection_matrix
    return CalibratedView(name, P, size, camera if size else None, None, notes)


def from_parts(
    file: str,
    name: str,
    intrinsics,
    camera_from_world,
    size=None,
    distortion: Distortion | None = None,
    notes: tuple[str, ...] = (),
) -> CalibratedView:
    """The view of intrinsics (3, 3) and camera_from_world (4, 4), mm, of a camera that looks along its z axis; any sign of fx and fy.

    Raises
    ------
    InputError
        Beginning with `file` and `name`, where they are no camera's.
    MissingInformation
        Where there is distortion and no size.
    """
    if distortion is not None and size is None:
        raise MissingInformation(
            f"{file}: {name}: has distortion but not the size of its image, so that it cannot be undone; set size to its columns and rows.",
            "size",
        )
    for values, what in ((intrinsics, "intrinsics"), (camera_from_world, "camera_from_world")):
        check_magnitude(values, f"{file}: {name}: {what}")
    with naming(f"{file}: {name}"):
        pose = rigid.check_rigid(camera_from_world, "camera_from_world")
        K = rigid.check_numbers(intrinsics, (3, 3), "intrinsics")
        if distortion is None and K[1, 1] < 0:  # rows run up: a turn of the camera by half about x or y, which RQ finds
            return from_matrix(file, name, K @ pose[:3], size, signed=True, notes=notes)
        camera = Camera(K, pose, size or (1, 1))
    return CalibratedView(name, camera.projection_matrix, size, camera if size else None, distortion, notes)


def check_magnitude(numbers, name: str, largest: float = MAX_NUMBER) -> None:
    """Refuse numbers that are not finite, or so large that they are a slip.

    Raises
    ------
    InputError
        Beginning with `name`.
    """
    if not (np.abs(numbers) <= largest).all():
        raise InputError(
            f"{name} has a number that is not finite or beyond {largest:g}, expected pixels and lengths; correct it."
        )


#: How many numbers, with commas between.
_NUMBERS = {"first_pixel": 1, "size": 2, "detector_spacing_mm": 2, "detector_origin_mm": 2, "intrinsics": 9}


def parse_option(text: str) -> tuple[str, Any]:
    """(key, value) of "key=value", for `CalibrationOptions`. The nine numbers of intrinsics go by rows.

    Raises
    ------
    InputError
        For a key that is not in QUESTIONS, and for a value that is not of its kind.
    """
    key, _, value = (part.strip() for part in text.partition("="))
    if not value or key not in QUESTIONS:
        raise InputError(
            f'--given: found "{printable(text)}", expected key=value with one of {", ".join(QUESTIONS)}; correct it.'
        )
    parsed: Any = value
    if key in _NUMBERS:
        numbers = parse_numbers(value, _NUMBERS[key])
        if numbers is None:
            raise InputError(
                f'--given: {key} is "{printable(value)}", expected {_NUMBERS[key]} numbers with commas between: '
                f"{QUESTIONS[key][1]}; correct it."
            )
        parsed = np.reshape(numbers, (3, 3)) if key == "intrinsics" else tuple(numbers)
        parsed = numbers[0] if len(numbers) == 1 else parsed
    CalibrationOptions(**{key: parsed})
    return key, parsed


def xml_root(text: str, file: str) -> ElementTree.Element:
    """The root element.

    Raises
    ------
    InputError
        For invalid XML, and for any declaration of a document type that does more than name the root.
    """
    if "<!ENTITY" in text or "<!DOCTYPE" in _DOCTYPE.sub("", text, count=1):
        raise InputError(
            f"{file} declares entities or a document type, expected plain XML; export it again without them."
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{file} is not XML ({error}), expected a whole file; export it again.") from None
