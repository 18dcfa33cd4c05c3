"""The views beside the steps: the X-rays, the scene in 3D, slices of the CT."""

from __future__ import annotations

from functools import partial
from time import monotonic

import slicer
from trame_slicer.views import NoScheduleRendering, SliceView, ThreeDView, ViewLayout, ViewProps

from ..mrml import ct_3d, layout, overlay, slice_view, source_view
from ..mrml.layout import slice_node, tag_of
from ..session.inputs import BoneSurfaceUpdater
from ..session.translation import _
from . import page
from .remote_view import RemoteView
from .xray_pane import XRayPane
from .xray_state import css_colour

THREE_D = "1"
BACKGROUND = ("#0c0f13", "#1a2129")
#: Seconds that the X-rays are given for themselves at most when they are opened: until a page shows them, and the CT over them.
MAX_OPENING_S = 20.0
#: While a sequence is played, 3D and slices are drawn only in the first so many seconds of every so many.
REMOTE_S, EVERY_S = 0.1, 1.0
#: X-rays beside each other, at most.
MAX_COLUMNS = 4
#: Width and height of the 3D view before the page has one.
DEFAULT_SIZE = (640, 480)


class PageViews:
    """The 3D view, the three slices of the CT, and a cell for each X-ray of the registration at work."""

    def __init__(self, application) -> None:
        self._application, self._state = application, application.state
        self._opened = monotonic()
        self._planes: dict[str, object] = {}
        self._panes: dict[object, XRayPane] = {}
        self._stand_back = False
        app = application.slicer_app
        self.three_d = ThreeDView(application.scene, app.app_logic, THREE_D, NoScheduleRendering())  # until it is seen
        self.three_d.set_view_properties(ViewProps(background_color=BACKGROUND, box_visible=False))
        self._remote, self.slices = [], []
        self._unbuilt = [("3D", self.three_d, lambda: page.build_3d_tools(self))]
        for name, orientation, label, tone in layout.CT_SLICES:
            view = SliceView(application.scene, app.app_logic, name, NoScheduleRendering())
            view.set_view_properties(
                ViewProps(label=label, orientation=orientation, color=tone, background_color="#000000")
            )
            self.slices.append(view)
            self._unbuilt.append((name, view, partial(page.build_slice_tools, name, orientation, tone)))
        self._state.slices_wanted = 0
        self._state.overlay = {"mode": overlay.MODES[0], "opacity": 0.5}
        self._ct_shown = None

    def _remote_waits(self) -> bool:
        """Whether 3D and slices wait, which take the server's whole time: the X-rays come first, when they are opened, under a hand, and
        for the most part while a sequence is played."""
        return self._application.moving or self.opening or (self._playing() and monotonic() % EVERY_S > REMOTE_S)

    def _playing(self) -> bool:
        session = self._application.session
        player = session and session.sequence.player
        return player is not None and (player.playing or session.sequence.tracking is not None)

    @property
    def opening(self) -> bool:
        """Whether X-rays have just been opened, and are not all seen yet with the CT over them."""
        session = self._application.session
        return (
            session is not None
            and monotonic() - self._opened < MAX_OPENING_S
            and (session.preparing and session.anatomy is None or not all(pane.given for pane in self._panes.values()))
        )

    def reset(self) -> None:
        """There is another registration at work: what showed the one before goes, or is drawn again at once."""
        self._show_panes([])
        for view in self._remote:
            view.render_now()
        self._opened = monotonic()
        self._ct_shown, self._stand_back = None, True
        self._bones, self._slices_follow = BoneSurfaceUpdater(), slice_view.CTSliceFollower()

    def refresh(self) -> None:
        """Have a cell for each X-ray, and the CT in its slices."""
        registration = self._application.registration
        if registration is not None:
            self._state.overlay = {"mode": overlay.mode_of(registration), "opacity": overlay.opacity_of(registration)}
        views = registration.xrays if registration is not None else []
        for view in views:
            self._plane(tag_of(view))
        self._show_panes(views)
        self._show_3d()
        ct = registration and registration.ct
        if ct is not self._ct_shown:
            self._ct_shown = ct
            for view in self.slices:
                view.set_background_volume_id(ct and ct.GetID())
                view.fit_view_to_content()
            self._stand_back = True
        if self._stand_back and any(view.placed for view in views):
            self._stand_back = False
            self.stand_back()

    def tick(self) -> None:
        """Have the X-rays' cells follow the CT."""
        for pane in self._panes.values():
            pane.refresh()
        self._follow_remote()
        if not self.opening:
            self._bones.update(self._application.registration)
        if not self._application.moving:
            self._slices_follow.update(
                self._application.registration.ct, [view.get_view_node() for view in self.slices]
            )

    def _follow_remote(self) -> None:
        """Have 3D and slices follow; each comes into the page when the X-rays leave time for it, as it is drawn at once then."""
        for view in self._remote:
            view.tick()
        if self._unbuilt and not self._remote_waits():
            name, view, tools = self._unbuilt.pop(0)
            self._remote.append(RemoteView(self._application.server, name, view, self._remote_waits, tools))

    def stand_back(self) -> None:
        """Show all of the registration in 3D."""
        source_view.show_overview(self._application.registration, self.camera(), self.size())

    def _show_3d(self) -> None:
        registration = self._application.registration
        there = registration is not None
        self._state.in_3d = {
            "bones": there and ct_3d.surface_is_shown(registration),
            "volume": there and ct_3d.volume_is_shown(registration),
            "possible": there and ct_3d.can_show_volume(registration),
            "along": self._overlays.source if there else "",
            "sources": [
                {"value": option.value, "title": _("From {source}").format(source=option.title)}
                for option in (self._overlays.sources() if there else ())
            ],
        }

    def act(self, what: str, value) -> None:
        """Show "bones" or the "volume" in 3D or hide them, look from a "source", choose the "overlay" or its "opacity"."""
        registration = self._application.registration
        actions = {
            "bones": partial(ct_3d.show_surface, registration),
            "volume": partial(ct_3d.show_volume, registration),
            "source": self._overlays.look_from,
            "overlay": self._overlays.choose,
            "opacity": self._overlays.blend,
        }
        with self._application.ui_action():
            actions[what](value)

    @property
    def _overlays(self):
        return self._application.sections["check"].presenter.overlays

    def camera(self):
        """The vtkMRMLCameraNode of the 3D view."""
        return source_view.camera_of(self.three_d.get_view_node())

    def size(self) -> tuple[int, int]:
        """(width, height) of the 3D view in pixels."""
        width, height = self.three_d.render_window().GetSize()
        return (width, height) if min(width, height) > 1 else DEFAULT_SIZE

    def _plane(self, tag: str) -> None:
        """Show an X-ray's image in 3D: by the logic of a slice, as the X-ray's slice view has in Slicer."""
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

    def _show_panes(self, views) -> None:
        nodes = [view.node for view in views]
        for node in [node for node in self._panes if node not in nodes]:
            self._panes.pop(node).close()
        for view in views:
            if view.node not in self._panes:
                application = self._application
                pane = XRayPane(application.server, application.session, view, application)
                with ViewLayout(application.server, template_name=pane.template):
                    pane.build()
                self._panes[view.node] = pane
        registration = self._application.registration
        self._state.views = {
            "case": registration.name if registration is not None else "",
            "columns": min(len(views), MAX_COLUMNS) or 1,
            "xrays": [
                {
                    "template": self._panes[view.node].template,
                    "pane": self._panes[view.node].name,
                    "name": view.name,
                    "used": view.used,
                    "colour": css_colour(view),
                }
                for view in views
            ],
        }

    def show_ct_slices(self) -> None:
        """Have slices of the CT to click in."""
        self._state.slices_wanted += 1
