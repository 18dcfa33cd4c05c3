"""The DRR over an X-ray: blended, in a checkerboard, as edges, as a difference."""

from __future__ import annotations

import numpy as np
import slicer

from ..imaging.xray import XRay
from .xray import XRayView, place

#: Longest side in pixels of a DRR while the CT moves, at most, and when it rests.
MOVING, RESTING = 256, 768
DRR = "drr"
PICTURE = "picture"
#: Of these the foreground is the DRR; of PICTURES it is a picture made of X-ray and DRR.
BLENDS = ("blend", "flicker")
PICTURES = ("checkerboard", "edges", "difference")
MODES = (*BLENDS, *PICTURES, "off")


def show_drr(view: XRayView, anatomy, world_from_ct: np.ndarray, pixels: int = RESTING) -> np.ndarray:
    """Render the CT at a pose into the view's DRR volume, in the X-ray's plane.

    anatomy: a `registration.anatomy.Anatomy`.   pixels: the longest side that the image may have; up to MOVING the CT is taken at half
    its resolution, too.
    Returns the image (rows, columns), NaN where rays go through a cut end of the CT.
    """
    factor = -(-max(view.size) // pixels)
    camera, projector = view.camera.pooled(factor), anatomy.projector(1 if pixels <= MOVING else 0)
    image = projector.render(camera, world_from_ct).image
    image[projector.seen(camera, world_from_ct) == 0] = np.nan
    node = _volume(view, DRR, "vtkMRMLScalarVolumeNode", "DRR")
    slicer.util.updateVolumeFromArray(node, np.nan_to_num(image, nan=0.0)[None])
    place(node, camera, view.detector_mm)
    lit = image[image > 0]
    low, high = np.percentile(lit, (0.5, 99.5)) if lit.size else (0.0, 1.0)
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(float(low), float(max(high, low + 1e-3)))
    return image


def show_picture(view: XRayView, xray: XRay, drr: np.ndarray, mode: str) -> None:
    """Draw one of PICTURES into the view's picture volume, in the X-ray's plane.

    xray: of the view, in full.   drr: (rows, columns) as `show_drr` returns it.
    """
    from ..assessment.overlays import on_whole_image

    factor = xray.valid.shape[0] // drr.shape[0]
    picture = getattr(on_whole_image(xray.pooled(factor), drr), mode)
    node = _volume(view, PICTURE, "vtkMRMLVectorVolumeNode", "overlay")
    slicer.util.updateVolumeFromArray(node, picture[None])
    place(node, view.camera.pooled(factor), view.detector_mm)


def foreground(view: XRayView, mode: str):
    """The volume to lie over the X-ray in this mode; None where there is none (yet)."""
    return view.node.GetNodeReference(DRR if mode in BLENDS else PICTURE) if mode != "off" else None


def _volume(view: XRayView, role: str, class_name: str, suffix: str):
    node = view.product(role, class_name, f"{view.name} {suffix}")
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        node.SetSelectable(False)
    return node
