"""A 3D view of the whole: the patient amid sources and detectors."""

from __future__ import annotations

import numpy as np

from ..mrml import beam
from ..mrml.frames import ras_from_lps
from ..mrml.frustum import corners
from ..mrml.registration import Registration

#: The eye's height, and how far it is from a single beam, both in degrees about the patient.
ELEVATION_DEG, ASIDE_DEG = 25.0, 45.0
#: Room left about it all.
ROOM = 1.15
UP = np.array([0.0, 0.0, 1.0])


def stand_back(registration: Registration, camera_node, size: tuple[int, int]) -> bool:
    """Put a 3D view's camera where all of a registration is seen, and the X-rays as they are stored: from the sources' side, or from the
    detectors', where the images are mirrored.

    camera_node: the view's vtkMRMLCameraNode.   size: (width, height) of the view in pixels.
    Whether there was anything to see; else the camera stays.
    """
    cameras = [(view.camera, view.detector_mm) for view in registration.xrays if view.placed]
    if not cameras:
        return False
    beam.off(camera_node)
    points = np.concatenate([np.vstack([camera.source, corners(camera, depth_mm)]) for camera, depth_mm in cameras])
    back = _direction([-np.sign(camera.intrinsics[0, 0]) * camera.world_from_camera[:3, 2] for camera, _ in cameras])
    right = np.cross(UP, back) / np.linalg.norm(np.cross(UP, back))
    axes = np.stack([right, np.cross(back, right), back])
    tangents = np.tan(np.radians(camera_node.GetViewAngle()) / 2) * np.array([size[0] / size[1], 1])
    middle, distance_mm = _framed(points @ axes.T, tangents)
    middle = middle @ axes
    was = camera_node.StartModify()
    camera_node.SetFocalPoint(*ras_from_lps(middle))
    camera_node.SetPosition(*ras_from_lps(middle + distance_mm * back))
    camera_node.SetViewUp(*ras_from_lps(UP))
    camera_node.EndModify(was)
    camera_node.ResetClippingRange()
    return True


def _framed(points: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, float]:
    """Where to look, and from how far, to have points (n, 3) in the middle of a view of these tangents; along x, y and to the eye."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    for _ in range(4):
        offset = points - middle
        distance_mm = (ROOM * np.abs(offset[:, :2]) / tangents + offset[:, 2:]).max()
        seen = offset[:, :2] / (distance_mm - offset[:, 2:])
        middle[:2] += distance_mm * (seen.min(axis=0) + seen.max(axis=0)) / 2
    return middle, distance_mm


def _direction(faces: list[np.ndarray]) -> np.ndarray:
    """The unit vector from the patient to the eye, world LPS, for those to where each X-ray is seen as it is stored."""
    level = np.sum(faces, axis=0)[:2]
    if len(faces) == 1 or np.linalg.norm(level) < 0.5:
        first = faces[0][:2]
        if np.linalg.norm(first) < 0.1:  # from above or below
            first = np.array([0.0, -1.0])
        angle = np.radians(ASIDE_DEG if len(faces) == 1 else 90)
        level = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ first
    elevation = np.radians(ELEVATION_DEG)
    return np.append(np.cos(elevation) * level / np.linalg.norm(level), np.sin(elevation))
