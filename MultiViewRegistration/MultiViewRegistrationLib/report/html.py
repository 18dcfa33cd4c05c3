"""HTML pages of this program: their frame, style, tables and numbers. A dark reading room on screen, black on white on paper."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ..figures import Content, document, tag
from .overlays import LEGENDS

RESEARCH_USE = "For research use only. Not a medical device: not for diagnosis, planning or guidance of a treatment."

_SCREEN = """
:root { color-scheme: dark; --page: #0e1012; --panel: #171a1e; --line: #30363d; --text: #e8e6e1;
  --quiet: #a7aeb6; --accent: #7cc4f0; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 0 20px 40px; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { margin: 24px 0 4px; font-size: 1.7rem; font-weight: 600; overflow-wrap: anywhere; }
h2 { margin: 0 0 8px; font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere; }
h3 { margin: 28px 0 8px; font-size: 1.05rem; font-weight: 600; }
h4 { margin: 16px 0 4px; font-size: .95rem; font-weight: 600; }
p { margin: 4px 0; max-width: 80ch; overflow-wrap: anywhere; }
a { color: var(--accent); }
:focus-visible, input:focus-visible + label { outline: 3px solid var(--accent); outline-offset: 2px; }
.quiet, footer { color: var(--quiet); }
.research { font-weight: 600; }
nav, .case { margin-top: 24px; padding: 20px; background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; }
.note { border-left: 3px solid var(--accent); padding-left: 10px; }
.override { padding: 10px 14px; border: 3px solid #ff8a5c; border-radius: 6px; font-size: 1.1rem; }
.verdict { margin-top: 12px; padding: 10px 14px; background: var(--page); border: 1px solid var(--line);
  border-radius: 6px; }
.badge { display: inline-block; padding: 0 10px; border: 2px solid currentColor; border-radius: 4px;
  white-space: nowrap; }
.accept { color: #3fd0a4; } .check { color: #f0c244; } .reject { color: #ff8a5c; }
.not-assessed { color: #c9ced4; }

.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 18px 4px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th, th small { color: var(--quiet); font-weight: 400; }
tbody th { min-width: 8em; overflow-wrap: anywhere; }
th small { display: block; }
code, pre { font-family: ui-monospace, Consolas, "DejaVu Sans Mono", monospace; font-size: .85rem; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; margin: 4px 0; }

.compare { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
.compare > h3, .compare > p, .legends, .views { flex: 0 0 100%; max-width: none; }
.compare > h3 { margin-bottom: 0; }
/* Fixed, so that taking the focus does not scroll the page away from the picture that was clicked. */
.compare > input { position: fixed; top: 0; left: 0; opacity: 0; pointer-events: none; }
.choice { position: sticky; top: 6px; z-index: 2; padding: 6px 14px; background: #22272d; cursor: pointer;
  border: 1px solid #59626c; border-radius: 6px; user-select: none; }
input:checked + .choice { background: var(--accent); border-color: var(--accent); color: #06121b;
  font-weight: 600; }
.gap { width: 16px; }
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); gap: 16px; }
figure { margin: 0; min-width: 0; }
figcaption { margin-bottom: 4px; font-weight: 600; overflow-wrap: anywhere; }
.shot { display: none; position: relative; background: #000; cursor: pointer; }
.alone { cursor: auto; }
.map img { display: block; width: 100%; max-height: 60vh; object-fit: contain; background: #000; }
.shot img { display: block; width: 100%; max-height: 88vh; object-fit: contain; }
.mark { position: absolute; left: 8px; bottom: 8px; padding: 1px 8px; border-radius: 4px; font-size: .85rem;
  background: rgba(0, 0, 0, .75); color: #fff; }
.shot-legend, .print { display: none; }

.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 16px; }
.plot { width: 100%; height: auto; background: var(--page); border-radius: 6px; }
.plot text { fill: var(--quiet); stroke: none; font-size: 12px; }
.plot .axis { fill: var(--text); }
.plot .grid { stroke: #2a3037; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 8px 0; padding: 0; list-style: none; }
.legend svg { width: 34px; height: 12px; margin-right: 6px; }
details { margin-top: 6px; }
summary { color: var(--accent); cursor: pointer; }

@media (max-width: 600px) {
  body { padding: 0 10px 24px; }
  nav, .case { padding: 12px; }
  th, td { padding-right: 12px; }
}
"""

_SWITCHES = "".join(
    f".pick-{kind}:checked ~ .pick-{pose}:checked ~ .views .{kind}.{pose} {{ display: block; }}\n"
    for kind in LEGENDS
    for pose in ("start", "result")
) + "".join(
    f".pick-{kind}:checked ~ .legends .{kind}, .pick-{kind}:checked ~ .views .{kind}.alone {{ display: block; }}\n"
    for kind in LEGENDS
)

_PRINT = """
@media print {
  :root { color-scheme: light; --page: #fff; --panel: #fff; --line: #bbb; --text: #000; --quiet: #333;
    --accent: #000; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { max-width: none; font-size: 10pt; }
  .badge { color: #000; }
  .case { border: 0; padding: 0; break-before: page; }
  .choice, .gap, .screen, summary { display: none; }
  .print { display: inline; }
  .shot, .shot-legend, .views { display: block; }
  .shots { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; }
  .shot { background: none; }
  .shot img { max-height: 75mm; }
  .shot, tr, .plot { break-inside: avoid; }
  figcaption, h3, h4 { break-after: avoid; }
  .wide { overflow: visible; }
  th, td { padding-right: 8px; }
  code { font-size: .7rem; }
  .plots { grid-template-columns: 1fr 1fr; }
  .plot { border: 1px solid #bbb; }
  .plot .grid { stroke: #ddd; }
}
"""

STYLE = _SCREEN + _SWITCHES + _PRINT


def page(title: str, introduction: Sequence[Content], parts: Sequence[ET.Element | None], style: str = STYLE) -> str:
    """A HTML file that opens anywhere: no script, nothing loaded from outside, pictures embedded.

    introduction: paragraphs below the title.   parts: of the main part.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("title", title),
        tag("style", style),
    )
    header = tag("header", tag("h1", title), tag("p", RESEARCH_USE, class_="research"))
    header.extend(tag("p", text, class_="quiet") for text in introduction)
    body = tag("body", header, tag("main", *parts), tag("footer", tag("p", RESEARCH_USE)))
    return document(tag("html", head, body, lang="en"))


def number(value: float | None, unit: str, digits: int) -> str:
    """A number with its unit; a dash for None."""
    if value is None:
        return "\u2013"
    gap = "" if unit in ("", "\u00b0") else "\N{NO-BREAK SPACE}"
    rounded = round(value, digits) + 0.0  # no minus zero
    return f"{rounded:.{digits}f}{gap}{unit}".replace("-", "\u2212")


def table(heads: Sequence[str] | None, rows: Sequence[Sequence[Content]]) -> ET.Element:
    """A table whose first column names the row. Wide tables scroll within themselves."""
    if not rows:
        return tag("p", "Unknown.", class_="quiet")
    body = [tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows]
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads))) if heads else None
    return tag("div", tag("table", head, tag("tbody", *body)), class_="wide")
