"""Projection geometries of the Reconstruction Toolkit (XML) and of xReg (HDF5)."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ..hdf5 import Hdf5, opened
from ..json_reader import parse_numbers, printable
from .calibrated import CalibratedView, CalibrationOptions, from_matrix

RTK_ROOT = "RTKThreeDCircularGeometry"
PARAMETERS = (
    "SourceToIsocenterDistance",
    "SourceToDetectorDistance",
    "GantryAngle",
    "SourceOffsetX",
    "SourceOffsetY",
    "ProjectionOffsetX",
    "ProjectionOffsetY",
    "InPlaneAngle",
    "OutOfPlaneAngle",
)
RTK_NOTE = "The world is RTK's fixed frame, in which the CT was scanned: y along the axis of rotation."
AGREE = 1e-4  # of a matrix's largest number: what is printed, and old versions' digits


def read_rtk(root: Element, file: str, options: CalibrationOptions) -> list[CalibratedView]:
    """A view for each projection, by its number from 0.

    RTK's matrix takes its world, in mm, to mm on the detector, and its third number is minus the depth (RTK's documentation, "3D circular
    projection geometry"); a pixel (column, row) lies at origin + spacing * (column, row). So `size`, `detector_spacing_mm` and
    `detector_origin_mm` are asked for: they are those of the image of projections.

    Parameters that a projection lacks are those of the geometry, or 0. A projection must have a matrix or parameters; where it has both
    and they disagree, InputError. So for parallel beams, and for a detector that is a cylinder.
    """
    (sx, sy), (ox, oy) = options.require("detector_spacing_mm", file), options.require("detector_origin_mm", file)
    size = options.require("size", file)
    pixel_from_mm = np.linalg.inv([[sx, 0, ox], [0, sy, oy], [0, 0, 1]])
    if _numbers(root, "RadiusCylindricalDetector", file, 1)[0] != 0:
        raise InputError(f"{file} has a cylindrical detector, expected a flat one; resample its images.")
    shared = {key: _numbers(root, key, file, 1)[0] for key in PARAMETERS}
    matrices = [
        _matrix(projection, shared, f"{file}: projection {i}")
        for i, projection in enumerate(root.findall("Projection"))
    ]
    if not matrices:
        raise InputError(f"{file} has no projection, expected one or more; export it again.")
    return [
        from_matrix(file, f"projection {i}", -pixel_from_mm @ matrix, size, signed=True, notes=(RTK_NOTE,))
        for i, matrix in enumerate(matrices)
    ]


def _matrix(projection: Element, shared: dict[str, float], where: str) -> np.ndarray:
    own = {key: _numbers(projection, key, where, 1)[0] for key in PARAMETERS if projection.find(key) is not None}
    values = {**shared, **own}
    finite = values["SourceToDetectorDistance"] > 0 and values["SourceToIsocenterDistance"] > 0
    by_parameters = matrix_of(**values) if finite else None
    if projection.find("Matrix") is None:
        if by_parameters is None:
            raise InputError(
                f"{where} has no source at a finite distance, expected SourceToIsocenterDistance and SourceToDetectorDistance "
                "above 0; parallel beams are no camera's."
            )
        return by_parameters
    matrix = np.reshape(_numbers(projection, "Matrix", where, 12), (3, 4))
    if by_parameters is not None and np.abs(matrix - by_parameters).max() > AGREE * np.abs(by_parameters).max():
        raise InputError(
            f"{where} has a Matrix that its angles and distances do not give, expected one geometry; remove "
            "what is wrong of the two."
        )
    return matrix


def matrix_of(
    *,
    SourceToIsocenterDistance: float,
    SourceToDetectorDistance: float,
    GantryAngle: float = 0,
    SourceOffsetX: float = 0,
    SourceOffsetY: float = 0,
    ProjectionOffsetX: float = 0,
    ProjectionOffsetY: float = 0,
    InPlaneAngle: float = 0,
    OutOfPlaneAngle: float = 0,
) -> np.ndarray:
    """RTK's matrix (3, 4) of these parameters, by their names in the file; degrees and mm.

    Turn the world by Rz(-in plane) Rx(-out of plane) Ry(-gantry), move the source to x = y = 0, project with the source at z =
    source to isocentre, move the detector.
    """
    angles = np.radians([InPlaneAngle, OutOfPlaneAngle, GantryAngle])
    R = rigid.exp_so3([0, 0, -angles[0]]) @ rigid.exp_so3([-angles[1], 0, 0]) @ rigid.exp_so3([0, -angles[2], 0])
    turned = np.c_[R, (-SourceOffsetX, -SourceOffsetY, -SourceToIsocenterDistance)]
    x, y = SourceOffsetX - ProjectionOffsetX, SourceOffsetY - ProjectionOffsetY
    onto = np.array([[-SourceToDetectorDistance, 0, x], [0, -SourceToDetectorDistance, y], [0, 0, 1]])
    return onto @ turned


def _numbers(parent: Element, key: str, where: str, count: int) -> list[float]:
    """The numbers in the child `key`; zeros where there is none."""
    child = parent.find(key)
    numbers = [0.0] * count if child is None else parse_numbers(child.text or "", count)
    if numbers is None:
        raise InputError(
            f"{where}: {key} is not {count} finite number{'s' * (count > 1)}, expected that; export it again."
        )
    return numbers


XREG_LAYOUT = "xReg's projection data"
#: The sign of the depth in each of xReg's camera frames.
DEPTHS = {"origin-at-focal-pt-det-pos-z": 1.0, "origin-at-focal-pt-det-neg-z": -1.0}
MAX_VIEWS = 10_000
MAX_SIZE_PX = 1e6  # pixels


def read_xreg(path: Path) -> list[CalibratedView]:
    """A view for each proj-000, proj-001, ..., or the one camera model of the file.

    A group "cam" has `intrinsic` (3x3) and `extrinsic` (4x4, mm, camera from world), `num-cols`, `num-rows` and `cam-coord-frame-type`
    (xReg, lib/file_formats/xregH5CamModelIO.cpp). The pixel is intrinsic @ (extrinsic @ x) with integer pixel centres; in the frame that
    xReg prefers z runs toward the source, so what is projected has a negative one. Nothing has to be asked.

    Raises
    ------
    InputError
        Where h5py is missing, or a data set is, or is of another shape; for the frame with its origin on the
        detector, whose rows run up.
    """
    with opened(path, XREG_LAYOUT) as file:
        cameras = {name: f"{name}/cam/" for name in sorted(file.names("")) if name.startswith("proj-")}
        if not cameras and file.has("intrinsic"):
            cameras = {"camera": ""}
        if not cameras:
            raise InputError(
                f"{printable(path)} has neither proj-000 nor a camera model, expected xReg's projection data; name the file that "
                "has it."
            )
        return [_xreg_view(file, name, group) for name, group in list(cameras.items())[:MAX_VIEWS]]


def _xreg_view(file: Hdf5, name: str, group: str) -> CalibratedView:
    """group: where it is, "" or with a slash at its end."""
    frames = " or ".join(DEPTHS)
    frame = file.text(f"{group}cam-coord-frame-type", frames)
    if frame not in DEPTHS:
        file.refuse(
            f"{group}cam-coord-frame-type", f'is "{printable(frame)[:40]}"', frames, "save it with one of these"
        )
    intrinsic = file.matrix(f"{group}intrinsic", (3, 3), "3x3 numbers, in pixels")
    pose = file.rigid(f"{group}extrinsic")
    size = tuple(
        int(file.number(f"{group}{key}", "a number of pixels", 1, MAX_SIZE_PX)) for key in ("num-cols", "num-rows")
    )
    notes = ("The world is that of the file's extrinsic.",)
    return from_matrix(file.name, printable(name), DEPTHS[frame] * intrinsic @ pose[:3], size, signed=True, notes=notes)
