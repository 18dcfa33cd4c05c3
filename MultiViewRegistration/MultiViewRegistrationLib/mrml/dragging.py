"""Moving the CT with mouse and keys in the slice view of an X-ray."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer

from . import by_hand
from .detector import detectors
from .registration import Registration
from .xray import XRayView

#: Above that of Slicer's own tools and of its views.
PRIORITY = 10.0
ARROWS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
TURNS = {"bracketleft": 1, "bracketright": -1}
BEAM = {"Prior": 1, "Next": -1}  # Page Up and Page Down
STEP_PX, STEP_DEG, STEP_MM = 1.0, 0.5, 1.0
FASTER = 10
"""With Shift."""
TILT_DEG = 0.25
"""For each pixel of the view."""


class Dragging:
    """While it is on, the CT follows the left button and the keys in one X-ray's slice view, and Slicer's own tools there rest.

    Drag: parallel to the image. Shift and drag: turn, about the beam. Ctrl and drag: tilt, as if the CT were rolled like a ball.
    Arrows: one pixel of the image. [ and ]: turn. Page Up and Page Down: away from the source and towards it. Keys go ten times as far
    with Shift.

    interactor: the vtkRenderWindowInteractor of the view's slice view, which must be there.
    begin, moved, end: called before the first movement of a drag or of a key, after each, and after the last: for a step to undo, and
        for what follows the CT.

    InputError without a usable CT, or where the view has no geometry.
    """

    def __init__(
        self,
        interactor,
        registration: Registration,
        view: XRayView,
        *,
        begin: Callable[[], object],
        moved: Callable[[], object],
        end: Callable[[], object],
    ) -> None:
        self._interactor, self._registration, self._view = interactor, registration, view
        self._begin, self._moved, self._end = begin, moved, end
        self._detectors = detectors(registration)
        self._last: np.ndarray | None = None
        self._how: Callable[[np.ndarray, np.ndarray], None] = self._shift
        _ = by_hand.centre_in_ct(registration), view.camera  # what is missing is told now, not while the mouse moves
        reactions = {
            "LeftButtonPressEvent": self._press,
            "LeftButtonDoubleClickEvent": self._press,
            "MouseMoveEvent": self._drag,
            "LeftButtonReleaseEvent": self._release,
            "KeyPressEvent": self._key,
        }
        self._tags = [self._observe(event, reaction) for event, reaction in reactions.items()]

    def stop(self) -> None:
        """Give the view back to Slicer's own tools."""
        self._release()
        for tag in self._tags:
            self._interactor.RemoveObserver(tag)
        self._tags = []

    def _observe(self, event: str, reaction: Callable[[], bool]) -> int:
        """`reaction` says whether the event was for us; no other tool sees it then."""

        def react(*_) -> None:
            if reaction():
                self._interactor.GetCommand(tag).AbortFlagOn()

        tag = self._interactor.AddObserver(event, react, PRIORITY)
        return tag

    def _press(self) -> bool:
        if self._last is None:
            shift, ctrl = self._interactor.GetShiftKey(), self._interactor.GetControlKey()
            self._how = self._turn if shift else self._tilt if ctrl else self._shift
            self._last = np.array(self._interactor.GetEventPosition(), float)
            self._begin()
        return True

    def _drag(self) -> bool:
        if self._last is None:
            return False
        now = np.array(self._interactor.GetEventPosition(), float)
        self._how(self._last, now)
        self._last = now
        self._moved()
        return True

    def _release(self) -> bool:
        if self._last is None:
            return False
        self._last = None
        self._end()
        return True

    def _key(self) -> bool:
        key = (self._interactor.GetKeySym() or "").replace(
            "brace", "bracket"
        )  # what [ and ] are with Shift on many keyboards
        if not any(key in keys for keys in (ARROWS, TURNS, BEAM)):
            return False
        if self._last is not None:
            return True  # not in the middle of a drag
        times = FASTER if self._interactor.GetShiftKey() else 1
        self._begin()
        if key in ARROWS:
            by_hand.shift(self._registration, self._view, *(times * STEP_PX * np.array(ARROWS[key])))
        elif key in TURNS:
            by_hand.turn(self._registration, self._view, times * STEP_DEG * TURNS[key])
        else:
            by_hand.along_beam(self._registration, self._view, times * STEP_MM * BEAM[key])
        self._moved()
        self._end()
        return True

    def _shift(self, before: np.ndarray, now: np.ndarray) -> None:
        by_hand.shift(self._registration, self._view, *(self._pixel(now) - self._pixel(before)))

    def _turn(self, before: np.ndarray, now: np.ndarray) -> None:
        """By as much as the mouse goes round the CT's centre."""
        middle = self._view.camera.project(by_hand.centre(self._registration))
        angles = [np.arctan2(*(self._pixel(position) - middle)[::-1]) for position in (before, now)]
        clockwise = (angles[1] - angles[0] + np.pi) % (2 * np.pi) - np.pi
        by_hand.turn(self._registration, self._view, -np.degrees(clockwise))

    def _tilt(self, before: np.ndarray, now: np.ndarray) -> None:
        right, up = TILT_DEG * (now - before)
        by_hand.tilt(self._registration, self._view, right, -up)

    def _pixel(self, position: np.ndarray) -> np.ndarray:
        """(column, row) of the X-ray under a position (2,) in the view."""
        self._detectors = detectors(self._registration, self._detectors)
        detector = next(detector for detector in self._detectors if detector.view == self._view)
        node = self._registration.scene.GetNodeByID(detector.slice_id)
        ras = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()) @ [*position, 0.0, 1.0]
        return detector.locate(ras[:3])[0]
