"""What was said against what was found, as a picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...assessment.prediction import WRONG_MM
from .rows import Rows, column, mtre, verdicts
from .trust_tables import reliability

SIDE, MARGIN, TEXT = 900, 150, 30
INK, QUIET, GRID = "#1a1a1a", "#666666", "#d4d4d4"
#: Okabe and Ito's colours that stand out on white, and a mark each, so that they are told apart without colour, too.
MARKS = {"accept": ("#009e73", "circle"), "check": ("#e69f00", "square"), "reject": ("#d55e00", "cross")}
#: Of the errors and bounds that are drawn, mm; what is beyond lies on the edge.
LEAST_MM, MOST_MM = 0.01, 100.0
#: The least share that is drawn.
RAREST = 0.001


def reliability_plot(rows: Rows) -> bytes:
    """PNG: the probability of a wrong answer against the share of wrong ones, with Wilson's 95 % intervals.

    Beside it the 95 % bound against the error, of every result that has one.
    """
    image = Image.new("RGB", (2 * (SIDE + MARGIN) + MARGIN, SIDE + 2 * MARGIN), "white")
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(TEXT)
    _said_and_found(draw, rows, MARGIN)
    _bounds(draw, rows, SIDE + 2 * MARGIN + MARGIN // 2)
    file = io.BytesIO()
    image.resize([size // 2 for size in image.size], Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


def _said_and_found(draw: ImageDraw.ImageDraw, rows: Rows, left: int) -> None:
    ticks = [(_log_odds(share), f"{100 * share:g} %") for share in (RAREST, 0.01, 0.1, 0.5, 0.9, 0.99, 1 - RAREST)]
    _axes(
        draw, left, ticks, f"said: probability of an error above {WRONG_MM:g} mm, by its log odds", "found, of so many"
    )
    for _, _, said, found in reliability(rows):
        low, high = (_at(left, _log_odds(said), _log_odds(end)) for end in found.interval)
        draw.line([low, high], fill=QUIET, width=4)
        x, y = _at(left, _log_odds(said), _log_odds(found.rate))
        draw.ellipse([x - 12, y - 12, x + 12, y + 12], fill="#0072b2")
        draw.text((x + 18, y + (-18 if found.rate < 0.5 else 18)), str(found.total), fill=INK, anchor="lm")


def _log_odds(share: float) -> float:
    """Where a share lies on an axis from RAREST to 1 - RAREST; what is beyond lies at its end."""
    share = np.clip(share, RAREST, 1 - RAREST)
    return float(0.5 + np.log(share / (1 - share)) / (2 * np.log((1 - RAREST) / RAREST)))


def _bounds(draw: ImageDraw.ImageDraw, rows: Rows, left: int) -> None:
    decades = np.log10(MOST_MM / LEAST_MM)
    ticks = [(n / decades, f"{LEAST_MM * 10**n:g}") for n in range(round(decades) + 1)]
    _axes(draw, left, ticks, "said: mTRE below this with 95 %, mm", "mTRE, mm")
    said = [row for row in rows if row.get("upper95_mm") is not None]
    places = np.clip(np.log10(np.column_stack([column(said, "upper95_mm"), mtre(said)]) / LEAST_MM) / decades, 0, 1)
    for (across, up), verdict in zip(places, verdicts(said), strict=True):
        _mark(draw, *_at(left, across, up), verdict)
    for n, verdict in enumerate(MARKS):
        _mark(draw, left + 30, MARGIN + 40 + 40 * n, verdict)
        draw.text((left + 55, MARGIN + 40 + 40 * n), verdict, fill=INK, anchor="lm")


def _axes(draw: ImageDraw.ImageDraw, left: int, ticks: list[tuple[float, str]], across: str, up: str) -> None:
    for share, word in ticks:
        for ends in (((share, 0), (share, 1)), ((0, share), (1, share))):
            draw.line([_at(left, *end) for end in ends], fill=GRID, width=2)
        x, y = _at(left, share, share)
        draw.text((x, MARGIN + SIDE + 12), word, fill=QUIET, anchor="mt")
        draw.text((left - 12, y), word, fill=QUIET, anchor="rm")
    draw.line([_at(left, 0, 0), _at(left, 1, 1)], fill=INK, width=2)
    draw.text((left + SIDE / 2, MARGIN + SIDE + 65), across, fill=INK, anchor="mt")
    draw.text((left, MARGIN - 20), up, fill=INK, anchor="lb")


def _at(left: int, across: float, up: float) -> tuple[float, float]:
    return left + SIDE * float(across), MARGIN + SIDE * (1 - float(up))


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, verdict: str) -> None:
    colour, shape = MARKS[verdict]
    box = [x - 9, y - 9, x + 9, y + 9]
    if shape == "cross":
        draw.line([*box], fill=colour, width=4)
        draw.line([box[0], box[3], box[2], box[1]], fill=colour, width=4)
    else:
        (draw.ellipse if shape == "circle" else draw.rectangle)(box, outline=colour, width=4)
