"""A start pose from a file, on the page of section Start for a CT that is placed."""

from __future__ import annotations

from pathlib import Path

import qt
from slicer.i18n import tr as _

from ..session.calibration import requirements_of
from ..session.questions import Asked
from ..session.start_files import read_pose
from . import packages
from .question_rows import QuestionRows

KINDS = _("Transforms and matrices (*.tfm *.txt *.h5 *.hdf5 *.npy *.json);;All files (*)")


class PoseFile:
    """A button that chooses a file, what that leaves open, and a button that puts the CT there.

    section: the `StartSection` that has its widgets.
    """

    def __init__(self, section) -> None:
        self._section, self._path = section, ""
        self._answers: dict[str, str] = {}
        self._asked = Asked([])
        ui = section.ui
        self._rows = QuestionRows(ui.poseQuestionsWidget, self._on_answered)
        ui.poseFileButton.clicked.connect(self._on_file)
        ui.placeCTButton.clicked.connect(self._on_place)

    def refresh(self) -> None:
        ui, asked = self._section.ui, self._asked
        ui.poseFileLabel.text = (
            Path(self._path).name if self._path else _("an ITK or Slicer transform, a 4\u00d74 matrix")
        )
        ui.poseFileLabel.toolTip = self._path
        self._rows.show(asked.questions, self._answers)
        ui.placeCTButton.setVisible(bool(self._path) and not asked.problem)
        ui.placeCTButton.enabled = asked.found is not None and not self._section.session.running
        ui.placeCTButton.toolTip = (
            _("Put the CT where the file has it.") if asked.found is not None else _("Answer both questions first.")
        )
        ui.poseProblemLabel.text = asked.problem
        ui.poseProblemLabel.setVisible(bool(asked.problem))

    def leave(self) -> None:
        """Another registration is at work."""
        self._path, self._answers, self._asked = "", {}, Asked([])

    def _read(self) -> None:
        self._asked = read_pose(self._path, self._answers) if self._path else Asked([])

    def _on_file(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self._section.widget, _("Start pose"), self._path, KINDS)
        if path and self._section.asked:
            with self._section.panel.acting():
                if requirements := requirements_of(path):
                    packages.ensure(self._section.panel.resource_path(requirements))
                self._path, self._answers = path, {}
                self._read()

    def _on_answered(self, *unused) -> None:
        if self._section.asked:
            with self._section.panel.acting():
                self._answers |= self._rows.answers()
                self._read()

    def _on_place(self) -> None:
        with self._section.panel.acting():
            self._section.place_at(self._asked.found)
