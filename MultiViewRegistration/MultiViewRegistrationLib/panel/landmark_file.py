"""Landmarks from a file, on the page of section Start with the landmarks."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from ..session.start_files import PLACES, landmarks_to_ct, landmarks_to_xray
from .question_rows import QuestionRows

KINDS = _("Markups (*.mrk.json *.fcsv *.json);;All files (*)")


class LandmarkFile:
    """A box with what the points are of, the CT or an X-ray, and a button that reads them.

    section: the `StartSection` that has its widgets.
    """

    def __init__(self, section) -> None:
        self._section, self._place = section, ""
        ui = section.ui
        self._rows = QuestionRows(ui.landmarkQuestionsWidget, self._on_answered)
        ui.landmarkTargetBox.connect("activated(int)", lambda index: self.refresh())
        ui.landmarkFileButton.clicked.connect(self._on_file)

    def refresh(self) -> None:
        ui, registration = self._section.ui, self._section.registration
        names = [_("the CT"), *(view.name for view in self._views())]
        if names != [ui.landmarkTargetBox.itemText(i) for i in range(ui.landmarkTargetBox.count)]:
            ui.landmarkTargetBox.clear()
            ui.landmarkTargetBox.addItems(names)
        of_xray = ui.landmarkTargetBox.currentIndex > 0
        self._rows.show([PLACES] if of_xray else [], {PLACES.key: self._place})
        ready = bool(self._place) if of_xray else registration.ct is not None
        ui.landmarkFileButton.enabled = ready
        ui.landmarkFileButton.toolTip = (
            _("Read .mrk.json or .fcsv, as Slicer saves them; points of a name that is there are moved.")
            if ready
            else _("Say first where the points lie.")
            if of_xray
            else _("Choose a CT first.")
        )

    def _views(self) -> list:
        return [view for view in self._section.registration.xrays if view.used and view.placed]

    def _on_answered(self, *unused) -> None:
        self._place = self._rows.answers()[PLACES.key]
        self.refresh()

    def _on_file(self) -> None:
        section = self._section
        path = qt.QFileDialog.getOpenFileName(section.widget, _("Landmarks"), "", KINDS)
        if not path or not section.asked:
            return
        with section.panel.acting():
            number = section.ui.landmarkTargetBox.currentIndex
            if number == 0:
                landmarks_to_ct(section.registration, path)
            else:
                landmarks_to_xray(section.registration, self._views()[number - 1], path, self._place)
