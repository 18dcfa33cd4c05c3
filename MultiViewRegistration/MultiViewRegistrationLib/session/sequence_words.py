"""What panel and page say of a sequence: what it lacks, and what was found in its frames."""

from __future__ import annotations

import numpy as np

from .lacking import at_start, inputs
from .player import Player
from .session import Session

PACES = {"thorough": "Thorough: every frame is assessed", "quick": "Quick: frames are followed, not assessed"}
VERDICTS = ("accept", "check", "reject")


def lacking(session: Session) -> str:
    """What to do before a sequence can be tracked, in a sentence; "" where it can, as far as is known."""
    missing = inputs(session.registration) or at_start(session, session.sequence.start)
    if missing or session.sequence.count is None:
        return missing
    if session.sequence.count < 2:
        return "The X-rays have one frame each: to track, add multi-frame X-rays, or open a case that names them."
    return ""


def told(player: Player) -> list[str]:
    """Of the frame that is shown: which it is, how it was found, how alike it is, and what speaks against it."""
    frame, played = player.frame, player.played
    if frame is None:
        return [f"No frame of {played.name} is shown yet."]
    name = played.images.names[frame.number]
    lines = [
        f"Frame {frame.number}"
        + (f" ({name})" if name != f"frame {frame.number}" else "")
        + f": {frame.how}, {frame.verdict}."
    ]
    alike = ", ".join(
        f"{view} {value:.2f}" for view, value in zip(played.views, frame.similarity, strict=False) if np.isfinite(value)
    )
    if alike:
        lines.append(f"Similarity: {alike}.")
    if frame.upper95_mm is not None:
        lines.append(f"Error below {frame.upper95_mm:.2f} mm in 95 of 100 such results.")
    if player.problem:
        lines.append(f"The X-rays still show another frame. {player.problem}")
    elif frame.world_from_ct is None:
        lines.append("The CT is where it was in the frame before.")
    return [*lines, *(reason for reason in frame.reasons if player.problem not in reason or not player.problem)]


def counted(player: Player) -> str:
    """How many frames have which verdict, and how many were not come to."""
    played = player.played
    counts = {verdict: sum(frame.verdict == verdict for frame in played.frames) for verdict in VERDICTS}
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    left = played.count - len(played.frames)
    return (
        f"{len(played.frames)} of {played.count} frames: "
        + ", ".join(parts + ([f"{left} not tracked"] if left else []))
        + "."
    )


def runs(player: Player) -> list[tuple[str, int]]:
    """The verdicts of the frames one after another, each with how many frames in a row have it; "" of those that were not come to."""
    verdicts = [frame.verdict for frame in player.played.frames]
    found: list[tuple[str, int]] = []
    for verdict in [*verdicts, *[""] * (player.played.count - len(verdicts))]:
        if found and found[-1][0] == verdict:
            found[-1] = verdict, found[-1][1] + 1
        else:
            found.append((verdict, 1))
    return found
