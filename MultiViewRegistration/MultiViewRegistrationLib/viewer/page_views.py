"""The views beside the steps: the X-rays, the scene in 3D, slices of the CT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from trame.widgets import html, rca
from trame_rca.encoders import RcaImageEncoder
from trame_rca.schedulers import RcaImageRenderScheduler
from trame_rca.utils import RcaViewAdapter
from trame_slicer.rca_view.rca_view_factory import RcaRenderStrategy, RcaWindow
from trame_slicer.views import NoScheduleRendering, SliceView, ThreeDView, ViewLayout, ViewProps

from ..mrml import ct_3d, layout, overlay, slice_view, source_view
from ..mrml import ct_3d as scene_bones
from ..mrml.layout import css_colour, slice_node, tag_of
from ..mrml.nodes import has_voxels
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from ..session.inputs import BoneSurfaceUpdater
from ..session.presenters.check import OverlaysPresenter
from ..translation import _
from . import page
from .xray_pane import XRayPane, are_numbers

if TYPE_CHECKING:
    from .application import Application

THREE_D = "1"
BACKGROUND = ("#0c0f13", "#1a2129")
#: Seconds that the X-rays are given for themselves at most when they are opened: until a page shows
#: them, and the CT over them.
MAX_OPENING_S = 20.0
#: While a sequence is played, 3D and slices are drawn only in the first so many seconds of every so
#: many.
REMOTE_S = 0.1
EVERY_S = 1.0
#: Width and height of the 3D view before the page has one.
DEFAULT_SIZE = (640, 480)


class PageViews:
    """The 3D view, the three slices of the CT, and a cell for each X-ray of the registration at work."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._state = application.state
        self._opened = monotonic()
        self._planes: dict[str, object] = {}
        self._camera: Any = None
        self.panes: dict[object, XRayPane] = {}
        app = application.slicer_app
        self.three_d = ThreeDView(
            application.scene, app.app_logic, THREE_D, NoScheduleRendering()
        )  # until it is seen
        self.three_d.set_view_properties(ViewProps(background_color=BACKGROUND, box_visible=False))
        self._remote: list[RemoteView] = []
        self.slices: list[SliceView] = []
        self._unbuilt: list[tuple[str, Any, Callable[[], None]]] = [
            ("3D", self.three_d, lambda: page.build_3d_tools(self))
        ]
        for name, orientation, label, tone in layout.CT_SLICES:
            view = SliceView(application.scene, app.app_logic, name, NoScheduleRendering())
            view.set_view_properties(
                ViewProps(
                    label=label, orientation=orientation, color=tone, background_color="#000000"
                )
            )
            self.slices.append(view)
            self._unbuilt.append(
                (name, view, partial(page.build_slice_tools, name, orientation, tone))
            )
        for window in (each.render_window() for each in (self.three_d, *self.slices)):
            draw_translucent(window)
        self._state.slices_wanted = 0
        self._state.overlay = {"mode": overlay.MODES[0], "opacity": 0.5}
        self._state.slices_at = {}
        self._state.ct_greys = {}
        self._ct_shown: Any = None
        trigger = application.server.controller.trigger
        trigger("mvreg_scroll")(self._scroll)
        trigger("mvreg_ct_greys")(self._set_ct_greys)
        trigger("mvreg_turn")(self._turn)

    def _remote_waits(self) -> bool:
        """Return whether 3D and slices wait, which take the server's whole time.

        The X-rays come first, when they are opened, under a hand, and for the most part while a
        sequence is played.
        """
        return (
            self._application.moving
            or self.opening
            or (self._playing() and monotonic() % EVERY_S > REMOTE_S)
        )

    def _playing(self) -> bool:
        session = self._application.session
        if session is None or session.sequence.player is None:
            return False
        return session.sequence.player.playing or session.sequence.tracking is not None

    @property
    def opening(self) -> bool:
        """Whether X-rays have just been opened, and are not all seen yet with the CT over them."""
        session = self._application.session
        if session is None or monotonic() - self._opened >= MAX_OPENING_S:
            return False
        preparing = bool(session.preparing) and session.anatomy is None
        return preparing or not all(pane.given for pane in self.panes.values())

    def reset(self) -> None:
        """Forget the registration before: what showed it goes, or is drawn again at once."""
        self._show_panes([])
        for view in self._remote:
            view.rendering.render_now()
        self._opened = monotonic()
        self._ct_shown = None
        self._overview = source_view.Overview()
        self._fitted: dict[str, tuple] = {}
        self._bones = BoneSurfaceUpdater()
        self._slices_follow = slice_view.CTSliceFollower()

    def refresh(self) -> None:
        """Have a cell for each X-ray, and the CT in its slices."""
        registration = self._application.registration
        views = []
        if registration is None:
            self._state.in_3d = {"sources": []}
        else:
            views = registration.xrays
            self._show_3d(registration)
            self._state.overlay = {
                "mode": overlay.mode_of(registration),
                "opacity": overlay.opacity_of(registration),
            }
        for tag in filter(None, map(tag_of, views)):
            self._plane(tag)
        self._show_panes(views)
        self._show_ct()

    def _show_ct(self) -> None:
        """Show the CT in the slices, at first all of it."""
        ct = self._ct
        if ct is not self._ct_shown:
            self._ct_shown = ct
            self._slices_follow.update(ct, self._slice_nodes)
            for view in self.slices:
                view.set_background_volume_id(ct and ct.GetID())
            self._fitted.clear()

    @property
    def _ct(self) -> Any:
        registration = self._application.registration
        return None if registration is None else scene_bones.shown_ct(registration)

    @property
    def _slice_nodes(self) -> dict[str, Any]:
        """Return the slice nodes by their orientations."""
        orientations = (each[1] for each in layout.CT_SLICES)
        return dict(zip(orientations, (each.get_view_node() for each in self.slices), strict=True))

    def tick(self) -> Iterator[None]:
        """Have the X-rays' cells follow the CT, one after another, then 3D and slices."""
        for node in list(self.panes):
            if node in self.panes:
                self.panes[node].refresh()
            yield
        self._follow_remote()
        yield
        session = self._application.session
        if session is None:
            return
        registration = session.registration
        if not self.opening:
            self._bones.update(registration)
        self._slices_follow.update(self._ct, self._slice_nodes)
        yield
        if self._application.session is not session:
            return
        if not self._application.moving and session.running_registration is None:
            self._overview.update(registration, self.camera(), self.size())
        for view in self.slices:
            self._fit(view, self._ct)
        yield
        if self._application.session is session:
            self._show_slices(registration)

    def _fit(self, view: SliceView, ct: Any) -> None:
        """Have a slice show the whole CT at any size, until a person has zoomed or moved it."""
        if not has_voxels(ct):
            return
        node = view.get_view_node()
        size = tuple(view.render_window().GetSize())
        before_size, zoom = self._fitted.get(
            view.name, (None, ())
        )  # as this left it; None once a person has
        if zoom is not None and size != before_size:
            slice_view.fit_to_ct(ct, node)
            self._fitted[view.name] = size, _zoom(node)
        elif zoom is not None and zoom != _zoom(node):
            self._fitted[view.name] = size, None

    def _show_slices(self, registration: Registration) -> None:
        """Tell the page where in the CT the slices are, and their greys."""
        ct = self._ct
        at: dict[str, dict] = {}
        greys = {"hu": False, "width": 1.0, "level": 0.0, "least": 0.0, "most": 1.0}
        if has_voxels(ct) and ct.GetDisplayNode() is not None:
            for name, node in self._slice_nodes.items():
                at[name] = asdict(slice_view.position_in(ct, node))
            display = ct.GetDisplayNode()
            (least, most) = ct.GetImageData().GetScalarRange()
            hu = registration.ct_unit == "hu"
            if not hu:  # the axes of a relative CT need not be the patient's
                at = {name: {**each, "sides": ("",) * 4} for name, each in at.items()}
            greys = {
                "hu": hu,
                "width": display.GetWindow(),
                "level": display.GetLevel(),
                "least": least,
                "most": most,
            }
        if at != self._state.slices_at:
            self._state.slices_at = at
        if greys != self._state.ct_greys:
            self._state.ct_greys = greys

    # What a page requests, many times a second

    def _scroll(self, name: str, mm: float) -> None:
        ct = self._ct
        node = self._slice_nodes.get(name)
        there = has_voxels(ct) and node is not None
        if there and are_numbers([mm], 1):
            slice_view.scroll_to(ct, node, mm)

    def _set_ct_greys(self, width: float, level: float) -> None:
        """Set the greys of all slices; a width of 0 for what suits the CT."""
        ct = self._ct
        if ct is None or ct.GetDisplayNode() is None or not are_numbers([width, level], 2):
            return
        ct.GetDisplayNode().SetAutoWindowLevel(width <= 0)
        if width > 0:
            ct.GetDisplayNode().SetWindowLevel(width, level)

    def _turn(self, azimuth_deg: float, elevation_deg: float, nearer: float) -> None:
        """Turn the 3D view about what it looks at."""
        if are_numbers([azimuth_deg, elevation_deg, nearer], 3) and nearer > 0:
            camera = self.camera().GetCamera()
            camera.Azimuth(azimuth_deg)
            camera.Elevation(elevation_deg)
            camera.OrthogonalizeViewUp()
            camera.Dolly(nearer)
            self.camera().ResetClippingRange()

    def _follow_remote(self) -> None:
        """Have 3D and slices follow; each comes into the page when the X-rays leave time for it, as it is drawn at once then."""
        for view in self._remote:
            view.rendering.tick()
        if self._unbuilt and not self._remote_waits():
            name, view, tools = self._unbuilt.pop(0)
            self._remote.append(
                RemoteView(self._application.server, name, view, self._remote_waits, tools)
            )

    def stand_back(self) -> None:
        """Show all of the registration in 3D."""
        registration = self._application.registration
        if registration is not None:
            self._overview.show(registration, self.camera(), self.size())

    def _show_3d(self, registration: Registration) -> None:
        title = _("From {source}")
        sources = self._overlays.sources()
        self._state.in_3d = {
            "bones": ct_3d.surface_is_shown(registration),
            "volume": ct_3d.volume_is_shown(registration),
            "possible": ct_3d.can_show_volume(registration),
            "along": self._overlays.source,
            "sources": [
                {"value": each.value, "title": title.format(source=each.title)} for each in sources
            ],
        }

    def act(self, what: str, value: Any) -> None:
        """Show "bones" or the "volume" in 3D or hide them, look from a "source", choose the "overlay" or its "opacity"."""
        registration = self._application.registration
        if registration is None:
            return
        actions: dict[str, Callable[[Any], None]] = {
            "bones": partial(ct_3d.show_surface, registration),
            "volume": partial(ct_3d.show_volume, registration),
            "source": self._overlays.look_from,
            "overlay": self._overlays.choose,
            "opacity": self._overlays.blend,
        }
        with self._application.ui_action():
            actions[what](value)

    @property
    def _overlays(self) -> OverlaysPresenter:
        return self._application.presenters.check.overlays

    def camera(self) -> Any:
        """Return the vtkMRMLCameraNode of the 3D view."""
        if self._camera is None or self._camera.GetScene() is None:  # every tick asks for it
            self._camera = source_view.camera_of(self.three_d.get_view_node())
        return self._camera

    def size(self) -> tuple[int, int]:
        """Return (width, height) of the 3D view in pixels."""
        width, height = self.three_d.render_window().GetSize()
        return (width, height) if min(width, height) > 1 else DEFAULT_SIZE

    def _plane(self, tag: str) -> None:
        """Show an X-ray's image in 3D.

        By the logic of a slice, as the X-ray's slice view has in Slicer.
        """
        if tag in self._planes:
            return
        app = self._application.slicer_app
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(app.app_logic)
        app.app_logic.GetSliceLogics().AddItem(logic)
        logic.SetMRMLScene(self._application.scene)
        there = slice_node(self._application.scene, tag)  # of a scene that was opened
        if there is not None:
            logic.SetSliceNode(there)
        else:
            logic.AddSliceNode(tag)
        logic.ResizeSliceNode(256, 256)
        self._planes[tag] = logic
        self._application.invalidate()

    def _show_panes(self, views: list[XRayView]) -> None:
        nodes = [view.node for view in views]
        for node in [node for node in self.panes if node not in nodes]:
            self.panes.pop(node).close()
        for view in views:
            application = self._application
            if view.node not in self.panes and application.session is not None:
                pane = XRayPane(application.server, application.session, view, application)
                with ViewLayout(application.server, template_name=pane.template):
                    pane.build()
                self.panes[view.node] = pane
        registration = self._application.registration
        case = "" if registration is None else registration.name
        self._state.views = {"case": case, "xrays": [self._cell(view) for view in views]}

    def _cell(self, view: XRayView) -> dict[str, Any]:
        """Return what the page knows of an X-ray's cell."""
        pane = self.panes[view.node]
        said = {"template": pane.template, "pane": pane.name}
        return {**said, "name": view.name, "used": view.used, "colour": css_colour(view)}

    def show_bone(self, corners: np.ndarray | None) -> None:
        """Show what lies within these corners (8, 3), world LPS mm, in all views; all where it is None."""
        self._show_ct()  # that of the bone, where it has one of its own
        for pane in self.panes.values():
            pane.look_closely(corners)
        for view in self.slices:
            if corners is not None:
                slice_view.look_closely_in_slice(corners, view.get_view_node())
                self._fitted[view.name] = tuple(view.render_window().GetSize()), None
            else:
                self._fitted.pop(view.name, None)
        if corners is not None:
            source_view.look_closely(corners, self.camera(), self.size())
        else:
            self.stand_back()

    def show_in_xrays(self, boxes: dict[str, np.ndarray]) -> None:
        """Show these pixels (2, 2) in the X-rays by their names; all of the others."""
        for node, pane in self.panes.items():
            pane.show_pixels(boxes.get(XRayView(node).name))

    def show_ct_slices(self) -> None:
        """Have slices of the CT to click in."""
        self._state.slices_wanted += 1


def draw_translucent(window: Any) -> None:
    """Have a vtkRenderWindow draw ghosts and handles, which are translucent.

    With multisampling OpenGL by software leaves them out, and peeling takes seven times as long.
    """
    window.SetMultiSamples(0)
    for renderer in window.GetRenderers():
        renderer.SetUseDepthPeeling(False)


def _zoom(node: Any) -> tuple:
    """Return field of view and origin of a slice view."""
    return tuple(np.round([*node.GetFieldOfView(), *node.GetXYZOrigin()[:2]], 3))


#: Pictures a second while the mouse is in the view, and else: the X-rays come first then.
FPS = 30.0
BACKGROUND_FPS = 5.0
#: Quality of JPEG while things move.
MOVING_QUALITY = 60
#: The picture in a page of another size than it was made for: all of it, in its own proportions.
WHOLE = "{ width: '100%', height: '100%', objectFit: 'contain' }"


class QuietWindow(RcaWindow):
    """A window that renders nothing while trame asks which properties it has."""

    ready = False

    @property
    def img_cols_rows(self):
        """The picture; None before the window is ready."""
        return super().img_cols_rows if self.ready else None


class DeferredRendering(RcaRenderStrategy):
    """Renders when the scene changes, but not while `hold()` is true.

    Pictures here take the server's whole time.
    """

    def __init__(self, scheduler, hold: Callable[[], bool]) -> None:
        super().__init__(scheduler)
        self._hold = hold
        self._due = False

    def schedule_render(self) -> None:
        """Render soon, once nothing holds it."""
        self._due = self._hold()
        if not self._due:
            super().schedule_render()

    def render_now(self) -> None:
        """Render at once."""
        self._due = False
        super().schedule_render()

    def tick(self) -> None:
        """Render what has waited."""
        if self._due:
            self.schedule_render()


class LastPageSize(RcaViewAdapter):
    """The page that the mouse was in last decides the size of the picture.

    Its places mean pixels there.
    """

    def on_interaction(self, origin, event: dict) -> None:
        """Take an event of the mouse or the keyboard, and the size of the page that it is from."""
        if {"w", "h"} <= event.keys() and self._current_size is not None:
            width, height = (max(10, int(event[side])) for side in "wh")
            if (width, height) != self._current_size[:2]:
                self.update_size(origin, {"w": width, "h": height, "p": self._current_size[2]})
        super().on_interaction(origin, event)


class RemoteView:
    """Makes the page's element for a view, in a template of its own.

    `template` is the name to include it by.

    Parameters
    ----------
    view
        A trame_slicer `SliceView` or `ThreeDView`.
    hold
        Whether it must wait.
    tools
        Makes what lies over the picture.
    """

    def __init__(self, server, name: str, view, hold: Callable[[], bool], tools) -> None:
        self.view = view
        self.template = f"view_{name}"
        cursor = f"{self.template}_cursor"
        window = QuietWindow(view.render_window(), state=server.state, active_view_cursor=cursor)
        self._scheduler = RcaImageRenderScheduler(
            window,
            interactive_quality=MOVING_QUALITY,
            rca_encoder=RcaImageEncoder.JPEG,
            target_fps=BACKGROUND_FPS,
        )
        server.state.setdefault(cursor, "default")
        with (
            ViewLayout(server, template_name=self.template),
            html.Div(
                classes="mv-fill",
                mouseenter=(self._pace, "[true]"),
                mouseleave=(self._pace, "[false]"),
            ),
        ):
            rca.RemoteControlledArea(
                name=self.template,
                display="image",
                send_mouse_move=True,
                event_throttle_ms=("20",),
                image_style=(WHOLE,),
                style=(f"{{ cursor: {cursor} }}",),
                classes="mv-fill",
            )
            tools()
        adapter = LastPageSize(
            window=window,
            name=self.template,
            scheduler=self._scheduler,
            do_schedule_render_on_interaction=False,
        )
        self.rendering = DeferredRendering(self._scheduler, hold)
        view.set_scheduled_render(self.rendering)
        window.ready = True
        server.controller.rc_area_register(adapter)  # the server is running

    def _pace(self, inside: bool) -> None:
        self._scheduler.target_fps = FPS if inside else BACKGROUND_FPS
