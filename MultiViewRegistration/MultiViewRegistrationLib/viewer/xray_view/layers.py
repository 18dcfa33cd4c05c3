"""What lies over the X-rays in the page: the DRRs in the X-rays' own units, or pictures that leave the X-ray out.

`session.drawing.Drawing` draws onto it as it does onto the scene's volumes; the page fetches what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np

from ...mrml import overlay
from ...mrml.detector import DetectorPlane
from ...mrml.xray import XRayView
from ...session.drawing import ToneMatch

_stamps = count(1)


@dataclass(eq=False)
class Layer:
    """A DRR (rows, columns), NaN where it says nothing, and its greys; or a picture (rows, columns, 4), and None.

    factor: how many pixels of the X-ray one of these is wide.   stamp: another for whatever else is shown.
    """

    kind: str
    image: np.ndarray
    factor: int
    stamp: int
    greys: ToneMatch | None = None


class Layers:
    """The layers of a session's X-rays."""

    #: The page lays tiles of a DRR itself: both then have the greys that a person has chosen.
    BLENDS = ("blend", "flicker", "checkerboard")
    PICTURES = ("edges", "colours", "difference")
    xray_window = staticmethod(overlay.xray_window)

    def __init__(self) -> None:
        self._shown: dict[str, Layer] = {}

    def foreground(self, view: XRayView, mode: str) -> Layer | None:
        """The layer of an X-ray in this mode; None where there is none (yet)."""
        layer = self._shown.get(view.node.GetID())
        return layer if layer is not None and layer.kind == self._kind(mode) else None

    def remove(self, view: XRayView, but: str = "off") -> None:
        """Forget a layer that a mode has no use for, as it no longer tells where the CT is."""
        layer = self._shown.get(view.node.GetID())
        if layer is not None and layer.kind != self._kind(but):
            del self._shown[view.node.GetID()]

    def show_drr(self, detector: DetectorPlane, drr: np.ndarray, factor: int) -> None:
        before = self.foreground(detector.view, "blend")
        self._show(detector, Layer("drr", drr, factor, next(_stamps), before and before.greys))

    def shade(self, view: XRayView, greys: ToneMatch) -> None:
        """Say which values of the X-ray those of its DRR look like."""
        layer = self.foreground(view, "blend")
        if layer is not None and layer.greys != greys:
            layer.greys, layer.stamp = greys, next(_stamps)

    @staticmethod
    def picture_of(mode: str, film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
        from ...report.overlays import live_layer

        return live_layer(mode, film, drr, structure=structure)

    def show_picture(self, detector: DetectorPlane, picture: np.ndarray, factor: int) -> None:
        self._show(detector, Layer("picture", picture, factor, next(_stamps)))

    def _show(self, detector: DetectorPlane, layer: Layer) -> None:
        self._shown[detector.view.node.GetID()] = layer

    def _kind(self, mode: str) -> str | None:
        return None if mode == "off" else "drr" if mode in self.BLENDS else "picture"
