"""Moving the CT by hand: in 3D by Slicer's handles, and in an X-ray as seen there."""

from __future__ import annotations

import json

import numpy as np

from ..geometry import rigid
from .case import ct_of
from .frames import ras_from_lps
from .registration import Registration
from .xray import XRayView

CENTRE = "centre"


def centre_in_ct(registration: Registration) -> np.ndarray:
    """(3,) LPS mm in the CT's frame: the middle of its bone, or of the segment that is registered. InputError without a usable CT.

    It is found once for a CT and segment, and kept with the registration.
    """
    kept = json.loads(registration.parameter(CENTRE, "{}"))
    if kept.get("of") == _chosen(registration) and registration.ct is not None:
        return np.array(kept["at"])
    centre = ct_of(registration).centroid()
    keep_centre(registration, centre)
    return centre


def keep_centre(registration: Registration, centre: np.ndarray) -> None:
    """What `centre_in_ct` finds for the CT and segment that are chosen, (3,) LPS mm, where somebody knows it."""
    registration.node.SetParameter(CENTRE, json.dumps({"of": _chosen(registration), "at": centre.tolist()}))


def _chosen(registration: Registration) -> list:
    return [node and node.GetID() for node in (registration.ct, registration.segmentation)] + [registration.segment_id]


def centre(registration: Registration) -> np.ndarray:
    """(3,) LPS mm in the world: where that is now."""
    return rigid.transform_points(registration.world_from_ct, centre_in_ct(registration))


def shift(registration: Registration, view: XRayView, columns: float, rows: float) -> None:
    """Move the CT parallel to the image, so far that its centre moves by so many pixels there."""
    camera = view.camera
    _move(registration, camera.depth(centre(registration)) * camera.ray_matrix @ [columns, rows, 0.0])


def mm_per_pixel(registration: Registration, view: XRayView) -> np.ndarray:
    """(2,) how far the CT moves parallel to the image when its centre moves by a pixel along a row there, and along a column."""
    camera = view.camera
    return camera.depth(centre(registration)) * np.linalg.norm(camera.ray_matrix[:, :2], axis=0)


def along_beam(registration: Registration, view: XRayView, mm: float) -> None:
    """Move the CT away from the source, along the ray through its centre, which stays where it is in the image."""
    _move(registration, mm * _beam(registration, view))


def turn(registration: Registration, view: XRayView, degrees: float) -> None:
    """Turn the CT about the ray through its centre; positive: counter-clockwise in the image."""
    mirrored = np.sign(view.camera.intrinsics[0, 0])
    _rotate(registration, -mirrored * degrees * _beam(registration, view))


def tilt(registration: Registration, view: XRayView, right: float, down: float) -> None:
    """Roll the CT about its centre by so many degrees: its side that faces whoever looks at the image goes to the right, and down.

    Whoever looks at it does so from the source; at a mirrored image, from the detector.
    """
    to_camera = view.camera.camera_from_world[:3, :3]
    mirrored = np.sign(view.camera.intrinsics[0, 0])
    _rotate(registration, to_camera.T @ [mirrored * down, -right, 0.0])


def show_handles(registration: Registration, shown: bool) -> None:
    """Handles in the 3D views, about the CT's centre, that move and turn it. InputError without a usable CT."""
    transform = registration.ct_transform
    if shown:
        transform.SetCenterOfTransformation(ras_from_lps(centre_in_ct(registration)))
        if transform.GetDisplayNode() is None:
            transform.CreateDefaultDisplayNodes()
    display = transform.GetDisplayNode()
    if display is not None:
        display.SetEditorVisibility(shown)
        display.SetEditorVisibility3D(True)
        display.SetEditorSliceIntersectionVisibility(False)  # an X-ray is no slice of the CT
        display.SetEditorTranslationEnabled(True)
        display.SetEditorRotationEnabled(True)
        display.SetEditorScalingEnabled(False)


def _beam(registration: Registration, view: XRayView) -> np.ndarray:
    ray = centre(registration) - view.camera.source
    return ray / np.linalg.norm(ray)


def _move(registration: Registration, by_mm: np.ndarray) -> None:
    registration.world_from_ct = rigid.from_rotation_translation(np.eye(3), by_mm) @ registration.world_from_ct


def _rotate(registration: Registration, degrees: np.ndarray) -> None:
    """degrees: (3,) rotation vector in the world."""
    turned = rigid.from_rotation_translation(rigid.exp_so3(np.radians(degrees)), np.zeros(3))
    registration.world_from_ct = rigid.about(centre(registration), turned) @ registration.world_from_ct
