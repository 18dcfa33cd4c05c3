"""Tables and numbers of the report."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ..figures.html_tree import Content, tag


def number(value: float | None, unit: str, digits: int) -> str:
    if value is None:
        return "\u2013"
    gap = "" if unit in ("", "\u00b0") else "\N{NO-BREAK SPACE}"
    rounded = round(value, digits) + 0.0  # no minus zero
    return f"{rounded:.{digits}f}{gap}{unit}".replace("-", "\u2212")


def table(heads: Sequence[str] | None, rows: Sequence[Sequence[Content]]) -> ET.Element:
    """First column names the row. Wide tables scroll within themselves."""
    if not rows:
        return tag("p", "Not told.", class_="quiet")
    body = [tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows]
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads))) if heads else None
    return tag("div", tag("table", head, tag("tbody", *body)), class_="wide")
