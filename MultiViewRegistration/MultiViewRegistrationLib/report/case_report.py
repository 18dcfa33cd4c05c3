"""The content of a report about one registration: plain data and finished pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..assessment.metrics import Errors, PixelSize
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.landmarks import Residual


@dataclass(frozen=True)
class CameraSummary:
    """A view's geometry for a reader; None where unknown."""

    size: tuple[int, int]
    """(columns, rows)."""
    focal_px: float
    pixel_mm: PixelSize | None = None
    source_to_detector_mm: float | None = None
    angle_to_first_deg: float | None = None
    """Angle between this view's central axis and the first view's."""


def summarise(camera: Camera, first: Camera, pixel_mm: PixelSize | None = None) -> CameraSummary:
    """The geometry that camera matrices and pixel size give."""
    focal_px = float(camera.intrinsics[1, 1])
    cosine = np.clip(camera.camera_from_world[2, :3] @ first.camera_from_world[2, :3], -1, 1)
    return CameraSummary(
        size=camera.size,
        focal_px=focal_px,
        pixel_mm=pixel_mm,
        source_to_detector_mm=None if pixel_mm is None else focal_px * pixel_mm[1],
        angle_to_first_deg=float(np.degrees(np.arccos(cosine))),
    )


@dataclass(frozen=True)
class Correction:
    """Correction of a camera: rotation about the world origin, shift, scale and principal point."""

    rotation_deg: float
    translation_mm: float
    scale: float
    principal_point_px: tuple[float, float]


def correction(given: Camera, corrected: Camera) -> Correction | None:
    """None where nothing was corrected."""
    moved = not np.array_equal(given.camera_from_world, corrected.camera_from_world)
    if not moved and np.array_equal(given.intrinsics, corrected.intrinsics):
        return None
    motion = given.world_from_camera @ corrected.camera_from_world
    u, v = corrected.principal_point - given.principal_point
    return Correction(
        rotation_deg=float(np.degrees(rigid.rotation_angle(motion))),
        translation_mm=float(np.linalg.norm(motion[:3, 3])),
        scale=float(corrected.intrinsics[1, 1] / given.intrinsics[1, 1]),
        principal_point_px=(float(u), float(v)),
    )


@dataclass(frozen=True)
class ViewReport:
    name: str
    camera: CameraSummary
    pictures: Mapping[str, tuple[bytes, ...]]
    """PNG files (start, result) by kind, from overlays.picture_files; (result,) where nothing was refined."""
    similarity: float | None = None
    start_similarity: float | None = None
    rotation_sd_deg: float | None = 0.0
    translation_sd_mm: float | None = 0.0
    correction: Correction | None = None
    agreement: bytes | None = None
    """PNG file of `overlays.tile_map`."""
    depth_mm: float | None = None
    in_plane_mm: float | None = None
    """95 % bounds of the errors along this view's beam and across it."""


@dataclass(frozen=True)
class Level:
    """The refinement at one resolution, a value for each accepted step."""

    name: str
    cost: Sequence[float]
    step_mm: Sequence[float]


@dataclass(frozen=True)
class CaseReport:
    """One registration. `world_from_ct` are (4, 4), `centre_ct` (3,) is the centre of the bone in CT mm.

    A pose that was only assessed has no start.
    """

    name: str
    views: Sequence[ViewReport]
    world_from_ct: np.ndarray
    start_world_from_ct: np.ndarray | None
    centre_ct: np.ndarray
    method: str
    """How the start, or the pose without one, was found, e.g. "given" or "search, 1000 poses"."""
    note: str = ""
    """For the reader of this case, e.g. that its X-rays are simulated."""
    override: str | None = None
    """Why the result was written although it should not be used."""
    verdict: str | None = None
    """ "accept", "check" or "reject"; None until assessed."""
    reasons: Sequence[str] = ()
    predicted_tre_mm: Mapping[str, float] | None = None
    """ "mean" and "upper95"."""
    predicted_error: str = ""
    """The same in words."""
    least_certain_rotation: str = ""
    """The rotation that the views show least, in words."""
    errors: Errors | None = None
    start_errors: Errors | None = None
    landmarks: Sequence[Residual] = ()
    """Of a start from landmarks: how each fits there."""
    levels: Sequence[Level] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by file name."""
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def refined(self) -> bool:
        """Whether there is a start to compare the result with."""
        return self.start_world_from_ct is not None
