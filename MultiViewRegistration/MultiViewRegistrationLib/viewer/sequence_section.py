"""A sequence in the page: tracked, played, handed on, and the motion of another structure against this one."""

from __future__ import annotations

import asyncio

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session import sequence_words
from ..session.player import RATE, RATES
from ..session.presenters.section import DONE, PROBLEM, READY, RUNNING, TODO, State
from .downloads import packed
from .elements import Fetch
from .export_section import LOOK_S
from .motion_part import MotionPart
from .section import Section

UNITS = ("mm", "cm", "m")
#: Of a strip of verdicts: the colours that the words for them have, and that of frames that were not come to.
COLOURS = {"accept": "#7fd1ae", "check": "#ffc04d", "reject": "#ff8a70", "": "#232b33"}
IDLE = {
    "there": False,
    "tracking": False,
    "percent": None,
    "text": "",
    "number": 0,
    "count": 1,
    "last": 0,
    "playing": False,
    "told": [],
    "judged": "",
    "strip": "",
    "place": 0.0,
    "counts": [],
    "counted": "",
    "rate": RATE,
    "loop": False,
}
BUTTONS = (("mdi-skip-previous", "First frame", "first"), ("mdi-step-backward", "One frame back", "back"))
BUTTONS_AFTER = (("mdi-step-forward", "One frame on", "on"), ("mdi-skip-next", "Last frame", "last"))


class SequenceSection(Section):
    """Track, watch and cancel it; a player with the verdict of each frame; poses to download."""

    NAME, TITLE = "sequence", "Sequence"

    def __init__(self, application) -> None:
        super().__init__(application)
        self._pace, self._unit = "thorough", UNITS[0]
        self._lacking, self._count = "", None
        self._strip: tuple[object, int, dict] = (None, 0, {})
        self.motion = MotionPart(self)
        application.state.player = IDLE
        application.server.controller.trigger("mvreg_track_export")(self.export)

    def build(self) -> None:
        with html.Div(v_if="!player.there || player.tracking", classes="mv-row"):
            v.VBtn(
                "Track",
                click=self.track,
                disabled=("!!sequence.lacking || sequence.busy",),
                color="primary",
                prepend_icon="mdi-motion-play-outline",
                title=("sequence.lacking || 'Follow the CT through all frames of the X-rays'",),
            )
            v.VBtn(
                "Cancel",
                click=self.cancel,
                disabled=("!player.tracking",),
                variant="outlined",
                title="Stop; the frames that are done stay",
            )
        v.VSelect(
            label="Pace",
            v_if="!player.there && !player.tracking",
            items=([{"value": pace, "title": title} for pace, title in sequence_words.PACES.items()],),
            model_value=("sequence.pace",),
            update_modelValue=(self.choose_pace, "[$event]"),
            classes="mt-3",
        )
        with html.Div(v_if="player.tracking", role="status"):
            v.VProgressLinear(
                model_value=("player.percent",),
                indeterminate=("!player.percent",),
                height=6,
                classes="mt-2",
                color="primary",
            )
            html.Div("{{ player.text }}", classes="mv-fact")
        html.Div("{{ sequence.lacking }}", v_if="sequence.lacking && !player.there", classes="mv-fact")
        html.Div("{{ sequence.message }}", v_if="sequence.message", classes="mv-problem", role="alert")
        with html.Div(v_if="player.there"):
            self._build_player()
            with html.Details(classes="mv-details"):
                html.Summary("Export the poses")
                html.Div(
                    "poses.csv, and track.tra for Autoscoper, without rejected frames; track.json where it was tracked here.",
                    classes="mv-fact",
                )
                with html.Div(classes="mv-row"):
                    v.VSelect(
                        label="Lengths in track.tra",
                        items=(str(list(UNITS)),),
                        model_value=("sequence.unit",),
                        update_modelValue=(self.choose_unit, "[$event]"),
                    )
                    Fetch(
                        trigger="mvreg_track_export",
                        label="Export poses",
                        icon="mdi-download",
                        disabled=("sequence.busy",),
                    )
            self.motion.build()
            v.VBtn(
                "Close the sequence",
                click=self.close,
                size="small",
                variant="text",
                disabled=("sequence.busy",),
                classes="mt-2",
                title="Put X-rays and CT back as they were before; what was tracked here and not exported is gone then",
            )

    def _build_player(self) -> None:
        with html.Div(classes="mv-row mv-player", role="group", aria_label="Player"):
            for icon, name, way in BUTTONS:
                _button(icon, name, (self.step, f"['{way}']"))
            v.VBtn(
                icon=("player.playing ? 'mdi-pause' : 'mdi-play'",),
                click=self.toggle,
                size="small",
                color="primary",
                variant="flat",
                title=("player.playing ? 'Pause' : 'Play'",),
                aria_label=("player.playing ? 'Pause' : 'Play'",),
            )
            for icon, name, way in BUTTONS_AFTER:
                _button(icon, name, (self.step, f"['{way}']"))
            v.VBtn(
                icon="mdi-repeat",
                click=self.toggle_loop,
                size="x-small",
                variant="text",
                color=("player.loop ? 'primary' : ''",),
                title="Begin anew at the end",
                aria_label="Begin anew at the end",
                aria_pressed=("player.loop ? 'true' : 'false'",),
            )
            v.VSelect(
                label="Speed",
                items=([{"value": rate, "title": f"{rate} / s"} for rate in RATES],),
                model_value=("player.rate",),
                update_modelValue=(self.choose_rate, "[$event]"),
                title="Frames a second",
                classes="mv-rate",
            )
        v.VSlider(
            model_value=("player.number",),
            update_modelValue=(self.go, "[$event]"),
            min=0,
            max=("player.count - 1",),
            step=1,
            aria_label="Frame",
            classes="mt-2",
        )
        with html.Div(
            classes="mv-strip", style=("{ background: player.strip }",), role="img", aria_label=("player.counted",)
        ):
            html.Div(classes="mv-strip-here", style=("{ left: player.place + '%' }",))
        with html.Div(classes="mv-fact"):
            html.Span(
                "● {{ count.count }} {{ count.name }}",
                v_for="count in player.counts",
                key="count.name",
                classes=("'mv-count mv-' + count.name",),
            )
        html.Div(
            "{{ line }}",
            v_for="(line, index) in player.told",
            key="index",
            classes=("index ? 'mv-fact' : 'mv-verdict mv-' + player.judged",),
        )

    def adopt(self) -> None:
        self._lacking, self._count, self._strip = "", None, (None, 0, {})
        self.application.state.player = IDLE

    def content(self) -> dict:
        told = {"pace": self._pace, "unit": self._unit, **self.motion.content()}
        if self.registration is None:
            return {**told, "lacking": "Open a case first.", "message": "", "busy": False}
        session = self.session
        self._lacking, self._count = sequence_words.lacking(session), session.sequence.count
        return {**told, "lacking": self._lacking, "message": session.sequence.message, "busy": session.running}

    def state(self) -> State:
        sequence = self.session.sequence
        if sequence.tracking is not None:
            return State(RUNNING, f"{round(100 * sequence.tracking.step.fraction)} %")
        if sequence.message:
            return State(PROBLEM, "see below")
        if sequence.player is not None:
            return State(DONE, f"{len(sequence.player.played.frames)} frames")
        return State(TODO if self._lacking else READY)

    def tick(self) -> None:
        told, before = self._player(), self.application.state.player
        self.application.state.player = told
        if told["percent"] != before["percent"] or self.session.sequence.count != self._count:
            self.application.invalidate()

    def _player(self) -> dict:
        """What changes while it plays or tracks."""
        sequence = self.session.sequence
        told = dict(IDLE)
        if sequence.tracking is not None:
            step = sequence.tracking.step
            text = ", ".join(filter(None, [step.stage[:1].upper() + step.stage[1:], sequence.tracking.left]))
            told |= {"tracking": True, "percent": round(100 * step.fraction), "text": text}
        player = sequence.player
        if player is None:
            return told
        number = player.number or 0
        frame = player.frame
        return (
            told
            | self._verdicts(player)
            | {
                "there": True,
                "number": number,
                "last": max(player.last, 0),
                "playing": player.playing,
                "rate": player.rate,
                "loop": player.loop,
                "told": sequence_words.told(player),
                "judged": frame.verdict if frame else "",
                "count": player.played.count,
                "place": 100 * number / max(player.played.count - 1, 1),
            }
        )

    def _verdicts(self, player) -> dict:
        """The strip of the frames' verdicts, made anew where frames have come."""
        if self._strip[:2] != (player, player.last):
            parts, at, width = (
                [],
                -0.5,
                max(player.played.count - 1, 1),
            )  # the first and the last frame lie at the ends, as of the slider
            for verdict, length in sequence_words.runs(player):
                parts.append(f"{COLOURS[verdict]} {100 * at / width:.2f}% {100 * (at + length) / width:.2f}%")
                at += length
            counts = {
                name: sum(length for verdict, length in sequence_words.runs(player) if verdict == name)
                for name in sequence_words.VERDICTS
            }
            self._strip = (
                player,
                player.last,
                {
                    "strip": f"linear-gradient(90deg, {', '.join(parts)})",
                    "counted": sequence_words.counted(player),
                    "counts": [{"name": name, "count": number} for name, number in counts.items() if number],
                },
            )
        return self._strip[2]

    # What a person does

    def track(self) -> None:
        """Begin."""
        with self.application.acting():
            self.application.moving.stop()
            self.session.sequence.track(self._pace)

    def cancel(self) -> None:
        """Make an end of it; the frames that are done stay."""
        with self.application.acting():
            self.session.sequence.cancel()

    def choose_pace(self, pace: str) -> None:
        """Thorough or quick."""
        with self.application.acting():
            self._pace = pace if pace in sequence_words.PACES else self._pace

    def choose_unit(self, unit: str) -> None:
        """Of the lengths in track.tra."""
        with self.application.acting():
            self._unit = unit if unit in UNITS else self._unit

    def step(self, way: str) -> None:
        """To the frame that is "first", "back", "on", or "last"."""
        player = self._at_play()
        if player is not None:
            {
                "first": lambda: player.go(0),
                "back": lambda: player.step(-1),
                "on": lambda: player.step(1),
                "last": lambda: player.go(player.last),
            }.get(way, player.pause)()

    def go(self, number: int) -> None:
        """To a frame, by its number."""
        player = self._at_play()
        if player is not None and number != player.number and isinstance(number, (int, float)):
            player.go(number)

    def toggle(self) -> None:
        """Play, or pause."""
        player = self._at_play()
        if player is not None:
            with self.application.acting():
                if player.playing:
                    player.pause()
                else:
                    self.application.moving.stop()
                    player.play()

    def toggle_loop(self) -> None:
        """Whether it begins anew at the end."""
        player = self._at_play()
        if player is not None:
            player.loop = not player.loop

    def choose_rate(self, rate: int) -> None:
        """Frames a second, one of RATES."""
        player = self._at_play()
        if player is not None and rate in RATES:
            player.rate = rate

    def close(self) -> None:
        """Put everything back as it was before the sequence."""
        with self.application.acting():
            self.session.refuse_more()
            self.session.sequence.close()

    def _at_play(self):
        return self.session.sequence.player if self.session is not None else None

    async def export(self) -> str:
        """Write the poses; the address of an archive of them, "" where they could not be written."""
        session, written = self.session, []
        with self.application.acting():
            folder = self.application.downloads.new_folder() / "track"
            write = session.sequence.save(folder, self._unit, moves=True)
            session.run(lambda: packed(write(), folder), written.append)
        while session.running and not written:
            await asyncio.sleep(LOOK_S)
        return self.application.downloads.offer(written[0]) if written else ""


def _button(icon: str, name: str, click) -> None:
    v.VBtn(icon=icon, click=click, size="x-small", variant="text", title=name, aria_label=name)
