"""How a refinement converged: plots, and the same as numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ..figures.html_tree import tag
from ..figures.line_plot import Axis, Line, legend, line_plot
from .case_report import Level
from .tables import number, table


def convergence(levels: Sequence[Level]) -> ET.Element:
    levels = [level for level in levels if len(level.cost)]
    if not levels:
        return tag("p", "No steps were taken.", class_="quiet")
    cost, step, first = [], [], 1
    for level in levels:
        steps = range(first, first + len(level.cost))
        cost.append(Line(level.name, steps, [value / (level.cost[0] or 1.0) for value in level.cost]))
        step.append(Line(level.name, steps, level.step_mm))
        first = steps.stop
    rows = [
        [
            level.name,
            str(len(level.cost)),
            f"{level.cost[0]:.5g}",
            f"{level.cost[-1]:.5g}",
            number(level.step_mm[-1], "mm", 4),
        ]
        for level in levels
    ]
    heads = ["Level", "Steps", "First cost", "Last cost", "Last step"]
    return tag(
        "div",
        tag(
            "div",
            line_plot(
                cost,
                "Cost of each step, relative to the first of its level",
                Axis("step"),
                Axis("cost / first of level"),
            ),
            line_plot(step, "Size of each step in mm", Axis("step"), Axis("size of step (mm)", "log")),
            class_="plots",
        ),
        legend([level.name for level in levels]),
        tag("details", tag("summary", "As numbers"), table(heads, rows)),
    )
