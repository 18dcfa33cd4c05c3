"""The tabs about one X-ray: geometry, image and certainty."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import qt
import slicer

from ..mrml.image import draw_mask, show_mask
from ..mrml.xray import drawn_on
from ..session.external_files import requirements_of
from ..session.presenters.certainty import ABOUT, DEVIATIONS, KNOWN
from ..session.presenters.geometry import AXES, MODES, NUMBERS, SEEN
from ..session.presenters.image import INTENSITIES
from ..session.presenters.number import Number
from ..session.presenters.options import Option
from ..session.translation import _
from . import packages
from .fields import NumberField
from .pictures import pixmap
from .question_rows import CHOOSE, QuestionRows
from .tables import fit_rows


class XRayTab:
    """A tab with a .ui of its own. A subclass names that file, connects its widgets in `connect`, and fills them in `show`.

    presenter: an `EditorPresenter`, whose X-ray the widgets `self.ui.<name>` are about.
    """

    FILE = ""

    def __init__(self, section, presenter) -> None:
        self.section, self.panel, self.presenter = section, section.panel, presenter
        self.widget = slicer.util.loadUI(self.panel.resource_path(f"UI/{self.FILE}"))
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.connect()

    @property
    def asked(self) -> bool:
        """Whether a signal comes from a person, and there is an X-ray that it is about."""
        return self.section.asked and self.presenter.view is not None

    def do(self, action: Callable, *args) -> None:
        """Do what a person asks for at a widget."""
        if self.asked:
            with self.panel.acting():
                action(*args)

    def refresh(self, shown) -> None:
        """Show what the presenter shows, of the X-ray that is selected."""
        self.widget.enabled = self.presenter.view is not None
        if self.widget.enabled:
            self.show(shown)

    def connect(self) -> None:
        """Connect the widgets, once."""

    def show(self, shown) -> None:
        """Fill the widgets; their signals are ignored meanwhile."""


CALIBRATIONS = _(
    "Calibrations (*.txt *.csv *.dat *.json *.yaml *.yml *.xml *.npy *.npz *.h5 *.hdf5 *.mha *.mhd *.nrrd);;All files (*)"
)
#: The fields of `NUMBERS`, and the boxes with the sides of angles, whose second is the negative one.
EDITS = {
    "rao_lao_deg": "raoLaoEdit",
    "cra_cau_deg": "craCauEdit",
    "source_to_detector_mm": "distanceEdit",
    "source_to_isocentre_mm": "isocentreEdit",
    "pixel_mm0": "pixelColumnEdit",
    "pixel_mm1": "pixelRowEdit",
    "roll_deg": "rollEdit",
    "isocentre_offset_mm0": "offsetColumnEdit",
    "isocentre_offset_mm1": "offsetRowEdit",
    "principal_point0": "pointColumnEdit",
    "principal_point1": "pointRowEdit",
}
SIDES = {"rao_lao_deg": "raoLaoBox", "cra_cau_deg": "craCauBox"}


class GeometryTab(XRayTab):
    """Fields of a C-arm, cells of a matrix, and the questions of a calibration file."""

    FILE = "XRayGeometry.ui"

    def connect(self) -> None:
        ui, presenter = self.ui, self.presenter
        self._numbers, self._sides = {}, {key: getattr(ui, name) for key, name in SIDES.items()}
        for key, name in EDITS.items():
            edited = partial(self._on_number, key)
            self._numbers[key] = NumberField(getattr(ui, name), NUMBERS[key], typed=edited, done=edited)
        for key, side in self._sides.items():
            side.connect("currentIndexChanged(int)", lambda index, key=key: self._on_number(key))
        ui.middleBox.toggled.connect(lambda on: self._edit("middle", "yes" if on else ""))
        ui.seenBox.connect("currentIndexChanged(int)", lambda index: self._edit("seen", list(SEEN)[index]))
        ui.axesBox.connect("currentIndexChanged(int)", lambda index: self._edit("axes", AXES[index]))
        ui.modeBox.connect("currentIndexChanged(int)", lambda index: self.do(presenter.edit, "mode", MODES[index]))
        for cell in np.ndindex(3, 4):
            ui.matrixTable.setItem(*cell, qt.QTableWidgetItem())
        ui.matrixTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        ui.matrixTable.itemChanged.connect(lambda item: self._edit("matrix", self._matrix_text()))
        self.questions = QuestionRows(
            ui.questionsWidget, lambda key, answer: self.do(presenter.calibration.answer, key, answer)
        )
        ui.cameraBox.connect("activated(int)", self._on_camera)
        ui.copyButton.clicked.connect(lambda: self.do(presenter.copy, ui.copyBox.currentData))
        ui.pasteButton.clicked.connect(self._on_paste)
        ui.fileButton.clicked.connect(self._on_file)
        ui.applyButton.clicked.connect(self._on_apply)
        ui.resetButton.clicked.connect(lambda: self.do(presenter.revert))
        self._shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+V"), ui.matrixTable)
        self._shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        self._shortcut.connect("activated()", self._on_paste)

    # What is shown

    def show(self, shown) -> None:
        ui, fields = self.ui, shown.fields
        ui.modeBox.currentIndex = MODES.index(shown.mode)
        for key, field in self._numbers.items():
            signed = key in self._sides and field.bare.startswith("-") and not shown.changed
            if signed or self._typed(key) != fields[key]:
                negative = key in self._sides and fields[key].startswith("-")
                if key in self._sides:
                    self._sides[key].currentIndex = int(negative)
                field.show_bare(fields[key][negative:])
        ui.middleBox.checked = bool(fields["middle"])
        ui.seenBox.currentIndex = list(SEEN).index(fields["seen"])
        self._show_matrix(fields)
        self._show_calibration(shown.calibration)
        if shown.others != [self._other(i) for i in range(ui.copyBox.count)]:
            ui.copyBox.clear()
            for other in shown.others:
                ui.copyBox.addItem(other.title, other.value)
        for widget in (ui.copyLabel, ui.copyBox, ui.copyButton):
            widget.setVisible(bool(shown.others))
        self._tell(shown)

    def _tell(self, shown) -> None:
        """What can be applied, and what is wrong."""
        ui = self.ui
        for mode, page in zip(MODES, (ui.carmPage, ui.matrixPage, ui.calibrationPage), strict=True):
            page.setVisible(mode == shown.mode)
        for key in ("principal_point0", "principal_point1"):
            self._numbers[key].edit.enabled = not shown.fields["middle"]
        ui.applyButton.enabled, ui.resetButton.enabled = shown.can_apply, shown.changed
        ui.checkLabel.text = "\n".join(filter(None, [shown.told, shown.problem]))

    def _show_matrix(self, fields: dict[str, str]) -> None:
        table = self.ui.matrixTable
        fit_rows(table, least=3)
        self.ui.axesBox.currentIndex = AXES.index(fields["axes"])
        if fields["matrix"] != self._matrix_text():
            rows = [line.split("\t") for line in fields["matrix"].split("\n")] if fields["matrix"] else [[""] * 4] * 3
            for row, column in np.ndindex(3, 4):
                table.item(row, column).setText(rows[row][column])

    def _matrix_text(self) -> str:
        """The cells as the presenter has them; "" where all are empty."""
        table = self.ui.matrixTable
        rows = [[table.item(row, column).text().strip() for column in range(4)] for row in range(3)]
        return "\n".join(map("\t".join, rows)) if any(map(any, rows)) else ""

    def _show_calibration(self, shown) -> None:
        ui = self.ui
        ui.fileNameLabel.text, ui.fileNameLabel.toolTip = shown.file or _("none yet"), shown.path
        self.questions.show(shown.questions)
        ui.cameraBox.clear()
        ui.cameraBox.addItems([CHOOSE, *shown.cameras])
        ui.cameraBox.setCurrentIndex(shown.cameras.index(shown.camera) + 1 if shown.camera else 0)
        for widget in (ui.cameraLabel, ui.cameraBox):
            widget.setVisible(len(shown.cameras) > 1)

    def _other(self, index: int):
        return Option(self.ui.copyBox.itemData(index), self.ui.copyBox.itemText(index))

    # A person at the widgets

    def _typed(self, key: str) -> str:
        """The text of a field, with the sign that its side means."""
        text = self._numbers[key].bare
        if key not in self._sides or not self._sides[key].currentIndex or not text:
            return text
        return text[1:] if text.startswith("-") else f"-{text}"

    def _edit(self, key: str, value: str) -> None:
        """Without `acting`: a person is still typing."""
        if self.asked:
            self.presenter.edit(key, value)
            self._tell(self.presenter.shown())

    def _on_number(self, key: str) -> None:
        self._edit(key, self._typed(key))

    def _on_camera(self, index: int) -> None:
        self.do(self.presenter.calibration.choose_camera, self.ui.cameraBox.itemText(index) if index > 0 else "")

    def _on_paste(self) -> None:
        self.do(self.presenter.paste, slicer.app.clipboard().text())

    def _on_file(self) -> None:
        before = self.presenter.calibration.last.path
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Calibration file"), str(before or ""), CALIBRATIONS)
        if path:
            self.do(self._open, Path(path))

    def _open(self, path: Path) -> None:
        if requirements := requirements_of(path):
            packages.ensure(self.panel.resource_path(requirements))
        self.presenter.calibration.open(path)

    def _on_apply(self) -> None:
        unusual = self.presenter.shown().unusual if self.asked else ""
        if not unusual or slicer.util.confirmYesNoDisplay(unusual + " " + _("Apply it all the same?")):
            self.do(self.presenter.apply)


PICTURE_SIZE = (120, 120)


class ImageTab(XRayTab):
    """How the picture of an X-ray is made, a small copy of it, and a button that draws a mask in Slicer's Segment Editor."""

    FILE = "XRayImage.ui"

    def connect(self) -> None:
        ui, presenter = self.ui, self.presenter
        self._pictured: tuple = ()
        self.frame = NumberField(ui.frameEdit, Number(_("Frame"), 0, 0, whole=True), done=self._on_frame)
        self._arrows = [self._arrow(key, by) for key, by in (("Up", 1), ("Down", -1))]
        ui.valuesBox.connect(
            "currentIndexChanged(int)", lambda index: self.do(presenter.set_intensity, list(INTENSITIES)[index])
        )
        ui.invertBox.toggled.connect(lambda on: self.do(presenter.switch, "inverted", on))
        ui.flipBox.toggled.connect(lambda on: self.do(presenter.switch, "flipped", on))
        ui.maskSelector.currentNodeIDChanged.connect(lambda node_id: self.do(presenter.set_mask, node_id))
        ui.drawButton.clicked.connect(lambda: self.do(self._draw))

    def show(self, shown) -> None:
        ui, view = self.ui, self.presenter.view
        ui.sourceLabel.text = ui.sourceLabel.toolTip = shown.source
        self.frame.number = self.presenter.frame_number()
        self.frame.show(shown.frame, (view.node.GetID(), shown.last_frame))
        for widget in (ui.frameLabel, ui.frameEdit):
            widget.setVisible(shown.last_frame > 0)
        ui.valuesBox.currentIndex = list(INTENSITIES).index(shown.intensity)
        ui.invertBox.checked, ui.flipBox.checked = shown.inverted, shown.flipped
        for widget in (ui.valuesBox, ui.invertBox, ui.flipBox):
            widget.enabled = shown.editable
        ui.maskSelector.setCurrentNode(view.mask)
        self._show_picture()

    def _show_picture(self) -> None:
        """The picture as its view shows it, made anew only where it has changed."""
        view = self.presenter.view
        display, image = view.node.GetDisplayNode(), view.node.GetImageData()
        key = (view.node.GetID(), image and image.GetMTime(), display and display.GetMTime())
        if key == self._pictured:
            return
        self._pictured = key
        if not image or not display:
            self.ui.pictureLabel.text = _("No image")
            return
        step = max(1, max(view.size) // (2 * max(PICTURE_SIZE)))
        values = slicer.util.arrayFromVolume(view.node)[0, ::step, ::step]
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        grey = (255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
        self.ui.pictureLabel.setPixmap(pixmap(np.repeat(grey[..., None], 3, 2), *PICTURE_SIZE))

    def _arrow(self, key: str, by: int):
        """An arrow key in the field goes to the next frame, or the one before."""
        shortcut = qt.QShortcut(qt.QKeySequence(key), self.ui.frameEdit)
        shortcut.setContext(qt.Qt.WidgetShortcut)
        shortcut.connect("activated()", lambda: self.do(self.presenter.step_frame, by))
        return shortcut

    def _on_frame(self) -> None:
        self.do(self.presenter.set_frame, self.frame.bare)

    def _draw(self) -> None:
        view = self.presenter.view
        segmentation = view.mask or draw_mask(view)[0]
        self.panel.ui.layoutButton.checked = True  # the X-ray's own view, to draw in
        edit_segmentation(segmentation, drawn_on(segmentation) or view.node)
        if not self.panel.shown:
            show_mask(view, filled=True)


def edit_segmentation(segmentation, volume) -> None:
    """Open Slicer's Segment Editor on a segmentation over a volume, where there is that module."""
    if not hasattr(slicer.modules, "segmenteditor"):
        return
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)


class CertaintyTab(XRayTab):
    """A box and a field for the angles, and for the place."""

    FILE = "XRayCertainty.ui"

    def connect(self) -> None:
        ui = self.ui
        self._rows = {
            key: (box, NumberField(edit, DEVIATIONS[key], done=lambda key=key: self._on_typed(key)))
            for key, box, edit in (
                ("rotation_sd_deg", ui.anglesBox, ui.anglesEdit),
                ("translation_sd_mm", ui.placeBox, ui.placeEdit),
            )
        }
        self.fields = tuple(field for _box, field in self._rows.values())
        for key, (box, _field) in self._rows.items():
            box.connect("currentIndexChanged(int)", lambda index, key=key: self._on_known(key, index))

    def show(self, shown) -> None:
        for key, (box, field) in self._rows.items():
            row = getattr(shown, key)
            box.currentIndex = list(KNOWN).index(row.known)
            field.edit.enabled = row.known == ABOUT and not shown.reference
            field.show(field.number.read(row.deviation), (self.presenter.view.node.GetID(), field.edit.enabled))
            box.enabled = not shown.reference
        self.ui.hintLabel.text = shown.hint

    def _on_known(self, key: str, index: int) -> None:
        self.do(self.presenter.set_known, key, list(KNOWN)[index])

    def _on_typed(self, key: str) -> None:
        self.do(self.presenter.set_deviation, key, self._rows[key][1].bare)
