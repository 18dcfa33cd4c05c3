"""What part of an X-ray is used: a segmentation on its picture."""

from __future__ import annotations

import numpy as np
import slicer

from .case import xray_of
from .loading import segmentation_node
from .products import OWNER
from .tags import number_of, tag_of
from .xray import MASK, XRayView

FILL_OPACITY = 0.2


def set_mask(view: XRayView, segmentation) -> None:
    """Use only what the segments of this vtkMRMLSegmentationNode cover; all of the X-ray's field with None.

    InputError where they leave nothing of it; the mask then stays as it was.
    """
    before = view.mask
    view.node.SetNodeReferenceID(MASK, segmentation and segmentation.GetID())
    try:
        xray_of(view)
    except Exception:
        view.node.SetNodeReferenceID(MASK, before and before.GetID())
        raise
    if before is not None and before is not segmentation and before.GetDisplayNode() is not None:
        before.GetDisplayNode().RemoveAllViewNodeIDs()  # see `show`


def draw_mask(view: XRayView):
    """A mask to draw on: a segmentation on the view's picture with one segment, which is what is used of it now. It goes with the view.

    Returns its vtkMRMLSegmentationNode and the segment's ID. InputError where the image cannot be used.
    """
    used: np.ndarray = xray_of(view).valid
    node, segment = segmentation_node(view.node.GetScene(), f"{view.name} mask", used[None], view.node)
    node.SetNodeReferenceID(OWNER, view.node.GetID())
    view.node.SetNodeReferenceID(MASK, node.GetID())
    return node, segment


def show(view: XRayView, *, filled: bool = False) -> None:
    """Show a mask that was drawn on the view's picture as an outline, in no other X-ray's slice view.

    filled: tinted as well, for whoever draws it; it would hide what is to be judged.
    """
    if view.mask is None or view.mask_on_source or view.mask.GetDisplayNode() is None:
        return
    display = view.mask.GetDisplayNode()
    views = tuple(
        node.GetID()
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode", view.node.GetScene())
        if not number_of(node.GetLayoutName() or "") or node.GetLayoutName() == tag_of(view)
    )
    was = display.StartModify()
    if tuple(display.GetViewNodeIDs()) != views:
        display.SetViewNodeIDs(list(views))
    display.SetVisibility2DFill(filled)
    display.SetOpacity2DFill(FILL_OPACITY)
    display.SetVisibility2DOutline(True)
    display.EndModify(was)
