"""By what a person judges the pose: overlays, similarity, points that must agree."""

from __future__ import annotations

from time import monotonic

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ..scene import beam, overlay, slice_view
from ..scene.cursor import CURSOR, LinkedCursor
from ..scene.distances import distances
from ..scene.markups import is_placing, place, stop_placing
from ..scene.structures import Projections, choose_structures, structures_of
from ..scene.worker import Worker
from .section import DONE, READY, RUNNING, TODO, Section, State
from .three_d import size_of_view

FLICKER_S = 0.5
ROW_PX = 22
OVERLAYS = {
    "blend": _("Blend"),
    "checkerboard": _("Checkerboard"),
    "edges": _("Edges of the DRR"),
    "difference": _("Difference"),
    "flicker": _("Flicker"),
    "off": _("None, the X-ray alone"),
}


class CheckSection(Section):
    """Overlay, structures, similarity, verdict, linked cursor and distances."""

    FILE = "Check.ui"
    TITLE = _("5. Check")

    def connect(self) -> None:
        ui = self.ui
        self._of = None
        self._projections = self._cursor = self._measuring = self._similarity_of = None
        self._similarity: dict[str, float] = {}
        self._laid: dict[str, tuple] = {}
        for mode in overlay.MODES:
            ui.overlayComboBox.addItem(OVERLAYS[mode], mode)
        ui.overlayComboBox.currentIndexChanged.connect(self._on_overlay)
        ui.opacitySlider.valueChanged.connect(self._on_opacity)
        ui.structuresComboBox.checkedNodesChanged.connect(self._on_structures)
        ui.beamComboBox.currentIndexChanged.connect(self._on_beam)
        ui.cursorButton.toggled.connect(self._on_cursor)
        ui.clearCursorButton.clicked.connect(self._on_clear_cursor)
        ui.lineButton.clicked.connect(self._on_line)
        ui.similarityTable.setHorizontalHeaderLabels([_("X-ray"), _("Similarity")])
        ui.distancesTable.setHorizontalHeaderLabels([_("Between"), _("Distance")])
        for table in (ui.similarityTable, ui.distancesTable):
            table.verticalHeader().setVisible(False)
            table.horizontalHeader().setStretchLastSection(True)
            table.verticalHeader().setDefaultSectionSize(ROW_PX)

    @property
    def mode(self) -> str:
        """One of overlay.MODES."""
        return self.registration.parameter("overlay", overlay.MODES[0])

    @property
    def opacity(self) -> float:
        return float(self.registration.parameter("opacity", "0.5"))

    def refresh(self) -> None:
        self._adopt()
        ui = self.ui
        ui.overlayComboBox.setCurrentIndex(overlay.MODES.index(self.mode))
        ui.opacitySlider.value = self.opacity
        ui.opacitySlider.enabled = self.mode == "blend"
        chosen = structures_of(self.registration)
        for node in [*ui.structuresComboBox.checkedNodes(), *ui.structuresComboBox.uncheckedNodes()]:
            ui.structuresComboBox.setCheckState(node, qt.Qt.Checked if node in chosen else qt.Qt.Unchecked)
        self._show_beams()
        self._show_similarity()
        self._show_verdict()
        self._show_distances()

    def state(self) -> State:
        entry = self.session.history.current
        if self.session.preparing:
            return State(RUNNING, _("preparing the overlays"))
        if entry is None or not entry.fingerprint:
            return State(TODO)
        return State(READY, _("caution")) if entry.reasons or self.session.doubt() else State(DONE, _("look at every X-ray"))

    def tick(self) -> None:
        self._adopt()
        self.session.drawing.mode = self.mode
        self._lay_over()
        self._projections.update()
        if self._cursor.update():
            self._show_cursor()
        if self.ui.cursorButton.checked and not self._placing():  # ended by Escape, or by another tool
            self.ui.cursorButton.setChecked(False)
        self._measure()

    def leave(self) -> None:
        if self.registration is not None and self.registration.scene is not None and self._placing():
            stop_placing(self.registration.scene)
        self._of = None
        self._laid.clear()

    def _adopt(self) -> None:
        """Follow another registration."""
        if self._of != self.registration:
            self._of = self.registration
            self._projections, self._cursor = Projections(self.registration), LinkedCursor(self.registration)
            self._similarity, self._similarity_of, self._measuring = {}, None, None
            self._show_cursor()

    # Overlays

    def _lay_over(self) -> None:
        """Show in each X-ray's slice view what the mode asks for; of flicker, by turns."""
        mode = self.mode
        opacity = {"blend": self.opacity, "flicker": float(monotonic() % (2 * FLICKER_S) < FLICKER_S)}.get(mode, 1.0)
        for view in self.registration.xrays:
            volume = overlay.foreground(view, mode)
            laid = volume and volume.GetID(), opacity
            if self._laid.get(view.node.GetID()) != laid:
                slice_view.lay_over(view, volume, opacity)
                self._laid[view.node.GetID()] = laid

    def _on_overlay(self, index: int) -> None:
        if not self.panel.filling:
            with self.panel.acting():
                self.registration.node.SetParameter("overlay", overlay.MODES[index])

    def _on_opacity(self, value: float) -> None:
        if not self.panel.filling:
            self.registration.node.SetParameter("opacity", str(value))

    def _on_structures(self) -> None:
        if not self.panel.filling:
            with self.panel.acting():
                choose_structures(self.registration, list(self.ui.structuresComboBox.checkedNodes()))

    # The source's eye

    def _show_beams(self) -> None:
        box, names = self.ui.beamComboBox, [view.name for view in self.registration.xrays if view.placed]
        if [box.itemText(i) for i in range(1, box.count)] == names:
            return
        box.clear()
        box.addItem(_("anywhere"))
        for name in names:
            box.addItem(name)

    def _on_beam(self, index: int) -> None:
        if self.panel.filling or index < 0:
            return
        with self.panel.acting():
            view_node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode")
            camera = view_node and beam.camera_of(view_node)
            if camera is None:
                return
            views = {view.name: view for view in self.registration.xrays}
            name = self.ui.beamComboBox.itemText(index)
            if name in views:
                beam.look(views[name], camera, size_of_view())
            else:
                beam.off(camera)

    # Similarity and verdict

    def _measure(self) -> None:
        """Measure how alike the views are once the CT rests; a thread does it."""
        pose = self.registration.world_from_ct.tobytes()
        if self._measuring is None and not self.session.running and self.session.drawing.at_rest and self._similarity_of != pose:
            find = self.session.find_similarity()
            if find is not None:
                self._similarity_of = pose
                self._measuring = Worker(lambda tell: find())
        elif self._measuring is not None:
            self._measuring.poll()
            if self._measuring.state != "running":
                self._similarity = self._measuring.result or {}
                self._measuring = None
                self._show_similarity()

    def _show_similarity(self) -> None:
        views = self.registration.xrays
        rows = [(view.name, _similarity(self._similarity.get(view.name)) if view.used else _("skipped")) for view in views]
        _fill(self.ui.similarityTable, rows)

    def _show_verdict(self) -> None:
        entry, doubt = self.session.history.current, self.session.doubt()
        told = [_("Nothing judges yet whether this result can be trusted: look at the overlays of every X-ray.")]
        if entry is not None and entry.fingerprint:
            told += [doubt] if doubt else []
            told += entry.reasons
        self.ui.verdictLabel.text = "\n".join(told)

    # Points

    def _on_cursor(self, on: bool) -> None:
        if self.panel.filling:
            return
        with self.panel.acting():
            if on:
                place(self._cursor.points)
            elif self._placing():
                stop_placing(self.registration.scene)

    def _placing(self) -> bool:
        points = self.registration.node.GetNodeReference(CURSOR)
        return points is not None and is_placing(points)

    def _on_clear_cursor(self) -> None:
        with self.panel.acting():
            self._cursor.clear()
            self._show_cursor()

    def _show_cursor(self) -> None:
        reading, told = self._cursor.reading, []
        if reading.ras is not None:
            r, a, s = self._cursor.ct_ras
            told.append(_("In the CT at R {r:.1f}, A {a:.1f}, S {s:.1f} mm.").format(r=r, a=a, s=s))
            if reading.residual_mm is not None:
                missed = _("The rays miss it by up to {mm:.1f} mm, {px:.1f} pixels.")
                told.append(missed.format(mm=reading.residual_mm, px=reading.residual_px))
        elif reading.seen:
            told.append(_("Click the same point in another X-ray, on the line."))
        self.ui.cursorLabel.text = " ".join([*told, reading.caution])
        self.ui.cursorLabel.setVisible(bool(self.ui.cursorLabel.text.strip()))

    def _on_line(self) -> None:
        with self.panel.acting():
            line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", slicer.mrmlScene.GenerateUniqueName(_("Distance")))
            line.CreateDefaultDisplayNodes()
            place(line)

    def _show_distances(self) -> None:
        rows = []
        for distance in distances(self.registration) if self.registration.ct is not None else ():
            length = _("{mm:.1f} mm").format(mm=distance.mm)
            if distance.at_ct_mm is not None:
                length = _("{ct:.1f} mm at the CT's depth ({mm:.1f} mm on the detector)").format(ct=distance.at_ct_mm, mm=distance.mm)
            rows.append((distance.name, length))
        _fill(self.ui.distancesTable, rows)


def _similarity(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.2f}"


def _fill(table, rows: list[tuple[str, str]]) -> None:
    table.setRowCount(len(rows))
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            table.setItem(i, j, qt.QTableWidgetItem(text))
    table.setFixedHeight(table.horizontalHeader().height + ROW_PX * max(len(rows), 1) + 4)
