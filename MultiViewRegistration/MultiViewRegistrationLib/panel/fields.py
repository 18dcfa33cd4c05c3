"""Filling widgets from the scene while a person may be at them."""

from __future__ import annotations


def show_number(spin, value: float) -> None:
    """Set a spin box, unless it shows this already: setting it again would take away what is being typed in it."""
    if abs(spin.value - value) >= 0.5 * 10.0 ** -getattr(spin, "decimals", 0):
        spin.value = value
