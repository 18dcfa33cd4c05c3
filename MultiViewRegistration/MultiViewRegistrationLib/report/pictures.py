"""Pictures of start and result in the same place, switched without a script."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ..figures.html_tree import tag
from .case_report import CaseReport, ViewReport
from .overlays import LEGENDS

AGREEMENT = (
    "Orange: CT and X-ray agree less than the image's noise explains, the more the stronger: tools, tissue that moved, or a wrong "
    "pose. Dimmed: not compared. The rest agrees."
)


def comparison(case: CaseReport, anchor: str) -> ET.Element:
    """Radio buttons and pictures are siblings, so that style rules alone can switch all views together."""
    kinds = [kind for kind in LEGENDS._fields if any(kind in view.pictures for view in case.views)]
    if not kinds:
        return tag("p", "No pictures.", class_="quiet")

    def choice(group: str, value: str, hint: str, **checked: bool) -> tuple[ET.Element, ET.Element]:
        name = f"{anchor}-{value}"
        fields = {"name": f"{anchor}-{group}", "id": name, "class_": f"pick-{value}", "aria_label": hint}
        radio = tag("input", type="radio", **fields, **checked)
        return radio, tag("label", value.capitalize(), for_=name, class_="choice")

    controls = [part for kind in kinds for part in choice("kind", kind, f"Show {kind}", checked=kind == kinds[0])]
    if case.refined:
        controls += [
            tag("span", class_="gap"),
            *choice("pose", "start", "Show the start pose"),
            *choice("pose", "result", "Show the result", checked=True),
        ]
    legends = [tag("p", getattr(LEGENDS, kind), class_=f"shot-legend {kind}") for kind in kinds]
    figures = [_figure(view, kinds, anchor) for view in case.views]
    return tag(
        "div",
        tag("h3", "Pictures"),
        tag(
            "p",
            "A click on a picture, or the arrow keys on the buttons, changes between start and result.",
            class_="quiet screen",
        )
        if case.refined
        else None,
        *controls,
        tag("div", *legends, class_="legends"),
        tag("div", *figures, class_="views"),
        class_="compare",
    )


def agreement(case: CaseReport) -> list[ET.Element]:
    """Where X-rays and CT agree, if that was assessed."""
    shown = [view for view in case.views if view.agreement]
    if not shown:
        return []
    figures = [
        tag(
            "figure",
            tag("figcaption", view.name),
            tag("div", _image(view.agreement, f"{view.name}, agreement"), class_="map"),
        )
        for view in shown
    ]
    return [
        tag("h3", "Where X-rays and CT agree"),
        tag("p", AGREEMENT, class_="quiet"),
        tag("div", *figures, class_="views"),
    ]


def _image(file: bytes, alt: str) -> ET.Element:
    return tag("img", src="data:image/png;base64," + base64.b64encode(file).decode("ascii"), alt=alt, decoding="async")


def _figure(view: ViewReport, kinds: Sequence[str], anchor: str) -> ET.Element:
    """All pictures of a view; of two poses each is a label of the other's radio button, so a click changes it."""

    def shot(kind: str, pose: str, other: str | None, file: bytes) -> ET.Element:
        picture = _image(file, ", ".join(filter(None, (view.name, kind, pose))))
        if other is None:
            return tag("div", picture, class_=f"shot {kind} alone")
        on_paper = tag("span", f", {kind}", class_="print")
        mark = tag("span", pose, on_paper, class_="mark", aria_hidden="true")
        return tag("label", picture, mark, for_=f"{anchor}-{other}", class_=f"shot {kind} {pose}")

    shots = []
    for kind in kinds:
        if kind in view.pictures:
            *start, result = view.pictures[kind]
            if start:
                shots += [shot(kind, "start", "result", *start), shot(kind, "result", "start", result)]
            else:
                shots.append(shot(kind, "", None, result))
    return tag("figure", tag("figcaption", view.name), tag("div", *shots, class_="shots"))
