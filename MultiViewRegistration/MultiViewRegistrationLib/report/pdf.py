"""Writes the first screen of a report as a page of paper, A4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from ..io.files import printable, write_atomically
from .html import VERDICT_COLOURS
from .overlays import LEGENDS
from .result import Result

#: Width and height of the page and its margin, inches.
PAGE = (8.27, 11.69)
MARGIN = 0.6
#: Words that are not the first to read.
QUIET = "#4c5b68"
#: Sizes of the title and of all else, points; a line's height over its letters', and its letters.
TITLE_PT = 15
TEXT_PT = 9
LINE = 1.45
LETTERS = 104
#: Sentences below the first at most, X-rays in a row, the height of all X-rays, inches, and dots
#: per inch of their pixels.
SENTENCES = 6
IN_A_ROW = 3
PICTURES_IN = 5.2
DPI = 200
#: Below a paragraph, and below the X-rays; the least height of these, where much is said: inches.
PARAGRAPH_IN = 0.04
BELOW_FILMS_IN = 0.15
LEAST_PICTURES_IN = 2.0


def write_pdf(
    path: Path,
    result: Result,
    badge: str,
    pictures: Sequence[Sequence[dict[str, np.ndarray]]],
    sentences: Sequence[str],
    facts: dict[str, str],
) -> None:
    """Write verdict, X-rays with the CT's outlines, and facts of a result as a PDF of one page, with matplotlib.

    Parameters
    ----------
    badge
        The verdict's sign and word.
    pictures
        `overlays.overlays` of each view.
    sentences
        What is said of the result, the first thing to know first.
    facts
        By their names.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=PAGE)
    page = _Page(figure)
    page.head(badge, VERDICT_COLOURS[result.answer])
    page.write(sentences[0], size=TEXT_PT + 2, bold=True)
    for sentence in sentences[1 : 1 + SENTENCES]:
        page.write(sentence)
    page.skip(0.1)
    below = [
        LEGENDS["edges"],
        *(f"{name}: {text}" for name, text in facts.items()),
        "For research use only: this is not a medical device.",
    ]
    page.films([view.name for view in result.views], pictures, page.room_above(below))
    for text in below:
        page.write(text, colour=QUIET)
    written = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}):  # letters that can be searched and copied
        figure.savefig(
            written,
            format="pdf",
            dpi=DPI,
            metadata={"Title": "Registration report", "Creator": None},
        )
    write_atomically(path, written.getvalue())


class _Page:
    """A page that is filled from its top."""

    def __init__(self, figure: Any) -> None:
        self._figure = figure
        self._y = PAGE[1] - MARGIN

    def skip(self, inches: float) -> None:
        self._y -= inches

    def head(self, badge: str, colour: str) -> None:
        """Write the title, and the verdict on its colour."""
        self._text(MARGIN, "Registration report", TITLE_PT, weight="bold")
        box = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "none"}
        self._text(
            PAGE[0] - MARGIN,
            badge,
            TITLE_PT - 2,
            weight="bold",
            color="white",
            ha="right",
            bbox=box,
        )
        self.skip(0.4)

    def write(
        self, text: str, size: float = TEXT_PT, *, bold: bool = False, colour: str = "black"
    ) -> None:
        """Write a paragraph."""
        for line in _lines(text, size, bold=bold):
            self._text(MARGIN, line, size, weight="bold" if bold else "normal", color=colour)
            self.skip(size * LINE / 72)
        self.skip(PARAGRAPH_IN)

    def room_above(self, texts: Sequence[str]) -> float:
        """Return the height, inches, that is left above paragraphs of usual size at the page's end."""
        lines = sum(len(_lines(text, TEXT_PT)) for text in texts)
        height = lines * TEXT_PT * LINE / 72 + len(texts) * PARAGRAPH_IN
        return self._y - MARGIN - height - BELOW_FILMS_IN

    def films(
        self, names: Sequence[str], shown: Sequence[Sequence[dict[str, np.ndarray]]], room: float
    ) -> None:
        """Draw the X-rays under the CT's outlines, as large as they fit into so many inches."""
        columns = min(len(names), IN_A_ROW)
        rows = -(-len(names) // columns)
        gap = 0.1
        name = 0.2
        width = (PAGE[0] - 2 * MARGIN - (columns - 1) * gap) / columns
        height = max(min(PICTURES_IN, room), LEAST_PICTURES_IN) / rows - name - gap
        for row in range(rows):
            pictures = [each[-1] for each in shown[row * columns : (row + 1) * columns]]
            sizes = [np.array(picture["xray"].shape[1::-1]) for picture in pictures]
            scales = [min(width / size[0], height / size[1]) for size in sizes]
            tall = max(scale * size[1] for scale, size in zip(scales, sizes, strict=True))
            for n, (picture, size, scale) in enumerate(zip(pictures, sizes, scales, strict=True)):
                left = MARGIN + n * (width + gap)
                across, down = scale * size
                self._text(left, printable(names[row * columns + n]), TEXT_PT, weight="bold")
                place = (left, self._y - name - down, across, down)
                axes = self._figure.add_axes([part / PAGE[i % 2] for i, part in enumerate(place)])
                axes.imshow(picture["xray"], cmap="gray", vmin=0, vmax=255, aspect="auto")
                axes.imshow(picture["outlines"], aspect="auto")
                axes.axis("off")
            self.skip(name + tall + gap)
        self.skip(BELOW_FILMS_IN)

    def _text(self, x: float, text: str, size: float, **style: Any) -> None:
        # No $ of a sentence or a name begins a formula.
        style = {"va": "top", "parse_math": False, **style}
        self._figure.text(x / PAGE[0], self._y / PAGE[1], text, fontsize=size, **style)


def _lines(text: str, size: float, *, bold: bool = False) -> list[str]:
    """Return the lines of a paragraph."""
    return wrap(printable(text), round(LETTERS * TEXT_PT / size * (0.9 if bold else 1.0)))
