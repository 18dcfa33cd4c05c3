"""Dialogs that never wait for a person.

What was asked is recorded, what is answered was set by the test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PySide6 import QtWidgets

Box = QtWidgets.QMessageBox
_YES = (Box.Yes, Box.Ok, Box.Retry)
_NO = (Box.No, Box.Cancel, Box.Close)
_KINDS = {
    Box.Information: "information",
    Box.Warning: "warning",
    Box.Critical: "critical",
    Box.Question: "question",
}


@dataclass
class Message:
    """One thing that the user was shown or asked.

    kind: "information", "warning", "critical", "question" (message boxes), "openFile", "openFiles",
    "directory", "status", "pip", "module" or "url".
    """

    kind: str
    text: str
    title: str = ""


@dataclass
class Answers:
    """What the user of a test does when asked; each may be changed at any time.

    yes: how a message box that asks is answered, with OK, Yes or Retry, or with their counterpart.
    """

    yes: bool = True
    open_files: list[str | Path] = field(default_factory=list)
    directory: str | Path = ""


messages: list[Message] = []
answers = Answers()


def reset() -> None:
    messages.clear()
    answers.__dict__.update(Answers().__dict__)


def record(kind: str, text: object, title: object = "") -> None:
    messages.append(Message(kind, str(text), str(title)))


def make_dialogs_answer() -> None:
    """Have Qt's file dialogs return at once; once per process."""
    for name in ("getOpenFileName", "getOpenFileNames", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, name, staticmethod(globals()[f"_{name}"]))


def run_message_box(box):
    """Record what a message box asks; the button that answers it."""
    record(_KINDS[box.icon], box.text, box.windowTitle)
    wanted = (*_YES, *_NO) if answers.yes else (*_NO, *_YES)
    return next(button for button in wanted if box.standardButtons & button)


def _getOpenFileName(parent=None, caption="", folder="", filter="", *more):
    record("openFile", caption)
    return str(answers.open_files[0]) if answers.open_files else ""


def _getOpenFileNames(parent=None, caption="", folder="", filter="", *more):
    record("openFiles", caption)
    return tuple(map(str, answers.open_files))


def _getExistingDirectory(parent=None, caption="", folder="", *more):
    record("directory", caption)
    return str(answers.directory)
