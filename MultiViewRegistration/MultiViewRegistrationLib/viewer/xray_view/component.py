"""The part of the page that shows an X-ray, as trame knows it; it is written in plain JavaScript, in the folder `page`."""

from __future__ import annotations

from pathlib import Path

from trame_client.widgets.core import HtmlElement

from ... import __version__

PAGE = Path(__file__).with_name("page")
#: With the version, as browsers keep files.
ADDRESS = f"__mvreg_xray_{__version__}"
MODULE = {
    "serve": {ADDRESS: str(PAGE)},
    "styles": [f"{ADDRESS}/xray_view.css"],
    "module_scripts": [f"{ADDRESS}/xray_view.js"],
    "vue_use": ["mvreg_xray"],
}


class XRayCanvas(HtmlElement):
    """<mvreg-xray>; `view` is the name of the state that `view.XRayView` keeps."""

    def __init__(self, view: str, **kwargs) -> None:
        super().__init__("mvreg-xray", view=(view,), **kwargs)
        self._attr_names += ["view"]
        self.server.enable_module(MODULE)
