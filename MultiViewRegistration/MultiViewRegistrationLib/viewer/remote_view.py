"""A view of slicer-core, rendered here and shown in the page: 3D, or a slice of the CT."""

from __future__ import annotations

from collections.abc import Callable

from trame.widgets import html, rca
from trame_rca.encoders import RcaImageEncoder
from trame_rca.schedulers import RcaImageRenderScheduler
from trame_rca.utils import RcaViewAdapter
from trame_slicer.rca_view.rca_view_factory import RcaRenderStrategy, RcaWindow
from trame_slicer.views import ViewLayout

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
