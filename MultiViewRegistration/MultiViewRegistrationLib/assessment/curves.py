"""Learning curves as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from .html_tree import tag
from .line_plot import HEIGHT, WIDTH, Line, line_plot

_STYLE = "text { font: 11px sans-serif; fill: #444 } .grid { stroke: #ddd } svg { background: #fff }"


def curves(losses: Sequence[Sequence[float]], validation: Sequence[Sequence[float]]) -> str:
    """An SVG file: the error of random images against the seconds of training, all views together and each alone, and the loss.

    losses: [step, loss].   validation: [step, seconds, error together, of each view, ...], mm.
    """
    seconds = [row[1] for row in validation]
    names = ["both views" if len(validation[0]) == 5 else "all views", *(f"view {n}" for n in range(1, len(validation[0]) - 2))]
    lines = [Line(name, seconds, [row[column] for row in validation]) for column, name in enumerate(names, start=2)]
    error = line_plot(lines if len(lines) > 2 else lines[:1], "Error of random images", "seconds of training", "error (mm)", log=True)
    loss = line_plot([Line("loss", [row[0] for row in losses], [row[1] for row in losses])], "Loss", "step", "loss")
    for number, plot in enumerate((error, loss)):
        plot.attrib.update(x=str(number * (WIDTH + 20)), y="0", width=str(WIDTH), height=str(HEIGHT))
    whole = tag("svg", tag("style", _STYLE), error, loss, xmlns="http://www.w3.org/2000/svg",
                viewBox=f"0 0 {2 * WIDTH + 20} {HEIGHT}", width=str(2 * WIDTH + 20), height=str(HEIGHT))
    return ET.tostring(whole, encoding="unicode")
