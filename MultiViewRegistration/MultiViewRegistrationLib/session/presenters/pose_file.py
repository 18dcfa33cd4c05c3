"""A start pose from a file of another program."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...io.files import as_sent
from ..external_files import Asked, read_pose
from ..translation import _
from .options import OpenQuestion, open_questions
from .section import Presenter


@dataclass(frozen=True)
class PoseFileShown:
    """ready: whether the file, with the answers so far, says where the CT is.   tip: of the button that puts it there."""

    name: str = ""
    questions: list[OpenQuestion] = field(default_factory=list)
    problem: str = ""
    ready: bool = False
    tip: str = ""


class PoseFilePresenter(Presenter):
    """A file, what it leaves open, and the pose in it."""

    _folder: Path | None = None

    def reset(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.path: Path | None = None
        self._folder, self._answers, self._asked = None, {}, Asked([])

    def shown(self) -> PoseFileShown:
        asked, ready = self._asked, self._asked.found is not None
        return PoseFileShown(
            name=self.path.name if self.path else "",
            questions=open_questions(asked.questions, self._answers),
            problem=as_sent(asked.problem),
            ready=ready,
            tip=_("Put the CT where the file has it.") if ready else _("Answer both questions first."),
        )

    def open(self, path: Path, folder: Path | None = None) -> None:
        """Read a file.   folder: is removed once another file, or another registration, takes its place."""
        self.reset()
        self.path, self._folder = path, folder
        self._asked = read_pose(path, {})

    def answer(self, key: str, answer: str) -> None:
        """Answer a question, by its key."""
        if self.path is not None:
            self._answers = {**self._answers, str(key): str(answer or "")}
            self._asked = read_pose(self.path, self._answers)

    def pose(self) -> np.ndarray:
        """(4, 4) world_from_ct, LPS. InputError while the file leaves something open."""
        if self._asked.found is None:
            raise InputError(_("Start pose: no file was read, expected one that says all; answer what it leaves open."))
        return self._asked.found
