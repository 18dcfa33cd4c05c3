"""The cell of the page that shows one X-ray."""

from __future__ import annotations

from trame.widgets import html


class Empty:
    """A place for the picture."""

    def refresh(self) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing is held."""


def build(application, view) -> Empty:
    html.Div("", classes="mv-fill")
    return Empty()
