"""Points that must agree: the linked cursor, and distances."""

from __future__ import annotations

from time import monotonic

import slicer
from slicer.i18n import tr as _

from ..mrml.cursor import CURSOR, LinkedCursor
from ..mrml.distances import distances
from ..mrml.nodes import is_placing, place, stop_placing
from .part import Part
from .tables import fill, set_up

#: Seconds between two looks at the markups.
MEASURE_S = 0.3


class Points(Part):
    """A point in any view shows in all; lengths of markups."""

    def connect(self) -> None:
        ui = self.ui
        self._cursor: LinkedCursor | None = None
        ui.cursorButton.toggled.connect(self._on_cursor)
        ui.clearCursorButton.clicked.connect(self._on_clear_cursor)
        ui.lineButton.clicked.connect(self._on_line)
        self._measured, self._distances = 0.0, None
        set_up(ui.distancesTable, [_("Between"), _("Distance")])

    def adopt(self) -> None:
        self._cursor = LinkedCursor(self.registration)
        self._cursor.update()
        self._show_cursor()

    def let_go(self) -> None:
        self._cursor.clear()

    def leave(self) -> None:
        if self.registration is not None and self.registration.scene is not None and self._placing():
            stop_placing(self.registration.scene)

    def refresh(self) -> None:
        self._show_distances()

    def follow(self) -> None:
        if self._cursor.update():
            self._show_cursor()

    def tick(self) -> None:
        if self.ui.cursorButton.checked and not self._placing():  # ended by Escape, or by another tool
            self.ui.cursorButton.checked = False
        if monotonic() - self._measured > MEASURE_S:
            self._show_distances()

    # Linked cursor

    def _on_cursor(self, on: bool) -> None:
        if self.section.asked:
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
        elif len(reading.seen) == 1:
            told.append(_("Click the same point in another X-ray, on the line."))
        self.ui.cursorLabel.text = " ".join(filter(None, [*told, reading.caution]))
        self.ui.cursorLabel.setVisible(bool(self.ui.cursorLabel.text))

    # Distances

    def _on_line(self) -> None:
        with self.panel.acting():
            line = slicer.mrmlScene.AddNewNodeByClass(
                "vtkMRMLMarkupsLineNode", slicer.mrmlScene.GenerateUniqueName(_("Distance"))
            )
            line.CreateDefaultDisplayNodes()
            place(line)

    def _show_distances(self) -> None:
        self._measured, rows = monotonic(), []
        for distance in distances(self.registration) if self.registration.ct is not None else ():
            length = _("{mm:.1f} mm").format(mm=distance.mm)
            if distance.at_ct_mm is not None:
                length = _("{ct:.1f} mm at the CT's depth ({mm:.1f} mm on the detector)").format(
                    ct=distance.at_ct_mm, mm=distance.mm
                )
            rows.append((distance.name, length))
        if rows != self._distances:
            self._distances = rows
            fill(self.ui.distancesTable, rows)
