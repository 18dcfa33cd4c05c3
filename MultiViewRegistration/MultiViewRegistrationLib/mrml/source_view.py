"""Cameras of 3D views: along the beam of an X-ray, as a pinhole camera at the source sees, or over the whole scene."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from .ct_3d import BONES
from .nodes import configure, has_voxels, lps_from_ras, nodes_of_class, ras_from_lps, ras_from_node
from .overlay import detector_corners
from .registration import Registration
from .slice_view import CORNERS, ras_from_box
from .xray import XRayView, detectors

#: The role in which a camera node refers to the X-ray along whose beam it looks.
BEAM = "MultiViewRegistration.beam"
#: What the camera was before, and the size of the view.
BEFORE = "MultiViewRegistration.beforeBeam"
#: (width, height) of a 3D view in pixels.
Size = tuple[int, int]
STATE = ("Position", "FocalPoint", "ViewUp", "ViewAngle", "ParallelProjection")


def look(view: XRayView, camera_node: Any, size: Size) -> None:
    """Put a 3D view's camera to the source, the detector as large as it fits into the view.

    Again after a new size, or a new geometry.

    The picture is as the source sees it: an X-ray that is stored mirrored is the mirror image of
    it.

    Parameters
    ----------
    camera_node
        The view's vtkMRMLCameraNode, see `camera_of`.
    size
        (width, height) of the view in pixels.

    Raises
    ------
    InputError
        Where the X-ray has no geometry, and for a slot scan.
    """
    camera = view.camera
    if not can_look(view):
        raise InputError(
            f"{view.name}: is a slot scan, whose source moves from row to row, expected an X-ray "
            "with a single source to look from; choose another."
        )
    angle_deg, centre = view_window(camera, size)
    before = _kept(camera_node).get("before") or {
        key: getattr(camera_node, f"Get{key}")() for key in STATE
    }
    with slicer.util.NodeModify(camera_node):
        camera_node.SetAttribute(BEFORE, json.dumps({"before": before, "size": list(size)}))
        camera_node.SetNodeReferenceID(BEAM, view.id)
        forward = camera.world_from_camera[:3, 2]
        down = camera.world_from_camera[:3, 1]
        configure(
            camera_node,
            ParallelProjection=False,
            Position=tuple(ras_from_lps(camera.source)),
            FocalPoint=tuple(ras_from_lps(camera.source + _pivot_mm(view) * forward)),
            ViewUp=tuple(ras_from_lps(-down)),
            ViewAngle=angle_deg,
        )
        camera_node.GetCamera().SetWindowCenter(*centre)
    camera_node.ResetClippingRange()


def can_look(view: XRayView) -> bool:
    """Return whether an X-ray has a geometry with a single source."""
    return view.placed and not view.camera.is_slot_scan


def view_window(camera: Camera, size: Size) -> tuple[float, tuple[float, float]]:
    """Return the vertical view angle in degrees and the window centre (x, y) that show the whole detector, as vtkCamera has them.

    Along an axis the view shows tangents from (centre - 1) to (centre + 1) times that of half its
    angle; x to the right as the source sees it, y up. The detector's tangents are those of its
    outer edges, half a pixel beyond the centres of its outermost pixels.

    Parameters
    ----------
    size
        (width, height) of the view.
    """
    half = np.array(camera.size) / 2 / camera.intrinsics.diagonal()[:2]
    middle = (camera.middle - camera.principal_point) / camera.intrinsics.diagonal()[:2]
    aspect = size[0] / size[1]
    tangent = max(abs(half[1]), abs(half[0]) / aspect)
    return 2 * np.degrees(np.arctan(tangent)), (
        middle[0] / (tangent * aspect),
        -middle[1] / tangent,
    )


def _kept(camera_node: Any) -> dict:
    """Return what is kept of a camera that looks along a beam: how it was before, and the size of the view; empty of others."""
    return json.loads(camera_node.GetAttribute(BEFORE) or "{}")


def restore(camera_node: Any) -> None:
    """Put the camera back to where it was before it looked along a beam."""
    before = _kept(camera_node).get("before")
    if before is None:
        return
    with slicer.util.NodeModify(camera_node):
        camera_node.RemoveAttribute(BEFORE)
        camera_node.SetNodeReferenceID(BEAM, None)
        for key in STATE:
            getattr(camera_node, f"Set{key}")(before[key])
        camera_node.GetCamera().SetWindowCenter(0, 0)
    camera_node.ResetClippingRange()


def restore_all(scene: Any) -> None:
    """Put all cameras back that look along a beam: they outlive a scene that is closed."""
    for camera_node in nodes_of_class("vtkMRMLCameraNode", scene):
        restore(camera_node)


def update(scene: Any) -> None:
    """Bring the cameras that look along a beam up to date.

    With a new geometry, and after loading, as no scene file has a window centre.
    """
    for camera_node in nodes_of_class("vtkMRMLCameraNode", scene):
        kept = _kept(camera_node)
        seen = camera_node.GetNodeReference(BEAM)
        if kept and seen is not None and can_look(XRayView(seen)):
            look(XRayView(seen), camera_node, tuple(kept["size"]))
        elif kept:
            restore(camera_node)


def release(view: XRayView) -> None:
    """Put the cameras back that look along the beam of an X-ray."""
    for camera_node in nodes_of_class("vtkMRMLCameraNode", view.scene):
        if camera_node.GetNodeReferenceID(BEAM) == view.id:
            restore(camera_node)


def viewed_xray(camera_node: Any) -> XRayView | None:
    """Return the X-ray along whose beam a camera looks."""
    node = camera_node.GetNodeReference(BEAM)
    return XRayView(node) if node else None


def size_of(camera_node: Any) -> Size | None:
    """Return the size of the view for which it was made to look along a beam."""
    kept = _kept(camera_node)
    return tuple(kept["size"]) if kept else None


def camera_of(view_node: Any):
    """Return the vtkMRMLCameraNode of a 3D view (a vtkMRMLViewNode).

    None before the view was made.
    """
    nodes = nodes_of_class("vtkMRMLCameraNode", view_node.GetScene())
    return next((node for node in nodes if node.GetLayoutName() == view_node.GetLayoutName()), None)


def _pivot_mm(view: XRayView) -> float:
    """Return how far from the source a view that is turned from there turns about.

    At the isocentre, where it is in the beam.
    """
    isocentre_mm = float(view.camera.depth(np.zeros(3)))
    return isocentre_mm if 0 < isocentre_mm < view.detector_mm else view.detector_mm


#: The eye's height, and how far it is from a single beam, both in degrees about the patient.
ELEVATION_DEG = 25.0
ASIDE_DEG = 45.0
#: Room left about it all, and for the X-rays' names; and about the CT's bone at most, so that a small one is no dot.
OVERVIEW_MARGIN = 1.25
BONE_MARGIN = 4.0
#: Room about what is looked at closely, of which the neighbours are seen, too.
CLOSE_MARGIN = 2.0
WORLD_UP = np.array([0.0, 0.0, 1.0])
FROM_THE_FRONT = np.array([0.0, -1.0, 0.0])


class Overview:
    """The view in 3D of all of a registration, kept in sight until a person has turned or moved it."""

    def __init__(self) -> None:
        self._of: tuple | None = None
        self._left: tuple | None = None

    def update(
        self,
        registration: Registration,
        camera_node: Any,
        size: Size,
        *,
        sources: bool = False,
    ) -> bool:
        """Stand back where CT, bone, a geometry, or the view's size is another, unless a person has moved the camera.

        Parameters
        ----------
        sources
            See `show_overview`.

        Returns
        -------
        bool
            Whether it did.
        """
        turned = self._left is not None and _place_of(camera_node) != self._left
        stamp = (*self._stamp(registration, size), sources)
        if turned or stamp == self._of:
            return False
        self._of = stamp
        shown = show_overview(registration, camera_node, size, sources=sources)
        self._left = _place_of(camera_node) if shown else self._left
        return shown

    def show(self, registration: Registration, camera_node: Any, size: Size) -> bool:
        """Stand back, as `show_overview`, wherever a person has moved the camera, and keep all in sight."""
        self._of = None
        self._left = None
        return self.update(registration, camera_node, size)

    @staticmethod
    def _stamp(registration: Registration, size: Size) -> tuple:
        corners = _bone_corners(registration), _ct_corners(registration)
        planes = (detector.stamp for detector in detectors(registration))
        return size, *(each.tobytes() for each in corners), *planes


def _place_of(camera_node: Any) -> tuple:
    return tuple(
        np.round(
            [*camera_node.GetPosition(), *camera_node.GetFocalPoint(), *camera_node.GetViewUp()], 3
        )
    )


def show_overview(
    registration: Registration, camera_node: Any, size: Size, *, sources: bool = False
) -> bool:
    """Put a 3D view's camera where X-rays, sources and CT are seen, and the X-rays as they are stored.

    From the sources' side, or from the detectors', where the images are mirrored. Where the CT's
    bone would be too small it is nearer.

    Parameters
    ----------
    camera_node
        The view's vtkMRMLCameraNode.
    size
        (width, height) of the view in pixels.
    sources
        Whether none may be out of sight.

    Returns
    -------
    bool
        Whether there was anything to see; else the camera stays.
    """
    bone = _bone_corners(registration)
    faces = []
    ends = []
    for view in filter(lambda view: view.placed, registration.xrays):
        camera = view.camera
        ends += [camera.sources(camera.corners), detector_corners(camera, view.detector_mm)]
        faces.append(-np.sign(camera.intrinsics[0, 0]) * camera.world_from_camera[:3, 2])
    points = np.vstack([*ends, _ct_corners(registration) if ends or not len(bone) else bone])
    if not len(points):
        return False
    restore(camera_node)
    back = _direction(faces)
    place = _framed(points, back, WORLD_UP, camera_node, size)
    if len(bone) and not sources:
        near = _framed(bone, back, WORLD_UP, camera_node, size, BONE_MARGIN)
        place = min(place, near, key=lambda each: each[1])
    _put(camera_node, *place, back)
    camera_node.SetViewUp(*ras_from_lps(WORLD_UP))
    return True


def look_closely(points: np.ndarray, camera_node: Any, size: Size) -> None:
    """Have a 3D view show points (n, 3), world LPS mm, as large as it allows, from where it looks.

    Parameters
    ----------
    camera_node
        The view's vtkMRMLCameraNode.
    size
        (width, height) of the view in pixels.
    """
    restore(camera_node)
    away = lps_from_ras(np.subtract(camera_node.GetPosition(), camera_node.GetFocalPoint()))
    back = rigid.unit(away)
    up = lps_from_ras(camera_node.GetViewUp())
    _put(camera_node, *_framed(points, back, up, camera_node, size, CLOSE_MARGIN), back)


def _ct_corners(registration: Registration) -> np.ndarray:
    """Return the corners (8, 3) of the CT, world LPS mm, where it is; (0, 3) without one."""
    if not has_voxels(registration.ct):
        return np.empty((0, 3))
    return lps_from_ras(rigid.transform_points(ras_from_box(registration.ct), CORNERS))


def _bone_corners(registration: Registration) -> np.ndarray:
    """Return the corners (8, 3), world LPS mm, of the box about the surface of the CT's bone.

    (0, 3) before there is one.
    """
    surface = registration.node.GetNodeReference(BONES)
    if (
        surface is None
        or surface.GetPolyData() is None
        or not surface.GetPolyData().GetNumberOfPoints()
    ):
        return np.empty((0, 3))
    ends = np.reshape(surface.GetPolyData().GetBounds(), (3, 2))
    corners = rigid.grid_points(*ends)
    return lps_from_ras(rigid.transform_points(ras_from_node(surface), corners))


def _put(camera_node: Any, middle: np.ndarray, distance_mm: float, back: np.ndarray) -> None:
    """Have a camera look at a point (3,), world LPS mm, from so far along a unit vector `back`."""
    with slicer.util.NodeModify(camera_node):
        camera_node.SetFocalPoint(*ras_from_lps(middle))
        camera_node.SetPosition(*ras_from_lps(middle + distance_mm * back))
    camera_node.ResetClippingRange()


def _framed(
    points: np.ndarray,
    back: np.ndarray,
    up: np.ndarray,
    camera_node: Any,
    size: Size,
    margin: float = OVERVIEW_MARGIN,
) -> tuple[np.ndarray, float]:
    """Return the focal point and distance that put points (n, 3), world LPS mm, in the middle of a camera's view of this size.

    Parameters
    ----------
    back, up
        (3,) unit vector to the eye, and what is up.
    """
    right = rigid.unit(np.cross(up, back))
    axes = np.stack([right, np.cross(back, right), back])
    points = points @ axes.T
    tangents = np.tan(np.radians(camera_node.GetViewAngle()) / 2) * np.array([size[0] / size[1], 1])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    for _ in range(4):
        offset = points - middle
        distance_mm = (margin * np.abs(offset[:, :2]) / tangents + offset[:, 2:]).max()
        seen = offset[:, :2] / (distance_mm - offset[:, 2:])
        middle[:2] += distance_mm * (seen.min(axis=0) + seen.max(axis=0)) / 2
    return middle @ axes, distance_mm


def _direction(faces: list[np.ndarray]) -> np.ndarray:
    """Return the unit vector from the patient to the eye, world LPS.

    `faces` are those to where each X-ray is seen as it is stored, if there are any.
    """
    level = np.sum(faces or [FROM_THE_FRONT], axis=0)[:2]
    if len(faces) == 1 or np.linalg.norm(level) < 0.5:
        first = faces[0][:2]
        if np.linalg.norm(first) < 0.1:  # from above or below
            first = np.array([0.0, -1.0])
        angle = np.radians(ASIDE_DEG if len(faces) == 1 else 90)
        level = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ first
    elevation = np.radians(ELEVATION_DEG)
    return np.append(np.cos(elevation) * rigid.unit(level), np.sin(elevation))
