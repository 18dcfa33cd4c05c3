"""Overlays that follow the CT: coarse while it moves, sharp once it rests, and never more at a time than a window can wait for."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from . import overlay
from .registration import Registration
from .xray import XRayView

#: Seconds without a move after which overlays are drawn sharp.
REST = 0.25
#: Seconds that drawing all views while the CT moves may take: ten pictures a second.
FRAME = 0.08
FEWEST_PIXELS = 64


class Drawing:
    """The overlays of one registration; `step` is called from a timer.

    anatomy: gives the prepared CT, None before there is one.   xray: gives a view's `imaging.xray.XRay`.
    mode: one of overlay.MODES.
    """

    def __init__(self, registration: Registration, anatomy: Callable[[], object], xray: Callable[[XRayView], object]) -> None:
        self._registration, self._anatomy, self._xray = registration, anatomy, xray
        self.mode = "blend"
        self._pixels = overlay.MOVING
        self._drawn: dict[str, tuple] = {}
        self._moved = 0.0

    def step(self) -> bool:
        """Draw what is out of date, all views coarsely or one sharply; whether there was anything to draw."""
        anatomy = self._anatomy()
        if anatomy is None or self.mode == "off":
            return False
        wanted = {view.node.GetID(): (view, self._key(view, anatomy)) for view in self._registration.xrays if view.placed}
        stale = [view for name, (view, key) in wanted.items() if self._drawn.get(name, ("", False))[0] != key]
        began = perf_counter()
        if stale:
            for view in stale:
                self._draw(view, anatomy, self._pixels)
                self._drawn[view.node.GetID()] = wanted[view.node.GetID()][1], False
            self._moved = perf_counter()
            self._adapt(self._moved - began, len(stale))
            return True
        blurred = [view for name, (view, _) in wanted.items() if not self._drawn[name][1]]
        if not blurred or began - self._moved < REST:
            return False
        self._draw(blurred[0], anatomy, overlay.RESTING)
        name = blurred[0].node.GetID()
        self._drawn[name] = self._drawn[name][0], True
        return True

    @property
    def at_rest(self) -> bool:
        """Whether the CT has not moved for a while."""
        return perf_counter() - self._moved > REST

    def finish(self) -> None:
        """Draw until all is sharp."""
        while self.step() or any(not sharp for _, sharp in self._drawn.values()):
            pass

    def _draw(self, view: XRayView, anatomy, pixels: int) -> None:
        drr = overlay.show_drr(view, anatomy, self._registration.world_from_ct, pixels)
        if self.mode in overlay.PICTURES:
            overlay.show_picture(view, self._xray(view), drr, self.mode)

    def _key(self, view: XRayView, anatomy) -> tuple:
        camera = view.camera
        kind = self.mode if self.mode in overlay.PICTURES else "drr"
        return (kind, id(anatomy), np.round(self._registration.world_from_ct, 9).tobytes(), camera.intrinsics.tobytes(),
                camera.camera_from_world.tobytes())

    def _adapt(self, spent: float, views: int) -> None:
        """Draw fewer pixels where the last pictures took too long, more where there is time."""
        if spent > FRAME:
            self._pixels = max(self._pixels // 2, FEWEST_PIXELS)
        elif spent < FRAME / 5:
            self._pixels = min(self._pixels * 2, overlay.MOVING)
