"""The pixels of an X-ray pane.

The X-ray, 16 bits a pixel, so that the page sets brightness and contrast itself, and what lies over
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import slicer

from ..imaging.field import hull
from ..imaging.xray import XRay
from ..mrml import overlay
from ..mrml.drawing import ToneMatch, pooling_of
from ..mrml.xray import DetectorPlane, XRayView
from ..session.session import Session
from .browser_drr import BrowserDRR, stamps

if TYPE_CHECKING:
    from ..report.overlays import Film

#: Pixels along the longest side from which on the page gets blocks of pixels instead.
MAX_SIDE = 2048
#: Codes of values; 0 means transparent.
FIRST = 1
LAST = 65535
#: Codes of an X-ray's field: what is masked within its hull, and what is used; 0 is beyond.
MASKED = 128
USED = 255


@dataclass(frozen=True, eq=False)
class EncodedXRay:
    """An X-ray and its scale.

    Attributes
    ----------
    codes
        Uint16 (rows, columns), each for `pooled` x `pooled` pixels of the X-ray; 0 where it is
        black whatever the window.
    field
        Uint8 (rows, columns), 0, MASKED or USED.
    low, high
        The line integrals of the codes FIRST and LAST.
    """

    codes: np.ndarray
    field: np.ndarray
    pooled: int
    low: float
    high: float

    @classmethod
    def of(cls, view: XRayView, used: XRay | None) -> EncodedXRay:
        """Encode an X-ray with an image.

        Parameters
        ----------
        used
            What is used of it; None where it cannot be.
        """
        values = slicer.util.arrayFromVolume(view.node)[0]
        display = view.display
        pooled = -(-max(values.shape) // MAX_SIDE)
        if pooled > 1:
            rows, columns = (side // pooled for side in values.shape)
            values = (
                values[: rows * pooled, : columns * pooled]
                .reshape(rows, pooled, columns, pooled)
                .mean(axis=(1, 3))
            )
        shown = values
        if display.GetApplyThreshold():  # collimator blades
            ends = display.GetLowerThreshold(), display.GetUpperThreshold()
            within = (values >= ends[0]) & (values <= ends[1])
            shown = values[within]
            values = np.where(within, values, np.float32(np.nan))
        codes, low, high = scaled(values, shown)
        return cls(codes, field_codes(used, pooled, codes.shape), pooled, low, high)


def field_codes(used: XRay | None, pooled: int, shape: tuple[int, int]) -> np.ndarray:
    """Return the field of an X-ray of this shape once it is pooled, as `EncodedXRay` has it."""
    if used is None:
        return np.zeros(shape, np.uint8)
    return _codes_of(used.pooled(pooled).valid.tobytes(), shape)


@lru_cache(maxsize=8)
def _codes_of(field: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Return the codes of a field, which all frames of a sequence have in common."""
    valid = np.frombuffer(field, bool).reshape(shape)
    return np.where(valid, np.uint8(USED), np.uint8(MASKED) * hull(valid))


def scaled(values: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Encode line integrals between the lowest and the highest of those that are shown; return these, too."""
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    return encoded(values, low, high), low, max(high, low + 1e-3)


def encoded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Encode line integrals as uint16 of the same shape.

    A code is 0 where they are NaN, the first or the last one beyond the ends of the scale.
    """
    codes = np.subtract(values, low, dtype=np.float32)
    codes *= (LAST - FIRST) / max(high - low, 1e-3)
    codes += FIRST
    np.clip(np.rint(codes, out=codes), FIRST, LAST, out=codes)
    codes[np.isnan(codes)] = 0
    return codes.astype(np.uint16)


@dataclass(eq=False)
class Layer:
    """A DRR, or one of bone alone ("bones"), (rows, columns), NaN where it says nothing.

    Or a "picture" (rows, columns, 4).

    Attributes
    ----------
    factor
        How many pixels of the X-ray one of these is wide.
    stamp
        Another for whatever else is shown.
    pose_stamp
        Of `BrowserDRR`, of the CT in it.
    """

    kind: str
    image: np.ndarray
    factor: int
    stamp: int
    pose_stamp: int
    sharp: bool


class OverlayLayers:
    """The overlays of a session's X-rays, which pages fetch; a `mrml.drawing.Canvas`.

    Attributes
    ----------
    browser
        What pages need that draw by themselves: they need no more from here than a sharp DRR.
    plain
        Whether there is a page that does not: it needs coarse ones while the CT moves, and
        pictures.
    """

    def __init__(self) -> None:
        self.browser = BrowserDRR()
        self.plain = False
        self.tone_matches: dict[str, ToneMatch] = {}
        self._shown: dict[str, Layer] = {}

    def kind(self, mode: str) -> str | None:
        """Return what the server makes for a mode.

        A picture, or a DRR of which the page makes the rest; None for nothing.
        """
        if mode == "off":
            return None
        if mode in ("edges", "colours", "difference") and (self.plain or not self.browser.wanted):
            return overlay.PICTURE
        return overlay.BONES if mode == "edges" else overlay.DRR

    def foreground(self, view: XRayView, mode: str) -> Layer | None:
        """Return the layer of an X-ray in this mode; None where there is none (yet)."""
        layer = self._shown.get(view.id)
        return layer if layer is not None and layer.kind == self.kind(mode) else None

    def remove(self, view: XRayView, but: str = "off") -> None:
        """Forget a layer that a mode has no use for, as it no longer shows where the CT is."""
        if self.foreground(view, but) is None:
            self._shown.pop(view.id, None)

    def show(self, detector: DetectorPlane, kind: str, image: np.ndarray, factor: int) -> None:
        """Lay a DRR or a picture over its X-ray."""
        self._shown[detector.view.id] = Layer(
            kind,
            image,
            factor,
            next(stamps),
            self.browser.pose_stamp,
            factor <= pooling_of(detector),
        )

    def shade(self, view: XRayView, tones: ToneMatch) -> None:
        """Set which values of the X-ray those of its DRR look like."""
        self.tone_matches[view.id] = tones

    def picture_of(self, mode: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
        """Make the picture of a mode, uint8 (rows, columns, 4), as `report.overlays.live_layer`."""
        from ..report.overlays import live_layer

        return live_layer(mode, film, drr, structure=structure)


def layers_of(session: Session) -> OverlayLayers:
    """Return the layers onto which a session draws, so that pages can show them."""
    canvas = session.drawing.canvas
    if not isinstance(canvas, OverlayLayers):
        canvas = session.drawing.canvas = OverlayLayers()
    return canvas
