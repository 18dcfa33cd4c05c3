"""A start pose from a file of another program."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...io.files import as_sent
from ..external_files import FileReading, read_pose
from ..translation import _
from .form import ERROR, QUIET, Button, Control, Files, Text, group
from .options import question_controls
from .section import Presenter

SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".npy", ".json")


class PoseFilePresenter(Presenter):
    """A file, what it leaves open, and the pose in it.

    Parameters
    ----------
    host
        See `Presenter`.
    place_at
        Puts the CT at a pose (4, 4), LPS.
    """

    _folder: Path | None = None

    def __init__(self, host, place_at: Callable[[np.ndarray], object]) -> None:
        self._place_at = place_at
        super().__init__(host)

    def reset(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.path: Path | None = None
        self._folder, self._answers, self._asked = None, {}, FileReading([])

    def form(self) -> list[Control]:
        asked, ready = self._asked, self._asked.found is not None
        put = Button(
            "put",
            _("Put the CT there"),
            lambda: self._place_at(self.pose()),
            enabled=ready and not self.session.running,
            tip=_("Put the CT where the file has it.") if ready else _("Answer the questions first."),
        )
        hint = _("an ITK or Slicer transform, a 4\u00d74 matrix")
        return [
            group(
                "pose",
                _("A pose from a file"),
                Files(
                    "pose_file",
                    _("Pose..."),
                    lambda paths, folder: self.open(paths[0], folder),
                    hint=hint,
                    suffixes=SUFFIXES,
                ),
                Text("pose_name", self.path.name if self.path else hint, tone=QUIET),
                *question_controls("pose", asked.questions, self._answers, self.answer),
                Text("pose_problem", as_sent(asked.problem), tone=ERROR),
                *([put] if self.path and not asked.problem else []),
                open=False,
            )
        ]

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
