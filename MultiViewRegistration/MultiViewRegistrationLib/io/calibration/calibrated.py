"""A view's calibration in this program's convention, and the options that complete a file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np

from ...errors import InputError, MissingInformation, naming
from ...geometry import rigid
from ...geometry.camera import Camera, Distortion
from ...geometry.fields import Field, check_fields, table_of
from ..files import MAX_NUMBER
from ..view_record import ViewRecord

CALIBRATION = "a calibration file"  # for messages
_DOCTYPE = re.compile(
    r"<!DOCTYPE\s+\w+\s*>"
)  # names the root element and nothing else, as RTK writes it

UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
#: The file's world axes from LPS, (3, 3): all of them rotations.
AXES = {"lps": np.eye(3), "ras": np.diag([-1.0, -1, 1]), "own": np.eye(3)}
MAX_MATRIX_ENTRY = 1e100  # a projection matrix may have any scale

#: Values that a file may leave open.
OPEN = table_of(
    Field("unit", "unit of its lengths", choices=dict.fromkeys(UNITS, "")),
    Field(
        "axes",
        "world axes",
        choices={
            "lps": "DICOM, ITK",
            "ras": "3D Slicer",
            "own": "of a calibration object, which becomes the world as it is",
        },
    ),
    Field(
        "first_pixel",
        "coordinates of the first pixel's centre",
        choices={0: "OpenCV", 0.5: "its corner is 0, 0", 1: "MATLAB"},
    ),
    Field(
        "projects_to",
        "range that its 4x4 matrix projects to",
        choices={"opengl": "OpenGL, VTK, ImFusion: x and y run from -1 to 1, y upward"},
    ),
    Field(
        "seen_from",
        "end of the beam that the image is seen from",
        choices={
            "source": "with the detector in front of the patient, his right is on the image's right",
            "detector": "as most C-arms show it: with the detector in front of him, his right is on the left",
        },
    ),
    Field("size", "size of the image", "its columns and rows", shape=(2,), whole=True),
    Field(
        "detector_spacing_mm",
        "detector pixel",
        "the mm between columns and between rows",
        shape=(2,),
        unit="mm",
        above=0,
    ),
    Field(
        "detector_origin_mm",
        "detector origin",
        "the detector's mm at the centre of the top-left pixel, as the image's Origin",
        shape=(2,),
        unit="mm",
    ),
    Field(
        "intrinsics",
        "intrinsics",
        "3 rows of 3 numbers, in pixels, for a camera that looks along its own z axis",
        shape=(3, 3),
    ),
    Field(
        "camera_frame",
        "camera's frame",
        "the name of the frame at the source with x along columns, y down rows, z to the detector",
        shape=None,
    ),
    Field("world_frame", "world's frame", "the name of a frame", shape=None),
    Field(
        "fixed_transforms",
        "place of the camera on what is tracked",
        'the path of a Plus configuration, or of a transform file, with that transform ("none" if the file itself is the '
        "camera's pose)",
        shape=None,
    ),
    Field(
        "direction",
        "direction of its transform",
        choices={
            "forward": "points of the C-arm to the world",
            "resampling": "the inverse, as Slicer saves transforms",
        },
    ),
)


@dataclass(frozen=True, eq=False)
class CalibrationOptions:
    """Values that the calibration file does not state and the user gives, None where unknown.

    OPEN explains each.

    Raises
    ------
    InputError
        For a value that is none of the choices.
    """

    unit: str | None = None
    axes: str | None = None
    first_pixel: float | None = None
    projects_to: str | None = None
    seen_from: str | None = None
    size: tuple[int, int] | None = None
    detector_spacing_mm: tuple[float, float] | None = None
    detector_origin_mm: tuple[float, float] | None = None
    intrinsics: Sequence[Sequence[float]] | None = None
    camera_frame: str | None = None
    world_frame: str | None = None
    fixed_transforms: str | os.PathLike | None = None
    direction: str | None = None

    def __post_init__(self) -> None:
        check_fields(OPEN, self)

    def require(self, key: str, file: str) -> Any:
        """Return the value of `key`.

        Raises
        ------
        MissingInformation
            Beginning with `file`, where it is not given.
        """
        value = getattr(self, key)
        if value is None:
            what = OPEN[key]
            raise MissingInformation(
                f"{file}: does not say the {what.words}; set {key} to {what.help or what.allowed}.",
                key,
            )
        return value

    def scale(self, file: str) -> float:
        """Return the mm in a unit of length of the file."""
        return UNITS[self.require("unit", file)]

    def pixels_at_0(self, file: str) -> np.ndarray:
        """Return the matrix (3, 3) to pixels with integer centres from those of the file.

        Requires `first_pixel`.
        """
        first = float(self.require("first_pixel", file))
        return np.array([[1, 0, -first], [0, 1, -first], [0, 0, 1]])

    def file_from_lps(self, file: str) -> np.ndarray:
        """Return the matrix (4, 4) to the file's world, in its unit, from LPS mm.

        Requires `axes` and `unit`.
        """
        matrix = np.eye(4)
        matrix[:3, :3] = AXES[self.require("axes", file)] / self.scale(file)
        return matrix

    def in_lps_mm(self, P: np.ndarray, file: str) -> np.ndarray:
        """Convert a matrix (3, 4) of the file's unit, axes and pixels to mm, LPS and integer pixel centres. Requires all three."""
        check_magnitude(P, f"{file}: projection_matrix", MAX_MATRIX_ENTRY)
        return self.pixels_at_0(file) @ P @ self.file_from_lps(file)

    def pose_in_lps_mm(self, camera_from_world: np.ndarray, file: str) -> np.ndarray:
        """Convert camera_from_world (4, 4), rigid, from the file's axes and unit to LPS and mm."""
        pose = np.array(camera_from_world, float)
        pose[:3, :3] = pose[:3, :3] @ AXES[self.require("axes", file)]
        pose[:3, 3] *= self.scale(file)
        return pose


Record = TypeVar("Record", bound=ViewRecord)


@dataclass(frozen=True, eq=False)
class CalibratedView:
    """A view's geometry: world mm, OpenCV's pinhole, pixel centres integers, mirrored = negative fx.

    Attributes
    ----------
    name
        Of the view, as the file has it, or its number.
    projection_matrix
        (3, 4), world mm to pixels; the third row gives the depth in mm, where it is `signed`.
    size
        (columns, rows) of the image, None where unknown.
    camera
        None without the size, or where before and behind are unknown.
    distortion
        Of the image as it was taken; only ever with a camera.
    notes
        For a person, a sentence each.
    uncertainty
        Standard deviations that the file gives, by their keys in a case.json.
    signed
        Whether depths are positive before the source; a 3x4 matrix alone does not say, and keeps
        the sign with which it is written.
    """

    name: str
    projection_matrix: np.ndarray
    size: tuple[int, int] | None = None
    camera: Camera | None = None
    distortion: Distortion | None = None
    notes: tuple[str, ...] = ()
    uncertainty: Mapping[str, float | None] = field(default_factory=dict)
    signed: bool = True

    def settled(self, file: str, options: CalibrationOptions) -> CalibratedView:
        """Return the view with depths that are positive before the source.

        A negative determinant is that of an image as seen from the detector, or of a matrix with
        the wrong sign. Requires `seen_from` where the file does not tell, and `size` of a mirrored
        image, whose camera alone keeps that it is one.
        """
        P = self.projection_matrix
        asked = not self.signed and options.seen_from is not None
        negative = self.camera is None and np.linalg.slogdet(P[:, :3])[0] < 0
        if not (negative or asked):
            return self
        mirrored = self.signed or options.require("seen_from", file) == "detector"
        size = self.size or (options.require("size", file) if mirrored else None)
        P = P if negative == mirrored else -P
        return from_matrix(file, self.name, P, size, signed=True, notes=self.notes)

    def given_to(self, record: Record) -> Record:
        """Return a record of an X-ray with this geometry."""
        geometry = self.projection_matrix if self.camera is None else self.camera
        return replace(
            record,
            geometry=geometry,
            distortion=self.distortion,
            size=self.size if self.camera is None else None,
            uncertainty={**self.uncertainty, **record.uncertainty},
        )


def from_matrix(
    file: str, name: str, P: Any, size: Any = None, *, signed: bool, notes: tuple[str, ...] = ()
) -> CalibratedView:
    """Return the view of a matrix (3, 4) from world mm to pixels.

    `signed` if its depths are positive before the source.

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
            z = rigid.unit(P[2, :3])
            camera = Camera.from_projection_matrix(P, size or (1, 1), in_front=plain.source + z)
            P = camera.projection_matrix
    return CalibratedView(name, P, size, camera if size else None, None, notes, signed=signed)


def from_parts(
    file: str,
    name: str,
    intrinsics: Any,
    camera_from_world: Any,
    size: Any,
    distortion: Distortion | None = None,
    notes: tuple[str, ...] = (),
) -> CalibratedView:
    """Return the view of a camera that looks along its z axis; any sign of fx and fy.

    Parameters
    ----------
    intrinsics
        (3, 3).
    camera_from_world
        (4, 4), mm.

    Raises
    ------
    InputError
        Beginning with `file` and `name`, where they are no camera's.
    MissingInformation
        Where there is distortion and no size.
    """
    if distortion is not None and size is None:
        raise MissingInformation(
            f"{file}: {name}: has distortion but not the size of its image, so that it cannot be "
            "undone; set size to its columns and rows.",
            "size",
        )
    for values, what in ((intrinsics, "intrinsics"), (camera_from_world, "camera_from_world")):
        check_magnitude(values, f"{file}: {name}: {what}")
    with naming(f"{file}: {name}"):
        pose = rigid.check_rigid(camera_from_world, "camera_from_world")
        K = rigid.check_numbers(intrinsics, (3, 3), "intrinsics")
        if (
            distortion is None and K[1, 1] < 0
        ):  # rows run up: a turn of the camera by half about x or y, which RQ finds
            return from_matrix(file, name, K @ pose[:3], size, signed=True, notes=notes)
        camera = Camera(K, pose, size or (1, 1))
    return CalibratedView(
        name, camera.projection_matrix, size, camera if size else None, distortion, notes
    )


def check_magnitude(numbers: Any, name: str, largest: float = MAX_NUMBER) -> None:
    """Refuse numbers that are not finite, or so large that they are a slip.

    Raises
    ------
    InputError
        Beginning with `name`.
    """
    if not (np.abs(numbers) <= largest).all():
        raise InputError(
            f"{name} has a number that is not finite or beyond {largest:g}, expected pixels and "
            "lengths; correct it."
        )


def xml_root(text: str, file: str) -> ElementTree.Element:
    """Parse XML and return its root element.

    Raises
    ------
    InputError
        For invalid XML, and for any declaration of a document type that does more than name the
        root.
    """
    if "<!ENTITY" in text or "<!DOCTYPE" in _DOCTYPE.sub("", text, count=1):
        raise InputError(
            f"{file} declares entities or a document type, expected plain XML; export it again "
            "without them."
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(
            f"{file} is not XML ({error}), expected a whole file; export it again."
        ) from None
