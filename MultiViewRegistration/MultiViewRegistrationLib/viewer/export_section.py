"""The section Export in the page."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.presenters.export import MAX_PORT, ExportPresenter
from ..session.translation import _
from .downloads import packed
from .elements import Fetch, NumberField, number
from .section import Section

#: What is offered beside the archive of all files.
SINGLE = ("world_from_ct.tfm", "world_from_ct.slicer.tfm", "result.json", "report.html")
LOOK_S = 0.05


class ExportSection(Section):
    """Files to download, and OpenIGTLink."""

    NAME, TITLE = "exporting", ExportPresenter.TITLE
    PRESENTER = ExportPresenter

    def __init__(self, application) -> None:
        super().__init__(application)
        self._files: list[dict] = []
        application.server.controller.trigger("mvreg_export")(self.export)

    def build(self) -> None:
        choose, choose_kinds = self.acting(self.presenter.choose), self.acting(self.presenter.choose_kinds)
        html.Div("⚠ {{ exporting.doubt }}", v_if="exporting.doubt", classes="mv-caution")
        for what, label in (
            ("override", _("Export it all the same; the files then say so")),
            ("result", _("Result: transforms, overlays, report")),
            ("case", _("Case: CT, X-rays and case.json, from this pose")),
        ):
            v.VCheckbox(
                label=label,
                v_if=("exporting.doubt" if what == "override" else "true",),
                hide_details=True,
                density="compact",
                model_value=(f"exporting.{what}",),
                update_modelValue=(choose, f"['{what}', $event]"),
            )
        v.VSelect(
            label=_("Files for other programs"),
            items=("exporting.formats.filter(format => !format.missing)",),
            v_if="exporting.result",
            multiple=True,
            chips=True,
            clearable=True,
            model_value=("exporting.kinds",),
            update_modelValue=(choose_kinds, "[$event]"),
        )
        html.Div(
            _("Of {poses}; transforms in both directions, matrices in LPS and in RAS.").format(
                poses="{{ exporting.poses }}"
            ),
            v_if="exporting.kinds.length",
            classes="mv-fact",
        )
        with html.Div(classes="mv-row"):
            Fetch(trigger="mvreg_export", label=_("Export"), icon="mdi-download", disabled=("!!exporting.missing",))
            html.Span("{{ exporting.missing }}", classes="mv-fact")
        with (
            html.Ul(v_if="exporting.files.length", classes="mv-links"),
            html.Li(v_for="file in exporting.files", key="file.address"),
        ):
            html.A("{{ file.name }}", href=("file.address",), target="_blank")
            html.Span(" {{ file.size }}", classes="mv-fact")
        self._build_link()

    def _build_link(self) -> None:
        set_link = self.acting(self.presenter.set_link)
        modes = [
            {"value": "client", "title": _("Send to a server")},
            {"value": "server", "title": _("Offer to clients on the computer of mvreg view")},
        ]
        with html.Details(classes="mv-details", open=("exporting.linked",)):
            html.Summary(_("OpenIGTLink: the pose, its verdict and the overlays to navigation"))
            v.VSelect(
                label=_("How"),
                items=(str(modes),),
                model_value=("exporting.link_mode",),
                update_modelValue=(set_link, "['mode', $event]"),
                classes="mt-3",
            )
            with html.Div(classes="mv-grid2"):
                v.VTextField(
                    label=_("Host"),
                    model_value=("exporting.link_host",),
                    disabled=("exporting.link_mode === 'server'",),
                    change=(set_link, "['host', $event.target.value]"),
                )
                NumberField(
                    label=_("Port"),
                    min=1,
                    max=MAX_PORT,
                    step=1,
                    model_value=("exporting.link_port",),
                    change=(self.acting(self._set_port), "[$event.target.value]"),
                )
            with html.Div(classes="mv-row"):
                v.VBtn(
                    f"{{{{ exporting.link_mode === 'server' ? '{_('Offer')}' : '{_('Send')}' }}}}",
                    click=self.acting(self.presenter.connect),
                    size="small",
                    variant="tonal",
                    disabled=("!!exporting.link_missing",),
                )
                v.VBtn(
                    _("Disconnect"),
                    click=self.acting(self.presenter.disconnect),
                    size="small",
                    variant="text",
                    disabled=("!exporting.linked",),
                )
                html.Span("{{ exporting.link_text }}", classes="mv-fact", role="status")

    def adopt(self) -> None:
        super().adopt()
        self._files = []

    def content(self) -> dict:
        return {**asdict(self.presenter.shown()), "files": self._files}

    def _set_port(self, text) -> None:
        self.presenter.set_link("port", number(text, _("Port")))

    async def export(self) -> str:
        """Write the files; the address of all of them in one archive, "" where they could not be written."""
        session, written = self.session, []
        with self.application.acting():
            folder = self.application.downloads.new_folder() / "registration"
            write = self.presenter.writer(folder)
            session.run(lambda: _pack(write, folder), written.append)
        while session is not None and session.running and not written:
            await asyncio.sleep(LOOK_S)
        if not written or session is not self.session:
            return ""
        archive, single = written[0]
        offer = self.application.downloads.offer
        self._files = [{"name": path.name, "address": offer(path), "size": _size(path)} for path in (*single, archive)]
        self.presenter.written = True
        self.application.invalidate()
        return self._files[-1]["address"]


def _pack(write, folder: Path) -> tuple[Path, list[Path]]:
    """Write all files; the archive, and the files that are also offered by themselves."""
    write()
    archive = packed(sorted(path for path in folder.rglob("*") if path.is_file()), folder)
    return archive, [folder / name for name in SINGLE if (folder / name).is_file()]


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 0.1):.1f} kB"
