"""The CT, and the structure in it that is registered."""

from __future__ import annotations

from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session.presenters.ct import CTPresenter, one_ct
from ..session.translation import _
from .elements import Files
from .picture import data_url
from .section import Section


class CTCard(Section):
    """A place for files, a picture of what the registration will see of them, unit and structure."""

    NAME, TITLE = "ct", CTPresenter.TITLE
    PRESENTER = CTPresenter

    def __init__(self, application) -> None:
        super().__init__(application)
        self._pictured: tuple = (None, "")

    def build(self) -> None:
        presenter, acting = self.presenter, self.acting
        with Files(
            target="ct", hint=_("a CT: DICOM folder, NIfTI, NRRD, MHA"), folder=True, disabled=("!!ct.reading",)
        ):
            with html.Div(v_if="ct.name", classes="mv-ct"):
                html.Img(v_if="ct.picture", src=("ct.picture",), alt=_("The CT from the front"))
                with html.Div():
                    html.Div("{{ ct.name }}", classes="mv-name")
                    html.Div("{{ line }}", v_for="line in ct.facts", key="line", classes="mv-fact")
            html.Div(
                _("Reading {name}…").format(name="{{ ct.reading }}"),
                v_if="ct.reading",
                classes="mv-fact",
                role="status",
            )
            html.Div("{{ ct.problem }}", v_if="ct.problem", classes="mv-problem", role="alert")
            with html.Div(v_if="ct.mismatch", classes="mv-problem", role="alert"):
                html.Div("{{ ct.mismatch }}")
                with html.Div(classes="mv-row"):
                    v.VBtn("{{ ct.instead }}", click=acting(presenter.read_instead), size="small", color="primary")
                    v.VBtn(_("Cancel"), click=acting(presenter.forget_sent), size="small", variant="text")
        with html.Div(v_if="ct.name", classes="mv-row"):
            v.VSelect(
                label=_("Values"),
                items=("ct.units",),
                model_value=("ct.unit",),
                update_modelValue=(acting(presenter.set_unit), "[$event]"),
            )
            v.VSelect(
                label=_("Register"),
                items=("ct.structures",),
                model_value=("ct.structure",),
                disabled=("ct.structures.length < 2",),
                update_modelValue=(acting(presenter.set_structure), "[$event]"),
            )

    def content(self) -> dict:
        content, preview = super().content(), self.presenter.preview
        if preview is not self._pictured[0]:
            self._pictured = preview, data_url(preview.picture, preview.aspect) if preview else ""
        return {**content, "picture": self._pictured[1]}

    def take(self, folder: Path) -> None:
        """A CT that a page sent: a file, or the slices in a folder, which is removed once it was read. InputError for anything else."""
        if self.presenter.reading:
            raise InputError(_("CT: one is being read already, expected none; wait for it."))
        path = one_ct(file for file in folder.rglob("*") if file.is_file())
        self.acting(self.presenter.read)(path, folder)
