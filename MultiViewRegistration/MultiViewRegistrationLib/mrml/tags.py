"""Which slice view shows which X-ray: tags, as Slicer calls them, XRay1, XRay2, ... and the colour that goes with each."""

from __future__ import annotations

import re

import slicer

from .registration import Registration
from .xray import XRayView

#: The attribute of an X-ray's node that has its tag while it is shown.
SHOWN_IN = "MultiViewRegistration.sliceView"
#: (red, green, blue) of the first X-ray, the second, ...: apart from each other and from the red, green and yellow of Slicer's own slice
#: views, and to be seen on the blue of its 3D view as well as on an X-ray.
COLOURS = (
    (1.00, 0.60, 0.05),
    (0.25, 0.95, 0.85),
    (1.00, 0.45, 0.80),
    (0.72, 0.95, 0.20),
    (0.98, 0.98, 0.95),
    (0.80, 0.55, 1.00),
    (0.85, 0.72, 0.50),
    (0.55, 0.85, 1.00),
)


def tag(number: int) -> str:
    """Of the slice view with this number, counted from 1."""
    return f"XRay{number}"


def number_of(tag: str) -> int:
    """The number in a tag; 0 for the tag of another view."""
    found = re.fullmatch(r"XRay(\d+)", tag)
    return int(found[1]) if found else 0


def colour(tag: str) -> tuple[float, float, float]:
    return COLOURS[(number_of(tag) - 1) % len(COLOURS)]


def tag_of(view: XRayView) -> str | None:
    """The tag of the slice view that shows an X-ray, or is to show it once it is there; None where none is."""
    return view.node.GetAttribute(SHOWN_IN)


def claim(view: XRayView) -> str:
    """The X-ray's tag; the first free one where it has none, or one that an X-ray before it in the scene has, too."""
    taken = set()
    before = True
    for registration in Registration.all(view.node.GetScene()):
        for other in registration.xrays:
            if other == view:
                before = False
            elif before or tag_of(other) != tag_of(view):
                taken.add(tag_of(other))
    if tag_of(view) is None or tag_of(view) in taken:
        number = 1
        while tag(number) in taken:
            number += 1
        view.node.SetAttribute(SHOWN_IN, tag(number))
    return tag_of(view)


def give_up(view: XRayView) -> None:
    """Leave the slice view to others."""
    view.node.RemoveAttribute(SHOWN_IN)


def slice_node(scene, tag: str | None):
    """The vtkMRMLSliceNode with this tag, None before its view was made, or without a tag."""
    return scene.GetSingletonNode(tag, "vtkMRMLSliceNode") if tag else None


def composite_node(scene, tag: str | None):
    """The vtkMRMLSliceCompositeNode that says what the slice view with this tag shows; None as for `slice_node`."""
    return scene.GetSingletonNode(tag, "vtkMRMLSliceCompositeNode") if tag else None


def slice_nodes(scene) -> list:
    """Those of all X-rays, also of X-rays that are gone."""
    return [
        node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode", scene) if number_of(node.GetLayoutName() or "")
    ]
