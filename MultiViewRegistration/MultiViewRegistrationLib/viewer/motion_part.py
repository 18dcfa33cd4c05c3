"""How another tracked structure moves against the one that is played, as plots and a table in the page."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session.motion import Motion
from .downloads import packed
from .elements import Fetch, Files, Plot
from .export_section import LOOK_S
from .sent_files import only_one

NOTHING = {"title": "", "since": 0, "plots": [], "rows": [], "left_out": "", "unseen": ""}


class MotionPart:
    """A place for the other's track.json, curves over the frames, and a table.   section: the `SequenceSection` that shows it."""

    def __init__(self, section) -> None:
        self._section = section
        self._told: tuple[Motion | None, dict] = (None, NOTHING)
        section.application.server.controller.trigger("mvreg_motion_export")(self.export)

    def build(self) -> None:
        with html.Details(classes="mv-details"):
            html.Summary("Motion of another structure against this one")
            Files(target="motion", hint="track.json of the other, from the same frames", accept=".json")
            with html.Div(v_if="sequence.motion.title"):
                html.Div(
                    "{{ sequence.motion.title }}, since frame {{ sequence.motion.since }}, along the axes of this CT.",
                    classes="mv-name mt-2",
                )
                html.Div("{{ sequence.motion.left_out }}", v_if="sequence.motion.left_out", classes="mv-caution")
                html.Div("{{ sequence.motion.unseen }}", v_if="sequence.motion.unseen", classes="mv-caution")
                Plot(
                    v_for="plot in sequence.motion.plots",
                    key="plot.title",
                    title=("plot.title",),
                    across="frame",
                    up=("plot.unit",),
                    curves=("plot.curves",),
                    here=("player.number",),
                )
                with (
                    html.Div(classes="mv-scroll", tabindex=0, role="region", aria_label="Motion by frame"),
                    html.Table(classes="mv-table", aria_label="Motion by frame"),
                ):
                    with html.Thead(), html.Tr():
                        for title in ("Frame", "Turn (°)", "Shift (mm)"):
                            html.Th(title)
                    with (
                        html.Tbody(),
                        html.Tr(
                            v_for="row in sequence.motion.rows",
                            key="row.number",
                            classes=("row.number === player.number ? 'selected' : ''",),
                        ),
                    ):
                        with html.Td():
                            html.Button(
                                "{{ row.number }}",
                                type="button",
                                classes="mv-link",
                                title="Show this frame",
                                click=(self._section.go, "[row.number]"),
                                aria_current=("row.number === player.number ? 'true' : 'false'",),
                            )
                        html.Td("{{ row.turn }}")
                        html.Td("{{ row.shift }}")
                with html.Div(classes="mv-row"):
                    Fetch(
                        trigger="mvreg_motion_export",
                        label="Export motion",
                        icon="mdi-download",
                        disabled=("sequence.busy",),
                    )
                    html.Span("motion.csv with all numbers, motion.html", classes="mv-fact")
                    v.VBtn("Remove", click=self.remove, size="small", variant="text")

    @property
    def _other(self):
        """The `scene.other_structure.OtherStructure`, None without one."""
        return self._section.session.sequence.other if self._section.session is not None else None

    def content(self) -> dict:
        """What the widgets show."""
        other = self._other
        motion = None if other is None else other.motion
        if motion is not self._told[0]:
            self._told = motion, NOTHING if motion is None else told_of(motion)
        return {"motion": {**self._told[1], "unseen": other.problem if other is not None else ""}}

    # What a person does

    def take(self, folder: Path) -> None:
        """A file that a page sent. InputError for several."""
        try:
            path = only_one(folder, "Motion")
            with self._section.application.acting():
                self._open(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _open(self, path: Path) -> None:
        if self._section.session is None:
            raise InputError(
                "Motion: nothing is open, expected a sequence against which the other moves; track it, or open it."
            )
        self._section.session.sequence.hold_against(path)

    def remove(self) -> None:
        """Show it no more."""
        with self._section.application.acting():
            self._section.session.sequence.let_go()

    async def export(self) -> str:
        """Write the files; the address of an archive of them, "" where they could not be written."""
        session, other, written = self._section.session, self._other, []
        application = self._section.application
        with application.acting():
            if other is None:
                raise InputError(
                    "Motion: there is none, expected one to export; choose the other structure's track.json."
                )
            folder = application.downloads.new_folder() / "motion"
            session.run(lambda: packed(other.motion.save(folder), folder), written.append)
        while session.running and not written:
            await asyncio.sleep(LOOK_S)
        return application.downloads.offer(written[0]) if written else ""


def told_of(motion: Motion) -> dict:
    """A motion as the page shows it."""
    numbers = [each.number for each in motion.motion]
    return {
        "title": motion.title,
        "since": numbers[0],
        "left_out": motion.left_out,
        "plots": [
            {
                "title": f"{name}, {unit}",
                "unit": unit,
                "curves": [
                    {"name": line, "points": [[at, round(value, 6)] for at, value in zip(numbers, values, strict=True)]}
                    for line, values in lines
                ],
            }
            for name, unit, lines in motion.curves
        ],
        "rows": [
            {"number": number, "turn": f"{turn:.2f}", "shift": f"{shift:.2f}"} for number, turn, shift in motion.rows
        ],
    }
