"""Geometries of the Reconstruction Toolkit (ThreeDCircularProjectionGeometry) in XML."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from ...errors import InputError
from ...geometry.rigid import exp_so3
from ..json_reader import MAX_NUMBER
from .calibrated import CalibratedView, CalibrationOptions, from_matrix

ROOT = "RTKThreeDCircularGeometry"
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
NOTE = "The world is RTK's fixed frame, in which the CT was scanned: y along the axis of rotation."
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
    projections = root.findall("Projection")
    if not projections:
        raise InputError(f"{file} has no projection, expected one or more; export it again.")
    views = []
    for i, projection in enumerate(projections):
        where = f"{file}: projection {i}"
        matrix = _matrix(projection, shared, where)
        views.append(from_matrix(file, f"projection {i}", -pixel_from_mm @ matrix, size, signed=True, notes=(NOTE,)))
    return views


def _matrix(projection: Element, shared: dict[str, float], where: str) -> np.ndarray:
    own = {key: _numbers(projection, key, where, 1)[0] for key in PARAMETERS if projection.find(key) is not None}
    values = {**shared, **own}
    by_parameters = None
    if values["SourceToDetectorDistance"] > 0 and values["SourceToIsocenterDistance"] > 0:
        by_parameters = matrix_of(**values)
    written = projection.find("Matrix")
    if written is None:
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
    R = exp_so3([0, 0, -angles[0]]) @ exp_so3([-angles[1], 0, 0]) @ exp_so3([0, -angles[2], 0])
    turned = np.c_[R, (-SourceOffsetX, -SourceOffsetY, -SourceToIsocenterDistance)]
    x, y = SourceOffsetX - ProjectionOffsetX, SourceOffsetY - ProjectionOffsetY
    onto = np.array([[-SourceToDetectorDistance, 0, x], [0, -SourceToDetectorDistance, y], [0, 0, 1]])
    return onto @ turned


def _numbers(parent: Element, key: str, where: str, count: int) -> list[float]:
    """The numbers in the child `key`; zeros where there is none."""
    child = parent.find(key)
    if child is None:
        return [0.0] * count
    try:
        numbers = [float(word) for word in (child.text or "").split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not (np.abs(numbers) <= MAX_NUMBER).all():
        raise InputError(
            f"{where}: {key} is not {count} finite number{'s' * (count > 1)}, expected that; export it again."
        )
    return numbers
