"""The geometry of an X-ray from a calibration file that a page sent: which file, what it leaves open, which of its cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..io.calibration.calibrated import CalibratedView
from ..mrml.background_task import Worker
from ..mrml.xray import XRayView
from ..session.calibration import camera_of, describe_camera, read_cameras
from ..session.questions import Asked, Question
from .elements import Files
from .questions_part import build_questions, questions_content
from .sent_files import all_of, without

#: The question that a further file answers: only one that was sent beside the first is ever read, and no path that was typed.
BESIDE = "fixed_transforms"
NONE = "none"
#: Seconds for which the page waits for a small file, rather than show that it is being read.
_AT_ONCE = 0.05


@dataclass(frozen=True)
class Calibration:
    """What a person has said about the file of one X-ray.

    folder: of what was sent, None before that.   files: in it.   path: the calibration among these.   answers: by the questions' keys.
    camera: the name of the one that was chosen, "" for the one that is known to be the X-ray's.
    """

    folder: Path | None = None
    files: tuple[Path, ...] = ()
    path: Path | None = None
    answers: dict[str, str] = field(default_factory=dict)
    camera: str = ""


class CalibrationPart:
    """The file of one X-ray at a time; that of the last one, and what was answered about it, stay for the next.

    calibration: of the X-ray that is edited.   keep: called with what a person has made of that.
    """

    def __init__(
        self, application, calibration: Callable[[], Calibration], keep: Callable[[Calibration], None]
    ) -> None:
        self._application, self._calibration, self._keep = application, calibration, keep
        self.forget()

    def forget(self) -> None:
        """Another registration is at work."""
        self.last = Calibration()
        self._key: tuple = ()
        self._reading: Worker | None = None
        self._asked_last = Asked([])

    def build(self) -> None:
        of = "xrays.geometry.calibration"
        Files(target="calibration", hint="a calibration: OpenCV, MayaCam, RTK, xReg, Plus, matrices")
        html.Div(f"{{{{ {of}.file }}}}", v_if=f"{of}.file", classes="mv-name mt-2")
        v.VSelect(
            v_if=f"{of}.files.length > 1",
            label="Calibration file",
            items=(f"{of}.files",),
            model_value=(f"{of}.file",),
            update_modelValue=(self.choose_file, "[$event]"),
            classes="mt-2",
        )
        build_questions(f"{of}.questions", self.answer)
        v.VSelect(
            v_if=f"{of}.cameras.length > 1",
            label="Camera",
            items=(f"{of}.cameras",),
            model_value=(f"{of}.camera",),
            update_modelValue=(self.choose_camera, "[$event]"),
            classes="mt-2",
        )
        html.Div(f"{{{{ {of}.told }}}}", classes="mv-fact")

    def content(self, view: XRayView, given: Calibration) -> dict:
        """What the widgets show, for one X-ray."""
        asked, known = self._asked(view, given), self._camera(view, given)
        return {
            "file": _name(given, given.path) if given.path else "",
            "files": [_name(given, path) for path in given.files],
            "questions": questions_content(
                [_asked_here(question, given) for question in asked.questions], given.answers
            ),
            "cameras": [camera.name for camera in asked.found or []],
            "camera": known.name if known else None,
            "told": describe_camera(known) if known else "",
        }

    def camera(self, view: XRayView, given: Calibration) -> CalibratedView:
        """The one that is chosen for an X-ray. InputError for what hinders it."""
        if given.path is None:
            raise InputError("Calibration file: none is chosen, expected one of another program; choose it.")
        asked = self._asked(view, given)
        if asked.problem:
            raise InputError(without(given.folder, asked.problem))
        open_ = [
            question.label for question in asked.questions if not self._answers(given).get(question.key, "").strip()
        ]
        if open_:
            raise InputError(f"The file does not say, and nothing is assumed: {', '.join(open_)}.")
        camera = self._camera(view, given)
        if camera is None:
            raise InputError(f"The file has {len(asked.found)} cameras: choose that of {view.name}.")
        return camera

    def _camera(self, view: XRayView, given: Calibration) -> CalibratedView | None:
        cameras = self._asked(view, given).found or []
        named = [camera for camera in cameras if camera.name == given.camera]
        known = camera_of(view, cameras)
        return named[0] if named else None if known is None else cameras[known]

    def _asked(self, view: XRayView, given: Calibration) -> Asked:
        """What has become of the file; it is read again, in a thread, where an answer has changed.

        Its questions stay meanwhile: a box that is open while an answer to another one is taken would close under the person's hand.
        """
        if given.path is None:
            return Asked([])
        answers, size = self._answers(given), view.size
        key = given.path, size, tuple(sorted(answers.items()))
        if key != self._key:
            self._asked_last = Asked(
                self._asked_last.questions if self._key[:1] == key[:1] else [], problem="The file is being read."
            )
            self._key, self._reading = key, Worker(lambda tell: read_cameras(given.path, size, answers))
            self._reading.wait(_AT_ONCE)
        self.tick()
        return self._asked_last

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

    def _answers(self, given: Calibration) -> dict[str, str]:
        """As the reader takes them: of a file that was sent its path."""
        beside = {_name(given, path): str(path) for path in given.files} | {NONE: NONE}
        return {key: answer if key != BESIDE else beside.get(answer, "") for key, answer in given.answers.items()}

    # What a person does

    def take(self, folder: Path) -> None:
        """A file that a page sent, with another that it needs, if any."""
        with self._application.acting():
            files = all_of(folder)
            self._change(Calibration(folder, tuple(files), files[0]))

    def choose_file(self, name: str) -> None:
        """Read another one of those that were sent."""
        with self._application.acting():
            given = self._calibration()
            for path in given.files:
                if _name(given, path) == name:
                    self._change(replace(given, path=path, answers={}, camera=""))

    def answer(self, key: str, answer) -> None:
        """Answer a question, by its key."""
        with self._application.acting():
            given = self._calibration()
            self._change(replace(given, answers={**given.answers, str(key): str(answer or "")}))

    def choose_camera(self, name: str) -> None:
        """Take the camera with this name."""
        with self._application.acting():
            self._change(replace(self._calibration(), camera=str(name)))

    def _change(self, given: Calibration) -> None:
        self.last = replace(given, camera="")
        self._keep(given)


def _name(given: Calibration, path: Path) -> str:
    return path.relative_to(given.folder).as_posix()


def _asked_here(question: Question, given: Calibration) -> Question:
    """The question as the page asks it: instead of a path one of the files that were sent together."""
    if question.key != BESIDE:
        return question
    others = [_name(given, path) for path in given.files if path != given.path]
    return replace(
        question,
        tip="What says where the camera is on what is tracked: send that file together with this one.",
        choices=((NONE, "none: what is tracked is the camera"), *((name, name) for name in others)),
    )
