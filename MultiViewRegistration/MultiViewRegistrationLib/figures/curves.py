"""Learning curves as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from .html_tree import tag
from .line_plot import HEIGHT, RIGHT, STYLES, TOP, WIDTH, Line, line_plot

_STYLE = "text { font: 11px sans-serif; fill: #444; stroke: none } .grid { stroke: #ddd }"


def curves(losses: Sequence[Sequence[float]], validation: Sequence[Sequence[float]]) -> str:
    """An SVG file: the error of random images against the seconds of training, all views together and each alone, and the loss.

    losses: [step, loss].   validation: [step, seconds, error together, of each view, ...], mm.
    """
    seconds = [row[1] for row in validation]
    names = [
        "both views" if len(validation[0]) == 5 else "all views",
        *(f"view {n}" for n in range(1, len(validation[0]) - 2)),
    ]
    lines = [Line(name, seconds, [row[column] for row in validation]) for column, name in enumerate(names, start=2)]
    error = line_plot(
        lines if len(lines) > 2 else lines[:1], "Error of random images", "seconds of training", "error (mm)", log=True
    )
    loss = line_plot([Line("loss", [row[0] for row in losses], [row[1] for row in losses])], "Loss", "step", "loss")
    parts = []
    for number, plot in enumerate((error, loss)):  # a group each: few programs show an SVG within an SVG
        parts.append(tag("g", transform=f"translate({number * (WIDTH + 20)} 0)"))
        parts[-1].extend(list(plot))
    width = 2 * WIDTH + 20
    whole = tag(
        "svg",
        tag("style", _STYLE),
        tag("rect", width="100%", height="100%", fill="#fff"),
        *parts,
        *_names(names),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {HEIGHT}",
        width=str(width),
        height=str(HEIGHT),
    )
    return ET.tostring(whole, encoding="unicode")


def _names(names: Sequence[str]) -> list[ET.Element]:
    """What the lines of the errors are, at the right of their plot; one that is alone needs no name."""
    if len(names) < 3:
        return []
    colours = [STYLES[number % len(STYLES)][0] for number in range(len(names))]
    return [
        tag("text", name, x=WIDTH - RIGHT - 6, y=TOP + 14 * (number + 1), text_anchor="end", style=f"fill: {colour}")
        for number, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]
