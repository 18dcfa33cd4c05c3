"""The page of section Start with the landmarks, in the CT and in the X-rays."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from ..mrml.loading import landmark_list
from ..mrml.markups import is_placing, place, stop_placing
from ..session import lacking, landmarks
from ..session.click_order import ClickOrder
from .tables import fit_rows

CLICKED, MISFIT, NEXT = "✔", "⚠", _("next")


class LandmarksPage:
    """A table of landmarks by where they have been clicked, and a button that begins to click.

    section: the `StartSection` that has its widgets.
    """

    def __init__(self, section) -> None:
        self._section = section
        self._order = ClickOrder()
        self._shown = None
        ui = section.ui
        ui.placeButton.toggled.connect(self._on_place)
        ui.removeLandmarkButton.clicked.connect(self._on_remove)
        ui.landmarksTable.cellClicked.connect(self._on_cell)
        ui.landmarksTable.verticalHeader().setVisible(False)
        ui.landmarksTable.horizontalHeader().setHighlightSections(False)

    def refresh(self) -> None:
        section, ui = self._section, self._section.ui
        if section.start != "landmarks":
            self.leave()
            return
        clicked, fit = landmarks.clicked(section.registration), self._fit()
        coming = {where: self._next(where) for where in clicked}
        shown = clicked, coming, fit and fit.residuals
        if shown != self._shown:
            self._fill(clicked, coming, {} if fit is None else {(one.name, one.view): one for one in fit.residuals})
            self._shown = shown
        ui.placeButton.enabled = section.registration.ct is not None
        ui.placeButton.checked = self._placing
        ui.removeLandmarkButton.enabled = bool(self._selected)
        ui.landmarksLabel.text = lacking.at_start(section.session, "landmarks") or self._told(fit)

    def tick(self) -> None:
        section = self._section
        if section.start != "landmarks":
            return
        if section.registration.ct is not None:
            landmarks.tidy(section.registration, self._order)
        before = self._shown and self._shown[0]
        if landmarks.clicked(section.registration) != before or section.ui.placeButton.checked != self._placing:
            section.panel.invalidate()

    def leave(self) -> None:
        self._shown = None
        self._order = ClickOrder()
        registration = self._section.registration
        if registration is not None and registration.scene is not None and self._placing:
            stop_placing(registration.scene)

    @property
    def _placing(self) -> bool:
        return any(is_placing(markups) for markups in landmarks.lists(self._section.registration))

    @property
    def _selected(self) -> str:
        """The name of the landmark in the selected row, if it has been clicked anywhere."""
        table = self._section.ui.landmarksTable
        item = table.item(table.currentRow(), 0)
        name = item.text() if item is not None else ""
        return name if any(name in names for names in landmarks.clicked(self._section.registration).values()) else ""

    def _fit(self):
        """The `geometry.landmarks.LandmarkFit` of the result at hand, if that began with landmarks."""
        result = self._section.session.result
        return result and result.landmark_fit

    def _next(self, where: str) -> str:
        """The name that the next click gets there."""
        registration = self._section.registration
        owner = (
            registration.node
            if where == landmarks.CT
            else next(view.node for view in registration.xrays if view.name == where)
        )
        return landmarks.next_name(registration, owner.GetNodeReference(landmarks.LANDMARKS), self._order.next(where))

    def _fill(self, clicked: dict, coming: dict, residuals: dict) -> None:
        table = self._section.ui.landmarksTable
        names = list(dict.fromkeys([name for placed in clicked.values() for name in placed] + list(coming.values())))
        table.setColumnCount(1 + len(clicked))
        table.setHorizontalHeaderLabels([_("Landmark"), *clicked])
        table.setRowCount(len(names))
        for row, name in enumerate(names):
            table.setItem(row, 0, qt.QTableWidgetItem(name))
            for column, where in enumerate(clicked, start=1):
                here = name in clicked[where]
                item = _cell(here, coming[where] == name, residuals.get((name, where)) if here else None)
                item.setTextAlignment(qt.Qt.AlignCenter)
                table.setItem(row, column, item)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        fit_rows(table, least=4, most=8)

    def _told(self, fit) -> str:
        if fit is None:
            return _("Click an empty cell to say which landmark comes next there.")
        used = sum(residual.used for residual in fit.residuals)
        told = _("The landmarks fit their pose within {mm:.1f} mm (root mean square of {used} positions).").format(
            mm=fit.rms_mm, used=used
        )
        if used == len(fit.residuals):
            return told
        misfits = len(fit.residuals) - used
        return (
            told
            + " "
            + _("Those with {mark} do not fit and were left out: {count}.").format(mark=MISFIT, count=misfits)
        )

    def _on_place(self, on: bool) -> None:
        section = self._section
        if section.asked:
            with section.panel.acting():
                if on:
                    section.panel.views.show_ct_slices()
                    place(landmark_list(section.registration))
                else:
                    stop_placing(section.registration.scene)

    def _on_remove(self) -> None:
        with self._section.panel.acting():
            landmarks.remove(self._section.registration, self._selected)

    def _on_cell(self, row: int, column: int) -> None:
        table = self._section.ui.landmarksTable
        with self._section.panel.acting():
            if column > 0:
                where = list(landmarks.clicked(self._section.registration))[column - 1]
                self._order.choose(where, table.item(row, 0).text())


def _cell(clicked: bool, coming: bool, residual):
    if residual is None:
        item = qt.QTableWidgetItem(CLICKED if clicked else NEXT if coming else "")
        item.setToolTip(
            _("Clicked.")
            if clicked
            else _("The next click here is this landmark.")
            if coming
            else _("Not clicked yet. Click this cell to make it the next one here.")
        )
        return item
    item = qt.QTableWidgetItem(
        ("" if residual.used else f"{MISFIT} ") + _("{mm:.1f} mm").format(mm=residual.residual_mm)
    )
    item.setToolTip(
        _("{px:.1f} pixels from where the landmarks' pose has it: {fate}.").format(
            px=residual.residual_px, fate=residual.fate
        )
    )
    return item
