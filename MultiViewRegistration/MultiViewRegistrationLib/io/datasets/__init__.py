"""An imported case: the case in memory, and notes on its assumptions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.body import Body
from ...imaging.ct import CT
from ...imaging.reading import RawImage, raw_image
from ..case_writer import write_case
from ..hdf5 import Hdf5

#: The warning where `relative_geometry` is "truth".
TRUTH_LEAK_WARNING = (
    "The views' geometry relative to each other comes from the true poses, as the file has no "
    "other: what is measured with it is better than anything without the truth could be."
)


@dataclass(frozen=True, eq=False)
class Imported:
    """A case made by an importer.

    Attributes
    ----------
    content
        Of the case.json, but for its files, see `write_case`.
    images
        By the view's name.
    notes
        Sentences on what was assumed, and on what the data cannot prove.
    """

    content: dict[str, Any]
    ct: CT
    images: dict[str, RawImage]
    notes: list[str] = field(default_factory=list)

    def write(self, folder: str | os.PathLike) -> Path:
        """Write the case into a folder and return the path of its case.json.

        Raises
        ------
        InputError
            As `write_case`.
        """
        return write_case(folder, self.content, [Body(self.ct)], self.images)


def view_entry(name: str, camera: Camera, intensity: str) -> dict[str, Any]:
    """Return an entry of "views" with this camera, without its files."""
    return {"name": name, "intensity": intensity, "camera": camera.to_json()}


def with_truth(cameras: dict[str, Camera], targets: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """Return the content of a case of cameras by name, whose world is the CT, and a warning for several.

    The case's world is the first one's camera.
    """
    world_from_ct = next(iter(cameras.values())).camera_from_world
    ct_from_world = rigid.inverse(world_from_ct)
    views = []
    for name, camera in cameras.items():
        placed = replace(camera, camera_from_world=camera.camera_from_world @ ct_from_world)
        views.append(view_entry(name, placed, "linear"))
    content = {"views": views, "targets": targets, "truth": {"world_from_ct": world_from_ct}}
    if len(views) == 1:
        return content, []
    return content | {"relative_geometry": "truth"}, [TRUTH_LEAK_WARNING]


def read_pixel_mm(file: Hdf5, paths: list[str], focal_px: float) -> tuple[float, float]:
    """Read (between columns, between rows) of a flat detector, in reach of a source with this focal length of the rows."""
    columns, rows = (
        file.number(path, "a pixel's mm on the detector, 0.01 to 10", 0.01, 10) for path in paths
    )
    if not 200 <= abs(focal_px) * rows <= 5000:
        file.refuse(
            paths[1],
            f"and the intrinsic matrix have the detector {abs(focal_px) * rows:g} mm from the "
            "source",
            "200 to 5000 mm",
        )
    return columns, rows


def read_spacing(file: Hdf5, path: str, length: int) -> np.ndarray:
    """Read the mm (length,) between voxels or pixels."""
    spacing = file.vector(path, length, f"{length} numbers of mm")
    if not ((spacing > 0.01) & (spacing < 20)).all():
        file.refuse(path, f"is {spacing.tolist()}", "mm between 0.01 and 20")
    return spacing


def cropped(
    values: np.ndarray, pixel_mm: tuple[float, float], camera: Camera, crop: int
) -> tuple[RawImage, Camera]:
    """Return an image (rows, columns) and its camera without `crop` pixels at each side."""
    columns, rows = camera.size
    if crop < 0 or 2 * crop > min(camera.size) - 8:
        raise InputError(
            f"crop: found {crop}, expected pixels from 0 that leave an image of {columns} x "
            f"{rows}; choose less."
        )
    values = np.ascontiguousarray(values[crop : rows - crop, crop : columns - crop])
    return raw_image(values, pixel_mm), camera.cropped(
        crop, crop, columns - 2 * crop, rows - 2 * crop
    )


def in_any_view(points: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """Return (N,) bool, which of the world points (N, 3) fall on the image of at least one camera."""
    seen = np.zeros(len(points), bool)
    for camera in cameras:
        pixels = camera.project(points)
        inside = (pixels >= -0.5).all(1) & (pixels <= np.array(camera.size) - 0.5).all(1)
        seen |= inside & (camera.depth(points) > 0)
    return seen
