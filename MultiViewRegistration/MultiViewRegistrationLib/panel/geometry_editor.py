"""How an X-ray was taken: C-arm angles and distances, a matrix, or a calibration file."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..io.calibration.matrix_text import MatrixText, read_matrix
from ..mrml.xray import XRayView
from ..session.calibration import requirements_of, use_camera
from ..session.geometry import check_reading, matrix_of, reading_of, set_matrix, summary
from ..session.header import proposed, use_reading
from . import packages
from .c_arm_fields import CArmFields, unusual
from .calibration_fields import CalibrationFields
from .matrix_fields import MatrixFields
from .xray_editor import XRayEditor

C_ARM, MATRIX, FILE = range(3)
CALIBRATIONS = _(
    "Calibrations (*.txt *.csv *.dat *.json *.yaml *.yml *.xml *.npy *.npz *.h5 *.hdf5 *.mha *.mhd *.nrrd);;All files (*)"
)


class GeometryEditor(XRayEditor):
    """Fields that are filled from the X-ray, changed, checked while they are, and applied.

    What was changed and not yet applied is kept for each X-ray while others are looked at.
    """

    FILE = "XRayGeometry.ui"
    TITLE = _("Geometry")

    def connect(self) -> None:
        ui = self.ui
        self._drafts: dict[str, dict] = {}
        self._shown: tuple = ()
        self._c_arm, self._matrix = CArmFields(ui, self._on_edited), MatrixFields(ui, self._on_edited)
        self._calibration = CalibrationFields(ui, self._on_edited)
        ui.modeBox.connect("currentIndexChanged(int)", self._on_mode)
        ui.copyButton.clicked.connect(self._on_copy)
        ui.pasteButton.clicked.connect(self._on_paste)
        ui.fileButton.clicked.connect(self._on_file)
        ui.applyButton.clicked.connect(self._on_apply)
        ui.resetButton.clicked.connect(self._on_reset)
        self._shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+V"), ui.matrixTable)
        self._shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        self._shortcut.connect("activated()", self._on_paste)

    def forget(self) -> None:
        """Another registration is at work: what was not applied belongs to nobody."""
        self._drafts, self._shown = {}, ()

    # The scene into the widgets

    def refresh(self) -> None:
        node = self.view.node
        draft = self._drafts.get(node.GetID())
        shown = (node.GetID(), self.view.content, self.view.size, draft is None)
        if shown != self._shown:
            self._shown = shown
            self._fill() if draft is None else self._fill_draft(draft)
        self._list_others()
        self._tell()

    def _fill(self) -> None:
        matrix = matrix_of(self.view)
        self.ui.modeBox.currentIndex = self._given_as
        self._c_arm.show(reading_of(self.view), self.view.size)
        self._matrix.show(None if matrix is None else MatrixText(matrix))
        self._calibration.show(self.view, None)

    @property
    def _given_as(self) -> int:
        return MATRIX if "camera" in self.view.content else C_ARM

    def _fill_draft(self, draft: dict) -> None:
        self.ui.modeBox.currentIndex = draft["mode"]
        self._c_arm.show_draft(draft["c_arm"])
        self._matrix.show_cells(draft["cells"], draft["axes"])
        self._matrix.size = draft["size"]
        self._calibration.show(self.view, draft["calibration"])

    def _list_others(self) -> None:
        """The X-rays whose geometry can be copied."""
        box = self.ui.copyBox
        names = [other.name for other in self._others()]
        if names != [box.itemText(i) for i in range(box.count)]:
            box.clear()
            box.addItems(names)
        for widget in (self.ui.copyLabel, box, self.ui.copyButton):
            widget.setVisible(bool(names))

    def _others(self) -> list[XRayView]:
        return [other for other in self.registration.xrays if other != self.view and other.placed]

    def _tell(self) -> None:
        """Whether what stands in the widgets can be applied, or what the geometry comes to."""
        changed = self.view.node.GetID() in self._drafts
        self.ui.carmPage.setVisible(self.ui.modeBox.currentIndex == C_ARM)
        self.ui.matrixPage.setVisible(self.ui.modeBox.currentIndex == MATRIX)
        self.ui.calibrationPage.setVisible(self.ui.modeBox.currentIndex == FILE)
        self._c_arm.enable()
        problem = self._problem()
        self.ui.applyButton.enabled = not problem and (changed or not self.view.placed)
        self.ui.resetButton.enabled = changed
        if changed or not self.view.placed:
            told = "" if problem or self.ui.modeBox.currentIndex != FILE else self._calibration.tell() + " "
            header = (
                []
                if self.view.placed or self.ui.modeBox.currentIndex != C_ARM
                else proposed(self.registration, self.view)
            )
            self.ui.checkLabel.text = "\n".join([*header, problem or told + _("Changed, not applied yet.")])
        else:
            self.ui.checkLabel.text = summary(self.registration, self.view)

    def _problem(self) -> str:
        try:
            if self.ui.modeBox.currentIndex == C_ARM:
                check_reading(self._c_arm.reading())
            elif self.ui.modeBox.currentIndex == MATRIX:
                self._matrix.matrix()
            else:
                self._calibration.camera()
        except InputError as error:
            return str(error)
        return ""

    # A person at the widgets

    def _keep_draft(self, origin: str = "") -> None:
        node_id = self.view.node.GetID()
        self._drafts[node_id] = {
            "mode": self.ui.modeBox.currentIndex,
            "c_arm": self._c_arm.draft(),
            "cells": self._matrix.cells(),
            "axes": self.ui.axesBox.currentIndex,
            "size": self._matrix.size,
            "calibration": self._calibration.draft(),
            "origin": origin or self._drafts.get(node_id, {}).get("origin", _("entered")),
        }
        self._shown = (node_id, self.view.content, self.view.size, False)
        self._tell()

    def _on_edited(self, *unused) -> None:
        if self.asked:
            self._keep_draft()

    def _on_mode(self, *unused) -> None:
        if not self.asked:
            return
        if self.ui.modeBox.currentIndex == self._given_as and self.view.placed:
            self._on_reset()
        else:
            self._keep_draft()

    def _on_copy(self) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            other = self._others()[self.ui.copyBox.currentIndex]
            with self.section.filling():
                if "camera" in other.content:
                    self.ui.modeBox.currentIndex = MATRIX
                    self._matrix.show(MatrixText(matrix_of(other), other.size))
                else:
                    self.ui.modeBox.currentIndex = C_ARM
                    self._c_arm.show(reading_of(other), self.view.size)
            self._keep_draft(_("as {name}").format(name=other.name))

    def _on_paste(self) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            self._take(read_matrix(slicer.app.clipboard().text(), _("The clipboard")), _("pasted"))

    def _on_file(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Calibration file"), self._calibration.path, CALIBRATIONS)
        if not path or not self.asked:
            return
        with self.panel.acting():
            if requirements := requirements_of(path):
                packages.ensure(self.panel.resource_path(requirements))
            with self.section.filling():
                self._calibration.choose_file(path)
            self._keep_draft()

    def _take(self, given: MatrixText, origin: str) -> None:
        with self.section.filling():
            self._matrix.show(given, self.ui.axesBox.currentIndex)
        self._keep_draft(origin)

    def _on_apply(self) -> None:
        if not self.asked or not self._confirmed():
            return
        with self.panel.acting():
            origin = self._drafts.get(self.view.node.GetID(), {}).get("origin", _("entered"))
            if self.ui.modeBox.currentIndex == C_ARM:
                use_reading(self.registration, self.view, self._c_arm.reading(), origin)
            elif self.ui.modeBox.currentIndex == FILE:
                use_camera(self.registration, self.view, self._calibration.camera(), self._calibration.path)
            else:
                set_matrix(self.registration, self.view, self._matrix.matrix(), self._matrix.size, origin)
            self._drafts.pop(self.view.node.GetID(), None)

    def _confirmed(self) -> bool:
        """Whether a person stands by what is unusual in a C-arm's reading."""
        strange = unusual(self._c_arm.reading()) if self.ui.modeBox.currentIndex == C_ARM else ""
        return not strange or slicer.util.confirmYesNoDisplay(strange + " " + _("Apply it all the same?"))

    def _on_reset(self) -> None:
        if not self.asked:
            return
        with self.panel.acting():
            self._drafts.pop(self.view.node.GetID(), None)
            self._shown = ()
