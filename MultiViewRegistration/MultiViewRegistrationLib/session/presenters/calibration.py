"""The geometry of an X-ray from a calibration file: which file, what it leaves open, which of its cameras."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import InputError
from ...io.calibration.calibrated import CalibratedView
from ...io.files import as_sent
from ...mrml.xray import XRayView
from ..background_task import Worker
from ..external_files import Asked, Question, camera_of, describe_camera, read_cameras
from ..translation import _
from .options import OpenQuestion, open_questions, unanswered

#: The question that a further file answers. Of files that a page sent only one that came with the first is ever read.
BESIDE = "fixed_transforms"
NONE = "none"


@dataclass(frozen=True)
class CalibrationFile:
    """What a person has said about the file of one X-ray.

    Attributes
    ----------
    path
        None before a file is chosen.
    folder, files
        Of what a page sent: the folder and the files in it. None and empty for a file of this computer.
    answers
        By the questions' keys.
    camera
        The name of the camera that was chosen, "" for the one that is known to be the X-ray's.
    """

    path: Path | None = None
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    answers: dict[str, str] = field(default_factory=dict)
    camera: str = ""

    def name(self, path: Path) -> str:
        """A file's name for a person."""
        return path.name if self.folder is None else path.relative_to(self.folder).as_posix()

    def reader_answers(self) -> dict[str, str]:
        """The answers as the reader takes them: of a file that was sent its path."""
        if self.folder is None:
            return self.answers
        beside = {self.name(path): str(path) for path in self.files} | {NONE: NONE}
        return {key: answer if key != BESIDE else beside.get(answer, "") for key, answer in self.answers.items()}

    def question(self, question: Question) -> Question:
        """The question as it is asked: of files that were sent, one of these instead of a path."""
        if question.key != BESIDE or self.folder is None:
            return question
        others = [self.name(path) for path in self.files if path != self.path]
        return replace(
            question,
            tip=_("Where the camera is on what is tracked: send that file together with this one."),
            choices=((NONE, _("none: what is tracked is the camera")), *((name, name) for name in others)),
        )


@dataclass(frozen=True)
class CalibrationShown:
    """file: its name.   path: its path, for a tool tip.   files: names of those that were sent.   told: what was read."""

    file: str = ""
    path: str = ""
    files: list[str] = field(default_factory=list)
    questions: list[OpenQuestion] = field(default_factory=list)
    cameras: list[str] = field(default_factory=list)
    camera: str | None = None
    told: str = ""


class CalibrationPresenter:
    """One file at a time, read in a thread; the last one, with its answers, is proposed for the next X-ray.

    Parameters
    ----------
    current
        Returns the `CalibrationFile` of the X-ray that is edited.
    keep
        Called with what a person has made of it.
    patience_s
        Seconds to wait for a file rather than to say that it is being read.
    """

    def __init__(
        self,
        current: Callable[[], CalibrationFile],
        keep: Callable[[CalibrationFile], None],
        patience_s: float,
    ) -> None:
        self._current, self._keep, self._patience_s = current, keep, patience_s
        self.reset()

    def reset(self) -> None:
        """Another registration is at work."""
        self.last = CalibrationFile()
        self._key: tuple = ()
        self._reading: Worker | None = None
        self._asked_last = Asked([])

    def shown(self, view: XRayView, file: CalibrationFile) -> CalibrationShown:
        """What the widgets show, for one X-ray."""
        asked, known = self._asked(view, file), self._camera(view, file)
        return CalibrationShown(
            file=file.name(file.path) if file.path else "",
            path=str(file.path) if file.path and file.folder is None else "",
            files=[file.name(path) for path in file.files],
            questions=open_questions([file.question(question) for question in asked.questions], file.answers),
            cameras=[camera.name for camera in asked.found or []],
            camera=known.name if known else None,
            told=describe_camera(known) if known else "",
        )

    def camera(self, view: XRayView, file: CalibrationFile) -> CalibratedView:
        """The camera that is chosen for an X-ray. InputError for what hinders it."""
        if file.path is None:
            raise InputError(_("Calibration file: none is chosen, expected one of another program; choose it."))
        asked = self._asked(view, file)
        if asked.problem:
            raise InputError(as_sent(asked.problem))
        if labels := unanswered(asked.questions, file.reader_answers()):
            raise InputError(_("The file does not say, and nothing is assumed: {what}.").format(what=", ".join(labels)))
        camera = self._camera(view, file)
        if camera is None:
            raise InputError(
                _("The file has {count} cameras: choose that of {name}.").format(count=len(asked.found), name=view.name)
            )
        return camera

    def tick(self) -> bool:
        """Take what was read; whether there was anything."""
        if self._reading is None:
            return False
        self._reading.poll(0)
        if self._reading.state == "running":
            return False
        reading, self._reading = self._reading, None
        self._asked_last = reading.result if reading.state == "done" else Asked([], problem=reading.message)
        return True

    # What a person does

    def open(self, path: Path, folder: Path | None = None, files: tuple[Path, ...] = ()) -> None:
        """Read a file; folder and files: see `CalibrationFile`."""
        self._change(CalibrationFile(path, folder, files))

    def choose_file(self, name: str) -> None:
        """Read another one of those that were sent."""
        file = self._current()
        for path in file.files:
            if file.name(path) == name:
                self._change(replace(file, path=path, answers={}, camera=""))

    def answer(self, key: str, answer: str) -> None:
        """Answer a question, by its key."""
        file = self._current()
        self._change(replace(file, answers={**file.answers, str(key): str(answer or "")}))

    def choose_camera(self, name: str) -> None:
        """Take the camera with this name."""
        self._change(replace(self._current(), camera=str(name)))

    # Within

    def _change(self, file: CalibrationFile) -> None:
        self.last = replace(file, camera="")
        self._keep(file)

    def _camera(self, view: XRayView, file: CalibrationFile) -> CalibratedView | None:
        cameras = self._asked(view, file).found or []
        named = [camera for camera in cameras if camera.name == file.camera]
        known = camera_of(view, cameras)
        return named[0] if named else None if known is None else cameras[known]

    def _asked(self, view: XRayView, file: CalibrationFile) -> Asked:
        """What has become of the file; it is read again where it, or an answer, has changed.

        Its questions stay meanwhile: a box that is open while an answer to another one is taken would close under the person's hand.
        """
        if file.path is None:
            return Asked([])
        path, answers, size = file.path, file.reader_answers(), view.size
        key = path, _changed_at(path), size, tuple(sorted(answers.items()))
        if key != self._key:
            self._asked_last = Asked(
                self._asked_last.questions if self._key[:1] == key[:1] else [], problem=_("The file is being read.")
            )
            self._key, self._reading = key, Worker(lambda tell: read_cameras(path, size, answers))
            self._reading.wait(self._patience_s)
        self.tick()
        return self._asked_last


def _changed_at(path: Path) -> float:
    try:
        return os.path.getmtime(path)
    except OSError:
        return 0.0
