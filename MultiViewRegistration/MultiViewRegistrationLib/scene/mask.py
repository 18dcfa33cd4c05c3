"""What part of an X-ray is used: a segmentation on its picture."""

from __future__ import annotations

import numpy as np

from .case import xray_of
from .loading import segmentation_node
from .products import OWNER
from .xray import MASK, XRayView


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


def draw_mask(view: XRayView):
    """A mask to draw on: a segmentation on the view's picture with one segment, which is what is used of it now. It goes with the view.

    Returns its vtkMRMLSegmentationNode and the segment's ID. InputError where the image cannot be used.
    """
    used: np.ndarray = xray_of(view).valid
    node, segment = segmentation_node(view.node.GetScene(), f"{view.name} mask", used[None], view.node)
    node.SetNodeReferenceID(OWNER, view.node.GetID())
    node.GetDisplayNode().SetOpacity2DFill(0.2)
    view.node.SetNodeReferenceID(MASK, node.GetID())
    return node, segment
