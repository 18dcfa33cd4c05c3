"""The X-rays: images, geometry, masks."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer

from ..imaging.image_source import without_data_files
from ..session.presenters.xrays import SHARED, XRaysPresenter
from ..session.translation import _
from .drop import FileDrop
from .fields import NumberField
from .section import Section
from .tables import fit_rows
from .xray_tabs import CertaintyTab, GeometryTab, ImageTab

FILES = _(
    "X-rays (*.dcm *.ima *.png *.tif *.tiff *.mha *.mhd *.nrrd *.nii *.nii.gz *.jpg *.bmp);;Cases (*.json);;All files (*)"
)
USE, NAME, GEOMETRY, CERTAINTY, SIMILARITY = range(5)
MIN_ROWS = 2


class XRaysSection(Section):
    """A table of the X-rays, and tabs about the one that is selected."""

    FILE = "XRays.ui"
    TITLE = _("2. X-rays")
    PRESENTER = XRaysPresenter
    BEGINS = True

    def connect(self) -> None:
        ui, presenter = self.ui, self.presenter
        self.geometry = GeometryTab(self, presenter.geometry)
        self.image = ImageTab(self, presenter.image)
        self.certainty = CertaintyTab(self, presenter.certainty)
        self._tabs = (
            (ui.geometryBox, self.geometry, "geometry"),
            (ui.imageBox, self.image, "image"),
            (ui.certaintyBox, self.certainty, "certainty"),
        )
        for box, tab, _name in self._tabs:
            box.layout().addWidget(tab.widget)
        self._dress()
        ui.xrayTable.itemSelectionChanged.connect(self._on_selected)
        ui.xrayTable.itemChanged.connect(self._on_item)
        ui.addVolumeButton.clicked.connect(self._on_add_volume)
        ui.volumeSelector.currentNodeIDChanged.connect(lambda node_id: self._enable_add())
        ui.addFilesButton.clicked.connect(self._on_add_files)
        ui.removeButton.clicked.connect(self._on_remove)
        ui.upButton.clicked.connect(lambda: self.do(presenter.move, -1))
        ui.downButton.clicked.connect(lambda: self.do(presenter.move, 1))
        self._shared = [
            NumberField(edit, number, done=lambda i=i: self.do(presenter.share, i, self._shared[i].bare))
            for i, (edit, number) in enumerate(
                zip((ui.sharedDistanceEdit, ui.sharedPointEdit, ui.sharedIsocentreEdit), SHARED, strict=True)
            )
        ]
        self.fields = (*self._shared, *self.certainty.fields, self.image.frame)
        self._drop = FileDrop(self.button, self._read)
        self._shortcut = qt.QShortcut(qt.QKeySequence("Del"), ui.xrayTable)
        self._shortcut.setContext(qt.Qt.WidgetShortcut)
        self._shortcut.connect("activated()", self._on_remove)

    def _dress(self) -> None:
        ui, style = self.ui, self.widget.style()
        for button, icon in (
            (ui.upButton, qt.QStyle.SP_ArrowUp),
            (ui.downButton, qt.QStyle.SP_ArrowDown),
            (ui.removeButton, qt.QStyle.SP_TrashIcon),
        ):
            button.icon = style.standardIcon(icon)
        header = ui.xrayTable.horizontalHeader()
        header.minimumSectionSize = 24
        for column in range(ui.xrayTable.columnCount):
            header.setSectionResizeMode(
                column, qt.QHeaderView.Stretch if column == NAME else qt.QHeaderView.ResizeToContents
            )

    # What is shown

    def refresh(self) -> None:
        presenter, views = self.presenter, self.presenter.views
        if presenter.selected is None and views:
            presenter.select(views[0].node.GetID())
        shown = presenter.shown()
        self._show_table(shown)
        self.ui.problemLabel.text = shown.problem
        self.ui.problemLabel.setVisible(bool(shown.problem))
        self.ui.sharedBox.setVisible(bool(views))
        for box, tab, name in self._tabs:
            box.setVisible(bool(views))
            tab.refresh(getattr(shown, name))
            title = tab.presenter.TITLE
            box.title = _("{what} of {name}").format(what=title, name=shown.name) if views else title
        for field, text in zip(self._shared, shown.shared, strict=True):
            field.show(field.number.read(text), self.registration and self.registration.node.GetID())
        self._enable_add()
        self.ui.removeButton.enabled = bool(shown.selected)
        self.ui.upButton.enabled, self.ui.downButton.enabled = shown.can_up, shown.can_down

    def _show_table(self, shown) -> None:
        """Only what has changed is written."""
        table = self.ui.xrayTable
        table.rowCount = len(shown.rows)
        for number, row in enumerate(shown.rows):
            item, state = self._item(number, USE), qt.Qt.Checked if row.used else qt.Qt.Unchecked
            if item.checkState() != state:
                item.setCheckState(state)
            geometry = f"{row.geometry} ({row.origin})" if row.origin else row.geometry
            for column, text, tip in (
                (NAME, row.name, f"{row.name}, {row.image}"),
                (GEOMETRY, row.geometry, row.trouble or geometry),
                (CERTAINTY, row.certainty, row.certainty),
                (SIMILARITY, row.similarity, row.similarity),
            ):
                item = self._item(number, column)
                if item.text() != text:
                    item.setText(text)
                item.setToolTip(tip)
        fit_rows(table, MIN_ROWS)
        selected = next((i for i, row in enumerate(shown.rows) if row.id == shown.selected), -1)
        if selected != table.currentRow():
            table.setCurrentCell(selected, NAME)

    def _item(self, row: int, column: int):
        item = self.ui.xrayTable.item(row, column)
        if item is None:
            item = qt.QTableWidgetItem()
            more = {USE: qt.Qt.ItemIsUserCheckable, NAME: qt.Qt.ItemIsEditable}
            flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled
            item.setFlags(flags | more[column] if column in more else flags)
            if column == USE:
                item.setCheckState(qt.Qt.Unchecked)
            self.ui.xrayTable.setItem(row, column, item)
        return item

    def _enable_add(self) -> None:
        self.ui.addVolumeButton.enabled = self.ui.volumeSelector.currentNode() is not None

    def show_state(self) -> None:
        super().show_state()
        if self.registration is None:
            self.refresh()

    def tick(self) -> None:
        if self.presenter.tick():
            self.panel.invalidate()

    def leave(self) -> None:
        self.presenter.stop_reading()

    # A person at the widgets

    def _read(self, paths: list[Path]) -> None:
        if self.may_begin and paths:
            with self.panel.acting():
                self.presenter.read(without_data_files(paths))

    def _on_selected(self) -> None:
        row = self.ui.xrayTable.currentRow()
        if row >= 0:
            self.do(lambda: self.presenter.select(self.presenter.views[row].node.GetID()))

    def _on_item(self, item) -> None:
        if self.asked:
            node_id = self.presenter.views[item.row()].node.GetID()
            if item.column() == USE:
                self.do(self.presenter.use, node_id, item.checkState() == qt.Qt.Checked)
            elif item.column() == NAME:
                self.do(self.presenter.rename, node_id, item.text())

    def _on_add_volume(self) -> None:
        volume = self.ui.volumeSelector.currentNode()
        if self.may_begin and volume is not None:
            with self.panel.acting():
                self.presenter.add_volume(volume)
                self.ui.volumeSelector.setCurrentNode(None)

    def _on_add_files(self) -> None:
        paths = qt.QFileDialog.getOpenFileNames(self.widget, _("Add X-rays"), "", FILES)
        self._read([Path(path) for path in paths])

    def _on_remove(self) -> None:
        view = self.presenter.selected
        if self.asked and view is not None:
            question = _("Remove the X-ray {name}, with its geometry and mask?").format(name=view.name)
            if slicer.util.confirmYesNoDisplay(question):
                self.do(self.presenter.remove)
