"""The figures of docs/benchmarks.md, from the points that the jobs left in the results file."""

from __future__ import annotations

import math
from collections.abc import Callable

from . import card, growth, registration, render, search
from .log_log import Guide, Series, log_log_plot
from .results import Results

#: Okabe and Ito's colours that stand out on white.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"

SMALLER_SEARCH = search.line(*search.RANGES[0])
#: Up to so many, counts are marked on the axis one by one.
MANY = 10_000


def figures(results: Results, part: str) -> dict[str, tuple[str, str]]:
    """File name without ending: what it shows and the SVG, for each figure of a part for which there are points."""
    curves: dict[str, dict[str, list]] = {}
    for record in results.values():
        for figure, lines in record.curves.items():
            for line, points in lines.items():
                curves.setdefault(figure, {}).setdefault(line, []).extend(points)
    drawn = {}
    for name, (of_part, figure, draw) in _FIGURES.items():
        if of_part == part and figure in curves:
            drawn[name] = (
                figure[0].upper() + figure[1:],
                draw({line: sorted(points) for line, points in curves[figure].items()}),
            )
    return drawn


Lines = dict[str, list]


def _against_pixels(lines: Lines) -> str:
    sides = {x: f"{math.isqrt(int(x))}²" for points in lines.values() for x, _ in points}
    return log_log_plot(_styled(lines), "Time of an image of the chest CT", "pixels", "time (ms)", x_ticks=sides)


def _against(
    variable: str, title: str, measured: str = "time (ms)", y_shown: tuple[float, ...] = ()
) -> Callable[[Lines], str]:
    def draw(lines: Lines) -> str:
        counts = {x: f"{x:g}" for points in lines.values() for x, _ in points if x < MANY}
        return log_log_plot(_styled(lines), title, variable, measured, x_ticks=counts or None, y_shown=y_shown)

    return draw


def _error_against_time(lines: Lines) -> str:
    ours = [points for line, points in lines.items() if line.startswith("ours")]
    theirs = [points for line, points in lines.items() if not line.startswith("ours")]
    series = []
    for name, colour, traces in (("ours", BLUE, ours), ("nanodrr, xvr's settings", VERMILION, theirs)):
        label = f"{name}, {len(traces)} start{'s' * (len(traces) > 1)}"
        series += [
            Series(label if number == 0 else "", points, colour, markers=False) for number, points in enumerate(traces)
        ]
    return log_log_plot(
        series,
        f"Two-view registration of the chest CT from {registration.START_MTRE_MM:g} mm",
        "time (s)",
        "mTRE (mm)",
        [Guide(1.0, "1 mm"), Guide(0.1, "0.1 mm")],
    )


def _styled(lines: Lines) -> list[Series]:
    """Ours blue, nanodrr vermilion, RTK green; what is less work dashed."""
    styled = []
    for line, points in lines.items():
        colour = BLUE if line.startswith("ours") else GREEN if line.startswith("RTK") else VERMILION
        plain = line in ("ours, image", "nanodrr, forward", "RTK, image", SMALLER_SEARCH)
        styled.append(Series(line, points, colour, "6 4" if plain else None))
    return styled


_FIGURES = {
    "pixels": ("render", render.FIGURE, _against_pixels),
    "registration": ("registration", registration.FIGURE, _error_against_time),
    "voxels": (
        "growth",
        growth.FIGURES["voxels"],
        _against("voxels of the volume", "Time of an image with Jacobian, 200 x 200"),
    ),
    "views": ("growth", growth.FIGURES["views"], _against("views", "Time of images with Jacobian, 128 x 128 each")),
    "threads": ("growth", growth.FIGURES["threads"], _against("threads", "Time of an image with Jacobian, 200 x 200")),
    "poses": ("growth", growth.FIGURES["poses"], _against("poses", "Time of images with Jacobian, 200 x 200 each")),
    "search-time": (
        "search",
        search.FIGURES["search-time"],
        _against("poses scored", "Time of a search and refinement", "time (s)"),
    ),
    "search-success": (
        "search",
        search.FIGURES["search-success"],
        _against("poses scored", "Searches that found the pose", "found (%)", (10, 100)),
    ),
}
_FIGURES |= {f"card-{name}": (card.PART, figure + card.WHERE, draw) for name, (_, figure, draw) in _FIGURES.items()}
