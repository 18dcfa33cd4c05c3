"""The X-rays: images, geometry, masks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..imaging.image_source import without_data_files
from ..imaging.view import SharedUnknowns
from ..mrml.background_task import Worker
from ..mrml.case import set_shared_unknowns, shared_unknowns_of
from ..mrml.xray import XRayView
from ..session import adding
from ..session.geometry import describe
from ..session.naming import rename
from ..session.presenters.section import PROBLEM, READY, RUNNING, TODO, State
from ..session.readiness import Readiness
from .certainty_editor import CertaintyEditor
from .drop import FileDrop
from .fields import NumberField
from .geometry_editor import GeometryEditor
from .image_editor import ImageEditor
from .section import Section
from .xray_table import NAME, USE, XRayTable

FILES = "X-rays (*.dcm *.ima *.png *.tif *.tiff *.mha *.mhd *.nrrd *.nii *.nii.gz *.jpg *.bmp);;Cases (*.json);;All files (*)"


class XRaysSection(Section):
    """A table of the X-rays, and editors of the one that is selected.

    Files are read in a thread, one after the other; `tick` takes what has come of it, and has an eye on images that change.
    """

    FILE = "XRays.ui"
    TITLE = _("2. X-rays")
    BEGINS = True

    def connect(self) -> None:
        ui = self.ui
        self._silent = False
        self._of = None
        self._selected = ""
        self._paths: list[Path] = []
        self._reading: Worker | None = None
        self._failures: list[str] = []
        self._readiness: Readiness | None = None
        self.table = XRayTable(ui.xrayTable)
        self.geometry, self.image, self.certainty = self.editors = (
            GeometryEditor(self),
            ImageEditor(self),
            CertaintyEditor(self),
        )
        self._boxes = (ui.geometryBox, ui.imageBox, ui.certaintyBox)
        for box, editor in zip(self._boxes, self.editors, strict=True):
            box.layout().addWidget(editor.widget)
        style = self.widget.style()
        icons = {
            ui.upButton: qt.QStyle.SP_ArrowUp,
            ui.downButton: qt.QStyle.SP_ArrowDown,
            ui.removeButton: qt.QStyle.SP_TrashIcon,
        }
        for button, icon in icons.items():
            button.icon = style.standardIcon(icon)
        ui.xrayTable.itemSelectionChanged.connect(self._on_selected)
        ui.xrayTable.itemChanged.connect(self._on_item)
        ui.addVolumeButton.clicked.connect(self._on_add_volume)
        ui.volumeSelector.currentNodeIDChanged.connect(lambda node_id: self._enable())
        ui.addFilesButton.clicked.connect(self._on_add_files)
        ui.removeButton.clicked.connect(self._on_remove)
        ui.upButton.clicked.connect(lambda: self._on_move(-1))
        ui.downButton.clicked.connect(lambda: self._on_move(1))
        self._shared = [  # as SharedUnknowns has them
            NumberField(
                edit,
                _("Uncertain {what}").format(what=what),
                0,
                high,
                unit,
                "\u00b1 ",
                blank=_("known"),
                nothing=0.0,
                done=self._on_shared,
            )
            for edit, what, high, unit in (
                (ui.sharedDistanceEdit, _("source to detector"), 500, " mm"),
                (ui.sharedPointEdit, _("principal point"), 1000, " px"),
                (ui.sharedIsocentreEdit, _("isocentre"), 500, " mm"),
            )
        ]
        self.fields = (*self._shared, *self.certainty.fields, self.image.frame)
        self._drop = FileDrop(self.button, self._read)
        self._shortcut = qt.QShortcut(qt.QKeySequence("Del"), ui.xrayTable)
        self._shortcut.setContext(qt.Qt.WidgetShortcut)
        self._shortcut.connect("activated()", self._on_remove)

    @property
    def asked(self) -> bool:
        return super().asked and not self._silent

    @contextmanager
    def filling(self):
        """Widgets are filled in here, and their signals say nothing."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    @property
    def selected(self) -> XRayView | None:
        """The X-ray that the editors are about."""
        views = self.registration.xrays if self.registration else []
        return next((view for view in views if view.node.GetID() == self._selected), None)

    # The scene into the widgets

    def refresh(self) -> None:
        registration = self.registration
        if self._of is not registration.node:
            self._of = registration.node
            self._readiness = Readiness(self.session)
            self.geometry.forget()
        views = registration.xrays
        if self.selected is None:
            self._selected = views[0].node.GetID() if views else ""
        trouble = {view.name: self._readiness.of(view) for view in views}
        self.table.show(registration, self.selected, trouble)
        self.ui.problemLabel.text = self._trouble_of(self.selected, trouble)
        self.ui.problemLabel.setVisible(bool(self.ui.problemLabel.text))
        for box in (*self._boxes, self.ui.sharedBox):
            box.setVisible(bool(views))
        for box, editor in zip(self._boxes, self.editors, strict=True):
            editor.show(self.selected)
            box.title = (
                _("{what} of {name}").format(what=editor.TITLE, name=self.selected.name) if views else editor.TITLE
            )
        for field, deviation in zip(self._shared, astuple(shared_unknowns_of(registration)), strict=True):
            field.show(deviation or 0.0, registration.node.GetID())
        self._enable()

    def _trouble_of(self, view: XRayView | None, trouble: dict[str, str]) -> str:
        """What a person should know first: of the selected X-ray, of two that are the same."""
        twins = self._readiness.twins()
        if twins is not None:
            return _(
                "{a} and {b} have the same geometry, expected another for each; correct that of one, or skip it."
            ).format(a=twins[0].name, b=twins[1].name)
        return trouble.get(view.name, "") if view is not None and describe(view) != "needs geometry" else ""

    def _enable(self) -> None:
        views = self.registration.xrays if self.registration else []
        row = next((i for i, view in enumerate(views) if view.node.GetID() == self._selected), -1)
        self.ui.addVolumeButton.enabled = self.ui.volumeSelector.currentNode() is not None
        self.ui.removeButton.enabled = row >= 0
        self.ui.upButton.enabled = row > 0
        self.ui.downButton.enabled = 0 <= row < len(views) - 1

    def show_state(self) -> None:
        super().show_state()
        if self.registration is None:
            self._of = self._readiness = None
            self.ui.xrayTable.rowCount = 0
            for widget in (self.ui.problemLabel, *self._boxes, self.ui.sharedBox):
                widget.setVisible(False)
            for editor in self.editors:
                editor.show(None)
            self._enable()

    def state(self) -> State:
        if self._reading is not None:
            return State(RUNNING, _("reading {name}").format(name=self._paths[0].name))
        views = self.registration.xrays
        used = [view for view in views if view.used]
        if not used:
            return State(TODO, _("none is used") if views else _("add X-rays"))
        twins = self._readiness.twins()
        if twins is not None:
            return State(PROBLEM, _("{a} and {b} have the same geometry").format(a=twins[0].name, b=twins[1].name))
        for view in used:
            if describe(view) == "needs geometry":
                return State(TODO, _("{name} needs geometry").format(name=view.name))
            if self._readiness.of(view):
                return State(PROBLEM, _("{name} cannot be used").format(name=view.name))
        return State(READY, _("1 view ready") if len(used) == 1 else _("{count} views ready").format(count=len(used)))

    # What goes on beside

    def tick(self) -> None:
        if self._reading is not None:
            self._reading.poll()
            if self._reading.state != "running":
                self._take_read()
        elif self._readiness is not None and self._of is self.registration.node and self._readiness.step():
            self.panel.invalidate()

    def leave(self) -> None:
        self._paths, self._reading, self._failures = [], None, []  # what it comes to is forgotten

    def _read(self, paths: list[Path]) -> None:
        if not self.may_begin or not paths:
            return
        with self.panel.acting():
            self.panel.begin()
            self._paths += without_data_files(paths)
            self._read_next()

    def _read_next(self) -> None:
        if self._reading is None and self._paths:
            path = self._paths[0]
            self._reading = Worker(lambda tell: adding.read(path))

    def _take_read(self) -> None:
        """Add what was read, and read on; what went wrong is told once all are read."""
        reading, self._reading = self._reading, None
        self._paths.pop(0)
        with self.panel.acting():
            try:
                if reading.state != "done":
                    raise InputError(reading.message)
                self._select(reading.result(self.registration))
            except InputError as error:
                self._failures.append(str(error))
            self._read_next()
            if self._reading is None and self._failures:
                failures, self._failures = self._failures, []
                raise InputError("\n".join(failures))

    def _select(self, views: list[XRayView]) -> None:
        self._selected = views[0].node.GetID()

    # A person at the widgets

    def _on_selected(self) -> None:
        row = self.ui.xrayTable.currentRow()
        if not self.asked or row < 0:
            return
        with self.panel.acting():
            self._selected = self.registration.xrays[row].node.GetID()

    def _on_item(self, item) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            view = self.registration.xrays[item.row()]
            if item.column() == USE:
                view.change(use=item.checkState() == qt.Qt.Checked)
            elif item.column() == NAME:
                rename(self.registration, view, item.text())

    def _on_add_volume(self) -> None:
        volume = self.ui.volumeSelector.currentNode()
        if not self.may_begin or volume is None:
            return
        with self.panel.acting():
            self.panel.begin()
            self._select([adding.add_volume(self.registration, volume)])
            self.ui.volumeSelector.setCurrentNode(None)

    def _on_add_files(self) -> None:
        paths = qt.QFileDialog.getOpenFileNames(self.widget, _("Add X-rays"), "", FILES)
        self._read([Path(path) for path in paths])

    def _on_remove(self) -> None:
        view = self.selected
        if not self.asked or view is None:
            return
        if not slicer.util.confirmYesNoDisplay(
            _("Remove the X-ray {name}, with its geometry and mask?").format(name=view.name)
        ):
            return
        with self.panel.acting():
            row = self.registration.xrays.index(view)
            self.registration.remove_xray(view)
            left = self.registration.xrays
            self._selected = left[min(row, len(left) - 1)].node.GetID() if left else ""

    def _on_move(self, by: int) -> None:
        view = self.selected
        if not self.asked or view is None:
            return
        with self.panel.acting():
            self.registration.move_xray(view, self.registration.xrays.index(view) + by)

    def _on_shared(self) -> None:
        if self.asked:
            with self.panel.acting():
                set_shared_unknowns(self.registration, SharedUnknowns(*(field.value or None for field in self._shared)))
