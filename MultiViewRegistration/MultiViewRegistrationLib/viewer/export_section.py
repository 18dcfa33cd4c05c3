"""The pose handed on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session import export
from ..session.presenters.section import DONE, READY, TODO, State
from .downloads import packed
from .elements import Fetch
from .link_part import LinkPart
from .section import Section

#: What is offered beside the archive of all files.
SINGLE = ("world_from_ct.tfm", "world_from_ct.slicer.tfm", "result.json", "report.html")
LOOK_S = 0.05


class ExportSection(Section):
    """Files to download."""

    NAME, TITLE = "exporting", "Export"

    def __init__(self, application) -> None:
        super().__init__(application)
        self._doubt, self._override, self._result, self._case = "", False, True, False
        self._kinds: list[str] = []
        self._files: list[dict] = []
        self.link = LinkPart(self)
        application.server.controller.trigger("mvreg_export")(self.export)

    def build(self) -> None:
        html.Div("⚠ {{ exporting.doubt }}", v_if="exporting.doubt", classes="mv-caution")
        v.VCheckbox(
            label="Export it all the same; the files then say so",
            v_if="exporting.doubt",
            hide_details=True,
            density="compact",
            model_value=("exporting.override",),
            update_modelValue=(self.override, "[$event]"),
        )
        v.VCheckbox(
            label="Result: transforms, overlays, report",
            hide_details=True,
            density="compact",
            model_value=("exporting.result",),
            update_modelValue=(self.choose, "['result', $event]"),
        )
        v.VSelect(
            label="Files for other programs",
            items=("exporting.formats",),
            v_if="exporting.result",
            multiple=True,
            chips=True,
            clearable=True,
            model_value=("exporting.kinds",),
            update_modelValue=(self.choose_kinds, "[$event]"),
        )
        html.Div(
            "Of {{ exporting.poses }}; transforms in both directions, matrices in LPS and in RAS.",
            v_if="exporting.kinds.length",
            classes="mv-fact",
        )
        v.VCheckbox(
            label="Case: CT, X-rays and case.json, from this pose",
            hide_details=True,
            density="compact",
            model_value=("exporting.case",),
            update_modelValue=(self.choose, "['case', $event]"),
        )
        with html.Div(classes="mv-row"):
            Fetch(trigger="mvreg_export", label="Export", icon="mdi-download", disabled=("!!exporting.missing",))
            html.Span("{{ exporting.missing }}", classes="mv-fact")
        with (
            html.Ul(v_if="exporting.files.length", classes="mv-links"),
            html.Li(v_for="file in exporting.files", key="file.address"),
        ):
            html.A("{{ file.name }}", href=("file.address",), target="_blank")
            html.Span(" {{ file.size }}", classes="mv-fact")
        self.link.build()

    def adopt(self) -> None:
        self._files, self._override = [], False

    def content(self) -> dict:
        doubt = self.session.doubt() if self.session is not None else ""
        if doubt != self._doubt:  # what was overridden was another
            self._doubt, self._override = doubt, False
        offered = (
            {}
            if self.session is None
            else {
                kind: words for kind, words in export.formats().items() if not export.lacking(self.registration, kind)
            }
        )
        return {
            "doubt": doubt,
            "override": self._override,
            "result": self._result,
            "case": self._case,
            "missing": self._missing(),
            "files": self._files,
            "formats": [{"title": words, "value": kind} for kind, words in offered.items()],
            "kinds": [kind for kind in self._kinds if kind in offered],
            "poses": " and ".join(export.poses_offered(self.session)) if self.session is not None else "",
            **self.link.content(),
        }

    def state(self) -> State:
        if self.session.doubt():
            return State(TODO)
        return State(DONE, "written") if self._files else State(READY)

    @property
    def overridden(self) -> bool:
        """Whether what speaks against the pose is overridden."""
        return self._override

    def _missing(self) -> str:
        """What must be done before files can be written; "" for nothing."""
        if self.session is None:
            return "Open a case first."
        if self.session.running:
            return "Wait until the work under way is done."
        if not (self._result or self._case):
            return "Choose what to write."
        return (
            "Register first, or override the caution above."
            if self._result and self._doubt and not self._override
            else ""
        )

    def override(self, on: bool) -> None:
        """Whether the files are written in spite of what speaks against it."""
        with self.application.acting():
            self._override = bool(on)

    def choose(self, what: str, on: bool) -> None:
        """Whether "result" or "case" is among what is written."""
        with self.application.acting():
            if what == "result":
                self._result = bool(on)
            else:
                self._case = bool(on)

    def choose_kinds(self, kinds: list[str] | None) -> None:
        """Write these files for other programs, of `scene.export.formats`."""
        with self.application.acting():
            self._kinds = [kind for kind in export.formats() if kind in (kinds or [])]

    def tick(self) -> None:
        self.link.tick()

    async def export(self) -> str:
        """Write the files; the address of all of them in one archive, "" where they could not be written."""
        session, written = self.session, []
        with self.application.acting():
            if self._missing():
                raise InputError(f"Export: {self._missing()}")
            folder = self.application.downloads.new_folder() / "registration"
            writers = [export.write_case_folder(session, folder)] if self._case else []
            if self._result:
                kinds = [kind for kind in self._kinds if not export.lacking(self.registration, kind)]
                writers.append(export.write_result(session, folder, kinds, override=self._override))
            session.run(lambda: _written(writers, folder), written.append)
        while session.running and not written:
            await asyncio.sleep(LOOK_S)
        if not written or session is not self.session:
            return ""
        archive, single = written[0]
        offer = self.application.downloads.offer
        self._files = [{"name": path.name, "address": offer(path), "size": _size(path)} for path in (*single, archive)]
        self.refresh()
        return self._files[-1]["address"]


def _written(writers, folder: Path) -> tuple[Path, list[Path]]:
    """Writes all; the archive, and the files that are also offered by themselves."""
    for write in writers:
        write()
    archive = packed(sorted(path for path in folder.rglob("*") if path.is_file()), folder)
    return archive, [folder / name for name in SINGLE if (folder / name).is_file()]


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 0.1):.1f} kB"
