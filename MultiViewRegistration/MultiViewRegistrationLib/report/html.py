"""HTML and SVG as trees of elements, which escape every text: pages, tables, drawings, pictures, a notebook's card."""

from __future__ import annotations

import base64
import hashlib
import io
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.camera import Camera

if TYPE_CHECKING:  # what the panel imports needs no numba
    from .result import Result

Content = ET.Element | str | int | None

#: Ground of a verdict's word, which is white, where there is no style sheet.
VERDICT_COLOURS = {
    "accept": "#0a7d57",
    "check": "#9a6700",
    "reject": "#b3261e",
    "not shown": "#57606a",
    None: "#57606a",
}
#: Sign and word of a verdict, and what to do.
VERDICTS = {
    "accept": ("\u2713", "accept", "No finding limits the use of this pose."),
    "check": ("!", "check", "Check the outlines before you use the result."),
    "reject": ("\u2715", "reject", "Do not use the result."),
    "not shown": ("\u2013", "not shown", "Do not use the result."),
    None: ("\u2013", "not assessed", "Inspect every view: a wrong pose can look right in one."),
}
EACH_ACCEPTED = (
    "\u2713",
    "bones: accept",
    "Each bone is accepted at its own pose: use these poses, not that of the whole CT.",
)

RESEARCH_USE = "For research use only. Not a medical device: not for diagnosis, planning or guidance of a treatment."

_LIGHT = """color-scheme: light; --page: #fff; --panel: #f4f5f7; --line: #c3c9d0; --text: #15181b; --quiet: #525a63;
  --accent: #0b5e97; --accept: #0a6b4b; --check: #7a5200; --reject: #a8320c; --not-assessed: #525a63;"""
_SCREEN = """
:root { color-scheme: dark; --page: #0e1012; --panel: #171a1e; --line: #30363d; --text: #e8e6e1; --quiet: #a7aeb6;
  --accent: #7cc4f0; --accept: #3fd0a4; --check: #f0c244; --reject: #ff8a5c; --not-assessed: #c9ced4; }
@media (prefers-color-scheme: light) { :root { LIGHT } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 0 20px 40px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 24px; padding: 8px 0; }
h1 { margin: 0; font-size: 1.25rem; font-weight: 600; overflow-wrap: anywhere; }
h2 { margin: 0 0 8px; font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere; }
h3 { margin: 24px 0 8px; font-size: 1.05rem; font-weight: 600; }
h4 { margin: 16px 0 4px; font-size: .95rem; font-weight: 600; }
p { margin: 4px 0; max-width: 80ch; overflow-wrap: anywhere; }
header p { max-width: none; margin: 0; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.quiet { color: var(--quiet); }
nav, .case { margin-top: 16px; padding: 16px; background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; }
.note { border-left: 3px solid var(--accent); padding-left: 10px; }
.override { padding: 8px 14px; border: 3px solid var(--reject); border-radius: 6px; font-size: 1.1rem; }
.verdict { margin-top: 12px; padding: 10px 14px; background: var(--page); border: 1px solid var(--line);
  border-radius: 6px; }
.badge { display: inline-block; padding: 0 10px; border: 2px solid currentColor; border-radius: 4px;
  white-space: nowrap; text-transform: uppercase; }
.accept { color: var(--accept); } .check { color: var(--check); } .reject { color: var(--reject); }
.not-assessed { color: var(--not-assessed); }

.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 18px 4px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th, th small { color: var(--quiet); font-weight: 400; }
tbody th { min-width: 8em; overflow-wrap: anywhere; }
th small { display: block; }
code, pre { font-family: ui-monospace, Consolas, "DejaVu Sans Mono", monospace; font-size: .9rem; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; margin: 4px 0; }
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); gap: 16px; }
figure { margin: 0; min-width: 0; }
figcaption { margin-bottom: 4px; overflow-wrap: anywhere; }

.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 16px; }
.plot { width: 100%; height: auto; background: var(--page); border-radius: 6px; }
summary { color: var(--accent); cursor: pointer; }

@media (max-width: 600px) {
  body { padding: 0 10px 24px; }
  nav, .case { padding: 12px; }
  th, td { padding-right: 12px; }
}
"""

_PRINT = """
@media print {
  :root { LIGHT --panel: #fff; --text: #000; --quiet: #333; --accent: #000; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .case { border: 0; padding: 0; }
  .screen, nav { display: none; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  summary { list-style: none; color: var(--text); }
  summary::-webkit-details-marker { display: none; }
  table, tr, figure, .plot { break-inside: avoid; }
  p:has(+ .wide) { break-after: avoid; }
  summary, figcaption, h2, h3, h4, thead { break-after: avoid; }
  pre { white-space: pre-wrap; overflow: visible; }
  table { max-width: 100%; }
  .wide { overflow: visible; }
  th, td { padding-right: 8px; }
  code { font-size: .7rem; }
  .plots { grid-template-columns: 1fr 1fr; }
  .plot { border: 1px solid #bbb; }
}
"""


def tag(name: str, /, *contents: Content, **attributes: object) -> ET.Element:
    """Return an element with its contents in order; None is left out.

    As attributes, `class_` gives class, `aria_label` aria-label, True a bare attribute, None and
    False none; floats are rounded to two digits.
    """
    element = ET.Element(name)
    for key, value in attributes.items():
        if value is not None and value is not False:
            text = f"{value:.2f}" if isinstance(value, float) else _clean(value)
            if value is True:
                text = key
            element.set(key.rstrip("_").replace("_", "-"), text)
    for content in contents:
        if isinstance(content, ET.Element):
            element.append(content)
        elif content is not None and len(element):
            element[-1].tail = (element[-1].tail or "") + _clean(content)
        elif content is not None:
            element.text = (element.text or "") + _clean(content)
    return element


def section(title: str, *contents: Content) -> ET.Element:
    """Return a part of a page with a heading."""
    return tag("section", tag("h2", title), *contents, class_="case")


def figure(name: str, picture: np.ndarray, caption: str = "") -> ET.Element:
    """Return a picture with its name above it, or another caption."""
    image = tag("img", src=embedded(jpeg(picture), "jpeg"), alt=name, decoding="async")
    return tag("figure", tag("figcaption", caption or name), image)


def embedded(file: bytes, kind: str = "png") -> str:
    """Return the address of a picture that is part of the page.

    Parameters
    ----------
    kind
        "png", "jpeg" or "svg+xml".
    """
    return f"data:image/{kind};base64," + base64.b64encode(file).decode("ascii")


def page(
    title: str,
    introduction: Sequence[Content],
    parts: Sequence[ET.Element | None],
    style: str = "",
    script: str = "",
) -> str:
    """Return a HTML file that opens anywhere.

    Nothing loaded from outside, pictures embedded, no script but `script`.

    Dark or light as the reader's system is, black on white on paper.

    Parameters
    ----------
    introduction
        Texts beside the title.
    parts
        Of the main part.
    style, script
        Rules and a script of this page's own; the page's policy allows the script by its hash.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    policy += f"; script-src 'sha256-{digest}'" if script else ""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("title", title),
        tag("style", (_SCREEN + _PRINT + style).replace("LIGHT", _LIGHT)),
    )
    header = tag("header", tag("h1", title), tag("p", RESEARCH_USE))
    header.extend(tag("p", text, class_="quiet") for text in introduction)
    body = tag("body", header, tag("main", *parts), tag("script", script) if script else None)
    root = tag("html", head, body, lang="en")
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def number(value: float | None, unit: str, digits: int) -> str:
    """Return a number with its unit; a dash for None."""
    if value is None:
        return "\u2013"
    gap = "" if unit in ("", "\u00b0") else "\N{NO-BREAK SPACE}"
    rounded = round(value, digits) + 0.0  # no minus zero
    return f"{rounded:.{digits}f}{gap}{unit}".replace("-", "\u2212")


def table(heads: Sequence[str] | None, rows: Sequence[Sequence[Content]]) -> ET.Element:
    """Return a table whose first column names the row. Wide tables scroll within themselves."""
    if not rows:
        return tag("p", "Unknown.", class_="quiet")
    body = []
    for first, *rest in rows:
        cells = [tag("td", cell) for cell in rest]
        body.append(tag("tr", tag("th", first, scope="row"), *cells))
    head = (
        tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads)))
        if heads
        else None
    )
    return tag("div", tag("table", head, tag("tbody", *body)), class_="wide")


def _clean(value: object) -> str:
    """Text that UTF-8 and HTML can hold.

    File names may carry broken bytes and control characters.
    """
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    control = {c for c in set(text) if c not in "\n\t" and unicodedata.category(c)[0] == "C"}
    if not control:  # the rule, and a picture's text is long
        return text
    return text.translate({ord(c): "\N{REPLACEMENT CHARACTER}" for c in control})


JPEG_QUALITY = 88


def beam(camera: Camera, detector_mm: float) -> np.ndarray:
    """(2, 5, 3) world mm: where the rays of the image's corners and of its middle begin, and where they meet the detector.

    Parameters
    ----------
    camera
        Whose image it is.
    detector_mm
        From the source to the detector, along the beam.
    """
    pixels = np.array([*camera.corners, camera.middle])
    return np.stack([camera.sources(pixels), camera.at_depth(pixels, detector_mm)])


def path(points: Iterable[Sequence[float] | np.ndarray]) -> str:
    """Return points (n, 2) as SVG's polylines and polygons take them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def polyline(points: Iterable[Sequence[float] | np.ndarray], **style: object) -> ET.Element:
    """Return a line through points (n, 2); `fill` fills what is within."""
    return tag("polyline", points=path(points), **{"fill": "none", **style})


def outline(points: Iterable[Sequence[float] | np.ndarray], **style: object) -> ET.Element:
    """Return a line round points (n, 2); `fill` fills it."""
    return tag("polygon", points=path(points), **{"fill": "none", **style})


def png(image: np.ndarray) -> bytes:
    """PNG file of a picture, uint8 (rows, columns) or with 3 or 4 channels.

    A grey one without opacity is stored as grey.
    """
    from PIL import Image  # the panel, which needs `tag` alone, opens before it is installed

    if image.ndim == 3 and image.shape[2] < 4 and np.all(image == image[..., :1]):
        image = image[..., 0]
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1, compress_type=Image.RLE)
    return file.getvalue()


def jpeg(image: np.ndarray) -> bytes:
    """JPEG file of an RGB picture, for a page: the PNG files keep every grey."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


#: Pixels of the longer side of an outline's picture.
PICTURE = 400


def words_of(result: Result) -> tuple[str, str, str]:
    """Return the sign and the word of a verdict, and what to do."""
    if result.each_bone_is_accepted:
        return EACH_ACCEPTED
    if not result.checked:
        return VERDICTS[result.verdict]
    return "\u2611", "check, edges confirmed", "The user confirmed the edges in every X-ray."


def notebook_card(result: Result, outlines: Mapping[str, bytes]) -> str:
    """HTML of a result.

    Parameters
    ----------
    outlines
        PNG files by the view's name.
    """
    colour = f"color: white; background: {VERDICT_COLOURS[result.overall_verdict]}; padding: 2px 10px; border-radius: 4px"
    errors = result.errors
    known = (
        "The true pose is unknown, so the error is, too."
        if errors is None
        else f"Error against the known truth, at {result.error_points}: mTRE {errors.mtre_mm:.3f} mm, "
        f"rotation {errors.rotation_deg:.3f}\u00b0."
    )
    _, word, _ = words_of(result)
    figures = []
    beside = "display: inline-block; margin: 4px 8px 4px 0"
    for view, file in outlines.items():
        said = f"{view}, outlines of the CT"
        image = tag("img", src=embedded(file), alt=said, style="max-width: 100%")
        figures.append(tag("figure", tag("figcaption", view), image, style=beside))
    card = tag(
        "div",
        tag("p", tag("strong", result.case.name), " ", tag("span", word, style=colour)),
        *(tag("p", sentence) for sentence in (result.summary, *result.reasons, known) if sentence),
        tag("div", *figures),
        tag("p", tag("small", RESEARCH_USE)),
    )
    return ET.tostring(card, encoding="unicode", method="html")
