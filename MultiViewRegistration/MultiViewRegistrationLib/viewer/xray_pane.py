"""The pane of an X-ray on the page, and its state, without its pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..known import Known
from ..mrml import landmarks, overlay
from ..mrml.cursor import Reading
from ..mrml.layout import css, css_colour
from ..mrml.slice_view import pixel_box
from ..mrml.xray import DetectorPlane, XRayView, detectors
from ..session.presenters.check import OVERLAYS
from ..session.session import Session
from ..translation import _
from .elements import XRayCanvas
from .xray_pixels import EncodedXRay, Layer, camera_state, checked_pose, layers_of, stamps

if TYPE_CHECKING:
    from .application import Application

#: Where bright is shown as black.
INVERTED = "vtkMRMLColorTableNodeInvertedGrey"
#: And as it is.
PLAIN = "vtkMRMLColorTableNodeGrey"
#: No number from a page is larger.
MAX_NUMBER = 1e5


def labels_of(view: XRayView) -> dict:
    """Return a view's name, the C-arm's angles, the patient's sides at its edges, and the colour in which these are written."""
    return {
        "label": view.name,
        "title": overlay.title(view),
        "short": overlay.short_title(view),
        "sides": overlay.sides_of(view),
        "colour": css_colour(view),
    }


def image_of(view: XRayView) -> dict:
    """Return an image's size, the shape of its pixels, and how it is shown.

    A size of 0 without an image.
    """
    display = view.display
    window = [0.0, 1.0]
    inverted = False
    if display is not None:
        window = list(overlay.xray_window(view))
        inverted = display.GetColorNodeID() == INVERTED
    return {
        "size": list(view.size),
        "tall": view.pixel_aspect,
        "window": window,
        "inverted": inverted,
    }


def marks_of(reading: Reading, detector: DetectorPlane, among: list[DetectorPlane]) -> dict:
    """Return the linked cursor in an X-ray, in its pixels.

    Returns
    -------
    dict
        "seen" : where it was put, if it was put here.
        "lines" : (n, 2, 2), parts of those on which it lies, as seen in the others.
        "point" : where it is, once that is known.
    """
    seen = reading.seen.get(detector.view.id)
    point = reading.pixel_in(detector)
    return {
        "seen": None if seen is None else rounded(seen),
        "lines": list(map(rounded, reading.lines_in(detector, among))),
        "point": None if point is None else rounded(point),
    }


def anatomy_of(session: Session, detector: DetectorPlane) -> dict:
    """Return the marks of the patient in an X-ray.

    Its `landmarks` are `at`, pixels where they were clicked there, and `in_ct`, CT mm of those of
    the CT, which the page shows where the CT is, and beside the name how far it is from where its
    partner has it; `bones`, the outlines of bones and of what does not
    fit where the pose has it, see `session.bones`.
    """
    of_ct, here = landmarks.in_xray(session.registration, detector)
    residuals = session.landmarks.residuals if session.registration.start == "landmarks" else {}
    marks = [{"name": name, "in_ct": rounded(point)} for name, point in of_ct.items()]
    for name, point in here.items():
        residual = residuals.get((name, detector.view.name))
        text = "" if residual is None else _("{mm:.1f} mm").format(mm=residual.residual_mm)
        marks.append({"name": f"{name} {text}".strip(), "at": rounded(point)})
    bones = []
    for each in session.bones.outlines(detector):
        said = {"name": each.name, "colour": css(each.colour), "chosen": each.chosen}
        bones.append({**said, "lines": rounded(each.lines, 1)})
    return {"landmarks": marks, "bones": bones}


def rounded(numbers: Any, decimals: int = 3) -> list:
    """Return numbers as the page gets them."""
    return np.round(numbers, decimals).tolist()


def are_numbers(values: Any, how_many: int) -> bool:
    """Return whether this is a list of so many finite numbers of a size that occurs."""
    if not isinstance(values, list) or len(values) != how_many:
        return False
    # of no subclass, as bool; and NaN is not below anything
    return all(type(value) in (int, float) and abs(value) <= MAX_NUMBER for value in values)


#: Seconds in which an answer is on its way, and between pictures of the X-rays that follow another.
ANSWER_S = 0.001
FOLLOW_S = 0.04
#: Seconds without a movement after which a drag has ended.
DRAG_TIMEOUT_S = 5.0


class XRayPane:
    """An X-ray of a session in the page.

    `build` puts it into a layout, `refresh`, from a timer, follows the scene.

    Pixels go to the page when it requests them, only the newest: a slow page skips pictures, and is
    never late.

    Parameters
    ----------
    server
        The trame server.
    session
        Of the X-ray, and not another that has one of its name or ID later.
    xray
        The X-ray.
    application
        Moves the CT and places points.
    """

    def __init__(
        self, server: Any, session: Session, xray: XRayView, application: Application
    ) -> None:
        self._server = server
        self._session = session
        self._registration = session.registration
        self._xray = xray
        self._application = application
        # another for each that there has ever been: no page keeps anything of the one before
        number = next(stamps)
        self.name = f"mvreg_xray_{number}"
        self.template = f"view_xray_{number}"
        self._encoded: EncodedXRay | None = None
        self._film: int | None = None
        self._known = Known()
        self._detectors: list[DetectorPlane] = []
        self._shown: dict | None = None
        self._following: asyncio.TimerHandle | None = None
        self._followed = 0.0
        self._moved_at: float | None = None
        self._close_up: dict[str, Any] = {"number": 0, "pixels": None}
        self._given: set[str] = set()
        self._layers = layers_of(session)
        for what, do in self._answers().items():
            server.controller.trigger(f"{self.name}_{what}")(do)
        self._show()

    def build(self) -> None:
        """Put the pane into the layout that is being made; it fills what it is put into."""
        XRayCanvas(view=(self.name,))

    @property
    def given(self) -> bool:
        """Whether a page has fetched everything: the X-ray, and its overlays."""
        return self._film is not None and (
            self._shown is None
            or all(part in self._given or not self._shown[part] for part in ("film", "layer"))
        )

    def refresh(self) -> None:
        """Have the page follow the scene."""
        if self._moved_at is not None and monotonic() - self._moved_at > DRAG_TIMEOUT_S:
            self._end()  # the page may be gone; a drag that goes on begins again
        if self is self._together()[0] and self._following is None:
            self._draw()
        view = self._view()
        if view is not None:
            self._film = self._film_of(view)
        self._show()

    def look_closely(self, corners: np.ndarray | None) -> None:
        """Have the page show what lies within corners (8, 3), world LPS mm; all where it is None."""
        view = self._view()
        box = None if view is None or corners is None else pixel_box(view, corners)
        if box is not None or corners is None:
            self.show_pixels(box)

    def show_pixels(self, box: np.ndarray | None) -> None:
        """Have the page show the lowest to the highest pixel (2, 2); all where it is None."""
        pixels = None if box is None else rounded(box, 1)
        self._close_up = {"number": self._close_up["number"] + 1, "pixels": pixels}
        self._show()

    def close(self) -> None:
        """Take the pane from the page."""
        self._end()
        for what in self._answers():
            self._server.controller.trigger_unregister(f"{self.name}_{what}")
        self._server.state[self.name] = None

    # What is drawn

    def _together(self) -> list[XRayPane]:
        """Return the open X-rays of this session."""
        panes = self._application.views.panes.values()
        return [pane for pane in panes if pane._session is self._session]

    def _draw(self, first: XRayView | None = None) -> None:
        """Draw what is out of date of all X-rays of the session, as `mrml.drawing.Drawing.step`."""
        drawing = self._session.drawing
        drawing.mode = overlay.mode_of(self._registration)
        layers = self._layers
        layers.poses.update(self._registration, has_ct=bool(self._session.bones.parts.now))
        drawing.step(first)

    def _follow_soon(self) -> None:
        """Have all X-rays of the session follow one of them.

        Once its picture is on its way, and not so often that they slow it down.
        """
        if self._following is None:
            wait = max(ANSWER_S, self._followed + FOLLOW_S - monotonic())
            self._following = asyncio.get_running_loop().call_later(wait, self._follow)

    def _follow(self) -> None:
        self._following = None
        self._followed = monotonic()
        if self in self._together() and self._registration.scene is not None:
            with self._server.state:
                self._draw()
                for pane in self._together():
                    pane._show()

    def _view(self) -> XRayView | None:
        """Return the X-ray; None once it has left the scene, or its registration has."""
        registration = self._registration
        views = registration.xrays if registration.scene is not None else []
        return next((view for view in views if view == self._xray), None)

    def _layer(self) -> Layer | None:
        view = self._view()
        mode = overlay.mode_of(self._registration)
        return None if view is None else self._layers.foreground(view, mode)

    def _show(self) -> None:
        view = self._view()
        if view is None:
            return
        registration = self._registration
        layer = self._layer()
        layers = self._layers
        self._detectors = detectors(registration)
        mode = overlay.mode_of(registration)
        camera = self._camera_of(view)
        pose = layers.poses.pose
        tone_match = layers.tone_matches.get(view.id)
        drawn = (self._session.anatomy, camera, pose)
        laid = mode != "off" and all(part is not None for part in drawn)
        shown = {
            **self._labels_of(view),
            **image_of(view),
            **self._marks_of(view),
            "camera": camera,
            "pose": pose,
            "pose_stamp": layers.poses.pose_stamp,
            "tones": tone_match and tone_match.line,
            "laid": laid,
            "name": self.name,
            "film": self._film or 0,
            "layer": layer.stamp if layer is not None else 0,
            "mode": mode,
            "mode_name": OVERLAYS[mode][0],
            "opacity": overlay.opacity_of(registration),
            "movable": laid and self._application.may_move(),
            "close_up": self._close_up,
            "bone": layers.poses.bone,
            "bone_stamp": layers.poses.bone_stamp,
        }
        if self._shown != shown:
            self._shown = self._server.state[self.name] = shown

    def _detector_of(self, view: XRayView) -> DetectorPlane | None:
        return next((detector for detector in self._detectors if detector.view == view), None)

    def _camera_of(self, view: XRayView) -> dict | None:
        """Return the camera's state, None without a geometry."""
        detector = self._detector_of(view)
        if detector is None:
            return None
        find = partial(camera_state, detector.camera)
        return self._known.value("camera", detector.stamp, find)

    def _labels_of(self, view: XRayView) -> dict:
        detector = self._detector_of(view)
        key = view.name, view.case_name, view.used, detector and detector.stamp
        return self._known.value("labels", key, partial(labels_of, view))

    def _film_of(self, view: XRayView) -> int:
        """Return the number of the encoded X-ray.

        Another once the image, or what of it is shown, has changed. 0 without an image.
        """
        image = view.node.GetImageData()
        display = view.display
        if image is None or display is None:
            return 0
        blades = display.GetApplyThreshold()
        ends = display.GetLowerThreshold(), display.GetUpperThreshold()
        key = image.GetMTime(), blades, ends
        self._encoded, number = self._known.value(
            "film", key, lambda: (EncodedXRay.of(view), next(stamps))
        )
        return number

    def _marks_of(self, view: XRayView) -> dict:
        cursor = self._application.cursor
        detector = self._detector_of(view)
        if detector is None:
            return {
                "seen": None,
                "lines": [],
                "point": None,
                "landmarks": [],
                "bones": [],
            }
        return {
            **marks_of(Reading() if cursor is None else cursor.reading, detector, self._detectors),
            **anatomy_of(self._session, detector),
        }

    # Requests of the page

    def _answers(self) -> dict[str, Callable]:
        return {
            "film": self._give_film,
            "layer": self._give_layer,
            "move": self._move,
            "hand": self._application.toggle_move,
            "window": self._set_window,
            "inverted": self._set_inverted,
            "point": self._point,
        }

    def _give_film(self) -> dict:
        if self._view() is None or not self._film or self._encoded is None:
            return {}
        self._given.add("film")
        xray = self._encoded
        return {
            "stamp": self._film,
            "columns": xray.codes.shape[1],
            "rows": xray.codes.shape[0],
            "pooled": xray.pooled,
            "low": xray.low,
            "high": xray.high,
            "pixels": xray.codes.tobytes(),
        }

    def _give_layer(self, have: int = 0) -> dict:
        """Return the newest layer, unless the page has that."""
        layer = self._layer()
        if layer is None:
            return {"stamp": 0}
        if layer.stamp == have:
            return {"stamp": have}
        self._given.add("layer")
        return layer.encode()

    def _move(self, world_from_ct: list, last: bool, bone: str = "") -> dict:
        """Put the CT, or a bone, where the page has moved it.

        What the server draws of it follows once this answer is on its way.

        Parameters
        ----------
        world_from_ct
            (4, 4); none where only the drag ends.
        last
            Whether this ends the drag.
        bone
            The name of the bone that is moved; "" for the whole CT.
        """
        view = self._view()
        refused = ""
        if view is None or not self._application.may_move():
            self._end()
            return self._where()
        if world_from_ct:
            refused = self._do(view, world_from_ct, bone)
            if refused:
                self._application.show_message(refused)
        if last:
            self._end()
        return {**self._give_layer(), **self._where(), "refused": refused}

    def _where(self) -> dict:
        """Return where the CT is now, and the bone that a hand moves."""
        poses = self._layers.poses
        return {
            "pose": poses.pose,
            "now": poses.pose_stamp,
            "bone": poses.bone,
            "bone_now": poses.bone_stamp,
        }

    def _do(self, view: XRayView, world_from_ct: list, bone: str) -> str:
        """Move the CT or a bone, and draw it.

        Returns
        -------
        str
            A sentence where that cannot be.
        """
        try:
            pose = checked_pose(world_from_ct)
        except InputError as error:
            return str(error)
        if self._moved_at is None:
            self._application.begin_move()
        self._moved_at = monotonic()
        moving = self._session.bones.moving
        if not bone:
            self._registration.world_from_ct = pose
        elif moving is not None and moving.name == bone:
            moving.world_from_ct = pose
        self._draw(view)
        for pane in [self] if not bone else self._together():
            pane._show()
        self._application.moved()
        self._together()[0]._follow_soon()
        return ""

    def _end(self) -> None:
        """End a drag, if there is one."""
        if self._moved_at is not None:
            self._moved_at = None
            self._application.end_move()

    def _display(self) -> Any:
        view = self._view()
        return view and view.display

    def _set_window(self, low: float, high: float) -> None:
        """Show the X-ray between these line integrals."""
        display = self._display()
        if display is not None and are_numbers([low, high], 2) and low < high:
            display.SetWindowLevelMinMax(low, high)
            self._show()

    def _set_inverted(self, inverted: bool) -> None:
        """Show bone dark, or bright."""
        display = self._display()
        if display is not None:
            display.SetAndObserveColorNodeID(INVERTED if inverted else PLAIN)
            self._show()

    def _point(self, column: float, row: float) -> None:
        if are_numbers([column, row], 2):
            self._application.put_point(self._xray, float(column), float(row))
            for pane in self._together():
                pane._show()
