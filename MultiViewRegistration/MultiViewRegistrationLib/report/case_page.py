"""case.html: a case's geometry as a person sees it, before it is used. One file that opens anywhere; no script, nothing loaded."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ..figures.html_tree import document, tag
from .report import RESEARCH_USE
from .scene_svg import COLOURS, Scene, scene_svg, xray_svg
from .style import STYLE

SIDES = (("From one side", 40.0, 22.0), ("From the other side, a quarter turn on", 130.0, 22.0))
_STYLE = (
    STYLE
    + """
svg.scene, svg.xray { display: block; width: 100%; height: auto; max-height: 88vh; background: #000; border-radius: 6px; }
svg text { paint-order: stroke; stroke: #000; stroke-width: .18em; stroke-linejoin: round; }
.finding { border-left: 3px solid #f0c244; padding-left: 10px; }
"""
)


def case_page(name: str, scene: Scene, lines: Sequence[str], findings: Sequence[str], notes: Sequence[str] = ()) -> str:
    """The page as HTML text.   lines: what the geometry means.   findings: what is suspicious.   notes: on how it is drawn."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        ),
        tag("title", f"{name}: geometry"),
        tag("style", _STYLE),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", f"{name}: geometry"),
            tag("p", RESEARCH_USE, class_="research"),
            tag(
                "p",
                "Lengths are in mm, angles in degrees, coordinates in LPS. Yellow: the box of the CT. R and L, A and P, S and I: the "
                "patient's right and left, front and back, head and feet, as the CT has them.",
                class_="quiet",
            ),
        ),
        _section(
            "Suspicious",
            [tag("p", finding, class_="finding") for finding in findings]
            or [tag("p", "Nothing was found that looks wrong. Look at the pictures all the same.")],
        ),
        _section(
            "The scene",
            [
                tag("div", *(_figure(title, scene_svg(scene, *angles)) for title, *angles in SIDES), class_="views"),
                *(tag("p", note, class_="quiet") for note in notes),
            ],
        ),
        _section(
            "The images",
            [
                tag(
                    "div",
                    *(
                        _figure(view.name, xray_svg(scene, nth), COLOURS[nth % len(COLOURS)])
                        for nth, view in enumerate(scene.views)
                    ),
                    class_="views",
                )
            ],
        ),
        _section("In words", [tag("p", line) for line in lines]),
        tag("footer", tag("p", RESEARCH_USE)),
    )
    return document(tag("html", head, body, lang="en"))


def _section(title: str, parts: Sequence[ET.Element]) -> ET.Element:
    return tag("section", tag("h2", title), *parts, class_="case")


def _figure(title: str, svg: ET.Element, colour: str | None = None) -> ET.Element:
    return tag("figure", tag("figcaption", title, style=colour and f"color: {colour}"), svg)
