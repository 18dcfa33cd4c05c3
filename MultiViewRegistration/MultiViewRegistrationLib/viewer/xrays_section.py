"""The X-rays: a table of them, files that are added, and editors of the one that is selected."""

from __future__ import annotations

import shutil
from dataclasses import astuple
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..imaging.image_source import without_data_files
from ..imaging.view import SharedUnknowns
from ..mrml.background_task import Worker
from ..mrml.case import set_shared_unknowns, shared_unknowns_of
from ..mrml.tags import colour, tag_of
from ..mrml.xray import XRayView
from ..session import adding
from ..session.geometry import certainty, describe, reference_of
from ..session.naming import rename
from ..session.presenters.section import PROBLEM, READY, RUNNING, TODO, State
from ..session.readiness import Readiness
from ..session.similarity import similarities
from .certainty_editor import CertaintyEditor
from .elements import Files, NumberField
from .geometry_editor import GeometryEditor
from .image_editor import ImageEditor
from .section import Section

KINDS = ".dcm,.ima,.png,.tif,.tiff,.mha,.mhd,.raw,.zraw,.nrrd,.nhdr,.nii,.gz,.jpg,.bmp,.json"
#: As SharedUnknowns has them: label and unit.
SHARED = (("Source to detector", "mm"), ("Principal point", "px"), ("Isocentre", "mm"))


class XRaysSection(Section):
    """Files are read in a thread, one after the other; `tick` takes what has come of it, and has an eye on images that change."""

    NAME, TITLE = "xrays", "X-rays"

    def __init__(self, application) -> None:
        super().__init__(application)
        self._selected = ""
        self._shown_of: Path | None = None
        self._waiting: list[tuple[Path, Path]] = []
        self._reading: Worker | None = None
        self._failures: list[str] = []
        self._readiness: Readiness | None = None
        self.geometry, self.image, self.certainty = GeometryEditor(self), ImageEditor(self), CertaintyEditor(self)
        self.editors = (self.geometry, self.image, self.certainty)

    @property
    def selected(self) -> XRayView | None:
        """The X-ray that the editors are about."""
        views = self.registration.xrays if self.registration is not None else []
        return next((view for view in views if view.node.GetID() == self._selected), None)

    def build(self) -> None:
        self.application.state.xray_editor = "geometry"
        Files(
            target="xrays",
            hint="X-rays: DICOM, PNG, TIFF, MHA, NRRD; or a case.json with its files",
            accept=KINDS,
            folder=True,
        )
        html.Div("Reading {{ xrays.reading }}…", v_if="xrays.reading", classes="mv-fact", role="status")
        with html.Table(v_if="xrays.rows.length", classes="mv-table mv-xray-table"):
            with html.Thead(), html.Tr():
                for title in ("Use", "Name", "Geometry", "Similarity"):
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
                        update_modelValue=(self.use, "[row.id, $event]"),
                        aria_label=("'Use ' + row.name",),
                    )
                with (
                    html.Td(),
                    html.Button(
                        type="button",
                        classes="mv-link",
                        click=(self.select, "[row.id]"),
                        title="Edit name, geometry, image and certainty",
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
        html.Div("{{ xrays.problem }}", v_if="xrays.problem", classes="mv-problem", role="alert")
        with html.Div(v_if="xrays.selected", classes="mv-editor"):
            with html.Div(classes="mv-row"):
                v.VTextField(label="Name", model_value=("xrays.name",), change=(self.rename, "[$event.target.value]"))
                v.VBtn(
                    icon="mdi-arrow-up",
                    size="x-small",
                    variant="text",
                    click=(self.move, "[-1]"),
                    disabled=("!xrays.can_up",),
                    title="Earlier: the first is the one that the others' geometry is held against",
                    aria_label="Earlier",
                )
                v.VBtn(
                    icon="mdi-arrow-down",
                    size="x-small",
                    variant="text",
                    click=(self.move, "[1]"),
                    disabled=("!xrays.can_down",),
                    title="Later",
                    aria_label="Later",
                )
                with v.VMenu():
                    with v.Template(v_slot_activator="{ props }"):
                        v.VBtn(
                            icon="mdi-delete-outline",
                            size="x-small",
                            variant="text",
                            v_bind="props",
                            title="Remove this X-ray",
                            aria_label="Remove this X-ray",
                        )
                    with v.VList(density="compact"):
                        v.VListItem(title=("`Remove ${xrays.name}, with its geometry and mask`",), click=self.remove)
            with v.VBtnToggle(
                v_model=("xray_editor",), mandatory=True, density="compact", variant="outlined", divided=True
            ):
                for editor in self.editors:
                    v.VBtn(editor.TITLE, value=editor.NAME, size="small")
            for editor in self.editors:
                with html.Div(v_if=f"xray_editor === '{editor.NAME}'"):
                    editor.build()
        with v.VExpansionPanels(v_if="xrays.rows.length > 1", flat=True, classes="mv-more"), v.VExpansionPanel():
            v.VExpansionPanelTitle("What is uncertain in all X-rays alike")
            with v.VExpansionPanelText():
                html.Div("Standard deviations; 0 for what is known.", classes="mv-fact")
                for number, (label, unit) in enumerate(SHARED):
                    NumberField(
                        label=label,
                        suffix=unit,
                        min=0,
                        step=0.5,
                        model_value=(f"xrays.shared[{number}]",),
                        classes="mt-2",
                        change=(self.share, f"[{number}, $event.target.value]"),
                    )

    def adopt(self) -> None:
        self._readiness = self.session and Readiness(self.session)
        for _path, folder in self._waiting:  # for another patient
            shutil.rmtree(folder, ignore_errors=True)
        self._selected, self._shown_of, self._waiting, self._reading, self._failures = "", None, [], None, []
        self.geometry.forget()

    def content(self) -> dict:
        registration = self.registration
        views = registration.xrays if registration is not None else []
        if self.selected is None:
            self._selected = ""
        similarity = similarities(registration) if views else {}
        row = next((number for number, view in enumerate(views) if view == self.selected), -1)
        shared = astuple(shared_unknowns_of(registration)) if registration is not None else (None,) * len(SHARED)
        return {
            "rows": [self._row(view, similarity.get(view.name)) for view in views],
            "selected": self._selected,
            "name": self.selected.name if self.selected else "",
            "can_up": row > 0,
            "can_down": 0 <= row < len(views) - 1,
            "problem": self._problem(),
            "reading": self._waiting[0][0].name if self._reading is not None else "",
            "shared": [deviation or 0 for deviation in shared],
            **{editor.NAME: editor.content() for editor in self.editors},
        }

    def _row(self, view: XRayView, similarity: float | None) -> dict:
        known = "reference" if view == reference_of(self.registration) else certainty(view)
        return {
            "id": view.node.GetID(),
            "name": view.name,
            "used": view.used,
            "geometry": describe(view),
            "certainty": known if view.placed else "",
            "trouble": self._readiness.of(view),
            "similarity": "" if similarity is None else f"{similarity:.2f}",
            "colour": "rgb(" + ", ".join(str(round(255 * part)) for part in colour(tag_of(view) or "")) + ")",
        }

    def _problem(self) -> str:
        """What a person should know first: of two that are the same, of the selected X-ray."""
        if self.registration is None:
            return ""
        twins = self._readiness.twins()
        if twins is not None:
            return (
                f"{twins[0].name} and {twins[1].name} have the same geometry, expected another for each; correct that of one, or skip "
                "it."
            )
        view = self.selected
        return self._readiness.of(view) if view is not None and describe(view) != "needs geometry" else ""

    def state(self) -> State:
        if self._reading is not None:
            return State(RUNNING, f"reading {self._waiting[0][0].name}")
        views = self.registration.xrays
        used = [view for view in views if view.used]
        if not used:
            return State(TODO, "none is used" if views else "add X-rays")
        if self._readiness.twins() is not None:
            return State(PROBLEM, "two have the same geometry")
        for view in used:
            if describe(view) == "needs geometry":
                return State(TODO, f"{view.name} needs geometry")
            if self._readiness.of(view):
                return State(PROBLEM, f"{view.name} cannot be used")
        return State(READY, "1 view ready" if len(used) == 1 else f"{len(used)} views ready")

    def tick(self) -> None:
        if self._reading is not None:
            self._reading.poll(0)
            if self._reading.state != "running":
                self._take_read()
        elif self._readiness.step() or self.geometry.calibration.tick():
            self.application.invalidate()

    # Files

    def take(self, folder: Path) -> None:
        """X-rays that a page sent, or a case.json with its files; the folder is removed once all were read."""
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        cases = [file for file in files if file.suffix.lower() == ".json"]
        with self.application.acting():
            self.application.begin()
            self._waiting += [(path, folder) for path in cases or without_data_files(files)]
            self._read_next()

    def _read_next(self) -> None:
        if self._reading is None and self._waiting:
            path = self._waiting[0][0]
            self._reading = Worker(lambda tell: adding.read(path))

    def _take_read(self) -> None:
        """Add what was read, and read on; what went wrong is told once all are read."""
        reading, self._reading = self._reading, None
        _path, folder = self._waiting.pop(0)
        if not any(other == folder for _, other in self._waiting):
            shutil.rmtree(folder, ignore_errors=True)
        with self.application.acting():
            try:
                if reading.state != "done":
                    raise InputError(reading.message)
                first = reading.result(self.registration)[0]
                if folder != self._shown_of:  # of several that were sent together the first
                    self._shown_of, self._selected = folder, first.node.GetID()
            except InputError as error:
                self._failures.append(str(error))
            self._read_next()
            if self._reading is None and self._failures:
                failures, self._failures = self._failures, []
                raise InputError("\n".join(failures))

    # What a person does in the table

    def _view(self, node_id: str) -> XRayView:
        found = [view for view in self.registration.xrays if view.node.GetID() == node_id]
        if not found:
            raise InputError("X-rays: this one is not there any more; choose another.")
        return found[0]

    def select(self, node_id: str) -> None:
        """Edit this X-ray, by the ID of its node; none where it is edited already."""
        with self.application.acting():
            self._selected = "" if node_id == self._selected else self._view(node_id).node.GetID()

    def use(self, node_id: str, on: bool) -> None:
        """Use an X-ray, or skip it."""
        with self.application.acting():
            self._view(node_id).change(use=bool(on))

    def rename(self, name: str) -> None:
        """Give the selected X-ray another name."""
        with self.application.acting():
            rename(self.registration, self.selected, str(name))

    def move(self, by: int) -> None:
        """Put the selected X-ray elsewhere in the order."""
        with self.application.acting():
            self.registration.move_xray(self.selected, max(0, self.registration.xrays.index(self.selected) + int(by)))

    def remove(self) -> None:
        """Remove the selected X-ray."""
        with self.application.acting():
            self.registration.remove_xray(self.selected)

    def share(self, number: int, deviation: str) -> None:
        """How uncertain something is that is the same in all X-rays."""
        with self.application.acting():
            values = list(astuple(shared_unknowns_of(self.registration)))
            values[number] = _deviation(deviation)
            set_shared_unknowns(self.registration, SharedUnknowns(*values))


def _deviation(text: str) -> float | None:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise InputError(
            f'X-rays: found "{str(text)[:20]}" for a standard deviation, expected a number from 0; enter it.'
        )
    return value or None
