"""The page's own elements, which browser/ implements, with their sentences, its theme, and the page while the server is starting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import html
from trame_client.widgets import vue
from trame_client.widgets.core import AbstractElement
from trame_rca import module as rca
from trame_vuetify.module import v3 as vuetify

from .. import __version__
from ..translation import _

TITLE = "Multi-view 2D/3D registration"
#: Dark as a reading room, and light as an office; both with contrasts of WCAG AA.
_EMPHASIS = {"high-emphasis-opacity": 1, "medium-emphasis-opacity": 0.8}
_DENSE = {"density": "compact", "hideDetails": True}
THEME = {
    "theme": {
        "defaultTheme": "dark",
        "themes": {
            "dark": {
                "dark": True,
                "colors": {
                    "background": "#0b0e11",
                    "surface": "#12171c",
                    "primary": "#6cb6f0",
                    "on-primary": "#06121c",
                    "secondary": "#a9b8c5",
                    "error": "#ff8a70",
                    "warning": "#ffc04d",
                    "success": "#7fd1ae",
                    "on-surface": "#dfe6ec",
                },
                "variables": _EMPHASIS,
            },
            "light": {
                "dark": False,
                "colors": {
                    "background": "#e9edf1",
                    "surface": "#ffffff",
                    "primary": "#0b62a8",
                    "on-primary": "#ffffff",
                    "secondary": "#4c5b68",
                    "error": "#b3261e",
                    "warning": "#8a5300",
                    "success": "#0a6b45",
                    "on-surface": "#17212a",
                },
                "variables": _EMPHASIS,
            },
        },
    },
    "defaults": {
        "VCheckbox": {**_DENSE, "color": "primary"},
        "VTextField": {**_DENSE, "variant": "outlined"},
        "VSelect": {**_DENSE, "variant": "outlined"},
        "VRadioGroup": {**_DENSE, "color": "primary"},
        "VSlider": {**_DENSE, "color": "primary"},
    },
}
#: What trame's page shows until its scripts are there, in place of its own, which turns.
STARTING = (
    '<div role="status" style="position: fixed; inset: 0; display: grid; place-content: center; color-scheme: light dark; '
    'background: light-dark(#e9edf1, #0b0e11); color: light-dark(#17212a, #dfe6ec); font: 16px Roboto, sans-serif">'
    f"{_('Starting…')}</div>"
)
#: What the elements say, by the names that browser/ has for it; {names} in braces are filled in
#: there.
WORDS = {
    # files, and the connection
    "files": _("Files…"),
    "folder": _("Folder…"),
    "choose_files": _("Choose files: {hint}"),
    "choose_folder": _("Choose a folder: {hint}"),
    "drop_anywhere": _("Drop CT, X-rays, calibration, case or scene here"),
    "drop_here": _("Drop it here: {hint}"),
    "looking_up": _("Looking for the files…"),
    "sending": _("Sending {count} files… {percent} %"),
    "sending_one": _("Sending {name}… {percent} %"),
    "dismiss": _("Close"),
    "upload_failed": _("The upload failed: the connection to the server is closed."),
    "closed": _("The connection to the server is closed."),
    "restarted": _(
        "The server was started again. Open the whole address that mvreg view printed, or use the "
        "page that it opened."
    ),
    "wait": _(
        "If the computer was asleep or the network was gone, wait: this page comes back by itself, "
        "and the work is where it was."
    ),
    "start_again": _(
        "If mvreg view has ended, start it again: its start page offers to go on where you were."
    ),
    "try_now": _("Try now"),
    # an X-ray
    "xray": _("X-ray {name}"),
    "about": _("X-ray {name}, {title}; overlay: {mode}. Press ? for the list of keys."),
    "about_movable": _(
        "X-ray {name}, {title}; overlay: {mode}; keys move the CT. Press ? for the list of keys."
    ),
    "scale": _("{length} mm at the CT"),
    "no_image": _("No image"),
    "value": _("column {column}, row {row} px; value {value}"),
    "window_level": _("Brightness {brightness} %, contrast {contrast} %"),
    "ring": _("Drag: turn the CT about the beam"),
    "grip": _("Drag: tilt the CT"),
    "zoom_out": _("Zoom out (wheel, -)"),
    "fit": _("All of the X-ray (0)"),
    "zoom_in": _("Zoom in (wheel, +)"),
    "window": _("Brightness and contrast (while it is open, or with Ctrl, drag)"),
    "alone": _("This view alone, or all (f, or a double click)"),
    "brightness": _("Brightness"),
    "contrast": _("Contrast"),
    "automatic": _("Automatic (r)"),
    "bone": _("Bone"),
    "inverted": _("Bone dark (n)"),
    # slices and 3D
    "width": _("Window"),
    "level": _("Level"),
    "automatic_ct": _("Automatic"),
    "soft_tissue": _("Soft tissue"),
    "eye": _("3D view; arrow keys turn it, + and - bring it nearer or farther"),
    # the page
    "help": _("Mouse, fingers and keys"),
    "close": _("Close"),
    "split_steps": _("Width of the steps (double click: as usual)"),
    "split_views": _("Height of the X-rays (double click: as usual)"),
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
    # mouse, fingers and keys: titles, each with inputs and their effects
    "keys": [
        [
            _("Moving the CT in an X-ray"),
            [
                [_("Move the CT, or m"), _("on, until it is pressed again or Escape")],
                [_("Drag, or arrow keys"), _("along the image; a key 0.1 mm")],
                [_("The ring, its grips"), _("turn; tilt")],
                [_("[ and ], or q and e"), _("turn about the beam by 0.1°")],
                [_("Ctrl and drag, Ctrl and arrow keys"), _("tilt; a key 0.1°")],
                [_("Shift and wheel, Page Up and Page Down"), _("along the beam: 1 mm, 0.1 mm")],
                [_("Shift and one of these keys"), _("ten times as far")],
            ],
        ],
        [
            _("Looking at an X-ray"),
            [
                [_("Click or tap, or c"), _("linked cursor there, or in the middle")],
                [_("Wheel, right button, two fingers, or + - 0"), _("zoom, or all of the X-ray")],
                [
                    _("Drag, middle button, one finger, arrow keys, or a d w s"),
                    _("move the picture; with Shift also while the CT is moved"),
                ],
                [
                    _("Ctrl and drag, or drag with brightness and contrast open"),
                    _("brightness (up and down) and contrast (sideways)"),
                ],
                [_("r, n"), _("automatic brightness; bone dark")],
            ],
        ],
        [
            _("3D and slices"),
            [
                [_("Wheel, the slider, or arrow keys"), _("through the slices")],
                [_("Drag in a slice"), _("brightness and contrast; right button: zoom")],
                [_("Click"), _("a landmark or the linked cursor, once asked for")],
                [_("Drag, or arrow keys, in 3D"), _("turn the view; with the wheel nearer")],
            ],
        ],
        [
            _("Everywhere"),
            [
                [_("1 2 3"), _("X-rays, all views, 3D and slices")],
                [_("f, or a double click"), _("a view alone; Escape: all again")],
                [_("b"), _("show or hide the steps")],
                [_("Ctrl+Enter"), _("register")],
                [_("Ctrl+Z, Ctrl+Y"), _("undo, redo")],
                [_("Tab, Shift+Tab"), _("to the next control, or back")],
                [_("?"), _("this list")],
            ],
        ],
    ],
}
BROWSER = Path(__file__).with_name("browser")
#: With the version, as browsers keep files.
ADDRESS = f"__mvreg_{__version__}"
MODULE = {
    "serve": {ADDRESS: str(BROWSER)},
    "scripts": [
        f"{ADDRESS}/page.js",
        f"{ADDRESS}/look.js",
        f"{ADDRESS}/slices.js",
        f"{ADDRESS}/files.js",
        f"{ADDRESS}/form.js",
        f"{ADDRESS}/field_table.js",
    ],
    "module_scripts": [
        f"{ADDRESS}/xray/xray_view.js",
    ],
    "styles": [
        f"{ADDRESS}/page.css",
        f"{ADDRESS}/answer.css",
        f"{ADDRESS}/files.css",
        f"{ADDRESS}/field_table.css",
        f"{ADDRESS}/xray/xray_view.css",
    ],
    "vue_use": (
        "mvreg_page mvreg_look mvreg_slices mvreg_files mvreg_form mvreg_fields mvreg_xray".split()
    ),
    "state": {"words": WORDS},
}
#: What any element may have, and trame would leave out.
vue.SHARED_ATTRIBUTES += [
    ("aria_label", "aria-label"),
    ("aria_pressed", "aria-pressed"),
    ("aria_current", "aria-current"),
    ("aria_hidden", "aria-hidden"),
    ("data_view", "data-view"),
    ("data_key", "data-key"),
    ("aria_live", "aria-live"),
    "role",
    "alt",
]


class _Element(AbstractElement):
    TAG = ""
    ATTRIBUTES: tuple[str, ...] = ()
    EVENTS: tuple[str, ...] = ()

    def __init__(self, **kwargs) -> None:
        super().__init__(self.TAG, **kwargs)
        self._attr_names += self.ATTRIBUTES
        self._event_names += self.EVENTS
        self.server.enable_module(MODULE)


class FileDrop(_Element):
    """Buttons to pick files; those that are dropped here go to the same target.

    Attributes
    ----------
    target
        What becomes of them, see `Application`.
    hint
        What is expected, in a few words.
    accept, folder, disabled
        As of an <input>.
    """

    TAG = "mv-files"
    ATTRIBUTES = ("target", "hint", "accept", "folder", "disabled")


class WindowDrop(_Element):
    """Files that are dropped anywhere in the window; it shows so while they are dragged.

    Attributes
    ----------
    target, disabled
        As of a `FileDrop`.
    """

    TAG = "mv-window-drop"
    ATTRIBUTES = ("target", "disabled")


class Shortcuts(_Element):
    """Ctrl+Z, Ctrl+Y (Ctrl+Shift+Z), Ctrl+Enter and m, wherever the focus is but in a text field.

    Events undo, redo, register, move; leave for Escape, where the table of the geometry is open.
    """

    TAG = "mv-keys"
    EVENTS = ("undo", "redo", "register", "move", "leave")


class Look(_Element):
    """How the page looks, see browser/look.js.

    Attributes
    ----------
    slices
        How often the server has asked for slices to click in.
    xrays
        The X-rays that are shown.
    sought
        What a button leads to: `at`, section/key, is brought into sight each time that `count` grows.
    """

    TAG = "mv-look"
    ATTRIBUTES = ("slices", "xrays", "sought")


class XRays(_Element):
    """The X-rays, so many in a row that each is as large as it can be.

    Attributes
    ----------
    count
        Of those that are seen.
    """

    TAG = "mv-xrays"
    ATTRIBUTES = ("count",)


class Splitter(_Element):
    """A bar between two parts of the page, that can be moved.

    Attributes
    ----------
    kind
        "steps" or "views".
    """

    TAG = "mv-split"
    ATTRIBUTES = ("kind",)


class Help(_Element):
    """The dialog with mouse, fingers and keys."""

    TAG = "mv-help"


class SliceOverlay(_Element):
    """What lies over a slice of the CT, see browser/slices.js; buttons may be in it."""

    TAG = "mv-slice"
    ATTRIBUTES = ("title", "colour", "at", "greys")


class Eye(_Element):
    """What turns the 3D view by keys."""

    TAG = "mv-eye"


class DownloadButton(_Element):
    """A button that has the server make a file, and downloads it into the page that requested it.

    Attributes
    ----------
    trigger
        Of the server, which returns the file's address, or "".
    label, icon, disabled
        Of the button.
    """

    TAG = "mv-fetch"
    ATTRIBUTES = ("trigger", "label", "icon", "disabled")


class Form(_Element):
    """The form of a section.

    Attributes
    ----------
    controls
        As `PageSection` shows them.
    section
        Its name, to which a person's acts go.
    """

    TAG = "mv-form"
    ATTRIBUTES = ("controls", "section")


class XRayCanvas(_Element):
    """An X-ray.

    Attributes
    ----------
    view
        The state that `xray_pane.XRayPane` keeps.
    """

    TAG = "mvreg-xray"
    ATTRIBUTES = ("view",)


def first_page(html: str, state: Any) -> str:
    """Return trame's page so that it is seen at once; as trame has it, it is empty until its scripts are there.

    Scripts and styles that `state` names are fetched from the beginning, not one after another. A
    stylesheet of trame's own, for what is shown meanwhile, is left out: the page would wait for it.
    """
    html = re.sub(r"<title>.*?</title>", f"<title>{TITLE}</title>", html)
    html = re.sub(r'<link rel="stylesheet" [^>]*>', "", html)
    html = html.replace('<script src="vue', '<script defer src="vue')
    modules = sorted(f"{ADDRESS}/xray/{file.name}" for file in (BROWSER / "xray").glob("*.js"))
    ahead = [
        *(f'rel="preload" as="style" href="{each}"' for each in state.trame__styles),
        *(f'rel="preload" as="script" href="{each}"' for each in state.trame__scripts),
        *(f'rel="modulepreload" href="{each}"' for each in modules),
    ]
    html = html.replace("</head>", "".join(f"<link {each}>" for each in ahead) + "</head>")
    return re.sub(
        r'(<div id="app">).*(?=</body>)', rf"\g<1>{STARTING}</div>", html, flags=re.DOTALL
    )


def icon_styles() -> dict[str, str]:
    """Return Vuetify's stylesheet of icons by its address, with the icons that it or the page names: 5 of 347 kB."""
    icons = "css/mdi.css"
    folder = Path(vuetify.serve_path)
    scripts = *BROWSER.rglob("*.js"), *BROWSER.parent.glob("*.py"), *folder.glob("*.js")
    text = " ".join(script.read_text(encoding="utf-8") for script in scripts)
    named = set(re.findall(r"mdi-[\w-]+", text))
    styles = re.sub(
        r"\.(mdi-[\w-]+)::before\{[^}]*\}",
        lambda rule: rule[0] if rule[1] in named else "",
        (folder / icons).read_text(encoding="utf-8"),
    )
    (address,) = (name for name in vuetify.styles if name.endswith(icons))
    return {address: styles}


def build_starting_page(server: Any) -> None:
    """Make the page as it is while the program is imported, with all scripts that it will need.

    Before the server starts.
    """
    for module in (rca, MODULE):
        server.enable_module(module)
    server.state.trame__title = TITLE
    server.state.trame__template_error = (
        "<mv-closed />"  # in place of trame's own, which says "Connection closed"
    )
    with VAppLayout(server, vuetify_config=THEME), html.Div(classes="mv-begin", role="status"):
        html.Div(
            _("Starting…")
        )  # nothing that turns: without a graphics card it would take a quarter of a processor
