"""Slice views: of an X-ray along its beam, and of a CT that moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtkmodules.vtkCommonMath import vtkMatrix3x3

from ..geometry import rigid
from .layout import (
    colour,
    composite_node,
    composite_of,
    group,
    number_of,
    slice_node,
    slice_of,
    tag_of,
)
from .nodes import OWNER, configure, has_voxels, nodes_of_class, ras_from_lps, ras_from_node
from .xray import XRayView, place_of

#: What Slicer's list of orientations says of the plane of an X-ray, and what it goes back to.
ORIENTATION = "X-ray"
DEFAULT_ORIENTATION = "Axial"
#: The attribute of a slice node with the plane that it was last laid on.
PLANE = "MultiViewRegistration.plane"


def point(view: XRayView) -> None:
    """Point the X-ray's slice view at its image, if there is such a view, and an image to show.

    A zoom that a user has set stays, unless the image has moved.
    """
    node = slice_of(view)
    own = tag_of(view)
    if own is None or node is None or composite_of(view) is None or 0 in view.size:
        return
    fill(view)
    with slicer.util.NodeModify(node):
        _style(node, own)
        node.SetSliceVisible(view.placed)  # else its image would lie anywhere in 3D
        if not _on(node, ras_from_slice(view)):
            fit(view)


def fill(view: XRayView) -> None:
    """Have the X-ray's slice view, if there is one, show the X-ray, and over it nothing that was not made for it."""
    composite = composite_of(view)
    if composite is None:
        return
    with slicer.util.NodeModify(composite):
        configure(
            composite,
            LinkedControl=False,
            HotLinkedControl=False,
            DoPropagateVolumeSelection=False,  # a volume that is loaded is shown in the other views only
            BackgroundVolumeID=view.id,
            LabelVolumeID=None,
        )
        over = composite.GetForegroundVolumeID() and view.scene.GetNodeByID(
            composite.GetForegroundVolumeID()
        )
        if over is None or over.GetNodeReferenceID(OWNER) != view.id:
            composite.SetForegroundVolumeID(None)
            composite.SetForegroundOpacity(0.0)


def lay_over(view: XRayView, volume: Any, opacity: float) -> None:
    """Show a volume over the X-ray in its slice view, and over nothing else.

    None for the X-ray alone.
    """
    composite = composite_of(view)
    if composite is not None:
        volume = volume if composite.GetBackgroundVolumeID() == view.id else None
        with slicer.util.NodeModify(composite):
            composite.SetForegroundVolumeID(volume and volume.GetID())
            composite.SetForegroundOpacity(opacity if volume else 0.0)


def ras_from_slice(view: XRayView) -> np.ndarray:
    """Return the plane (4, 4) of the X-ray's image, RAS mm, as a vtkMRMLSliceNode has it.

    Origin in the middle of the image, x along its columns to the right, y up its rows, z to whoever
    looks at it: the slice view then shows the image as it is stored, from the source's side, or
    from the detector's where the camera mirrors.
    """
    ras_from_pixel = place_of(view.node)
    right = ras_from_pixel[:3, 0]
    down = ras_from_pixel[:3, 1]
    x = rigid.unit(right)
    y = rigid.unit(down @ x * x - down)
    columns, rows = view.size
    plane = np.eye(4)
    plane[:3, :3] = np.stack([x, y, np.cross(x, y)], axis=1)
    middle = [(columns - 1) / 2, (rows - 1) / 2, 0]
    plane[:3, 3] = rigid.transform_points(ras_from_pixel, middle)
    return plane


def fit(view: XRayView) -> None:
    """Show the whole image, if there are one and a slice view, as large as that allows."""
    node = slice_of(view)
    if node is None or 0 in view.size:
        return
    with slicer.util.NodeModify(node):
        _lay(node, ras_from_slice(view))
        node.SetXYZOrigin(0, 0, 0)
        node.SetFieldOfView(*_whole(view, node.GetDimensions()), node.GetFieldOfView()[2])


#: Room about what is looked at closely, of which the neighbours are seen, too.
CLOSE_MARGIN = 2.0


def pixel_box(view: XRayView, points: np.ndarray) -> np.ndarray | None:
    """Return the lowest and the highest pixel (2, 2) of points (n, 3), world LPS mm, in an X-ray.

    With room about them; None where it does not show them.
    """
    if not view.placed or (view.camera.depth(points) <= 0).any():
        return None
    pixels = view.camera.project(points)
    low = pixels.min(axis=0)
    high = pixels.max(axis=0)
    if (high < 0).any() or (low > np.array(view.size) - 1).any():
        return None
    middle = (low + high) / 2
    half = CLOSE_MARGIN * (high - low) / 2
    return np.stack([middle - half, middle + half])


def look_closely_in_xray(view: XRayView, points: np.ndarray) -> None:
    """Have an X-ray's slice view, if there is one, show points (n, 3), world LPS mm, as large as it allows."""
    box = pixel_box(view, points)
    if box is not None:
        show_pixels(view, box)


def show_pixels(view: XRayView, box: np.ndarray) -> None:
    """Have an X-ray's slice view, if there is one, show the lowest to the highest pixel (2, 2), as large as it allows."""
    node = slice_of(view)
    if node is None or not is_on_plane(view):
        return
    mm = view.node.GetSpacing()[:2] * np.array([1.0, -1.0])
    middle = (box.mean(axis=0) - (np.array(view.size) - 1) / 2) * mm
    width, height = np.abs((box[1] - box[0]) * mm)
    columns, rows = np.maximum(node.GetDimensions()[:2], 1)
    mm_per_pixel = max(width / columns, height / _stretch(view) / rows)
    with slicer.util.NodeModify(node):
        node.SetXYZOrigin(*middle, 0)
        node.SetFieldOfView(
            mm_per_pixel * columns, mm_per_pixel * _stretch(view) * rows, node.GetFieldOfView()[2]
        )


def look_closely_in_slice(points: np.ndarray, node: Any) -> None:
    """Have a slice view go to the middle of points (n, 3), world LPS mm, and show them as large as it allows."""
    plane = plane_of(node).copy()
    ras = ras_from_lps(points)
    plane[:3, 3] = (ras.min(axis=0) + ras.max(axis=0)) / 2
    _fill(node, plane, CLOSE_MARGIN * np.ptp(ras @ plane[:3, :2], axis=0))


def _fill(node: Any, plane: np.ndarray, size_mm: np.ndarray) -> None:
    """Lay a slice view on a plane (4, 4), and show so much of it (2,) about its middle, as large as the view allows."""
    pixels = np.maximum(node.GetDimensions()[:2], 1)
    seen_mm = max(size_mm / pixels) * pixels
    with slicer.util.NodeModify(node):
        move(node, plane)
        node.SetXYZOrigin(0, 0, 0)
        node.SetFieldOfView(*seen_mm, node.GetFieldOfView()[2])


def keep_on_plane(view: XRayView) -> None:
    """Bring the slice view back where it was scrolled, turned or made to jump off the image, or lost its proportions; its zoom stays.

    Where the image has moved, all of it is shown.
    """
    node = slice_of(view)
    if node is None or 0 in view.size or not node.HasSliceOrientationPreset(ORIENTATION):
        return  # it does not show the X-ray yet
    plane = ras_from_slice(view)
    if not _on(node, plane):
        if np.allclose(json.loads(node.GetAttribute(PLANE) or "[0]"), plane, atol=1e-6):
            _lay(node, plane)
        else:
            fit(view)
    (width, height, thickness) = node.GetFieldOfView()
    dimensions = node.GetDimensions()
    proportional = width * _stretch(view) * dimensions[1] / max(dimensions[0], 1)
    if not np.isclose(
        height, proportional, rtol=1e-6
    ):  # Slicer makes both axes alike where the view's size changes
        node.SetFieldOfView(width, proportional, thickness)


def is_on_plane(view: XRayView) -> bool:
    """Return whether the slice view shows the X-ray's plane, and not the emptiness before or behind it."""
    return _on(slice_of(view), ras_from_slice(view))


def is_fitted(
    view: XRayView,
    dimensions: Sequence[int],
    field_of_view: Sequence[float],
    origin: Sequence[float],
) -> bool:
    """Return whether a slice view of these dimensions, field of view and XYZ origin shows the whole image, as `fit` does."""
    return np.allclose(field_of_view[:2], _whole(view, dimensions), rtol=1e-6) and np.allclose(
        origin[:2], 0, atol=1e-6
    )


#: The attribute of a slice view that shows nothing since no registration was chosen.
EMPTIED = "MultiViewRegistration.emptied"


def show_instead(scene: Any, volumes: list, ct: Any) -> None:
    """Have Slicer's own slice views show a CT, or nothing where it is None, through its middle wherever they show one of these volumes.

    Over the CT they show none of them.
    """
    unwanted = {volume.GetID() for volume in volumes if volume is not ct}
    shown = ct and ct.GetID()
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    if selection.GetActiveVolumeID() in unwanted:
        selection.SetActiveVolumeID(shown)
    for composite in nodes_of_class("vtkMRMLSliceCompositeNode", scene):
        if composite.GetForegroundVolumeID() in unwanted:
            composite.SetForegroundVolumeID(None)
        if composite.GetLabelVolumeID() in unwanted:
            composite.SetLabelVolumeID(None)
        if number_of(composite.GetLayoutName() or ""):
            continue
        now = composite.GetBackgroundVolumeID()
        emptied = composite.GetAttribute(EMPTIED)
        if now in unwanted or (emptied and not now):
            composite.SetAttribute(EMPTIED, None if shown else "1")
            composite.SetBackgroundVolumeID(shown)
            node = slice_node(scene, composite.GetLayoutName())
            if has_voxels(ct) and node is not None:
                plane = plane_of(node).copy()
                plane[:3, 3] = ras_from_box(ct)[:3, 3]
                move(node, plane)
                fit_to_ct(ct, node)


def release(scene: Any, tag: str) -> None:
    """Give a slice view back as it was before it showed an X-ray."""
    node = slice_node(scene, tag)
    composite = composite_node(scene, tag)
    if node is not None:  # the resolution of no volume is a plane without a size
        node.SetSliceResolutionMode(node.SliceResolutionMatch2DView)
    if composite is not None:
        with slicer.util.NodeModify(composite):
            volumes = dict.fromkeys(("BackgroundVolumeID", "ForegroundVolumeID", "LabelVolumeID"))
            configure(composite, **volumes, DoPropagateVolumeSelection=True)
    if node is not None and node.HasSliceOrientationPreset(ORIENTATION):
        with slicer.util.NodeModify(node):
            node.SetSliceVisible(False)
            node.RemoveSliceOrientationPreset(ORIENTATION)
            node.RemoveAttribute(PLANE)
            node.SetDefaultOrientation(DEFAULT_ORIENTATION)
            node.SetOrientation(DEFAULT_ORIENTATION)
            node.SetXYZOrigin(0, 0, 0)


def _whole(view: XRayView, dimensions: Sequence[int]) -> tuple[float, float]:
    """Return width and height in mm that a slice view of these dimensions needs to show the whole image."""
    columns, rows = np.maximum(dimensions[:2], 1)
    width, height = np.array(view.size) * view.node.GetSpacing()[:2]
    stretch = _stretch(view)
    mm_per_pixel = max(width / columns, height / stretch / rows)
    return mm_per_pixel * columns, mm_per_pixel * stretch * rows


def _stretch(view: XRayView) -> float:
    """Return how many times as many mm a slice view shows in the height of a pixel as in its width.

    Of a slot scan more or less than 1, so that it is seen in proportion: where it lies it is wider,
    as its rays spread across alone.
    """
    width, height = view.node.GetSpacing()[:2]
    return height / width / view.pixel_aspect


def _on(node: Any, plane: np.ndarray) -> bool:
    return np.allclose(plane_of(node), plane, atol=1e-6)


def _lay(node: Any, plane: np.ndarray) -> None:
    turn = vtkMatrix3x3()
    for row in range(3):
        for column in range(3):
            turn.SetElement(row, column, plane[row, column])
    node.AddSliceOrientationPreset(ORIENTATION, turn)
    node.SetAttribute(PLANE, json.dumps(plane.tolist()))
    node.GetSliceToRAS().DeepCopy(plane.ravel())
    node.UpdateMatrices()


def _style(node: Any, tag: str) -> None:
    if not any(node.GetUVWExtents()):
        # A new scene's: Slicer would log errors of a plane without a size.
        node.SetUVWExtents(*node.GetFieldOfView())
    configure(
        node,
        DefaultOrientation=ORIENTATION,  # where Slicer resets a view, it resets it to this
        LayoutLabel=f"X{number_of(tag)}",
        LayoutColor=colour(tag),
        ViewGroup=group(tag),  # a saved scene says of the group only whether there is one
        # All of the image is shown in 3D, not the part that the slice view is zoomed to; its edge
        # is part of the frustum.
        SliceResolutionMode=node.SliceResolutionMatchVolumes,
        SliceEdgeVisibility3D=False,
    )


#: Room about a CT that is shown as a whole.
FIT_MARGIN = 1.05
#: What Slicer calls the directions of the axes of RAS, and their opposites.
LETTERS = ("RL", "AP", "SI")


#: Axes across, up and along the normal (columns) of slices, RAS, as Slicer has them by default: the
#: patient's right is on the left.
ORIENTATIONS = {
    "Axial": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "Coronal": [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
    "Sagittal": [[0, 0, 1], [-1, 0, 0], [0, 1, 0]],
}


class CTSliceFollower:
    """Keeps slice views on a CT that moves, along the CT's own axes.

    They show the same of it, wherever it is.
    """

    def __init__(self) -> None:
        self._ct: Any = None
        self._place = np.eye(4)

    def update(self, ct: Any, nodes: dict[str, Any]) -> None:
        """Have each vtkMRMLSliceNode, by its orientation, go where the CT has gone.

        Of another CT than before, to its middle.
        """
        if not has_voxels(ct):
            self._ct = None
            return
        place = ras_from_node(ct) @ place_of(ct)
        if ct is not self._ct:
            for orientation, node in nodes.items():
                lay_through(ct, node, orientation)
        elif not np.allclose(
            place, self._place, rtol=0, atol=1e-6
        ):  # of the voxels: a hardened transform moves none
            for node in nodes.values():
                move(node, _rigid(place @ np.linalg.inv(self._place) @ plane_of(node)))
        self._ct = ct
        self._place = place


def lay_through(ct: Any, node: Any, orientation: str) -> None:
    """Lay a slice view through the middle of a CT, in an orientation (Axial, Coronal, Sagittal) of the CT's own axes; its zoom stays."""
    plane = np.eye(4)
    plane[:3, :3] = ORIENTATIONS[orientation]
    plane = _rigid(ras_from_node(ct) @ plane)
    plane[:3, 3] = ras_from_box(ct)[:3, 3]
    move(node, plane)


def fit_to_ct(ct: Any, node: Any) -> None:
    """Show all that a slice view's plane may have of a CT, as large as the view allows, in the middle."""
    box = ras_from_box(ct)
    plane = plane_of(node).copy()
    half = np.abs(plane[:3, :2].T @ box[:3, :3]).sum(axis=1)
    plane[:3, 3] += plane[:3, :2] @ plane[:3, :2].T @ (box[:3, 3] - plane[:3, 3])
    _fill(node, plane, FIT_MARGIN * 2 * half)


@dataclass(frozen=True)
class SlicePosition:
    """Where a slice view is in a CT.

    Attributes
    ----------
    axis
        Letters of the CT's direction to which `mm` grows, and of its opposite: RL, AP or SI.
    low, high, step
        Of the slices there are.
    sides
        Letters of the CT's directions at the left, right, top and bottom edge.
    """

    axis: str
    mm: float
    low: float
    high: float
    step: float
    sides: tuple[str, str, str, str]


def position_in(ct: Any, node: Any) -> SlicePosition:
    """Return where a slice view is in the own coordinates, RAS mm, of a CT with voxels."""
    box = ras_from_box(ct)
    ct_from_ras = np.linalg.inv(ras_from_node(ct))
    plane = plane_of(node)
    right, up, normal = (ct_from_ras @ plane)[:3, :3].T
    axis = int(np.abs(normal).argmax())
    corners = rigid.transform_points(ct_from_ras @ box, CORNERS)
    across = normal * np.sign(normal[axis])
    reach = corners @ across
    mm = float(across @ (ct_from_ras @ plane)[:3, 3])
    return SlicePosition(
        LETTERS[axis],
        mm,
        float(reach.min()),
        float(reach.max()),
        min(ct.GetSpacing()),
        (letter(-right), letter(right), letter(up), letter(-up)),
    )


def scroll_to(ct: Any, node: Any, mm: float) -> None:
    """Move a slice view along its normal to a `SlicePosition.mm`."""
    position = position_in(ct, node)
    plane = plane_of(node)
    normal = plane[:3, 2]
    along = (np.linalg.inv(ras_from_node(ct))[:3, :3] @ normal)[LETTERS.index(position.axis)]
    plane[:3, 3] += (mm - position.mm) * np.sign(along) * normal
    move(node, plane)


def letter(direction: np.ndarray) -> str:
    """Return the letter of a direction, RAS: R or L, A or P, S or I, whichever is nearest."""
    axis = int(np.abs(direction).argmax())
    return LETTERS[axis][int(direction[axis] < 0)]


#: (8, 3) of a cube of -1 to 1.
CORNERS = rigid.grid_points(*[(-1, 1)] * 3)


def ras_from_box(ct: Any) -> np.ndarray:
    """Return the matrix (4, 4) from a cube of -1 to 1, which is all of a volume with voxels, to RAS mm of the world."""
    size = np.array(ct.GetImageData().GetDimensions())
    index_from_box = np.diag([*size / 2, 1.0])
    index_from_box[:3, 3] = (size - 1) / 2
    return ras_from_node(ct) @ place_of(ct) @ index_from_box


def plane_of(node: Any) -> np.ndarray:
    """Return the plane (4, 4) of a slice view.

    Its axes across, up and along the normal, and its origin, RAS mm.
    """
    return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())


def move(node: Any, plane: np.ndarray) -> None:
    """Move a slice view to a plane of `plane_of`."""
    with slicer.util.NodeModify(node):
        node.GetSliceToRAS().DeepCopy(plane.ravel())
        node.UpdateMatrices()


def _rigid(plane: np.ndarray) -> np.ndarray:
    """Return the nearest (4, 4) with axes of length 1 that are square to each other."""
    U, _, Vt = np.linalg.svd(plane[:3, :3])
    rigid = plane.copy()
    rigid[:3, :3] = U @ Vt
    return rigid
