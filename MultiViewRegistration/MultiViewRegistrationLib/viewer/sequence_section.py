"""The section Sequence in the page."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from itertools import groupby

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.player import RATES
from ..session.presenters.sequence import PACES, UNITS, SequencePresenter, ShownFrame, verdict_counts
from ..session.translation import _
from .downloads import packed
from .elements import Fetch
from .export_section import LOOK_S
from .motion_part import MotionPart
from .section import Section

#: Colours of the strip of verdicts, those of the words for them; "" of frames that were not tracked.
COLOURS = {"accept": "#7fd1ae", "check": "#ffc04d", "reject": "#ff8a70", "": "#232b33"}
PLAY_OR_PAUSE = f"player.playing ? '{_('Pause')}' : '{_('Play')}'"
NO_STRIP = {"strip": "", "place": 0.0, "counts": []}
BUTTONS = (("mdi-skip-previous", _("First frame"), "first"), ("mdi-step-backward", _("One frame back"), "back"))
BUTTONS_AFTER = (("mdi-step-forward", _("One frame on"), "on"), ("mdi-skip-next", _("Last frame"), "last"))


class SequenceSection(Section):
    """Track, watch and cancel it; a player with the verdict of each frame; poses to download."""

    NAME, TITLE = "sequence", SequencePresenter.TITLE
    PRESENTER = SequencePresenter

    def __init__(self, application) -> None:
        super().__init__(application)
        self._strip: tuple[object, int, dict] = (None, 0, {})
        self.motion = MotionPart(self)
        application.state.player = asdict(ShownFrame()) | NO_STRIP
        application.server.controller.trigger("mvreg_track_export")(self.export)

    def build(self) -> None:
        with html.Div(v_if="!player.there || player.tracking", classes="mv-row"):
            v.VBtn(
                _("Track"),
                click=self.track,
                disabled=("!!sequence.missing || sequence.busy",),
                color="primary",
                prepend_icon="mdi-motion-play-outline",
                title=("sequence.hint",),
            )
            v.VBtn(
                _("Cancel"),
                click=self.acting(self.presenter.cancel),
                disabled=("!player.tracking",),
                variant="outlined",
                title=_("Stop; the frames that are done stay"),
            )
        v.VSelect(
            label=_("Pace"),
            v_if="!player.there && !player.tracking",
            items=([{"value": pace, "title": title} for pace, title in PACES.items()],),
            model_value=("sequence.pace",),
            update_modelValue=(self.acting(self.presenter.choose_pace), "[$event]"),
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
        html.Div("{{ sequence.missing }}", v_if="sequence.missing && !player.there", classes="mv-fact")
        html.Div("{{ sequence.message }}", v_if="sequence.message", classes="mv-problem", role="alert")
        with html.Div(v_if="player.there"):
            self._build_player()
            with html.Details(classes="mv-details"):
                html.Summary(_("Export the poses"))
                html.Div(
                    _(
                        "poses.csv, and track.tra for Autoscoper, without rejected frames; track.json where it was tracked here."
                    ),
                    classes="mv-fact",
                )
                with html.Div(classes="mv-row"):
                    v.VSelect(
                        label=_("Lengths in track.tra"),
                        items=(str(list(UNITS)),),
                        model_value=("sequence.unit",),
                        update_modelValue=(self.acting(self.presenter.choose_unit), "[$event]"),
                    )
                    Fetch(
                        trigger="mvreg_track_export",
                        label=_("Export poses"),
                        icon="mdi-download",
                        disabled=("sequence.busy",),
                    )
            self.motion.build()
            v.VBtn(
                _("Close the sequence"),
                click=self.acting(self.presenter.close),
                size="small",
                variant="text",
                disabled=("sequence.busy",),
                classes="mt-2",
                title=_("Put X-rays and CT back as they were before; what was tracked here and not exported is lost."),
            )

    def _build_player(self) -> None:
        with html.Div(classes="mv-row mv-player", role="group", aria_label=_("Player")):
            for icon, name, way in BUTTONS:
                _button(icon, name, (self.presenter.step, f"['{way}']"))
            v.VBtn(
                icon=("player.playing ? 'mdi-pause' : 'mdi-play'",),
                click=self.toggle,
                size="small",
                color="primary",
                variant="flat",
                title=(PLAY_OR_PAUSE,),
                aria_label=(PLAY_OR_PAUSE,),
            )
            for icon, name, way in BUTTONS_AFTER:
                _button(icon, name, (self.presenter.step, f"['{way}']"))
            v.VBtn(
                icon="mdi-repeat",
                click=(self.presenter.set_loop, "[!player.loop]"),
                size="x-small",
                variant="text",
                color=("player.loop ? 'primary' : ''",),
                title=_("Begin again at the end"),
                aria_label=_("Begin again at the end"),
                aria_pressed=("player.loop ? 'true' : 'false'",),
            )
            v.VSelect(
                label=_("Speed"),
                items=([{"value": rate, "title": f"{rate} / s"} for rate in RATES],),
                model_value=("player.rate",),
                update_modelValue=(self.presenter.choose_rate, "[$event]"),
                title=_("Frames a second"),
                classes="mv-rate",
            )
        v.VSlider(
            model_value=("player.number",),
            update_modelValue=(self.presenter.go, "[$event]"),
            min=0,
            max=("player.count - 1",),
            step=1,
            aria_label=_("Frame"),
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
            v_for="(line, index) in player.lines",
            key="index",
            classes=("index ? 'mv-fact' : 'mv-verdict mv-' + player.verdict",),
        )

    def adopt(self) -> None:
        super().adopt()
        self._strip = (None, 0, {})
        self.application.state.player = asdict(ShownFrame()) | NO_STRIP

    def content(self) -> dict:
        return {**asdict(self.presenter.shown()), **self.motion.content()}

    def tick(self) -> None:
        frame, player = self.presenter.frame(), self.presenter.player
        place = (
            {} if player is None else {**self._verdicts(player), "place": 100 * frame.number / max(frame.count - 1, 1)}
        )
        self.application.state.player = asdict(frame) | NO_STRIP | place
        super().tick()

    def _verdicts(self, player) -> dict:
        """The strip of the frames' verdicts, made again when frames have come."""
        if self._strip[:2] != (player, player.last):
            verdicts = [frame.verdict for frame in player.played.frames]
            verdicts += [""] * (player.played.count - len(verdicts))
            width = max(player.played.count - 1, 1)
            parts, at = [], -0.5  # the first and the last frame lie at the ends, as of the slider
            for verdict, run in groupby(verdicts):
                end = at + len(list(run))
                parts.append(f"{COLOURS[verdict]} {100 * at / width:.2f}% {100 * end / width:.2f}%")
                at = end
            counts = [{"name": name, "count": number} for name, number in verdict_counts(player).items()]
            strip = f"linear-gradient(90deg, {', '.join(parts)})"
            self._strip = (player, player.last, {"strip": strip, "counts": counts})
        return self._strip[2]

    # What a person does

    def track(self) -> None:
        """Begin."""
        with self.application.acting():
            self.application.moving.stop()
            self.presenter.track()

    def toggle(self) -> None:
        """Play, or pause."""
        with self.application.acting():
            self.application.moving.stop()
            self.presenter.toggle()

    async def export(self) -> str:
        """Write the poses; the address of an archive of them, "" where they could not be written."""
        session, written = self.session, []
        with self.application.acting():
            folder = self.application.downloads.new_folder() / "track"
            write = self.presenter.writer(folder, moves=True)
            session.run(lambda: packed(write(), folder), written.append)
        while session.running and not written:
            await asyncio.sleep(LOOK_S)
        return self.application.downloads.offer(written[0]) if written else ""


def _button(icon: str, name: str, click) -> None:
    v.VBtn(icon=icon, click=click, size="x-small", variant="text", title=name, aria_label=name)
