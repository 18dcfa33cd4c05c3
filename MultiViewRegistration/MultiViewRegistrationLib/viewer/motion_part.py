"""How another tracked structure moves against the one that is played, as plots and a table in the page."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session.motion import StructureMotion
from ..session.translation import _
from .downloads import packed
from .elements import Fetch, Files, Plot
from .export_section import LOOK_S
from .uploads import only_one

NOTHING: dict = {"title": "", "plots": [], "rows": []}


class MotionPart:
    """A place for the other's track.json, curves over the frames, and a table.   section: the `SequenceSection` that shows it."""

    def __init__(self, section) -> None:
        self._section = section
        self._shown: tuple[StructureMotion | None, dict] = (None, NOTHING)
        section.application.server.controller.trigger("mvreg_motion_export")(self.export)

    def build(self) -> None:
        with html.Details(classes="mv-details"):
            html.Summary(_("Motion of another structure against this one"))
            Files(target="motion", hint=_("track.json of the other, from the same frames"), accept=".json")
            with html.Div(v_if="sequence.motion.title"):
                html.Div("{{ sequence.motion.title }}", classes="mv-name mt-2")
                html.Div("{{ text }}", v_for="text in sequence.motion.warnings", key="text", classes="mv-caution")
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
                    html.Div(classes="mv-scroll", tabindex=0, role="region", aria_label=_("Motion by frame")),
                    html.Table(classes="mv-table", aria_label=_("Motion by frame")),
                ):
                    with html.Thead(), html.Tr():
                        for title in (_("Frame"), _("Rotation (°)"), _("Shift (mm)")):
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
                                title=_("Show this frame"),
                                click=(self._section.presenter.go, "[row.number]"),
                                aria_current=("row.number === player.number ? 'true' : 'false'",),
                            )
                        html.Td("{{ row.turn }}")
                        html.Td("{{ row.shift }}")
                with html.Div(classes="mv-row"):
                    Fetch(
                        trigger="mvreg_motion_export",
                        label=_("Export motion"),
                        icon="mdi-download",
                        disabled=("sequence.busy",),
                    )
                    html.Span(_("motion.csv with all numbers, motion.html"), classes="mv-fact")
                    v.VBtn(_("Remove"), click=self.remove, size="small", variant="text")

    @property
    def _other(self):
        """The `session.motion.OtherStructure`, None without one."""
        return self._section.session.sequence.other if self._section.session is not None else None

    def content(self) -> dict:
        """What the widgets show."""
        presenter = self._section.presenter
        motion = presenter.motion
        if motion is not self._shown[0]:
            self._shown = (
                motion,
                NOTHING if motion is None else {"title": presenter.motion_title(), **_drawn(presenter)},
            )
        return {"motion": {**self._shown[1], "warnings": presenter.motion_warnings()}}

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
        self._section.session.sequence.compare_with(path)

    def remove(self) -> None:
        """Show it no more."""
        with self._section.application.acting():
            self._section.session.sequence.remove_other()

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


def _drawn(presenter) -> dict:
    """The plots and the table of a motion."""
    numbers = [each.number for each in presenter.motion.motion]
    return {
        "plots": [
            {
                "title": f"{name}, {unit}",
                "unit": unit,
                "curves": [
                    {"name": line, "points": [[at, round(value, 6)] for at, value in zip(numbers, values, strict=True)]}
                    for line, values in lines
                ],
            }
            for name, unit, lines in presenter.motion.curves
        ],
        "rows": [{"number": number, "turn": turn, "shift": shift} for number, turn, shift in presenter.motion_rows()],
    }
