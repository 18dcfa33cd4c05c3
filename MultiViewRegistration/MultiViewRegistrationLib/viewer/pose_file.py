"""A start pose from a file that a page sent."""

from __future__ import annotations

import shutil
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..errors import InputError
from ..session.questions import Asked
from ..session.start_files import read_pose
from .elements import Files
from .questions_part import build_questions, questions_content
from .sent_files import only_one, without

KINDS = ".tfm,.txt,.h5,.hdf5,.npy,.json"


class PoseFile:
    """A place for the file, what that leaves open, and a button that puts the CT there.

    section: the `StartSection` that shows it.
    """

    def __init__(self, section) -> None:
        self._section = section
        self._path: Path | None = None
        self._answers: dict[str, str] = {}
        self._asked = Asked([])

    def build(self) -> None:
        with html.Details(
            v_if="['given', 'search', 'by hand'].includes(start.start) && start.numbers.length", classes="mv-details"
        ):
            html.Summary("A pose from a file")
            Files(target="pose", hint="a pose: ITK or Slicer transform, 4 × 4 matrix", accept=KINDS)
            html.Div("{{ start.pose_file.name }}", v_if="start.pose_file.name", classes="mv-name mt-2")
            build_questions("start.pose_file.questions", self.answer)
            html.Div(
                "{{ start.pose_file.problem }}", v_if="start.pose_file.problem", classes="mv-problem", role="alert"
            )
            v.VBtn(
                "Put the CT there",
                v_if="start.pose_file.name && !start.pose_file.problem",
                click=self.place,
                size="small",
                variant="tonal",
                classes="mt-2",
                disabled=("!start.pose_file.ready || register.running",),
            )

    def adopt(self) -> None:
        """There is another registration at work."""
        if self._path is not None:
            shutil.rmtree(self._path.parent, ignore_errors=True)
        self._path, self._answers, self._asked = None, {}, Asked([])

    def content(self) -> dict:
        """What the widgets show."""
        asked, path = self._asked, self._path
        return {
            "name": path.name if path else "",
            "questions": questions_content(asked.questions, self._answers),
            "problem": without(path.parent, asked.problem) if path else "",
            "ready": asked.found is not None,
        }

    # What a person does

    def take(self, folder: Path) -> None:
        """A file that a page sent. InputError for several."""
        path = only_one(folder, "Start pose")
        with self._section.application.acting():
            self.adopt()
            self._path = path
            self._asked = read_pose(path, self._answers)

    def answer(self, key: str, answer) -> None:
        """Answer a question, by its key."""
        with self._section.application.acting():
            if self._path is not None:
                self._answers = {**self._answers, str(key): str(answer or "")}
                self._asked = read_pose(self._path, self._answers)

    def place(self) -> None:
        """Put the CT where the file has it."""
        self._section.place_at(self._pose)

    def _pose(self):
        if self._asked.found is None:
            raise InputError("Start pose: no file was read, expected one that says all; answer what it leaves open.")
        return self._asked.found
