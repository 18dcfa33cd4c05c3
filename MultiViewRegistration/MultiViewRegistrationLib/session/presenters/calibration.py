"""The geometry of an X-ray from a calibration file.

Which file, what it leaves open, which of its cameras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import InputError
from ...io.calibration.calibrated import CalibratedView
from ...io.files import redact_upload_paths
from ...mrml.xray import XRayView
from ...translation import _
from ..tasks import Task, ended
from .external_files import (
    FileReading,
    Question,
    ask_for_file,
    camera_of,
    describe_camera,
    read_cameras,
    unanswered,
    with_paths,
)
from .form import Choice, Files, Form, Option, Text
from .section import question_controls

SUFFIXES = tuple(
    ".txt .csv .dat .json .yaml .yml .xml .npy .npz .h5 .hdf5 .mha .mhd .nrrd .tfm".split()
)


@dataclass(frozen=True)
class CalibrationFile:
    """The user's answers about the file of one X-ray.

    Attributes
    ----------
    path
        None before a file is chosen.
    folder, files
        All that were chosen, and the folder that they were sent into; None for files of this
        computer.
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
        """Return a file's name for a person."""
        return path.name if self.folder is None else path.relative_to(self.folder).as_posix()

    def reader_answers(self) -> dict[str, str]:
        """Return the answers as the reader takes them: of a file that was sent its path."""
        if self.folder is None:
            return self.answers
        return with_paths(self.answers, {self.name(path): path for path in self.files})

    def question(self, question: Question) -> Question:
        """Return the question for the user.

        Of files that were sent, one of these instead of a path.
        """
        if self.folder is None:
            return question
        tip = _("Where the camera is on what is tracked: send that file together with this one.")
        return ask_for_file(
            question, (self.name(path) for path in self.files if path != self.path), tip
        )


class CalibrationPresenter:
    """One file at a time, read in a thread.

    The last one, with its answers, is proposed for the next X-ray.

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
        self._current = current
        self._keep = keep
        self._patience_s = patience_s
        self.reset()

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before: another one is."""
        self.last = CalibrationFile()
        self._key: tuple = ()
        self._reading: Task | None = None
        self._last_reading = FileReading([])

    def form(self, view: XRayView, file: CalibrationFile) -> Form:
        """Return the form of a file, for one X-ray."""
        file_reading = self._read_file(view, file)
        known = self._camera(view, file)
        questions = [file.question(question) for question in file_reading.questions]
        names = [file.name(path) for path in file.files]
        cameras = ["", *(camera.name for camera in file_reading.found or [])]
        name = file.name(file.path) if file.path else _("none yet")
        path = str(file.path) if file.path and file.folder is None else ""
        which = Choice(
            "calibration_name", _("File"), self.choose_file, value=name, options=_options(names)
        )
        camera = Choice(
            "camera",
            _("Camera"),
            self.choose_camera,
            value=known.name if known else "",
            options=_options(cameras),
            tip=_("Which of the file's cameras took this X-ray."),
        )
        return [
            Files(
                "calibration",
                _("Choose a calibration file..."),
                self.open,
                hint=_("a calibration: OpenCV, MayaCam, RTK, xReg, Plus, matrices"),
                suffixes=SUFFIXES,
                several=True,
                tip=_("Values that a file does not state are requested."),
            ),
            which
            if len(names) > 1
            else Text("calibration_name", _("File: {name}").format(name=name), tip=path),
            *question_controls("calibration", questions, file.answers, self.answer),
            camera if len(cameras) > 2 else None,
        ]

    def description(self, view: XRayView, file: CalibrationFile) -> str:
        """Return the camera that was read, in a sentence; "" before there is one."""
        known = self._camera(view, file)
        return describe_camera(known) if known else ""

    def camera(self, view: XRayView, file: CalibrationFile) -> CalibratedView:
        """Return the camera that is chosen for an X-ray.

        Raises
        ------
        InputError
            Where there is none.
        """
        if file.path is None:
            raise InputError(
                _("Calibration file: none is chosen, expected one of another program; choose it.")
            )
        file_reading = self._read_file(view, file)
        if file_reading.problem:
            raise InputError(redact_upload_paths(file_reading.problem))
        if labels := unanswered(file_reading.questions, file.reader_answers()):
            raise InputError(
                _("The file does not say, and nothing is assumed: {what}.").format(
                    what=", ".join(labels)
                )
            )
        camera = self._camera(view, file)
        if camera is None:
            raise InputError(
                _("The file has {count} cameras: choose that of {name}.").format(
                    count=len(file_reading.found or []), name=view.name
                )
            )
        return camera

    def tick(self) -> bool:
        """Take what was read; whether there was anything."""
        if not ended(self._reading):
            return False
        self._last_reading = self._reading.result_or(FileReading([], problem=self._reading.message))
        self._reading = None
        return True

    # What a person does

    def open(self, paths: Iterable[Path], folder: Path | None = None) -> None:
        """Read the largest of these files.

        Parameters
        ----------
        folder
            See `CalibrationFile`.
        """
        files = sorted(paths, key=lambda path: (-path.stat().st_size, path.name))
        self._change(CalibrationFile(files[0], folder, tuple(files)))

    def choose_file(self, name: str) -> None:
        """Read another one of the files that were sent."""
        file = self._current()
        for path in file.files:
            if file.name(path) == name:
                self._change(replace(file, path=path, answers={}, camera=""))

    def answer(self, key: str, answer: str) -> None:
        """Answer a question, by its key."""
        file = self._current()
        self._change(replace(file, answers={**file.answers, key: answer}))

    def choose_camera(self, name: str) -> None:
        """Take the camera with this name."""
        self._change(replace(self._current(), camera=name))

    # Within

    def _change(self, file: CalibrationFile) -> None:
        self.last = replace(file, camera="")
        self._keep(file)

    def _camera(self, view: XRayView, file: CalibrationFile) -> CalibratedView | None:
        cameras = self._read_file(view, file).found or []
        named = [camera for camera in cameras if camera.name == file.camera]
        known = camera_of(view, cameras)
        if named:
            return named[0]
        return None if known is None else cameras[known]

    def _read_file(self, view: XRayView, file: CalibrationFile) -> FileReading:
        """Return the state of the file; it is read again where it, or an answer, has changed.

        Its questions stay meanwhile: a box that is open while an answer to another one is taken
        would close under the person's hand.
        """
        if file.path is None:
            return FileReading([])
        path = file.path
        answers = file.reader_answers()
        size = view.size
        key = path, _changed_at(path), size, tuple(sorted(answers.items()))
        if key != self._key:
            self._last_reading = FileReading(
                self._last_reading.questions if self._key[:1] == key[:1] else [],
                problem=_("The file is being read."),
            )
            self._key = key
            self._reading = Task(lambda on_progress: read_cameras(path, size, answers))
            self._reading.wait(self._patience_s)
        self.tick()
        return self._last_reading


def _changed_at(path: Path) -> float:
    try:
        return os.path.getmtime(path)
    except OSError:
        return 0.0


def _options(names: Iterable[str]) -> tuple[Option, ...]:
    return tuple(Option(name, name or _("choose...")) for name in names)
