"""The picture of an X-ray view, from the image it was made from."""

from __future__ import annotations

import numpy as np
import slicer

from .case import xray_of
from .xray import SOURCE, XRayView


def set_source(view: XRayView, source) -> None:
    """Make the view's picture from a volume. InputError where it is no X-ray; the view then stays as it was."""
    before = view.source
    view.node.SetNodeReferenceID(SOURCE, source.GetID())
    try:
        refresh(view)
    except Exception:
        view.node.SetNodeReferenceID(SOURCE, before and before.GetID())
        raise


def refresh(view: XRayView) -> None:
    """Make the picture anew: line integrals, bone bright, at the detector plane. InputError where the image cannot be used."""
    xray = xray_of(view)
    slicer.util.updateVolumeFromArray(view.node, xray.line_integrals[None])
    view.place()
    if view.node.GetDisplayNode() is None:
        view.node.CreateDefaultDisplayNodes()
    low, high = np.percentile(xray.line_integrals[xray.valid], (0.5, 99.5))
    display = view.node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(float(low), float(max(high, low + 1e-3)))
