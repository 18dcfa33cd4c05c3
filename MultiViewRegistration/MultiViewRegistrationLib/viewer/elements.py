"""The page's own elements, which browser/ implements, with their sentences, its theme, and the page while the server is starting."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import html
from trame_client.widgets import vue
from trame_client.widgets.core import AbstractElement
from trame_rca import module as rca

from .. import __version__
from ..session.translation import _

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
        name: {"density": "compact", "hideDetails": True, **more}
        for name, more in {
            "VCheckbox": {"color": "primary"},
            "VTextField": {"variant": "outlined"},
            "VSelect": {"variant": "outlined"},
            "VRadioGroup": {"color": "primary"},
            "VSlider": {"color": "primary"},
        }.items()
    },
}
#: What trame's page shows until its scripts are there, in place of its own, which turns.
LOADING = (
    '<div role="status" style="position: fixed; inset: 0; display: grid; place-content: center; background: #0b0e11; '
    'color: #9fb0be; font: 16px Roboto, sans-serif">{}</div>'
)
#: What the elements say, by the names that browser/ has for it; {names} in braces are filled in there.
WORDS = {
    # files, and the connection
    "files": _("Files…"),
    "folder": _("Folder…"),
    "choose_files": _("Choose files: {hint}"),
    "choose_folder": _("Choose a folder: {hint}"),
    "upload_failed": _("The upload failed: the connection to the server is closed."),
    "closed": _("The connection to the server is closed."),
    "restarted": _(
        "The server was started again. Open the whole address that mvreg view printed, or use the page that it opened."
    ),
    "wait": _(
        "If the computer was asleep or the network was gone, wait: this page comes back by itself, and the work is where it was."
    ),
    "start_again": _("If mvreg view has ended, start it again: its start page offers to go on where you were."),
    "try_now": _("Try now"),
    # an X-ray
    "xray": _("X-ray {name}"),
    "about": _("X-ray {name}, {title}; overlay: {mode}. Press ? for the list of keys."),
    "about_movable": _("X-ray {name}, {title}; overlay: {mode}; keys move the CT. Press ? for the list of keys."),
    "scale": _("{length} mm at the CT"),
    "no_image": _("No image"),
    "value": _("column {column}, row {row} px; line integral {value}"),
    "window_level": _("W {width}, L {level} (line integral)"),
    "ring": _("Drag: turn the CT about the beam"),
    "grip": _("Drag: tilt the CT"),
    "zoom_out": _("Zoom out (wheel, -)"),
    "fit": _("All of the X-ray (0)"),
    "zoom_in": _("Zoom in (wheel, +)"),
    "window": _("Brightness and contrast (drag with the right button)"),
    "handles": _("Handles to turn and tilt the CT"),
    "help": _("Mouse and keys (?)"),
    "full": _("Full screen (f)"),
    "black": _("Black at"),
    "white": _("White at"),
    "unit": _("line integral, −ln(I / I₀)"),
    "inverted": _("Bone dark (n)"),
    "reset": _("Reset (r)"),
    # how far the CT was moved
    "shift": _("CT {across}, {along}"),
    "mm_right": _("{n} mm right"),
    "mm_left": _("{n} mm left"),
    "mm_down": _("{n} mm down"),
    "mm_up": _("{n} mm up"),
    "turn_counter": _("CT turned {n}° counter-clockwise"),
    "turn_clockwise": _("CT turned {n}° clockwise"),
    "beam_away": _("CT {n} mm away from the source"),
    "beam_towards": _("CT {n} mm towards the source"),
    "tilt": _("CT tilted {across}, {along}"),
    "deg_right": _("{n}° right"),
    "deg_left": _("{n}° left"),
    "deg_down": _("{n}° down"),
    "deg_up": _("{n}° up"),
    # mouse and keys: title, or input and effect
    "keys": [
        [_("Moving the CT")],
        [_("Drag; arrow keys"), _("along the image; 0.1 mm")],
        [_("Ring; [ ] or q e"), _("turn about the beam; 0.1°")],
        [_("Grips or Ctrl+drag; Ctrl+arrows"), _("tilt; 0.1°")],
        [_("Shift+wheel; Page Up, Page Down"), _("along the beam; 1 mm; 0.1 mm")],
        [_("Shift and a key"), _("ten times as far")],
        [_("Looking")],
        [_("Click; c"), _("linked cursor; in the middle")],
        [_("Wheel; + - 0"), _("zoom; all of the X-ray")],
        [_("Middle button or Shift+drag; a d w s"), _("pan")],
        [_("Right button; r n"), _("brightness, contrast; reset; bone dark")],
        [_("f ?"), _("full screen; this list")],
    ],
}
BROWSER = Path(__file__).with_name("browser")
#: With the version, as browsers keep files.
ADDRESS = f"__mvreg_{__version__}"
MODULE = {
    "serve": {ADDRESS: str(BROWSER)},
    "scripts": [f"{ADDRESS}/page.js", f"{ADDRESS}/form.js"],
    "module_scripts": [f"{ADDRESS}/xray/xray_view.js"],
    "styles": [f"{ADDRESS}/page.css", f"{ADDRESS}/xray/xray_view.css"],
    "vue_use": ["mvreg_page", "mvreg_form", "mvreg_xray"],
    "state": {"words": WORDS},
}
#: What any element may have, and trame would leave out.
vue.SHARED_ATTRIBUTES += [
    ("aria_label", "aria-label"),
    ("aria_pressed", "aria-pressed"),
    ("aria_current", "aria-current"),
    "role",
    "alt",
]


class _Element(AbstractElement):
    TAG = ""
    ATTRIBUTES: tuple[str, ...] = ()
    EVENTS: tuple[str, ...] = ()

    def __init__(self, children=None, **kwargs) -> None:
        super().__init__(self.TAG, children, **kwargs)
        self._attr_names += self.ATTRIBUTES
        self._event_names += self.EVENTS
        self.server.enable_module(MODULE)


class FileDrop(_Element):
    """A place to drop files on, with buttons to pick them.

    target: what becomes of them, see `Application`.   hint: what is expected, in a few words.   accept, folder, disabled: as of an <input>.
    """

    TAG, ATTRIBUTES = "mv-files", ("target", "hint", "accept", "folder", "disabled")


class Shortcuts(_Element):
    """Ctrl+Z, Ctrl+Y (Ctrl+Shift+Z) and Ctrl+Enter, wherever the focus is but in a text field; events undo, redo, register."""

    TAG, EVENTS = "mv-keys", ("undo", "redo", "register")


class DownloadButton(_Element):
    """A button that has the server make a file, and downloads it into the page that requested it.

    trigger: of the server, which returns the file's address, or "".   label, icon, disabled: of the button.
    """

    TAG, ATTRIBUTES = "mv-fetch", ("trigger", "label", "icon", "disabled")


class Form(_Element):
    """The form of a section.   controls: as `PageSection` shows them.   section: its name, to which a person's acts go."""

    TAG, ATTRIBUTES = "mv-form", ("controls", "section")


class XRayCanvas(_Element):
    """An X-ray.   view: the state that `xray_pane.XRayPane` keeps."""

    TAG, ATTRIBUTES = "mvreg-xray", ("view",)


def loading_route() -> web.RouteDef:
    """Of LOADING."""

    async def loading(request) -> web.Response:
        return web.Response(text=LOADING.format(_("Starting…")), content_type="text/html")

    return web.get("/loading.tpl", loading)


def build_starting_page(server) -> None:
    """Make the page as it is while the program is imported, with all scripts that it will need; before the server starts."""
    for module in (rca, MODULE):
        server.enable_module(module)
    server.state.trame__title = TITLE
    server.state.trame__template_error = "<mv-closed />"  # in place of trame's own, which says "Connection closed"
    with VAppLayout(server, vuetify_config=THEME), html.Div(classes="mv-begin", role="status"):
        html.Div(_("Starting…"))  # nothing that turns: without a graphics card it would take a quarter of a processor
