"""The widgets of a calibration file: which file, what it leaves open, which of its cameras."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from ..errors import InputError
from ..io.calibration.calibrated import CalibratedView
from ..mrml.xray import XRayView
from ..session.calibration import camera_of, describe_camera, read_cameras
from ..session.questions import Asked
from .question_rows import CHOOSE, QuestionRows


class CalibrationFields:
    """Shows a file and reads it, for one X-ray at a time; the file of the last one, and what was answered about it, stay for the next.

    ui: the widgets of XRayGeometry.ui.   edited: called whenever a person has changed one.
    """

    def __init__(self, ui, edited: Callable) -> None:
        self.ui, self._edited = ui, edited
        self.path = ""
        self._view: XRayView | None = None
        self._answers: dict[str, str] = {}
        self._chosen = ""
        self._read: tuple = ((), Asked([]))
        self._rows = QuestionRows(ui.questionsWidget, self._on_answered)
        ui.cameraBox.connect("activated(int)", self._on_camera)

    def draft(self) -> dict:
        """What stands in the widgets."""
        return {"path": self.path, "answers": dict(self._answers), "chosen": self._chosen}

    def show(self, view: XRayView, draft: dict | None) -> None:
        """Fill the widgets for an X-ray; without a draft with the file of the last one, and the camera of this one's name."""
        self._view, self._chosen = view, ""
        if draft:
            self.path, self._answers, self._chosen = draft["path"], dict(draft["answers"]), draft["chosen"]
        self._fill()

    def choose_file(self, path: str) -> None:
        """Read another file."""
        self.path, self._answers, self._chosen = path, {}, ""
        self._fill()

    def camera(self) -> CalibratedView:
        """The one that is chosen. InputError for what hinders it, in the words of the panel."""
        if not self.path:
            raise InputError(_("Calibration file: none is chosen, expected one of another program; choose it."))
        asked = self._asked()
        if asked.problem:
            raise InputError(asked.problem)
        open_ = [question.label for question in asked.questions if not self._answers.get(question.key, "").strip()]
        if open_:
            raise InputError(_("The file does not say, and nothing is assumed: {what}.").format(what=", ".join(open_)))
        named = [camera for camera in asked.found if camera.name == self._chosen]
        if not named:
            raise InputError(
                _("The file has {count} cameras: choose that of {name}.").format(
                    count=len(asked.found), name=self._view.name
                )
            )
        return named[0]

    def tell(self) -> str:
        """What was read, in a sentence."""
        return describe_camera(self.camera())

    def _fill(self) -> None:
        ui, asked = self.ui, self._asked()
        ui.fileNameLabel.text = Path(self.path).name if self.path else _("none yet")
        ui.fileNameLabel.toolTip = self.path
        self._rows.show(asked.questions, self._answers)
        cameras = asked.found or []
        if self._chosen not in [camera.name for camera in cameras]:
            known = camera_of(self._view, cameras)
            self._chosen = "" if known is None else cameras[known].name
        names = [camera.name for camera in cameras]
        ui.cameraBox.clear()
        ui.cameraBox.addItems([CHOOSE, *names])
        ui.cameraBox.setCurrentIndex(names.index(self._chosen) + 1 if self._chosen else 0)
        for widget in (ui.cameraLabel, ui.cameraBox):
            widget.setVisible(len(cameras) > 1)

    def _asked(self) -> Asked:
        """What has become of the file; it is read again where it, or an answer, has changed."""
        if not self.path:
            return Asked([])
        size = self._view.size
        key = self.path, _stamp(self.path), size, tuple(sorted(self._answers.items()))
        if key != self._read[0]:
            self._read = key, read_cameras(self.path, size, self._answers)
        return self._read[1]

    def _on_answered(self, *unused) -> None:
        self._answers |= self._rows.answers()
        self._fill()
        self._edited()

    def _on_camera(self, index: int) -> None:
        self._chosen = self.ui.cameraBox.itemText(index) if index > 0 else ""
        self._edited()


def _stamp(path: str) -> float:
    try:
        return os.path.getmtime(path)
    except OSError:
        return 0.0
