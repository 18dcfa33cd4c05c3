"""The static check of a .ui file: classes, properties, enumerations and connections exist."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from api_names import api

_LAYOUT = {
    "margin",
    "leftMargin",
    "topMargin",
    "rightMargin",
    "bottomMargin",
    "spacing",
    "horizontalSpacing",
    "verticalSpacing",
}
#: Prefixes of <attribute> names that mean a part of the widget.
_PARTS = {"horizontalHeader": "QHeaderView", "verticalHeader": "QHeaderView", "header": "QHeaderView"}


def widgets_of(path: Path) -> dict[str, str]:
    """Name -> class of everything in a .ui file that `slicer.util.childWidgetVariables` gives a name: widgets, layouts, actions.

    Not a layout without items: PythonQt takes it for false, and `slicer.util.findChildren` leaves out what is false.
    """
    root = ET.parse(path).getroot()
    found = {
        entry.get("name"): entry.get("class", "QAction")
        for entry in root.iter()
        if entry.tag in ("widget", "action") or (entry.tag == "layout" and entry.find("item") is not None)
    }
    return {name: cls for name, cls in found.items() if name}


def problems_in_ui(path: Path) -> list[str]:
    """What is wrong with the names in a .ui file, in words."""
    root = ET.parse(path).getroot()
    problems = _problems_of_structure(root)
    for widget in [*root.iter("widget"), *root.iter("layout")]:
        cls, name = widget.get("class"), widget.get("name")
        if cls not in api():
            problems.append(f"{name}: no class {cls} in the tables of names")
            continue
        for entry in widget.findall("property"):
            problems += _problems_of_property(f"{name} ({cls})", cls, entry)
        for entry in widget.findall("attribute"):
            part = next((part for part in _PARTS if entry.get("name").startswith(part)), None)
            prop = entry.get("name").removeprefix(part or "")
            if part and api().kind(_PARTS[part], prop[0].lower() + prop[1:]) != "property":
                problems.append(f"{name}: no property {prop} of its header")
    return problems + _problems_of_connections(root, widgets_of(path))


def _problems_of_structure(root: ET.Element) -> list[str]:
    top = root.find("widget")
    problems = (
        []
        if top.get("class") == "qMRMLWidget"
        else [f"the root is a {top.get('class')}, not a qMRMLWidget that hands the scene on"]
    )
    names = [entry.get("name") for entry in root.iter() if entry.tag in ("widget", "layout", "action", "spacer")]
    problems += [
        f"{name}: two things have this name"
        for name in sorted({name for name in names if name and names.count(name) > 1})
    ]
    declared = {entry.findtext("class") for entry in root.iter("customwidget")}
    used = {widget.get("class") for widget in root.iter("widget")}
    return problems + [
        f"{cls} is not among the <customwidgets>" for cls in sorted(used) if cls[:1] != "Q" and cls not in declared
    ]


def _problems_of_property(who: str, cls: str, entry: ET.Element) -> list[str]:
    name, value = entry.get("name"), entry[0]
    if entry.get("stdset") == "0":  # a dynamic property
        return [f"{who}: {name} is a real property, not a dynamic one"] if api().kind(cls, name) else []
    if "QLayout" in api().ancestry(cls) and name in _LAYOUT:
        return []
    if api().kind(cls, name) != "property":
        return [f"{who}: no property {name} that can be written"]
    if value.tag in ("enum", "set"):
        return [f"{who}: {name} has no value {flag}" for flag in value.text.split("|") if not _is_enum(flag.strip())]
    return []


def _is_enum(text: str) -> bool:
    owner, *_, name = text.split("::")
    return owner in api() and api().kind(owner, name) == "enum"


def _problems_of_connections(root: ET.Element, widgets: dict[str, str]) -> list[str]:
    problems, with_scene = [], set()
    for entry in root.iter("connection"):
        sender, signal, receiver, slot = (entry.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
        problems += [
            f"a connection names {name}, which is not there" for name in (sender, receiver) if name not in widgets
        ]
        if widgets.get(sender) in api() and not api().has_signal(widgets[sender], signal):
            problems.append(f"{sender} ({widgets[sender]}): no signal {signal}")
        if widgets.get(receiver) in api() and api().kind(widgets[receiver], slot.partition("(")[0]) != "call":
            problems.append(f"{receiver} ({widgets[receiver]}): no slot {slot}")
        if signal.startswith("mrmlSceneChanged("):
            with_scene.add(receiver)
    top = root.find("widget").get("name")
    for name, cls in widgets.items():
        if name != top and cls in api() and api().kind(cls, "setMRMLScene") and name not in with_scene:
            problems.append(
                f"{name} ({cls}): is not given the scene; connect {top}.mrmlSceneChanged to its setMRMLScene"
            )
    return problems
