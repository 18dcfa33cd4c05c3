"""A result as a notebook shows it.

Colours stand in the elements, as notebooks take style sheets out.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from ..assessment.metrics import Errors
from .html import RESEARCH_USE, VERDICT_COLOURS, embedded, tag

#: Pixels of the longer side of an outline's picture.
PICTURE = 400


def notebook_card(
    name: str,
    verdict: str | None,
    sentences: Sequence[str],
    errors: Errors | None,
    outlines: Mapping[str, bytes],
) -> str:
    """HTML of a result.

    Parameters
    ----------
    sentences
        What is said of it; empty ones are left out.
    errors
        Against the truth, if that is known.
    outlines
        PNG files by the view's name.
    """
    colour = f"color: white; background: {VERDICT_COLOURS[verdict]}; padding: 2px 10px; border-radius: 4px"
    known = (
        "The true pose is unknown, so the error is, too."
        if errors is None
        else f"Error against the known truth: mTRE {errors.mtre_mm:.3f} mm, rotation {errors.rotation_deg:.3f}\u00b0."
    )
    figures = [
        tag(
            "figure",
            tag("figcaption", view),
            tag(
                "img",
                src=embedded(file),
                alt=f"{view}, outlines of the CT",
                style="max-width: 100%",
            ),
            style="display: inline-block; margin: 4px 8px 4px 0",
        )
        for view, file in outlines.items()
    ]
    card = tag(
        "div",
        tag("p", tag("strong", name), " ", tag("span", verdict or "not assessed", style=colour)),
        *(tag("p", sentence) for sentence in [*sentences, known] if sentence),
        tag("div", *figures),
        tag("p", tag("small", RESEARCH_USE)),
    )
    return ET.tostring(card, encoding="unicode", method="html")
