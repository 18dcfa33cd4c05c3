"""The page's own elements, written in page.js: files that are dropped or picked, files that are made, and keys."""

from __future__ import annotations

from pathlib import Path

from trame_client.widgets import vue
from trame_client.widgets.core import AbstractElement

#: What any element may have, and trame would leave out.
vue.SHARED_ATTRIBUTES += [
    ("aria_label", "aria-label"),
    ("aria_pressed", "aria-pressed"),
    ("aria_current", "aria-current"),
    "role",
    "alt",
]
MODULE = {
    "serve": {"__mvreg_page": str(Path(__file__).parent / "browser")},
    "scripts": ["__mvreg_page/page.js", "__mvreg_page/form.js"],
    "styles": ["__mvreg_page/page.css"],
    "vue_use": ["mvreg_page", "mvreg_form"],
}


class Files(AbstractElement):
    """A place to drop files on, with buttons to pick them.

    target: what becomes of them, see `uploads`.   hint: what is expected, in a few words.   accept, folder, disabled: as of an <input>.
    """

    def __init__(self, children=None, **kwargs) -> None:
        super().__init__("mv-files", children, **kwargs)
        self._attr_names += ["target", "hint", "accept", "folder", "disabled"]


class Keys(AbstractElement):
    """Ctrl+Z, Ctrl+Y (Ctrl+Shift+Z) and Ctrl+Enter, wherever the focus is but in a text field; events undo, redo, register."""

    def __init__(self, **kwargs) -> None:
        super().__init__("mv-keys", **kwargs)
        self._event_names += ["undo", "redo", "register"]


class Fetch(AbstractElement):
    """A button that has the server make a file, and downloads it into the page that asked.

    trigger: of the server, which returns the file's address, or "".   label, icon, disabled: of the button.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__("mv-fetch", **kwargs)
        self._attr_names += ["trigger", "label", "icon", "disabled"]
