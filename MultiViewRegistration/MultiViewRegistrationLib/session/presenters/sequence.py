"""The section Sequence: tracking, the player, the poses, and the motion of another structure against this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import StructureMotion
from ..player import RATE, RATES, Player
from ..readiness import missing_at_start, missing_images
from ..translation import _
from .section import DONE, PROBLEM, READY, RUNNING, TODO, Presenter, State

PACES = {
    "thorough": _("Thorough: every frame is assessed"),
    "quick": _("Quick: frames are followed, not assessed"),
}
UNITS = ("mm", "cm", "m")
VERDICTS = ("accept", "check", "reject")


@dataclass(frozen=True)
class Shown:
    """What the widgets show that does not change while it plays.

    missing: what to do before a sequence can be tracked, "" where it can.   hint: on the button Track.
    text: how it stands, a sentence, "" for nothing.   message: why tracking failed.
    """

    pace: str
    unit: str
    missing: str
    hint: str
    text: str
    message: str
    busy: bool


@dataclass(frozen=True)
class ShownFrame:
    """What changes while it plays or tracks.

    lines: of the frame that is shown, how it was found and what speaks against it.   counted: how many frames have which verdict.
    """

    there: bool = False
    tracking: bool = False
    percent: int | None = None
    text: str = ""
    number: int = 0
    count: int = 1
    last: int = 0
    playing: bool = False
    lines: tuple[str, ...] = ()
    verdict: str = ""
    counted: str = ""
    rate: int = RATE
    loop: bool = False


class SequencePresenter(Presenter):
    """Tracks, plays and hands on."""

    TITLE = _("Sequence")

    def __init__(self, host) -> None:
        self.pace, self.unit = "thorough", UNITS[0]
        super().__init__(host)

    def reset(self) -> None:
        self._count: int | None = None
        self._before = ShownFrame()

    @property
    def player(self) -> Player | None:
        return self.session.sequence.player if self.session is not None else None

    @property
    def motion(self) -> StructureMotion | None:
        """How another structure moves against this one."""
        other = self.session.sequence.other if self.session is not None else None
        return None if other is None else other.motion

    # What is shown

    def missing(self) -> str:
        """What to do before a sequence can be tracked, in a sentence; "" where it can, as far as is known."""
        if self.session is None:
            return _("Choose a CT first.")
        sequence = self.session.sequence
        missing = missing_images(self.registration) or missing_at_start(self.session, sequence.start)
        if not missing and sequence.count is not None and sequence.count < 2:
            return _(
                "The X-rays have one frame each: to track, add multi-frame X-rays, or open a case that names them."
            )
        return missing

    def shown(self) -> Shown:
        missing = self.missing()
        if self.session is None:
            return Shown(self.pace, self.unit, missing, missing, "", "", False)
        sequence, running = self.session.sequence, self.session.running
        self._count = sequence.count
        hint = missing or _("Follow the CT through all frames of the X-rays.")
        if running:
            hint = _("Wait until the work under way is done.")
        elif not missing and sequence.player is not None:
            hint = _("Close the sequence first.")
        text = sequence.message or ("" if sequence.player is not None else missing)
        if sequence.ended == "cancelled" and sequence.player is not None:
            text = _("Cancelled. The frames that were done are here.")
        return Shown(self.pace, self.unit, missing, hint, text, sequence.message, running)

    def state(self) -> State:
        sequence = self.session.sequence
        if sequence.tracking is not None:
            return State(RUNNING, _("{percent} %").format(percent=round(100 * sequence.tracking.step.fraction)))
        if sequence.message:
            return State(PROBLEM, _("see below"))
        if sequence.player is not None:
            return State(DONE, _("{count} frames").format(count=len(sequence.player.played.frames)))
        return State(TODO if self.missing() else READY)

    def frame(self) -> ShownFrame:
        """What changes while it plays or tracks."""
        if self.session is None:
            return ShownFrame()
        told: dict[str, Any] = {}
        tracking, player = self.session.sequence.tracking, self.player
        if tracking is not None:
            text = ", ".join(filter(None, [tracking.step.stage[:1].upper() + tracking.step.stage[1:], tracking.left]))
            told = {"tracking": True, "percent": round(100 * tracking.step.fraction), "text": text}
        if player is not None:
            told |= {
                "there": True,
                "number": player.number or 0,
                "count": player.played.count,
                "last": max(player.last, 0),
                "playing": player.playing,
                "lines": tuple(frame_lines(player)),
                "verdict": player.frame.verdict if player.frame else "",
                "counted": counted(player),
                "rate": player.rate,
                "loop": player.loop,
            }
        return ShownFrame(**told)

    def tick(self) -> bool:
        now, before = self.frame(), self._before
        self._before = now
        return (now.there, now.tracking, now.percent) != (before.there, before.tracking, before.percent) or (
            self.session.sequence.count != self._count
        )

    # What a person does

    def track(self) -> None:
        """Begin to track."""
        self.session.sequence.track(self.pace)

    def cancel(self) -> None:
        """Stop tracking; the frames that are done stay."""
        self.session.sequence.cancel()

    def choose_pace(self, pace: str) -> None:
        """Choose one of PACES."""
        self.pace = pace if pace in PACES else self.pace

    def choose_unit(self, unit: str) -> None:
        """Choose the unit of the lengths in track.tra, one of UNITS."""
        self.unit = unit if unit in UNITS else self.unit

    def step(self, way: str) -> None:
        """Go to the frame that is "first", "back", "on" or "last"."""
        player = self.player
        if player is not None and way in ("first", "last"):
            player.go(0 if way == "first" else player.last)
        elif player is not None:
            player.step(-1 if way == "back" else 1)

    def go(self, number: int) -> None:
        """Go to a frame by its number."""
        if self.player is not None and number != self.player.number and isinstance(number, (int, float)):
            self.player.go(int(number))

    def toggle(self) -> None:
        """Play, or pause."""
        if self.player is not None and self.player.playing:
            self.player.pause()
        elif self.player is not None:
            self.player.play()

    def set_loop(self, on: bool) -> None:
        """Whether it begins again at the end."""
        if self.player is not None:
            self.player.loop = bool(on)

    def choose_rate(self, rate: int) -> None:
        """Choose the frames a second, one of RATES."""
        if self.player is not None and rate in RATES:
            self.player.rate = rate

    def close(self) -> None:
        """Put everything back as it was before the sequence."""
        self.session.require_idle()
        self.session.sequence.close()

    def writer(self, folder: Path, **options) -> Callable[[], list[Path]]:
        """A function that writes the poses into a folder, for a thread; options as of `Sequence.save`."""
        return self.session.sequence.save(folder, self.unit, **options)

    # The motion of another structure

    def motion_title(self) -> str:
        """What moves against what, since which frame."""
        if self.motion is None:
            return _("Choose the track.json of another structure, tracked through the same frames.")
        return _("{title}, since frame {first}, along the axes of this CT.").format(
            title=self.motion.title, first=self.motion.rows[0][0]
        )

    def motion_warnings(self) -> list[str]:
        """Frames that are left out, and why the other structure is not seen."""
        if self.motion is None:
            return []
        return [sentence for sentence in (self.motion.left_out, self.session.sequence.other.problem) if sentence]

    def motion_rows(self) -> list[tuple[int, str, str]]:
        """Of each frame its number, turn in degrees, and shift in mm."""
        rows = [] if self.motion is None else self.motion.rows
        return [(number, f"{turn:.2f}", f"{shift:.2f}") for number, turn, shift in rows]


def frame_lines(player: Player) -> list[str]:
    """Of the frame that is shown: which it is, how it was found, its similarity, and what speaks against it."""
    frame, played = player.frame, player.played
    if frame is None:
        return [_("No frame of {name} is shown yet.").format(name=played.name)]
    name = played.images.names[frame.number]
    name = "" if name == f"frame {frame.number}" else f" ({name})"
    lines = [
        _("Frame {number}{name}: {how}, {verdict}.").format(
            number=frame.number, name=name, how=frame.how, verdict=frame.verdict
        )
    ]
    similarity = ", ".join(
        f"{view} {value:.2f}" for view, value in zip(played.views, frame.similarity, strict=False) if np.isfinite(value)
    )
    if similarity:
        lines.append(_("Similarity: {values}.").format(values=similarity))
    if frame.upper95_mm is not None:
        lines.append(_("Error below {mm:.2f} mm in 95 of 100 such results.").format(mm=frame.upper95_mm))
    if player.problem:
        lines.append(_("The X-rays still show another frame. {problem}").format(problem=player.problem))
    elif frame.world_from_ct is None:
        lines.append(_("The CT is where it was in the frame before."))
    return [*lines, *(reason for reason in frame.reasons if not player.problem or player.problem not in reason)]


def verdict_counts(player: Player) -> dict[str, int]:
    """How many frames have each verdict, those that none has left out."""
    verdicts = [frame.verdict for frame in player.played.frames]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS if verdict in verdicts}


def counted(player: Player) -> str:
    """How many frames have which verdict, and how many were not tracked, in a sentence."""
    done, count = len(player.played.frames), player.played.count
    parts = [f"{number} {verdict}" for verdict, number in verdict_counts(player).items()]
    if done < count:
        parts.append(_("{count} not tracked").format(count=count - done))
    return _("{done} of {count} frames: {parts}.").format(done=done, count=count, parts=", ".join(parts))
