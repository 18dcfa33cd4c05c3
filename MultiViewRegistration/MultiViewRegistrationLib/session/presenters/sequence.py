"""The section Sequence: tracking, the player, the poses, and the motion of two bones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...known import Known
from ...mrml.nodes import put_table
from ...report.messages import describe_uses, sentences
from ...report.plot import curve_plot, svg_text
from ...translation import _
from ..player import RATES, Played, Player
from ..registering import is_outside, missing_at_start, missing_images
from ..sequence import Sequence, take_video
from ..tasks import Writer
from .check_parts import JointMotionPresenter
from .form import (
    TONES,
    Button,
    Choice,
    Control,
    Download,
    Files,
    Form,
    Option,
    Picture,
    Slider,
    Switch,
    Table,
    TableRow,
    Text,
    group,
    line,
    options_of,
    quiet,
    row,
    texts,
)
from .section import Presenter, State, folder_name, progress_bar, written_to

if TYPE_CHECKING:
    from ...sequence.motion import Motion, Relative
    from ...sequence.tracker import Tracked

#: What each of `sequence.PACES` does.
PACES = {
    "thorough": _("Thorough: every frame is assessed"),
    "quick": _("Quick: frames are followed, not assessed"),
}
UNITS = ("mm", "cm", "m")
#: Colours of the strip of verdicts; "" of frames that were not tracked.
COLOURS = {
    "accept": (127, 209, 174),
    "check": (255, 192, 77),
    "reject": (255, 138, 112),
    "": (87, 98, 108),
}
#: Pixels of the strip.
STRIP_PX = (8, 320)
TRACK = (".json",)


class SequencePresenter(Presenter):
    """The step Sequence: tracking, playback and export."""

    TITLE = _("Sequence")
    BEGINS = True

    pace = "thorough"
    unit = UNITS[0]

    def reset(self) -> None:
        """Discard all state of the previous registration."""
        self._count: int | None = None
        self._before: tuple = ()
        self._shown: tuple = ()
        self._written: tuple[Player | None, str] = (None, "")
        self._known = Known()

    @property
    def _sequence(self) -> Sequence | None:
        """The sequence of the session; None without one."""
        return None if self.host.session is None else self.session.sequence

    @property
    def player(self) -> Player | None:
        """The player of the sequence; None without a sequence."""
        return None if self._sequence is None else self._sequence.player

    # The form

    def missing(self) -> str:
        """Return the steps missing before a sequence can be tracked, in a sentence.

        "" for none, as far as is known.
        """
        sequence = self._sequence
        if sequence is None:
            return _("Choose a CT first.")
        missing = (
            self.host.presenters.xrays.geometry.first_error()
            or missing_images(self.registration)
            or missing_at_start(self.session, sequence.start)
        )
        if not missing and is_outside(self.registration, sequence.start):
            return _("The CT lies outside all X-rays: centre it there, or move it.")
        if not missing and sequence.count is not None and sequence.count < 2:
            return _(
                "The X-rays have one frame each: to track, add multi-frame X-rays, or open a case "
                "that names them."
            )
        return missing

    def state(self) -> State:
        """Return the state of this step."""
        sequence = self.session.sequence
        if sequence.tracking is not None:
            return State(
                "running",
                _("{percent} %").format(percent=round(100 * sequence.tracking.step.fraction)),
            )
        if sequence.message:
            return State("problem", _("see below"))
        if sequence.player is not None:
            return State(
                "done", _("{count} frames").format(count=len(sequence.player.played.frames))
            )
        return State("todo" if self.missing() else "ready")

    @property
    def changing(self) -> bool:
        """Whether the content currently changes without user action."""
        return self._frame() != self._shown

    def _frame(self) -> tuple:
        """Return the controls that change during playback or tracking."""
        player = self.player
        sequence = self._sequence
        tracking = None if sequence is None else sequence.tracking
        step = tracking and (tracking.step.stage, tracking.step.fraction, tracking.task.left)
        seen = player and (player.wanted, player.number, player.last)
        return step, seen, player and (player.playing, player.problem)

    def form(self) -> Form:
        """Return the controls."""
        self._shown = self._frame()
        sequence = self._sequence
        self._count = None if sequence is None else sequence.count
        tracking = None if sequence is None else sequence.tracking
        player = self.player
        running = sequence is not None and self.session.running
        missing = self.missing()
        hint = missing or _("Follow the CT through all frames of the X-rays.")
        if running:
            hint = _("Wait until the work under way is done.")
        elif not missing and player is not None:
            hint = _("Close the sequence first.")
        track = Button(
            "track",
            _("Track"),
            self.track,
            strict=True,
            enabled=not (missing or running or player),
            tip=hint,
            needs=("rendering",),
        )
        cancel = Button(
            "cancel",
            _("Cancel"),
            self.cancel,
            enabled=tracking is not None,
            tip=_("Stop; the frames that are done stay."),
        )
        pace = Choice(
            "pace",
            _("Pace"),
            partial(setattr, self, "pace"),
            value=self.pace,
            options=options_of(PACES),
            enabled=not running,
            tip=_(
                "How much is done for each frame. The first one is always registered and assessed."
            ),
        )
        # where the page runs is not where its files are: there it is opened with all of them, as a
        # case is
        opening = (
            Files(
                "open",
                _("Open a tracked sequence..."),
                lambda paths, folder: self.host.open_whole(paths[0], folder),
                hint=_("Tracked sequence"),
                suffixes=TRACK,
                enabled=not running,
                needs=("rendering",),
                tip=_(
                    "Open a track.json, as mvreg track or an export writes it, with its case, as a "
                    "registration of its own."
                ),
            )
            if self.in_slicer
            else None
        )
        controls: Form = []
        if tracking is not None or player is None:
            controls += [row("begin", track, cancel), pace]
        controls.append(opening)
        if tracking is not None:
            step = tracking.step
            controls.append(progress_bar("progress", step, step.stage, tracking.task.left))
        controls.append(self._status(missing))
        if player is not None:
            controls += self._player(player) + [self._export(), self._motion(player)]
            controls.append(self._end(running))
        return controls

    def _status(self, missing: str) -> Control:
        """Return the state of the sequence."""
        sequence = self._sequence
        if sequence is None or sequence.tracking is not None:
            return Text("status")
        text = sequence.message or ("" if sequence.player is not None else missing)
        if sequence.ended == "cancelled" and sequence.player is not None:
            text = _("Cancelled. The frames that were done are here.")
        return Text("status", text, tone="error" if sequence.message else "")

    def _player(self, player: Player) -> Form:
        frame = player.frame
        first = _("No frame of {name} is shown yet.").format(name=player.played.name)
        headline, *lines = frame_lines(player, frame) if frame is not None else [first]
        tone = "strong" if frame is None else TONES.get(frame.overall_verdict or "", "strong")
        play = (_("Pause"), "pause") if player.playing else (_("Play"), "play")
        strip = self._known.value("strip", (player, player.last), partial(strip_of, player.played))
        rates = tuple(Option(str(rate), _("{rate} / s").format(rate=rate)) for rate in RATES)
        return [
            row(
                "player",
                Button("first", _("First frame"), lambda: player.go(0), icon="first"),
                Button("back", _("One frame back"), lambda: player.step(-1), icon="back"),
                Button("play", play[0], self.toggle, icon=play[1]),
                Button("on", _("One frame on"), lambda: player.step(1), icon="on"),
                Button("last", _("Last frame"), lambda: player.go(player.last), icon="last"),
                Choice(
                    "rate",
                    action=lambda rate: setattr(player, "rate", int(rate)),
                    value=str(player.rate),
                    options=rates,
                    tip=_("Frames a second. A slow machine shows fewer, and leaves none out."),
                ),
                Switch(
                    "loop",
                    _("Repeat"),
                    lambda on: setattr(player, "loop", on),
                    on=player.loop,
                    tip=_("Begin again at the end."),
                ),
            ),
            Slider(
                "frame",
                _("Frame"),
                player.go,
                value=player.wanted,
                high=max(player.played.count - 1, 1),
                step=1,
            ),
            Picture("strip", counted(player), rgb=strip, height=12, wide=True),
            Text("headline", headline, tone=tone),
            *texts("line", lines),
        ]

    def download(self) -> Download:
        """Return the control that writes the poses."""
        running = self.session.running or self.host.reading
        return self._download("poses", _("Export poses"), self.writer, running)

    def _download(
        self, key: str, label: str, writer: Callable, running: bool, tip: str = ""
    ) -> Download:
        return Download(
            key,
            label,
            writer,
            done=self._on_written,
            name=lambda: folder_name(key, self.registration),
            enabled=not running,
            tip=_("Wait until the work under way is done.") if running else tip,
        )

    def _export(self) -> Control:
        of, written = self._written
        written = written if of is self.player else ""
        files = _(
            "poses.csv, and track.tra for Autoscoper, without rejected frames; track.json where it "
            "was tracked here."
        )
        pictures = _("All frames as a GIF, and the one that is shown as a PNG, with the outlines.")
        running = self.session.running
        return group(
            "export",
            _("Export the poses"),
            quiet(
                "files",
                " ".join([files, _("Of two bones: motion.csv, motion.html.")]),
            ),
            Choice(
                "unit",
                _("Lengths in track.tra"),
                partial(setattr, self, "unit"),
                value=self.unit,
                options=tuple(Option(unit, unit) for unit in UNITS),
                tip=_("That of the Autoscoper trial: its files do not say it."),
            ),
            row(
                "exports",
                self.download(),
                self._download("video", _("Export video"), self.video, running, pictures),
            ),
            Text("written", written if self.in_slicer and not self.session.message else ""),
            open=False,
        )

    def _motion(self, player: Player) -> Control:
        """Return the controls for the motion between two bones of the sequence."""
        found: Form = JointMotionPresenter(self.host).form()
        motion = self.session.sequence.motion_of_bones()
        if motion is not None:
            here = None if player.playing else player.number
            title = _("{title}, since frame {first}.")
            first = motion.found[0].number
            found += [
                Text("motion_title", title.format(title=motion.title, first=first), tone="strong"),
                Text("warning", left_out(motion), tone="caution"),
                *self._known.value("plots", (motion, here), partial(plots, motion, here)),
                Table(
                    "motion",
                    _("{title}, by frame").format(title=motion.title),
                    lambda number, column: player.go(int(number)),
                    columns=(
                        _("Frame"),
                        _("Rotation (\u00b0)"),
                        _("Shift (mm)"),
                        _("Verdict"),
                        _("Pose from"),
                    ),
                    lines=tuple(map(motion_line, motion.frames)),
                    selected=str(player.number),
                    tip=_("\u00b1: 95 % bound of the error. Click a frame to show it."),
                ),
                Button("to_table", _("Export to table"), partial(self.to_table, motion))
                if self.in_slicer
                else None,
            ]
        return group("motion_of", _("Motion against each other"), *found, open=motion is not None)

    def _end(self, running: bool) -> Control:
        return Button(
            "close",
            _("Close the sequence"),
            self.close,
            enabled=not running,
            tip=_(
                "Put X-rays and CT back as they were before; what was tracked here and not "
                "exported is lost."
            ),
        )

    def tick(self) -> bool:
        """Apply the results of threads; return whether there is something new to show."""
        player = self.player
        tracking = self.session.sequence.tracking
        before = self._before
        self._before = (player is not None, tracking is not None)
        return self._before != before or self.session.sequence.count != self._count

    def exit(self) -> None:
        """Stop activities that require a visible host."""
        if self.player is not None:
            self.player.pause()

    # What a person does

    def track(self) -> None:
        """Start tracking."""
        self.host.stop_moving()
        self.session.sequence.track(self.pace)

    def cancel(self) -> None:
        """Stop tracking; finished frames are kept."""
        self.session.sequence.cancel()

    def toggle(self) -> None:
        """Play, or pause."""
        self.host.stop_moving()
        player = self.player
        if player is not None:
            player.pause() if player.playing else player.play()

    def close(self) -> None:
        """Restore the state before the sequence."""
        self.session.require_idle()
        self.session.sequence.close()

    def to_table(self, motion: Motion) -> None:
        """Export the motion to a Slicer table node named after it; NaN for values smaller than their error."""
        from ...sequence.motion import ROTATION, SHIFT

        columns = [_("frame")]
        for unit in ("deg", "mm"):
            for axis in "xyz":
                columns += [f"{axis} ({unit})", f"{axis} 95 % ({unit})"]
        rows = []
        for each in motion.frames:
            row: list[float] = [each.number]
            for name in (*ROTATION, *SHIFT):
                shown = name in each.numbers and each.is_determined(name)
                row += [each.numbers[name] if shown else np.nan, each.bounds.get(name, np.nan)]
            rows.append(row)
        words = {
            _("verdict"): [each.verdict or "" for each in motion.frames],
            _("found"): [each.how for each in motion.frames],
        }
        put_table(self.registration.scene, motion.title, columns, np.array(rows), words)

    def writer(self, folder: Path) -> Writer:
        """Return a function that writes the poses into a folder, for a thread, and the motion where there is one."""
        motion = self.session.sequence.motion_of_bones()
        self._written = (self.player, _("Writing..."))
        write = self.session.sequence.save(folder, self.unit, moves=not self.in_slicer)
        return lambda: [*write(), *(motion.write(folder) if motion is not None else [])]

    def video(self, folder: Path) -> Writer:
        """Return a function that writes a video of all frames and a still of this one, for a thread."""
        self._written = (self.player, _("Writing..."))
        return take_video(self.session, folder)

    def _on_written(self, files: list[Path]) -> None:
        self._written = self._written[0], written_to(files)


def strip_of(played: Played) -> np.ndarray:
    """Return a strip with the verdict of each frame as a colour."""
    verdicts: list[str] = [frame.overall_verdict or "" for frame in played.frames]
    verdicts += [""] * (played.count - len(verdicts))
    rows, columns = STRIP_PX
    colours = np.array([COLOURS[verdict] for verdict in verdicts], np.uint8)
    line = colours[np.arange(columns) * len(verdicts) // columns]
    return np.broadcast_to(line, (rows, columns, 3)).copy()


def left_out(motion: Motion) -> str:
    """Return a sentence with the number of frames without a motion; "" for none."""
    count = len(motion.frames)
    missing = count - len(motion.found)
    if not missing:
        return ""
    return _(
        "Left out: {missing} of {count} frames, where one of the two was lost, rejected or not "
        "tracked."
    ).format(missing=missing, count=count)


def motion_line(each: Relative) -> TableRow:
    """Return the table row of a frame: rotation and shift since the first frame, with bounds, verdict, and pose method."""
    numbers = map(each.in_words, ("angle_deg", "distance_mm"))
    return line(str(each.number), str(each.number), *numbers, each.verdict or "", each.how)


def plots(motion: Motion, here: int | None) -> Form:
    """Return one plot per motion component against the frame number, with the current frame marked."""
    pictures: Form = []
    for n, (name, unit, lines) in enumerate(motion.curves()):
        title = f"{name}, {unit}"
        svg = svg_text(curve_plot(title, _("frame"), unit, lines, here=here))
        pictures.append(Text(f"motion.{n}.title", title, tone="strong"))
        pictures.append(Picture(f"motion.{n}", "", tip=title, svg=svg))
    return pictures


def frame_lines(player: Player, frame: Tracked) -> list[str]:
    """Describe the current frame: number, pose method, similarity and warnings."""
    played = player.played
    name = played.images.names[frame.number]
    name = "" if name == f"frame {frame.number}" else f" ({name})"
    verdict = _("each bone: accept") if frame.each_bone_is_accepted else frame.verdict
    lines = [
        _("Frame {number}{name}: {how}, {verdict}.").format(
            number=frame.number, name=name, how=frame.how, verdict=verdict
        )
    ]
    each = zip(played.views, frame.similarity, strict=False)
    similarity = ", ".join(f"{view} {value:.2f}" for view, value in each if np.isfinite(value))
    if similarity:
        lines.append(_("Similarity: {values}.").format(values=similarity))
    if frame.upper95_mm is not None:
        lines.append(
            _("Error below {mm:.2f} mm in 95 of 100 such results.").format(mm=frame.upper95_mm)
        )
    if player.problem:
        lines.append(
            _("The X-rays still show another frame. {problem}").format(problem=player.problem)
        )
    elif frame.world_from_ct is None:
        lines.append(_("The CT is where it was in the frame before."))
    lines += filter(None, [describe_uses(frame.uses)])
    problem = player.problem
    return lines + [
        text for text in sentences(frame.findings) if not problem or problem not in text
    ]


def counted(player: Player) -> str:
    """Return a sentence with the number of frames by verdict, and of frames that are not tracked."""
    verdicts = [frame.overall_verdict for frame in player.played.frames]
    count = player.played.count
    parts = [f"{verdicts.count(each)} {each}" for each in COLOURS if each in verdicts]
    if len(verdicts) < count:
        parts.append(_("{count} not tracked").format(count=count - len(verdicts)))
    return _("{done} of {count} frames: {parts}.").format(
        done=len(verdicts), count=count, parts=", ".join(parts)
    )
