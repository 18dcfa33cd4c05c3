"""Names of X-rays: each has its own, and any could be part of a file's."""

from __future__ import annotations

from ..errors import InputError
from ..io.case_file import MAX_NAME_LENGTH, NOT_IN_FILE_NAMES, view_name
from ..io.json_reader import JsonObject
from ..mrml.nodes import products_of
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from .history import History


def rename(registration: Registration, view: XRayView, name: str) -> None:
    """Give a view another name, in its products and in the history, too.

    InputError where another view has it, or it could not be part of a file's name.
    """
    before, name = view.name, view_name(JsonObject("X-rays", "", {"name": name.strip()}))
    if any(other != view and other.name.casefold() == name.casefold() for other in registration.xrays):
        raise InputError(
            f'X-rays: another view has the name "{name}", expected one of its own for each; choose another.'
        )
    for made in products_of(view.node):
        if made.GetName().startswith(f"{before} "):  # "AP DRR"
            made.SetName(name + made.GetName().removeprefix(before))
    view.node.SetName(name)
    History(registration).rename_view(before, name)


def clean_name(name: str) -> str:
    """The nearest name to this one that a view may have: "2: AP/lat" becomes "2 AP lat"."""
    words = "".join(" " if c in NOT_IN_FILE_NAMES or not c.isprintable() else c for c in name).split()
    return " ".join(words)[:MAX_NAME_LENGTH].strip(" .") or "X-ray"
