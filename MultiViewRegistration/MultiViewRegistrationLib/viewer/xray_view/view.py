"""One X-ray in the page: tells it what to show, and does what is asked for there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from time import monotonic

from ...errors import InputError
from ...mrml import overlay
from ...mrml.cursor import LinkedCursor, Reading
from ...mrml.detector import DetectorPlane, detectors
from ...mrml.xray import XRayView as Node
from ...session.session import Session
from .component import XRayCanvas
from .film import Film, coded
from .layers import Layers
from .movement import are_numbers, checked, move
from .told import INVERTED, NO_HANDLES, PLAIN, anatomy_of, handles_of, image_of, labels_of, marks_of

#: Seconds in which an answer is on its way, and between pictures of the X-rays that follow another.
SOON, EACH = 0.001, 0.1
#: Seconds without a movement after which a drag has ended.
STILL = 5.0
_numbers = count(1)
#: The X-rays on the page, of whatever session.
_open: list[XRayView] = []


def _nothing(*_) -> None:
    """What is called where nobody wants to know."""


class XRayView:
    """An X-ray of a session in the page; `build` puts it into a layout, `refresh`, from a timer, follows the scene.

    Pixels go to the page when it asks for them, the newest and no others: a slow one misses pictures, and is never late.

    xray: of that session, and not of one that has its name or ID later.   may_move: whether the CT may be moved by hand now.
    on_begin, on_moved, on_end: called before the first movement of a drag or a key, after each once it was drawn, and after the last.
    on_point: called with the pixel (column, row) that a person clicked.   cursor: gives the linked cursor to show, None for none.
    """

    def __init__(
        self,
        server,
        session: Session,
        xray: Node,
        *,
        may_move: Callable[[], bool] = lambda: True,
        on_begin: Callable[[], object] = _nothing,
        on_moved: Callable[[], object] = _nothing,
        on_end: Callable[[], object] = _nothing,
        on_point: Callable[[float, float], object] = _nothing,
        cursor: Callable[[], LinkedCursor | None] = _nothing,
    ) -> None:
        self._server, self._session, self._xray = server, session, xray
        self._may_move, self._on_begin, self._on_moved, self._on_end = may_move, on_begin, on_moved, on_end
        self._on_point, self._cursor = on_point, cursor
        self.name = f"mvreg_xray_{next(_numbers)}"
        self._film: tuple[tuple, Film] | None = None
        self._films, self._labels, self._detectors = 0, (None, {}), []
        self._told: dict | None = None
        self._following, self._followed = None, 0.0
        self._moved_at: float | None = None
        self._given: set[str] = set()
        for what, do in self._answers().items():
            server.controller.trigger(f"{self.name}_{what}")(do)
        if not isinstance(session.drawing.onto, Layers):
            session.drawing.onto = Layers()
        _open.append(self)
        self._tell()

    def build(self) -> None:
        """Put it into the layout that is being made; it fills what it is put into."""
        XRayCanvas(self.name)

    def given(self, part: str) -> bool:
        """Whether a page has asked for the X-ray, "film", or for what lies over it, "layer"; True where there is none."""
        return self._told is None or not self._told[part] or part in self._given

    def refresh(self) -> None:
        """Have the page follow the scene."""
        if self._moved_at is not None and monotonic() - self._moved_at > STILL:
            self._end()  # the page may be gone; a drag that goes on begins anew
        if self is self._together()[0] and self._following is None:
            self._draw()
        self._tell()

    def close(self) -> None:
        """The page no longer shows it."""
        if self in _open:
            self._end()
            _open.remove(self)
            for what in self._answers():
                self._server.controller.trigger_unregister(f"{self.name}_{what}")
            self._server.state[self.name] = None

    # What is drawn

    def _together(self) -> list[XRayView]:
        """The open X-rays of this session."""
        return [view for view in _open if view._session is self._session]

    def _draw(self, first: Node | None = None) -> None:
        """Draw what is out of date of all X-rays of the session, as `session.drawing.Drawing.step`."""
        drawing = self._session.drawing
        drawing.mode = overlay.mode_of(self._session.registration)
        drawing.step(first)

    def _follow_soon(self) -> None:
        """Have all X-rays of the session follow one of them: once its picture is on its way, and not so often that they slow it down."""
        if self._following is None:
            wait = max(SOON, self._followed + EACH - monotonic())
            self._following = asyncio.get_running_loop().call_later(wait, self._follow)

    def _follow(self) -> None:
        self._following, self._followed = None, monotonic()
        if self in _open and self._session.registration.scene is not None:
            with self._server.state:
                self._draw()
                for view in self._together():
                    view._tell()

    def _node(self) -> Node | None:
        """The X-ray; None once it has left the scene, or its registration has."""
        registration = self._session.registration
        views = registration.xrays if registration.scene is not None else []
        return next((view for view in views if view == self._xray), None)

    def _layer(self):
        node = self._node()
        return node and self._session.drawing.onto.foreground(node, overlay.mode_of(self._session.registration))

    def _tell(self) -> None:
        node = self._node()
        if node is None:
            return
        registration, layer = self._session.registration, self._layer()
        self._detectors = detectors(registration)
        handles = handles_of(registration, node) if layer is not None else NO_HANDLES
        told = {
            **self._labels_of(node),
            **image_of(node),
            **handles,
            **self._marks_of(node),
            "name": self.name,
            "film": self._film_of(node),
            "layer": layer.stamp if layer is not None else 0,
            "mode": overlay.mode_of(registration),
            "opacity": overlay.opacity_of(registration),
            "movable": layer is not None and self._may_move(),
        }
        if self._told != told:
            self._told = self._server.state[self.name] = told

    def _labels_of(self, node: Node) -> dict:
        key = (
            node.name,
            node.case_name,
            node.used,
            next((detector.stamp for detector in self._detectors if detector.view == node), None),
        )
        if self._labels[0] != key:
            self._labels = key, labels_of(node)
        return self._labels[1]

    def _film_of(self, node: Node) -> int:
        """The number of the film; another once the image, or what of it is shown, has changed. 0 without an image."""
        image, display = node.node.GetImageData(), node.node.GetDisplayNode()
        if image is None or display is None:
            return 0
        key = image.GetMTime(), display.GetApplyThreshold(), display.GetLowerThreshold(), display.GetUpperThreshold()
        if self._film is None or self._film[0] != key:
            self._film, self._films = (key, Film.of(node)), self._films + 1
        return self._films

    def _marks_of(self, node: Node) -> dict:
        cursor = self._cursor()
        detector: DetectorPlane | None = next((detector for detector in self._detectors if detector.view == node), None)
        if detector is None:
            return {"seen": None, "lines": [], "point": None, "landmarks": [], "outline": []}
        return {
            **marks_of(Reading() if cursor is None else cursor.reading, detector, self._detectors),
            **anatomy_of(self._session, detector),
        }

    # What the page asks for

    def _answers(self) -> dict[str, Callable]:
        return {
            "film": self._give_film,
            "layer": self._give_layer,
            "move": self._move,
            "window": self._set_window,
            "inverted": self._set_inverted,
            "point": self._point,
        }

    def _give_film(self) -> dict:
        node = self._node()
        if node is None or not self._film_of(node):
            return {}
        self._given.add("film")
        film = self._film[1]
        return {
            "stamp": self._films,
            "columns": film.codes.shape[1],
            "rows": film.codes.shape[0],
            "pooled": film.pooled,
            "low": film.low,
            "high": film.high,
            "pixels": film.codes.tobytes(),
        }

    def _give_layer(self, have: int = 0) -> dict:
        """The newest layer, unless the page has that."""
        layer = self._layer()
        if layer is None:
            return {"stamp": 0}
        if layer.stamp == have:
            return {"stamp": have}
        self._given.add("layer")
        film = self._film[1]
        shown = layer.image if layer.greys is None else coded(layer.greys.as_xray(layer.image), film.low, film.high)
        return {
            "stamp": layer.stamp,
            "kind": layer.kind,
            "columns": shown.shape[1],
            "rows": shown.shape[0],
            "factor": layer.factor,
            "pixels": shown.tobytes(),
        }

    def _move(self, movement: dict, last: bool) -> dict:
        """Move the CT, and draw it there at once; in the other X-rays once this picture is on its way.

        last: whether this ends the drag; the movement may then be empty.
        """
        node, refused = self._node(), ""
        if node is None or not self._may_move():
            self._end()
            return self._give_layer()
        if movement:
            refused = self._do(node, movement)
        if last:
            self._end()
        return {**self._give_layer(), "refused": refused}

    def _do(self, node: Node, movement: dict) -> str:
        """Move the CT, and draw it; a sentence where that cannot be."""
        try:
            movement = checked(movement)
            if self._moved_at is None:
                self._on_begin()
            self._moved_at = monotonic()
            move(self._session.registration, node, movement)
        except InputError as error:
            return str(error)
        self._draw(node)
        self._tell()
        self._on_moved()
        self._together()[0]._follow_soon()
        return ""

    def _end(self) -> None:
        """Of a drag, if there is one."""
        if self._moved_at is not None:
            self._moved_at = None
            self._on_end()

    def _set_window(self, low: float, high: float) -> None:
        """Show the X-ray between these line integrals."""
        node = self._node()
        if node is not None and node.node.GetDisplayNode() is not None and are_numbers([low, high], 2) and low < high:
            node.node.GetDisplayNode().SetWindowLevelMinMax(low, high)
            self._tell()

    def _set_inverted(self, inverted: bool) -> None:
        """Show bone dark, or bright."""
        node = self._node()
        if node is not None and node.node.GetDisplayNode() is not None:
            node.node.GetDisplayNode().SetAndObserveColorNodeID(INVERTED if inverted else PLAIN)
            self._tell()

    def _point(self, column: float, row: float) -> None:
        if are_numbers([column, row], 2):
            self._on_point(float(column), float(row))
            for view in self._together():
                view._tell()
