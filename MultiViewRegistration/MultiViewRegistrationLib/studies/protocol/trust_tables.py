"""What the protocol's verdicts, probabilities and intervals are worth, as Markdown tables."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ...assessment.prediction import WRONG_MM
from ..evaluation_tables import table
from ..statistics import SUCCESS_MM, SuccessRate, auroc
from .rows import Rows, column, grouped, is_sound, mtre, rate, share, verdicts
from .success_tables import beside_clean

#: Bands of the probability of a wrong answer.
BANDS = (0, 0.005, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1)


def goals(rows: Rows) -> str:
    """What is to be reached, beside what was found."""
    mm, verdict = mtre(rows), verdicts(rows)
    accepted, rejected = verdict == "accept", verdict == "reject"
    said = [row for row in rows if row.get("wrong") is not None]
    tools, plain = beside_clean([row for row in rows if row["condition"] == "tools"], rows)
    seconds, assessed = column(rows, "register_s"), column(rows, "assess_s")
    body = [
        (
            f"AUROC for errors above {WRONG_MM:g} mm",
            "0.99",
            f"{_auroc(column(said, 'wrong'), mtre(said) > WRONG_MM)} of {len(said)}",
        ),
        ("wrong of the accepted", "at most 0.2 %", share(mm > WRONG_MM, accepted)),
        (f"accepted of those above {WRONG_MM:g} mm", "at most 2 %", share(accepted, mm > WRONG_MM)),
        (f"rejected of those under {SUCCESS_MM:g} mm", "at most 5 %", share(rejected, mm < SUCCESS_MM)),
        (
            "mTRE within its 95 % bound",
            "93 to 98 %",
            share(mtre(said) <= column(said, "upper95_mm"), np.ones(len(said), bool)),
        ),
        (
            "median mTRE with tools over a tenth of the image and more, by that without",
            "at most 1.5",
            f"{np.median(tools) / np.median(plain):.2f} of {len(tools)} pairs" if len(tools) else "none",
        ),
        ("assessment quicker than registration", "always", share(assessed < seconds, np.isfinite(seconds))),
    ]
    return table(("of all results", "to be", "found"), body)


def by_kind(rows: Rows) -> str:
    """Wrong accepts and wrong rejects."""
    body = []
    for name, group in _kinds(rows):
        mm, verdict = mtre(group), verdicts(group)
        accepted, rejected = verdict == "accept", verdict == "reject"
        body.append(
            (
                name,
                len(group),
                share(mm > WRONG_MM, accepted),
                share(accepted, mm > WRONG_MM),
                share(rejected, mm < SUCCESS_MM),
                share(accepted, mm < SUCCESS_MM),
            )
        )
    return table(
        (
            "results",
            "number",
            "wrong of the accepted",
            "accepted of the wrong",
            f"rejected of those under {SUCCESS_MM:g} mm",
            f"accepted of those under {SUCCESS_MM:g} mm",
        ),
        body,
    )


def by_condition(rows: Rows) -> str:
    """How many of each condition were accepted, to be checked and rejected, by their errors."""
    body = []
    for (part, name), group in grouped(rows, "part", "condition"):
        mm, verdict = mtre(group), verdicts(group)
        bands = (mm < SUCCESS_MM, (mm >= SUCCESS_MM) & (mm <= WRONG_MM), mm > WRONG_MM)
        body.append(
            (
                part,
                name,
                *(
                    " / ".join(str(int((band & (verdict == word)).sum())) for word in ("accept", "check", "reject"))
                    for band in bands
                ),
            )
        )
    return table(
        (
            "registered",
            "condition",
            f"under {SUCCESS_MM:g} mm: accept / check / reject",
            f"to {WRONG_MM:g} mm",
            f"above {WRONG_MM:g} mm",
        ),
        body,
    )


def predictions(rows: Rows) -> str:
    """How well the probability tells wrong answers, and how often the bound holds, where the model says any."""
    body = []
    for name, group in _kinds([row for row in rows if row.get("wrong") is not None]):
        mm, wrong, upper = mtre(group), column(group, "wrong"), column(group, "upper95_mm")
        body.append(
            (
                name,
                len(group),
                int((mm > WRONG_MM).sum()),
                *(_auroc(wrong, mm > limit) for limit in (WRONG_MM, SUCCESS_MM)),
                share(mm <= upper, np.ones(len(group), bool)),
                share(mm <= upper, mm <= WRONG_MM),
            )
        )
    return table(
        (
            "results",
            "number",
            f"above {WRONG_MM:g} mm",
            f"AUROC > {WRONG_MM:g} mm",
            f"AUROC > {SUCCESS_MM:g} mm",
            "mTRE within the 95 % bound",
            "the same of the right",
        ),
        body,
    )


def reliability(rows: Rows) -> list[tuple[float, float, float, SuccessRate]]:
    """(least, largest, mean said, found wrong) of each band of BANDS that has results."""
    rows = [row for row in rows if row.get("wrong") is not None]
    said, wrong = column(rows, "wrong"), mtre(rows) > WRONG_MM
    bands = []
    for low, high in pairwise(BANDS):
        held = (said >= low) & ((said < high) | (high == 1))
        if held.any():
            bands.append((low, high, float(said[held].mean()), rate(wrong, held)))
    return bands


def said_and_found(rows: Rows) -> str:
    body = []
    for low, high, mean, found in reliability(rows):
        least, most = found.interval
        body.append(
            (
                f"{100 * low:g} to {100 * high:g} %",
                f"{100 * mean:.1f} %",
                f"{found.successes} of {found.total} ({100 * found.rate:.1f} %, {100 * least:.1f} to {100 * most:.1f})",
            )
        )
    return table(("said", "mean", "wrong"), body)


def along_the_beam(rows: Rows) -> str:
    """The intervals along and across the first view's beam, by the number of views, of answers that are right across it."""
    body = []
    right = [
        row
        for row in rows
        if is_sound(row)
        and (row.get("in_plane_mm") is not None)
        and row["in_plane_mm"] <= WRONG_MM
        and row.get("depth95_mm") is not None
    ]
    for (part, views), group in grouped(right, "part", "views"):
        every = np.ones(len(group), bool)
        depth, across = column(group, "depth_mm"), column(group, "in_plane_mm")
        body.append(
            (
                part,
                views,
                len(group),
                f"{np.median(depth):.2f}",
                share(depth <= column(group, "depth95_mm"), every),
                f"{np.median(across):.2f}",
                share(across <= column(group, "in_plane95_mm"), every),
            )
        )
    return table(
        (
            "registered",
            "views",
            "results",
            "depth error, median mm",
            "within its interval",
            "across, median mm",
            "within its interval",
        ),
        body,
    )


def corrections(rows: Rows) -> str:
    """How far the cameras were off against the first view, as they were given and as they were corrected, of right answers."""
    body = []
    for (part, name), group in grouped(
        [row for row in rows if (row["error"] or "").startswith("encoder")], "part", "condition"
    ):
        held = [row for row, mm in zip(group, mtre(group), strict=True) if mm <= WRONG_MM]
        if held:
            off = np.median([row["camera_off"] for row in held], axis=0)
            body.append(
                (
                    part,
                    name,
                    len(group),
                    len(held),
                    f"{off[0][0]:.2f} / {off[0][1]:.1f}",
                    f"{off[1][0]:.3f} / {off[1][1]:.2f}",
                )
            )
    return table(
        (
            "registered",
            "condition",
            "runs",
            f"within {WRONG_MM:g} mm",
            "given off by degrees / mm",
            "corrected, off by",
        ),
        body,
    )


def _auroc(score: np.ndarray, positive: np.ndarray) -> str:
    return f"{auroc(score, positive):.3f}" if 0 < positive.sum() < len(positive) else "no two kinds"


def _kinds(rows: Rows) -> list[tuple[str, Rows]]:
    sound = [row for row in rows if is_sound(row)]
    kinds = [("all", rows), ("geometry right, or as uncertain as it is said to be", sound)]
    kinds += [
        (
            f"the same, {part}, {count} view{'s' * (count > 1)}",
            [row for row in sound if (row["part"], row["views"]) == (part, count)],
        )
        for part in ("body", "bone")
        for count in (1, 2, 3)
    ]
    kinds += [("geometry wrong and taken as exact", [row for row in rows if not is_sound(row)])]
    return [(name, group) for name, group in kinds if group]
