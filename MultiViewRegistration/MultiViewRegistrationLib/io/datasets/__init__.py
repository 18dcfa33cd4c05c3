"""What an importer makes: a case in memory, and notes on its assumptions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...geometry.camera import Camera
from ...imaging.ct import CT
from ...imaging.xray import RawImage
from ..case_writer import write_case

#: Said where `relative_geometry` is "truth".
LEAKS = (
    "The views' geometry relative to each other comes from the true poses, as the file has no other: what is measured with it is "
    "better than anything without the truth could be."
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
        """Writes the case into a folder; returns the path of its case.json.

        Raises
        ------
        InputError
            As `write_case`.
        """
        return write_case(folder, self.content, self.ct, self.images)


def view_entry(name: str, camera: Camera, intensity: str) -> dict[str, Any]:
    """An entry of "views" with this camera, without its files."""
    return {
        "name": name,
        "intensity": intensity,
        "camera": {
            "intrinsics": camera.intrinsics,
            "camera_from_world": camera.camera_from_world,
            "size": list(camera.size),
        },
    }


def in_any_view(points: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """(N,) bool: which of the world points (N, 3) fall on the image of at least one camera."""
    seen = np.zeros(len(points), bool)
    for camera in cameras:
        pixels = camera.project(points)
        inside = (pixels >= -0.5).all(1) & (pixels <= np.array(camera.size) - 0.5).all(1)
        seen |= inside & (camera.depth(points) > 0)
    return seen
