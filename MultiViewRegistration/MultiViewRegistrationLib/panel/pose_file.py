"""A start pose from a file, on the page of section Start for a CT that is placed."""

from __future__ import annotations

from pathlib import Path

import qt

from ..session.external_files import requirements_of
from ..session.presenters.pose_file import PoseFilePresenter
from ..session.translation import _
from . import packages
from .question_rows import QuestionRows

KINDS = _("Transforms and matrices (*.tfm *.txt *.h5 *.hdf5 *.npy *.json);;All files (*)")


class PoseFile:
    """A button that chooses a file, what that leaves open, and a button that puts the CT there.

    section: the `StartSection` that has its widgets.
    """

    def __init__(self, section) -> None:
        self._section, self._ui = section, section.ui
        self.presenter = PoseFilePresenter(section.panel)
        self.questions = QuestionRows(
            self._ui.poseQuestionsWidget, lambda *answer: section.do(self.presenter.answer, *answer)
        )
        self._ui.poseFileButton.clicked.connect(self._on_file)
        self._ui.placeCTButton.clicked.connect(
            lambda: section.do(lambda: section.presenter.place_at(self.presenter.pose()))
        )

    def refresh(self) -> None:
        ui, shown = self._ui, self.presenter.shown()
        ui.poseFileLabel.text = shown.name or _("an ITK or Slicer transform, a 4\u00d74 matrix")
        ui.poseFileLabel.toolTip = str(self.presenter.path or "")
        self.questions.show(shown.questions)
        ui.placeCTButton.setVisible(bool(shown.name) and not shown.problem)
        ui.placeCTButton.enabled = shown.ready and not self._section.session.running
        ui.placeCTButton.toolTip = shown.tip
        ui.poseProblemLabel.text = shown.problem
        ui.poseProblemLabel.setVisible(bool(shown.problem))

    def _on_file(self) -> None:
        before = str(self.presenter.path or "")
        path = qt.QFileDialog.getOpenFileName(self._section.widget, _("Start pose"), before, KINDS)
        if path:
            self._section.do(self._open, Path(path))

    def _open(self, path: Path) -> None:
        if requirements := requirements_of(path):
            packages.ensure(self._section.panel.resource_path(requirements))
        self.presenter.open(path)
