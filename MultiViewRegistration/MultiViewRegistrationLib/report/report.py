"""report.html: what was registered, how well, and from what, in one file that opens anywhere.

The report is a pure function of plain data (case_report.py). Nothing is loaded from outside and no script
runs: pictures are embedded, and radio buttons and style rules switch between start and result.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..figures.html_tree import document, tag
from .case_report import CaseReport
from .sections import case_section, index
from .style import STYLE

RESEARCH_USE = "For research use only. Not a medical device: not for diagnosis, planning or guidance of a treatment."


def report(cases: Sequence[CaseReport], created: str, title: str = "Registration report") -> str:
    """The report as one HTML text. `created` is the time of writing, as it shall be read."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        ),
        tag("title", title),
        tag("style", STYLE),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", title),
            tag("p", RESEARCH_USE, class_="research"),
            tag(
                "p",
                f"Written {created}. Lengths are in mm, angles in degrees, coordinates in LPS.",
                class_="quiet",
            ),
        ),
        tag(
            "main",
            index(cases) if len(cases) > 1 else None,
            *(case_section(case, f"case-{number}") for number, case in enumerate(cases, start=1)),
        ),
        tag("footer", tag("p", RESEARCH_USE)),
    )
    return document(tag("html", head, body, lang="en"))
