"""The source's eye: a 3D view that looks along the beam of an X-ray, as a pinhole camera at the source sees."""

from __future__ import annotations

import json

import numpy as np
import slicer

from ..geometry.camera import Camera
from .frames import ras_from_lps
from .xray import XRayView

#: The role in which a camera node refers to the X-ray along whose beam it looks.
BEAM = "MultiViewRegistration.beam"
#: What the camera was before, and the size of the view.
KEPT = "MultiViewRegistration.beforeBeam"


def look(view: XRayView, camera_node, size: tuple[int, int]) -> None:
    """Put a 3D view's camera to the source, the detector as large as it fits into the view; again after a new size, or a new geometry.

    The picture is as the source sees it: an X-ray that is stored mirrored is the mirror image of it.
    camera_node: the view's vtkMRMLCameraNode, see `camera_of`.   size: (width, height) of the view in pixels.
    InputError where the X-ray has no geometry.
    """
    camera = view.camera
    angle_deg, centre = window(camera, size)
    before = json.loads(camera_node.GetAttribute(KEPT) or "{}").get("before") or _state(camera_node)
    was = camera_node.StartModify()
    camera_node.SetAttribute(KEPT, json.dumps({"before": before, "size": list(size)}))
    camera_node.SetNodeReferenceID(BEAM, view.node.GetID())
    forward, down = camera.world_from_camera[:3, 2], camera.world_from_camera[:3, 1]
    camera_node.SetParallelProjection(False)
    camera_node.SetPosition(*ras_from_lps(camera.source))
    camera_node.SetFocalPoint(*ras_from_lps(camera.source + _pivot_mm(view) * forward))
    camera_node.SetViewUp(*ras_from_lps(-down))
    camera_node.SetViewAngle(angle_deg)
    camera_node.GetCamera().SetWindowCenter(*centre)
    camera_node.EndModify(was)
    camera_node.ResetClippingRange()


def window(camera: Camera, size: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    """Vertical view angle in degrees and window centre (x, y), as vtkCamera has them, that show the whole detector in a view of this size.

    Along an axis the view shows tangents from (centre - 1) to (centre + 1) times that of half its angle; x to the right as the source sees
    it, y up. The detector's tangents are those of its outer edges, half a pixel beyond the centres of its outermost pixels.
    """
    half = np.array(camera.size) / 2 / camera.intrinsics.diagonal()[:2]
    middle = ((np.array(camera.size) - 1) / 2 - camera.principal_point) / camera.intrinsics.diagonal()[:2]
    aspect = size[0] / size[1]
    tangent = max(abs(half[1]), abs(half[0]) / aspect)
    return 2 * np.degrees(np.arctan(tangent)), (middle[0] / (tangent * aspect), -middle[1] / tangent)


def off(camera_node) -> None:
    """Put the camera back to where it was before it looked along a beam."""
    before = json.loads(camera_node.GetAttribute(KEPT) or "{}").get("before")
    if before is None:
        return
    was = camera_node.StartModify()
    camera_node.RemoveAttribute(KEPT)
    camera_node.SetNodeReferenceID(BEAM, None)
    camera_node.SetParallelProjection(before["parallel"])
    camera_node.SetPosition(*before["position"])
    camera_node.SetFocalPoint(*before["focal_point"])
    camera_node.SetViewUp(*before["view_up"])
    camera_node.SetViewAngle(before["view_angle"])
    camera_node.GetCamera().SetWindowCenter(0, 0)
    camera_node.EndModify(was)
    camera_node.ResetClippingRange()


def again(scene) -> None:
    """Bring the cameras that look along a beam up to date: with a new geometry, and after loading, as no scene file has a window centre."""
    for camera_node in slicer.util.getNodesByClass("vtkMRMLCameraNode", scene):
        kept = json.loads(camera_node.GetAttribute(KEPT) or "{}")
        seen = camera_node.GetNodeReference(BEAM)
        if kept and seen is not None and XRayView(seen).placed:
            look(XRayView(seen), camera_node, tuple(kept["size"]))
        elif kept:
            off(camera_node)


def leave(view: XRayView) -> None:
    """Put the cameras back that look along the beam of an X-ray."""
    for camera_node in slicer.util.getNodesByClass("vtkMRMLCameraNode", view.node.GetScene()):
        if camera_node.GetNodeReferenceID(BEAM) == view.node.GetID():
            off(camera_node)


def along(camera_node) -> XRayView | None:
    """The X-ray along whose beam a camera looks."""
    node = camera_node.GetNodeReference(BEAM)
    return XRayView(node) if node else None


def size_of(camera_node) -> tuple[int, int] | None:
    """The size of the view for which it was made to look along a beam."""
    kept = json.loads(camera_node.GetAttribute(KEPT) or "{}")
    return tuple(kept["size"]) if kept else None


def camera_of(view_node):
    """The vtkMRMLCameraNode of a 3D view (a vtkMRMLViewNode); None before the view was made."""
    nodes = slicer.util.getNodesByClass("vtkMRMLCameraNode", view_node.GetScene())
    return next((node for node in nodes if node.GetLayoutName() == view_node.GetLayoutName()), None)


def _pivot_mm(view: XRayView) -> float:
    """How far from the source a view that is turned from there turns about: at the isocentre, where it is in the beam."""
    isocentre_mm = float(view.camera.depth(np.zeros(3)))
    return isocentre_mm if 0 < isocentre_mm < view.detector_mm else view.detector_mm


def _state(camera_node) -> dict:
    return {
        "position": camera_node.GetPosition(),
        "focal_point": camera_node.GetFocalPoint(),
        "view_up": camera_node.GetViewUp(),
        "view_angle": camera_node.GetViewAngle(),
        "parallel": camera_node.GetParallelProjection(),
    }
