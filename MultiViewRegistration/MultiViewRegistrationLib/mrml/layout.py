"""The slice views of the X-rays (XRay1, XRay2, ...), and layouts with these views."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from .nodes import Colour, nodes_of_class
from .registration import MAX_VIEWS, Registration, xrays_in
from .xray import SHOWN_IN, XRayView, tag_of

#: (red, green, blue) of the first X-ray, the second, ...: apart from each other and from the red,
#: green and yellow of Slicer's own slice views, and to be seen on the blue of its 3D view as well
#: as on an X-ray.
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
    """Return the tag of the slice view with this number, counted from 1."""
    return f"XRay{number}"


def number_of(tag: str) -> int:
    """Return the number in a tag; 0 for the tag of another view."""
    found = re.fullmatch(r"XRay(\d+)", tag)
    return int(found[1]) if found else 0


def colour(tag: str) -> Colour:
    """Return (red, green, blue), from 0 to 1, of the X-ray with this tag."""
    return COLOURS[(number_of(tag) - 1) % len(COLOURS)]


def colour_of(view: XRayView) -> Colour:
    """Return the colour (red, green, blue), from 0 to 1, of an X-ray."""
    return colour(tag_of(view) or "")


def css_colour(view: XRayView) -> str:
    """Return the colour of an X-ray as a page and a form take it."""
    return css(colour_of(view))


def css(colour: Iterable[float]) -> str:
    """Return a colour, red, green, blue from 0 to 1, as a page and a form take it."""
    return "rgb(" + ", ".join(str(round(255 * part)) for part in colour) + ")"


def claim(view: XRayView) -> str:
    """Return the X-ray's tag; the first free one where it has none, or one that an X-ray before it in the scene has, too."""
    taken = set()
    before = True
    for other in xrays_in(view.scene):
        if other == view:
            before = False
        elif before or tag_of(other) != tag_of(view):
            taken.add(tag_of(other))
    own = tag_of(view)
    if own is None or own in taken:
        number = 1
        while tag(number) in taken:
            number += 1
        own = tag(number)
        view.node.SetAttribute(SHOWN_IN, own)
    return own


def slice_node(scene: Any, tag: str | None):
    """Return the vtkMRMLSliceNode with this tag, None before its view was made, or without a tag."""
    return scene.GetSingletonNode(tag, "vtkMRMLSliceNode") if tag else None


def composite_node(scene: Any, tag: str | None):
    """Return the vtkMRMLSliceCompositeNode that says what the slice view with this tag shows.

    None as for `slice_node`.
    """
    return scene.GetSingletonNode(tag, "vtkMRMLSliceCompositeNode") if tag else None


def make_slice_view(registration: Registration) -> bool:
    """Have Slicer make one of the slice views that X-rays lack; whether there was one to make.

    Each takes it a fifth of a second.
    """
    scene = registration.scene
    for view in registration.xrays:
        if slice_node(scene, claim(view)) is None:
            node = scene.CreateNodeByClass("vtkMRMLSliceNode")  # with Slicer's orientations
            node.UnRegister(None)
            node.SetName(tag_of(view))
            node.SetLayoutName(tag_of(view))
            scene.AddNode(node)
            return True
    return False


def slice_of(view: XRayView):
    """Return the node of the slice view that shows an X-ray, None without one."""
    return slice_node(view.scene, tag_of(view))


def composite_of(view: XRayView):
    """Return the composite node of the slice view that shows an X-ray, None without one."""
    return composite_node(view.scene, tag_of(view))


def slice_nodes(scene: Any) -> list:
    """Return the slice nodes of all X-rays, also of removed ones."""
    nodes = nodes_of_class("vtkMRMLSliceNode", scene)
    return [node for node in nodes if number_of(node.GetLayoutName() or "")]


#: A layout's number is this and how many X-rays it has; users' settings and saved scenes refer to
#: it.
WITHOUT_CT = 7310
WITH_CT = 7330
#: View groups of X-rays begin here, one for each, so that no other view is linked to one or makes
#: it jump.
GROUP = 100
BEFORE = "MultiViewRegistration.layoutBefore"
#: Of the 3D view: whether its box and the letters on it, which lie about the world's origin, were
#: shown before.
BOX_BEFORE = "MultiViewRegistration.boxBefore"
#: Rows of views for so many X-rays, right of the 3D view, which is as high as all; 0 is the 3D view
#: among the X-rays. Six are larger in rows of three, beside a 3D view that is a quarter as wide.
BESIDE_3D = {1: [[1]], 2: [[1], [2]], 4: [[1, 2], [3, 4]], 6: [[1, 2, 3], [4, 5, 6]]}
WITH_3D = {
    3: [[0, 1], [2, 3]],
    5: [[0, 1, 2], [3, 4, 5]],
    7: [[0, 1, 2, 3], [4, 5, 6, 7]],
    8: [[0, 1, 2], [3, 4, 5], [6, 7, 8]],
}
#: Slicer's own views of the CT: tag, orientation, label, colour.
CT_SLICES = (
    ("Red", "Axial", "R", "#F34A33"),
    ("Green", "Coronal", "G", "#6EB04B"),
    ("Yellow", "Sagittal", "Y", "#EDD54C"),
)

TABS = '<layout type="tab">'


def description(tags: list[str], ct_slices: bool = False, *, tabs: bool = False) -> str:
    """Return the layout for slice views with these tags, one to eight, in Slicer's XML.

    Parameters
    ----------
    tabs
        With one of the CT's slices seen at a time, where three are too wide for the window.
    """
    cells = [_view("vtkMRMLViewNode", "1", viewlabel="1"), *map(_xray, tags)]
    if len(tags) in BESIDE_3D:
        grid = _layout(
            "vertical",
            *[_layout("horizontal", *[cells[i] for i in row]) for row in BESIDE_3D[len(tags)]],
        )
        split = (250, 750) if len(tags) == 6 else (500, 500)
        views = _layout("horizontal", cells[0], grid, split=split)
    else:
        views = _layout(
            "vertical",
            *[_layout("horizontal", *[cells[i] for i in row]) for row in WITH_3D[len(tags)]],
        )
    if not ct_slices:
        return views
    slices = []
    for name, orientation, label, tone in CT_SLICES:
        how = {"orientation": orientation, "viewlabel": label, "viewcolor": tone}
        slices.append(_view("vtkMRMLSliceNode", name, **how))
    beside = _tabs(*slices) if tabs else _layout("horizontal", *slices)
    return _layout("vertical", views, beside, split=(660, 340))


def register(scene: Any) -> None:
    """Tell the scene's layout node of all layouts, so that a saved scene that was in one of them comes back in it."""
    node = layout_node(scene)
    for base in (WITHOUT_CT, WITH_CT):
        for views in range(1, MAX_VIEWS + 1):
            if node is not None and not node.IsLayoutDescription(base + views):
                node.AddLayoutDescription(
                    base + views, description([tag(i + 1) for i in range(views)], base == WITH_CT)
                )


def show(registration: Registration, ct_slices: bool = False, tabs: bool | None = None) -> bool:
    """Change to the layout for a registration's X-rays.

    New slice views are made at once where an application looks after the layout, as Slicer does;
    `display.show` then fills them.

    Parameters
    ----------
    tabs
        See `description`; None: as it is.

    Returns
    -------
    bool
        Whether there was anything to show, and a layout to change.
    """
    node = layout_node(registration.scene)
    views = registration.xrays
    if node is None or not views:
        return False
    register(registration.scene)
    number = (WITH_CT if ct_slices else WITHOUT_CT) + len(views)
    if not shown(registration.scene):
        node.SetAttribute(BEFORE, str(node.GetViewArrangement()))
    tabs = TABS in (node.GetCurrentLayoutDescription() or "") if tabs is None else tabs
    node.SetLayoutDescription(
        number, description([claim(view) for view in views], ct_slices, tabs=tabs)
    )
    node.SetViewArrangement(number)
    _show_box(registration.scene, False)
    return True


def _show_box(scene: Any, on: bool) -> None:
    """Take the box out of the 3D view, where it looks like a part of the registration.

    Or put it back as it was.
    """
    view = scene.GetSingletonNode("1", "vtkMRMLViewNode")
    if view is None or on == (view.GetAttribute(BOX_BEFORE) is None):
        return
    if on:
        box, letters = (each == "1" for each in view.GetAttribute(BOX_BEFORE))
        view.RemoveAttribute(BOX_BEFORE)
    else:
        box = False
        letters = False
        view.SetAttribute(BOX_BEFORE, f"{view.GetBoxVisible():d}{view.GetAxisLabelsVisible():d}")
    view.SetBoxVisible(box)
    view.SetAxisLabelsVisible(letters)


def shown(scene: Any) -> bool:
    """Return whether one of these layouts is on."""
    node = layout_node(scene)
    return node is not None and _is_ours(node.GetViewArrangement())


def shows(registration: Registration) -> bool:
    """Return whether the layout that is on has a view of one of a registration's X-rays."""
    if not shown(registration.scene):
        return False
    description = layout_node(registration.scene).GetCurrentLayoutDescription()
    return any(f'"{tag_of(view)}"' in description for view in registration.xrays)


def has_ct_slices(scene: Any) -> bool:
    """Return whether the layout that is on has the CT's slices, too."""
    return shown(scene) and layout_node(scene).GetViewArrangement() > WITH_CT


def back(scene: Any) -> None:
    """Change to the layout from before."""
    if shown(scene):
        node = layout_node(scene)
        before = int(node.GetAttribute(BEFORE) or node.SlicerLayoutInitialView)
        node.RemoveAttribute(BEFORE)
        node.SetViewArrangement(before)
        _show_box(scene, True)


def layout_node(scene: Any):
    """Return the scene's vtkMRMLLayoutNode; None where no application looks after a layout."""
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def group(tag: str) -> int:
    """Return the view group of an X-ray's slice view."""
    return GROUP + number_of(tag)


def _is_ours(arrangement: int) -> bool:
    return any(base < arrangement <= base + MAX_VIEWS for base in (WITHOUT_CT, WITH_CT))


def _layout(direction: str, *items: str, split: tuple[int, ...] = ()) -> str:
    if len(items) == 1:
        return items[0]
    sizes = [f' splitSize="{size}"' for size in split] or [""] * len(items)
    inside = "".join(f"<item{size}>{item}</item>" for size, item in zip(sizes, items, strict=True))
    return f'<layout type="{direction}"{" split=" + chr(34) + "true" + chr(34) if split else ""}>{inside}</layout>'


def _tabs(*items: str) -> str:
    named = zip(
        (orientation for _tag, orientation, _label, _colour in CT_SLICES), items, strict=True
    )
    return (
        TABS + "".join(f'<item name="{name}">{item}</item>' for name, item in named) + "</layout>"
    )


def _xray(tag: str) -> str:
    red, green, blue = (round(255 * part) for part in colour(tag))
    return _view(
        "vtkMRMLSliceNode",
        tag,
        orientation="Axial",
        viewlabel=f"X{number_of(tag)}",
        viewcolor=f"#{red:02X}{green:02X}{blue:02X}",
        viewgroup=str(group(tag)),
    )


def _view(class_name: str, name: str, **properties: str) -> str:
    said = '<property name="{}" action="default">{}</property>'
    inside = "".join(said.format(key, escape(value)) for key, value in properties.items())
    return f'<view class="{class_name}" singletontag="{name}">{inside}</view>'
