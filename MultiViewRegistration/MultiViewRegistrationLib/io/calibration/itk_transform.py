"""A tracked C-arm by transform files of ITK and Slicer: where its marker, or its source, is in the tracker's reference."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...geometry import rigid
from ..axes import turned
from ..fields import shown
from ..transforms import read_transform
from .calibrated import Calibrated, Given
from .tracked import tracked_view

KIND = "a transform file"
TEXT = b"#Insight Transform File"
GROUP, HEAD = b"TransformGroup", 1 << 16  # of ITK's HDF5, and where it stands
CAMERA_ITSELF = "none"


def is_transform(data: bytes) -> bool:
    """Whether it is the beginning of one, as text or HDF5."""
    return data.startswith(TEXT) or GROUP in data[:HEAD]


def read_tracked(path: Path, given: Given) -> list[Calibrated]:
    """The one view of a transform from the C-arm's marker to the tracker's reference, which is the world.

    Asks for `direction`; `axes`: "ras" where Slicer saved it, whose scene is RAS, so that the camera's axes are those that it has there, as
    with Plus; `fixed_transforms`, the transform file from the camera to the marker, of the same direction and axes, or "none" where the
    transform is the camera's own; and for `intrinsics` and `first_pixel`. Lengths are mm.
    """
    file = shown(path)
    world_from_carm = _pose(path, file, given)
    fixed = os.fspath(given.need("fixed_transforms", file, KIND))
    carm_from_camera = np.eye(4) if fixed == CAMERA_ITSELF else _pose(Path(fixed), file, given)
    return [tracked_view(file, shown(path.stem), world_from_carm, carm_from_camera, replace(given, unit="mm"))]


def _pose(path: Path, file: str, given: Given) -> np.ndarray:
    matrix = read_transform(path)
    if given.need("direction", file, KIND) == "resampling":
        matrix = rigid.inverse(matrix)
    return turned(matrix) if given.need("axes", file, KIND) == "ras" else matrix
