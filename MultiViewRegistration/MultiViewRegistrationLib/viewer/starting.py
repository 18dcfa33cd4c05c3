"""The page while all that it shows is still being imported, with whatever scripts it will need."""

from __future__ import annotations

from aiohttp import web
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import html
from trame_rca import module as rca

from . import elements
from .xray_view import component

TITLE = "Multi-view 2D/3D registration"
#: Dark as a reading room: the pictures are the brightest of it all.
THEME = {
    "theme": {
        "defaultTheme": "reading",
        "themes": {
            "reading": {
                "dark": True,
                "colors": {
                    "background": "#0b0e11",
                    "surface": "#12171c",
                    "primary": "#5aa9e6",
                    "on-primary": "#06121c",
                    "secondary": "#8fa3b3",
                    "error": "#ff8a70",
                    "warning": "#ffc04d",
                    "success": "#7fd1ae",
                },
            }
        },
    },
    "defaults": {
        "VCheckbox": {"density": "compact", "hideDetails": True, "color": "primary"},
        "VTextField": {"density": "compact", "hideDetails": True, "variant": "outlined"},
        "VSelect": {"density": "compact", "hideDetails": True, "variant": "outlined"},
        "VRadioGroup": {"density": "compact", "hideDetails": True, "color": "primary"},
        "VSlider": {"density": "compact", "hideDetails": True, "color": "primary"},
    },
}
#: What trame's page shows until its scripts are there, in place of its own, which turns.
LOADING = (
    '<div role="status" style="position: fixed; inset: 0; display: grid; place-content: center; background: #0b0e11; '
    'color: #9fb0be; font: 16px Roboto, sans-serif">Starting…</div>'
)


def route() -> web.RouteDef:
    """Of LOADING."""

    async def loading(_) -> web.Response:
        return web.Response(text=LOADING, content_type="text/html")

    return web.get("/loading.tpl", loading)


def build(server) -> None:
    """Make it, before the server starts."""
    for module in (rca, elements.MODULE, component.MODULE):
        server.enable_module(module)
    server.state.trame__title = TITLE
    server.state.trame__template_error = "<mv-closed />"  # in place of trame's own, which says "Connection closed"
    with VAppLayout(server, vuetify_config=THEME), html.Div(classes="mv-begin", role="status"):
        html.Div(
            "Starting…"
        )  # nothing that turns: without a graphics card it would take a quarter of a processor from the start
