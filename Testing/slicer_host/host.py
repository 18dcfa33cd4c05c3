"""What a test drives: a module in a window, the scene, the user's answers and what the user was told.

Written in PythonQt's words, for Slicer's own application and for its stand-in.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer

#: QEvent::DeferredDelete, which a loop that is not Qt's own leaves waiting.
DEFERRED_DELETE = 52
#: A pass of the event loop counts for so many seconds at most, however long a busy computer took.
PASS_S = 0.02
Box = qt.QMessageBox
YES, NO = (Box.Yes, Box.Ok, Box.Retry), (Box.No, Box.Cancel, Box.Close)
KINDS = {
    Box.Information: "information",
    Box.Warning: "warning",
    Box.Critical: "critical",
    Box.Question: "question",
}
#: Where on a widget that is wider than what can be clicked, or folds, the mouse goes.
CORNERS = {
    "QCheckBox": (10, None),
    "QRadioButton": (10, None),
    "QGroupBox": (10, 10),
    "ctkCollapsibleButton": (10, 10),
}


@dataclass
class Message:
    """One thing that the user was shown or asked.

    kind: "information", "warning", "critical", "question" (message boxes), "openFile", "openFiles",
    "directory", "status", "pip" or "url".
    """

    kind: str
    text: str


@dataclass
class Answers:
    """What the user of a test does when asked; each may be changed at any time.

    yes: how a message box that asks is answered, with OK, Yes or Retry, or with their counterpart.
    """

    yes: bool = True
    open_files: Sequence[str | Path] = field(default_factory=list)
    directory: str | Path = ""


class Host:
    """Slicer for one test at a time: an empty scene, no messages.

    An exception in a slot, a timer or an observer, which Qt and VTK would print and forget, is
    raised by the next call of `process`, `click` or `close`. No dialog waits for a person.
    """

    def __init__(self) -> None:
        self.app, self.slicer, self.scene = slicer.app, slicer, slicer.mrmlScene
        self.messages: list[Message] = []
        self.answers, self.failures = Answers(), list[str]()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(sys, "excepthook", self._on_exception)
        self._patch.setattr(slicer.util, "messageBox", self._on_message_box)
        self._patch.setattr(qt.QDesktopServices, "openUrl", staticmethod(self._on_url))
        for name, answer in {
            "getOpenFileName": lambda: self._files("openFile")[0],
            "getOpenFileNames": lambda: self._files("openFiles"),
            "getExistingDirectory": lambda: str(self.answers.directory),
        }.items():
            call = staticmethod(lambda *asked, answer=answer: answer())
            self._patch.setattr(qt.QFileDialog, name, call)
        with suppress(ImportError):  # before 5.11
            from slicer import packaging

            self._patch.setattr(packaging, "pip_ensure", self._on_pip)
        self._patch.setattr(slicer.util, "pip_install", self._on_pip)
        self._bar = slicer.util.mainWindow().statusBar()
        self._bar.clearMessage()  # a text that is there already is no change
        self._bar.connect("messageChanged(QString)", self._on_status)

    def close(self) -> None:
        """As it was before the test; what still failed is raised."""
        self._bar.disconnect("messageChanged(QString)", self._on_status)
        self._patch.undo()
        self._raise()

    # what the user is told and asked
    # ------------------------------------------------------------------------------------------------

    def shown(self, *kinds: str) -> list[str]:
        """Texts of what the user was told or asked, of these kinds (all kinds by default), in order."""
        return [message.text for message in self.messages if not kinds or message.kind in kinds]

    def record(self, kind: str, text: object) -> None:
        self.messages.append(Message(kind, str(text)))

    def _on_message_box(self, text: str, parent=None, **how) -> Any:
        self.record(KINDS[how["icon"]], text)
        wanted = (*YES, *NO) if self.answers.yes else (*NO, *YES)
        return next(button for button in wanted if how["standardButtons"] & button)

    def _files(self, kind: str) -> tuple[str, ...]:
        self.record(kind, "")
        return tuple(map(str, self.answers.open_files)) or ("",)

    def _on_url(self, url) -> bool:
        self.record("url", url.toString() if hasattr(url, "toString") else url)
        return True

    def _on_pip(self, requirements: Sequence[str], **how) -> None:
        self.record("pip", " ".join(map(str, requirements)))

    def _on_status(self, text: str) -> None:
        if text:
            self.record("status", text)

    # modules
    # ------------------------------------------------------------------------------------------------

    def load_module(self, path: str | Path):
        """Have a module loaded as in a Slicer that starts; its Python module."""
        raise NotImplementedError

    def open_module(self, name: str, width: int):
        """Show a module's panel, as on choosing it in Slicer's list; returns its Widget object."""
        raise NotImplementedError

    def enter(self, widget) -> None:
        """Choose the module again."""
        slicer.util.selectModule(widget.moduleName)
        self.process()

    def leave(self, widget) -> None:
        """Choose another module."""
        slicer.util.selectModule("Transforms")
        self.process()

    # the user
    # ------------------------------------------------------------------------------------------------

    def process(self, seconds: float = 0.0, until: Callable[[], object] | None = None) -> None:
        """Let Qt's event loop run: what is waiting, then for `seconds`, or until `until()` is true (TimeoutError if it never is)."""
        left = seconds
        while True:
            began = time.monotonic()
            self.app.processEvents()
            self.app.sendPostedEvents(None, DEFERRED_DELETE)
            self._raise()
            if until is not None and until():
                return
            if left <= 0.0:
                break
            time.sleep(0.002)
            left -= min(time.monotonic() - began, PASS_S)
        if until is not None:
            raise TimeoutError(f"it did not happen in {seconds} s")

    def click(self, widget, position=None) -> None:
        """Press and release the left mouse button on a widget, in its middle.

        What is hidden or disabled cannot be clicked.
        """
        if not widget.visible or not widget.enabled:
            raise AssertionError(
                f"{widget.name or widget.className()} is "
                f"{'disabled' if widget.visible else 'hidden'}"
            )
        middle = widget.rect.center()
        x, y = next((CORNERS[kind] for kind in CORNERS if widget.inherits(kind)), (None, None))
        place = qt.QPoint(middle.x() if x is None else x, middle.y() if y is None else y)
        self.drag(widget, [place if position is None else position])

    def drag(self, widget, points: Sequence[Any]) -> None:
        """Press the left mouse button at the first of these points of a widget, move to the others, release."""
        left, none = qt.Qt.LeftButton, qt.Qt.NoButton
        self.process()
        if not widget.isActiveWindow:  # a window that becomes active lets go of a pressed button
            widget.activateWindow()
            self.process(2 * PASS_S)
        if widget.focusPolicy & qt.Qt.ClickFocus:
            widget.setFocus()
        for kind, button, held, point in [
            (qt.QEvent.MouseMove, none, none, points[0]),
            (qt.QEvent.MouseButtonPress, left, left, points[0]),
            *((qt.QEvent.MouseMove, none, left, point) for point in points[1:]),
            (qt.QEvent.MouseButtonRelease, left, none, points[-1]),
        ]:
            place, whole = qt.QPointF(point), qt.QPointF(widget.mapToGlobal(point))
            modifiers = qt.Qt.NoModifier
            self.send(widget, qt.QMouseEvent(kind, place, whole, button, held, modifiers))

    def click_cell(self, table, row: int, column: int) -> None:
        """Click a cell of a table, or its check mark where it has one."""
        index = table.model().index(row, column)
        table.scrollTo(index)
        area = table.visualRect(index)
        has_mark = table.model().data(index, qt.Qt.CheckStateRole) is not None
        middle = area.center()
        self.click(
            table.viewport(), qt.QPoint(area.left() + 10, middle.y()) if has_mark else middle
        )

    def key(self, widget, key, modifiers=None) -> None:
        """Press a key while a widget has the focus; a shortcut that reaches it from there has it first."""
        raise NotImplementedError

    def type_keys(self, widget, text: str) -> None:
        """Key by key, as it stands there."""
        for letter in text:
            code = qt.Qt.Key_Return if letter == "\r" else ord(letter.upper())
            for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
                self.send(widget, qt.QKeyEvent(kind, code, qt.Qt.NoModifier, letter))

    def type(self, widget, text: str) -> None:
        """Replace what a line edit holds, key by key, and press Enter."""
        widget.selectAll()
        self.type_keys(widget, f"{text}\r")

    def choose(self, widget, text: str) -> None:
        """Choose the entry of a combo box or node selector that has this text, by an arrow key."""
        box = self._box(widget)
        number = box.findText(text)
        if number < 0:
            raise AssertionError(f"{text!r} is not among {self.entries(widget)}")
        box.blockSignals(True)
        box.setCurrentIndex(number - 1 if number else 1)
        box.blockSignals(False)
        code = qt.Qt.Key_Down if number else qt.Qt.Key_Up
        self.send(box, qt.QKeyEvent(qt.QEvent.KeyPress, code, qt.Qt.NoModifier))
        self.process()

    def entries(self, widget) -> list[str]:
        """The texts of a combo box or node selector; of this, the actions below the nodes included."""
        box = self._box(widget)
        return [box.itemText(row) for row in range(box.count)]

    @staticmethod
    def _box(widget):
        if widget.inherits("QComboBox"):
            return widget
        return slicer.util.findChildren(widget, className="ctkComboBox")[0]

    def choose_action(self, selector, text: str) -> None:
        """Choose what a node selector lists below its nodes."""
        assert text in self.entries(selector)
        own = [each for each in selector.findChildren(qt.QAction) if each.text == text]
        if own:
            own[0].trigger()
        else:
            assert text.startswith("Create new")
            selector.addNode()
        self.process()

    def send(self, widget, event) -> None:
        """Have a widget handle an event."""
        try:
            self.app.sendEvent(widget, event)
        except Exception as error:  # some versions of PySide6 let it through
            self._on_exception(type(error), error, error.__traceback__)
        self.process()

    # what fails
    # ------------------------------------------------------------------------------------------------

    def _on_exception(self, kind, error, trace) -> None:
        self.failures.append("".join(traceback.format_exception(kind, error, trace)))

    def _raise(self) -> None:
        if self.failures:
            text = "\n".join(self.failures)
            self.failures.clear()
            raise AssertionError(f"an exception in a slot, a timer or an observer:\n{text}")
