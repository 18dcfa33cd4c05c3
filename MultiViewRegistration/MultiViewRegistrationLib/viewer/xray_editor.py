"""What the editors of one X-ray have in common."""

from __future__ import annotations

from ..errors import InputError
from ..mrml.xray import XRayView


class XRayEditor:
    """Widgets about the X-ray that is selected; they show `state.xrays[NAME]`, which is `content()`."""

    NAME = ""
    TITLE = ""

    def __init__(self, section) -> None:
        self.section, self.application = section, section.application

    @property
    def registration(self):
        """The `scene.registration.Registration` at work."""
        return self.section.registration

    @property
    def view(self) -> XRayView | None:
        """The X-ray that is selected, None without one."""
        return self.section.selected

    def build(self) -> None:
        """Make the widgets, once."""

    def content(self) -> dict:
        """What they show. Also called without an X-ray."""
        return {}


def number(text, what: str) -> float:
    """The number that a person typed. InputError for anything else."""
    try:
        value = float(str(text).strip() or 0)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise InputError(f'{what}: found "{str(text)[:20]}", expected a number; enter it.')
    return value
