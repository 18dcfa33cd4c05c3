"""Everything that is seen of a registration, brought up to date."""

from __future__ import annotations

from .registration import Registration


def show(registration: Registration, mode: str = "blend") -> None:
    """Show the X-rays, their frusta, labels and overlays as they are now. To be called whenever any of it may have changed."""


def show_layout(registration: Registration) -> None:
    """Show a layout with the 3D view and all X-rays."""


def restore_layout() -> None:
    """Go back to the layout from before."""
