"""The picture of an X-ray view, from the image it was made from."""

from __future__ import annotations

import numpy as np
import slicer

from ..errors import InputError
from ..imaging.xray import XRay
from .case import xray_of
from .xray import SOURCE, XRayView, place_of

#: Beyond its field an X-ray is shown as black if it is so much whiter there, beside the contrast within; and how much whiter than
#: the brightest within, beside the blades themselves.
APART, RIM = 0.5, 0.1


def set_source(view: XRayView, source, xray: XRay | None = None) -> None:
    """Make the view's picture from a volume. InputError where it is no X-ray; the view then stays as it was.

    xray: what `xray_of` makes of it, where that is known.
    """
    before = view.source
    view.node.SetNodeReferenceID(SOURCE, source.GetID())
    try:
        refresh(view, xray)
    except Exception:
        view.node.SetNodeReferenceID(SOURCE, before and before.GetID())
        raise


def change_image(view: XRayView, **settings) -> None:
    """Make the picture with other settings: frame, intensity, inverted, flipped. InputError where that cannot be; nothing changes then.

    A mask that was drawn on the picture is turned round with it.
    """
    before = view.content
    flip = bool(before.get("flipped")) != bool(settings.get("flipped", before.get("flipped")))
    view.change(**settings)
    if flip:
        _flip_mask(view)
    try:
        refresh(view)
    except InputError:
        view.content = before
        if flip:
            _flip_mask(view)
        raise


def _flip_mask(view: XRayView) -> None:
    flip, place = np.diag([-1.0, 1, 1, 1]), place_of(view.node)
    flip[0, 3] = view.size[0] - 1
    view.carry_mask(place, place @ flip)


def refresh(view: XRayView, xray: XRay | None = None) -> None:
    """Make the picture anew: line integrals, bone bright, at the detector plane. InputError where the image cannot be used.

    xray: as in `set_source`.
    """
    xray = xray or xray_of(view)
    slicer.util.updateVolumeFromArray(view.node, xray.line_integrals[None])
    view.place()
    if view.node.GetDisplayNode() is None:
        view.node.CreateDefaultDisplayNodes()
    low, high = np.percentile(xray.line_integrals[xray.valid], (0.5, 99.5))
    display = view.node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(float(low), float(max(high, low + 1e-3)))
    _black_out_blades(display, xray)


def _black_out_blades(display, xray) -> None:
    """Show collimator blades, which nothing passed, as black and not as the brightest bone of all: transparent, that is.

    Not where metal within the field is as dense.
    """
    from ..report.overlays import hull

    within = hull(xray.valid)
    field, blades = xray.line_integrals[within], xray.line_integrals[~within]
    darkest, brightest, white = field.min(), field.max(), np.percentile(field, 99.5)
    blade = np.median(blades) if blades.size else brightest
    told_apart = blade - white > APART * (white - darkest) and brightest < (white + blade) / 2
    display.SetApplyThreshold(bool(told_apart))
    if told_apart:  # the rim of the field, which is not trusted, may be a little brighter than all within
        display.SetThreshold(float(darkest) - 1, float(brightest + RIM * (blade - brightest)))
