"""The X-rays: a table of them, files that are added, and forms about the one that is selected."""

from __future__ import annotations

from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..imaging.image_source import without_data_files
from ..session.presenters.xrays import SHARED, XRaysPresenter
from ..session.translation import _
from .elements import Files, NumberField
from .section import Section
from .xray_forms import CertaintyForm, GeometryForm, ImageForm

KINDS = ".dcm,.ima,.png,.tif,.tiff,.mha,.mhd,.raw,.zraw,.nrrd,.nhdr,.nii,.gz,.jpg,.bmp,.json"
#: Labels of `SHARED`.
LABELS = (_("Source to detector"), _("Principal point"), _("Isocentre"))


class XRaysCard(Section):
    """Binds `XRaysPresenter`; files come from a page, in folders that are removed once they are read."""

    NAME, TITLE = "xrays", "X-rays"
    PRESENTER = XRaysPresenter

    def __init__(self, application) -> None:
        super().__init__(application)
        presenter = self.presenter
        self.geometry = GeometryForm(presenter.geometry, self.acting)
        self._forms = (
            self.geometry,
            ImageForm(presenter.image, self.acting),
            CertaintyForm(presenter.certainty, self.acting),
        )

    def build(self) -> None:
        self.application.state.xray_editor = "geometry"
        Files(
            target="xrays",
            hint=_("X-rays: DICOM, PNG, TIFF, MHA, NRRD; or a case.json with its files"),
            accept=KINDS,
            folder=True,
        )
        html.Div(
            _("Reading {name}…").format(name="{{ xrays.reading }}"),
            v_if="xrays.reading",
            classes="mv-fact",
            role="status",
        )
        self._table()
        html.Div("{{ xrays.problem }}", v_if="xrays.problem", classes="mv-problem", role="alert")
        with html.Div(v_if="xrays.selected", classes="mv-editor"):
            self._head()
            with v.VBtnToggle(
                v_model=("xray_editor",), mandatory=True, density="compact", variant="outlined", divided=True
            ):
                for form in self._forms:
                    v.VBtn(form.presenter.TITLE, value=form.NAME, size="small")
            for form in self._forms:
                with html.Div(v_if=f"xray_editor === '{form.NAME}'"):
                    form.build()
        self._shared()

    def _table(self) -> None:
        presenter = self.presenter
        with html.Table(v_if="xrays.rows.length", classes="mv-table mv-xray-table"):
            with html.Thead(), html.Tr():
                for title in (_("Use"), _("Name"), _("Geometry"), _("Similarity")):
                    html.Th(title)
            with (
                html.Tbody(),
                html.Tr(
                    v_for="row in xrays.rows", key="row.id", classes=("row.id === xrays.selected ? 'selected' : ''",)
                ),
            ):
                with html.Td():
                    v.VCheckbox(
                        model_value=("row.used",),
                        update_modelValue=(self.acting(presenter.use), "[row.id, $event]"),
                        aria_label=("'Use ' + row.name",),
                    )
                with (
                    html.Td(),
                    html.Button(
                        type="button",
                        classes="mv-link",
                        click=(self.acting(presenter.select), "[row.id === xrays.selected ? '' : row.id]"),
                        title=_("Edit name, geometry, image and certainty"),
                        aria_pressed=("row.id === xrays.selected ? 'true' : 'false'",),
                    ),
                ):
                    html.Span(style=("{ background: row.colour }",), classes="mv-dot")
                    html.Span("{{ row.name }}")
                html.Td(
                    "{{ row.geometry }}",
                    title=("row.trouble || row.certainty",),
                    classes=("row.trouble ? 'mv-problem-text' : ''",),
                )
                html.Td("{{ row.similarity }}")

    def _head(self) -> None:
        presenter = self.presenter
        with html.Div(classes="mv-row"):
            v.VTextField(
                label=_("Name"),
                model_value=("xrays.name",),
                change=(self.acting(presenter.rename), "[xrays.selected, $event.target.value]"),
            )
            for icon, by, enabled, title, label in (
                (
                    "up",
                    -1,
                    "can_up",
                    _("Earlier: the first is the one that the others' geometry is relative to"),
                    _("Earlier"),
                ),
                ("down", 1, "can_down", _("Later"), _("Later")),
            ):
                v.VBtn(
                    icon=f"mdi-arrow-{icon}",
                    size="x-small",
                    variant="text",
                    click=(self.acting(presenter.move), f"[{by}]"),
                    disabled=(f"!xrays.{enabled}",),
                    title=title,
                    aria_label=label,
                )
            with v.VMenu():
                with v.Template(v_slot_activator="{ props }"):
                    v.VBtn(
                        icon="mdi-delete-outline",
                        size="x-small",
                        variant="text",
                        v_bind="props",
                        title=_("Remove this X-ray"),
                        aria_label=_("Remove this X-ray"),
                    )
                with v.VList(density="compact"):
                    v.VListItem(
                        title=("`Remove ${xrays.name}, with its geometry and mask`",),
                        click=self.acting(presenter.remove),
                    )

    def _shared(self) -> None:
        with v.VExpansionPanels(v_if="xrays.rows.length > 1", flat=True, classes="mv-more"), v.VExpansionPanel():
            v.VExpansionPanelTitle(_("What is uncertain in all X-rays alike"))
            with v.VExpansionPanelText():
                html.Div(_("Standard deviations; empty for what is known."), classes="mv-fact")
                for number, label in enumerate(LABELS):
                    NumberField(
                        label=label,
                        suffix=SHARED[number].unit.strip(),
                        min=0,
                        step=0.5,
                        model_value=(f"xrays.shared[{number}]",),
                        classes="mt-2",
                        change=(self.acting(self.presenter.share), f"[{number}, $event.target.value]"),
                    )

    def take(self, folder: Path) -> None:
        """X-rays that a page sent, or a case.json with its files."""
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        cases = [file for file in files if file.suffix.lower() == ".json"]
        self.acting(self.presenter.read)(cases or without_data_files(files), folder)
