"""Dialogs that never wait for a person: what was asked is recorded, what is answered was set by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PySide6 import QtWidgets


@dataclass
class Message:
    """One thing that the user was shown or asked.

    kind: "information", "warning", "critical", "question", "plain" (message boxes), "openFile", "openFiles", "saveFile",
    "directory", "text", "item", "dialog", "menu", "status", "pip", "module" or "url".
    """

    kind: str
    text: str
    title: str = ""
    details: str = ""


@dataclass
class Answers:
    """What the user of a test does when asked; each may be changed at any time.

    A message box that asks is answered with `yes` (OK, Yes, Retry, Save, or their counterpart); `button` overrides it for one
    that is built by hand (a qt.QMessageBox.StandardButton). `dialog` gets every other modal dialog, shown, and drives it; without
    one it is rejected. `menu` is the text of the action that is chosen in a pop-up menu.
    """

    yes: bool = True
    button: object = None
    open_files: list[str | Path] = field(default_factory=list)
    save_file: str | Path = ""
    directory: str | Path = ""
    text: str | None = None
    dialog: Callable[[QtWidgets.QDialog], None] | None = None
    menu: str = ""


messages: list[Message] = []
answers = Answers()


def reset() -> None:
    messages.clear()
    answers.__dict__.update(Answers().__dict__)


def record(kind: str, text: object, title: object = "", details: object = "") -> None:
    messages.append(Message(kind, str(text), str(title), str(details)))


def make_dialogs_answer() -> None:
    """Give Qt's modal dialogs and pop-up menus an `exec_` that returns at once; once per process."""
    QtWidgets.QMessageBox.exec_ = QtWidgets.QMessageBox.exec = _run_message_box
    QtWidgets.QDialog.exec_ = QtWidgets.QDialog.exec = _run_dialog
    QtWidgets.QMenu.exec_ = QtWidgets.QMenu.exec = _run_menu
    for kind in ("information", "warning", "critical", "question"):
        setattr(QtWidgets.QMessageBox, kind, staticmethod(_message_function(kind)))
    for name in ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, name, staticmethod(globals()[f"_{name}"]))
    for name in ("getText", "getItem"):
        setattr(QtWidgets.QInputDialog, name, staticmethod(globals()[f"_{name}"]))


# message boxes ---------------------------------------------------------------------------------------------------------

Box = QtWidgets.QMessageBox
_YES = (Box.Yes, Box.Ok, Box.Retry, Box.Save, Box.Open, Box.Apply)
_NO = (Box.No, Box.Cancel, Box.Close, Box.Discard, Box.Abort, Box.Ignore)
_KINDS = {Box.Information: "information", Box.Warning: "warning", Box.Critical: "critical", Box.Question: "question"}


def _answer(buttons):
    if answers.button is not None:
        return answers.button
    wanted = (*_YES, *_NO) if answers.yes else (*_NO, *_YES)
    return next((button for button in wanted if buttons & button), Box.Ok)


def _run_message_box(box):
    record(
        _KINDS.get(box.icon, "plain"),
        "\n\n".join(filter(None, [box.text, box.informativeText])),
        box.windowTitle,
        box.detailedText,
    )
    own = [button for button in box.buttons() if box.standardButton(button) == Box.NoButton]
    if own:  # buttons made by hand: the first that accepts, or that rejects
        roles = (
            (Box.AcceptRole, Box.YesRole, Box.DestructiveRole, Box.ActionRole)
            if answers.yes
            else (Box.RejectRole, Box.NoRole)
        )
        chosen = next((button for button in own if box.buttonRole(button) in roles), None)
        if isinstance(answers.button, str):
            chosen = next(button for button in own if button.text == answers.button)
        if chosen is not None:
            chosen.click()
            return box.result()
    answer = _answer(box.standardButtons)
    if box.button(answer) is not None:
        box.button(answer).click()
    return answer


def _message_function(kind: str) -> Callable:
    def show(parent, title, text, buttons=None, default=Box.NoButton):
        record(kind, text, title)
        return _answer(buttons if buttons is not None else (Box.Yes | Box.No if kind == "question" else Box.Ok))

    return show


# other dialogs and menus -----------------------------------------------------------------------------------------------


def _run_dialog(dialog) -> int:
    record("dialog", dialog.windowTitle)
    dialog.show()
    if answers.dialog:
        answers.dialog(dialog)
    if dialog.visible:
        dialog.reject()
    return dialog.result()


def _run_menu(menu, *position):
    record("menu", " | ".join(action.text for action in menu.actions()))
    chosen = next((action for action in menu.actions() if answers.menu and action.text == answers.menu), None)
    if chosen is not None and chosen.enabled:
        chosen.trigger()
    return chosen


def _getOpenFileName(parent=None, caption="", folder="", filter="", *more):
    record("openFile", caption)
    return str(answers.open_files[0]) if answers.open_files else ""


def _getOpenFileNames(parent=None, caption="", folder="", filter="", *more):
    record("openFiles", caption)
    return tuple(map(str, answers.open_files))


def _getSaveFileName(parent=None, caption="", folder="", filter="", *more):
    record("saveFile", caption)
    return str(answers.save_file)


def _getExistingDirectory(parent=None, caption="", folder="", *more):
    record("directory", caption)
    return str(answers.directory)


def _getText(parent, title, label, mode=None, text="", *more):
    record("text", label, title)
    return text if answers.text is None else answers.text


def _getItem(parent, title, label, items, current=0, *more):
    record("item", label, title)
    return items[current] if answers.text is None else answers.text
