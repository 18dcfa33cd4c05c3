"""Overlays of an X-ray: the DRR, or a picture made of both, in volumes on the X-ray's plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from . import slice_view
from .nodes import configure, product, remove_product
from .registration import Registration
from .xray import DetectorPlane, GreyRange, XRayView

if TYPE_CHECKING:
    from ..report.overlays import Film
    from .drawing import ToneMatch

#: What may lie over an X-ray: a DRR, a picture made of both (report.overlays), or a DRR of bone
#: alone, of which a page draws the edges.
DRR = "drr"
PICTURE = "picture"
BONES = "bones"
#: Modes in which a DRR lies over the X-ray, and those with a picture in Slicer's slice views.
BLENDS = ("blend", "flicker")
PICTURES = ("checkerboard", "edges", "colours", "difference")
MODES = (*BLENDS, *PICTURES, "off")
#: Parameters of a registration.
MODE = "overlay"
OPACITY = "opacity"
#: Percentiles of the X-ray that are black and white where a part of it is looked at.
GREYS = (1, 99)
#: Seconds that each of the two is seen in turn.
FLICKER_S = 0.5
#: What a DRR's voxel has where it says nothing: transparent, and so low that its neighbours are not
#: dimmed when they are interpolated.
NOTHING = -1e4


def mode_of(registration: Registration) -> str:
    """Return one of MODES."""
    mode = registration.parameter(MODE, MODES[0])
    return mode if mode in MODES else MODES[0]


def opacity_of(registration: Registration) -> float:
    """Return the blend, from 0, the X-ray alone, to 1, the DRR alone."""
    return float(registration.parameter(OPACITY, "0.5"))


def xray_window(view: XRayView) -> GreyRange:
    """Return the line integrals (low, high) between which the X-ray is shown."""
    display = view.display
    return display.GetWindowLevelMin(), display.GetWindowLevelMax()


def show_greys_within(view: XRayView, box: np.ndarray) -> None:
    """Show the X-ray in the greys that it has between the lowest and the highest pixel (2, 2)."""
    (left, top), (right, bottom) = box
    there = slicer.util.arrayFromVolume(view.node)[0, top:bottom, left:right]
    if there.size:  # of a damaged file there may be nothing
        view.display.SetWindowLevelMinMax(*np.percentile(there, GREYS))


class SliceCanvas:
    """Overlays as volumes on the X-rays' planes, which `lay` puts into their slice views.

    a `mrml.drawing.Canvas`.
    """

    def kind(self, mode: str) -> str | None:
        """Return what lies over an X-ray in a mode: DRR or PICTURE; None for nothing."""
        if mode == "off":
            return None
        return DRR if mode in BLENDS else PICTURE

    def foreground(self, view: XRayView, mode: str) -> Any:
        """Return the volume node to lie over the X-ray in this mode.

        None where there is none (yet).
        """
        role = self.kind(mode)
        return role and view.node.GetNodeReference(role)

    def remove(self, view: XRayView, but: str = "off") -> None:
        """Remove the volumes that a mode does not use; they are no longer at the CT's pose."""
        for role in {DRR, PICTURE} - {self.kind(but)}:
            remove_product(view.node, role)

    def show(self, detector: DetectorPlane, kind: str, image: np.ndarray, factor: int) -> None:
        """Put a DRR (rows, columns), NaN where it says nothing, or a picture, uint8 (rows, columns, 3), into the view's volume.

        Its pixels are those of the camera pooled by `factor`.
        """
        if kind == DRR:
            node = _volume(detector.view, DRR, "vtkMRMLScalarVolumeNode", "DRR")
            image = np.where(np.isnan(image), np.float32(NOTHING), image)
        else:
            node = _volume(detector.view, PICTURE, "vtkMRMLVectorVolumeNode", "overlay")
        voxels = node.GetImageData() and slicer.util.arrayFromVolume(node)
        if voxels is not None and voxels.shape == image[None].shape:
            voxels[:] = (
                image  # all of Slicer follows another image, a slice view alone other voxels
            )
            node.GetImageData().Modified()
        else:
            slicer.util.updateVolumeFromArray(node, image[None])
        _place(node, detector, factor)

    def shade(self, view: XRayView, tones: ToneMatch) -> None:
        """Show the DRR as the X-ray is shown.

        In its window, and in its colours, should a person have inverted them.
        """
        node = view.node.GetNodeReference(DRR)
        like = view.display
        if node is None or like is None:
            return
        low, high = tones.window(like.GetWindowLevelMin(), like.GetWindowLevelMax())
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            configure(
                display,
                AutoWindowLevel=False,
                WindowLevelMinMax=(low, high),
                Interpolate=like.GetInterpolate(),
                AndObserveColorNodeID=like.GetColorNodeID(),
                Threshold=(0.0, 1e6),
                ApplyThreshold=True,
            )

    def picture_of(self, mode: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
        """Make the picture, uint8 (rows, columns, 3), of one of PICTURES, as `report.overlays.live_picture`."""
        from ..report.overlays import live_picture  # it needs Pillow

        return live_picture(mode, film, drr, structure=structure)


def lay(registration: Registration, seconds: float) -> None:
    """Show in each X-ray's slice view the overlay that the registration's mode selects.

    Parameters
    ----------
    seconds
        Of any clock, for the flicker.
    """
    canvas = SliceCanvas()
    mode = mode_of(registration)
    opacity = {
        "blend": opacity_of(registration),
        "flicker": float(seconds % (2 * FLICKER_S) < FLICKER_S),
    }.get(mode, 1.0)
    for view in registration.xrays:
        slice_view.lay_over(view, canvas.foreground(view, mode), opacity)


def _volume(view: XRayView, role: str, class_name: str, suffix: str) -> Any:
    node = product(view.node, role, class_name, f"{view.name} {suffix}")
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        node.SetSelectable(False)
    return node


def _place(node: Any, detector: DetectorPlane, factor: int) -> None:
    """Lay a volume on the detector's plane, each of its pixels over `factor` x `factor` of the X-ray's."""
    pixel_from_pooled = np.diag([factor, factor, 1.0, 1.0])
    pixel_from_pooled[:2, 3] = (factor - 1) / 2
    node.SetIJKToRASMatrix(
        slicer.util.vtkMatrixFromArray(detector.ras_from_pixel @ pixel_from_pooled)
    )
