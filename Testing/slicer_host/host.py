"""What a test drives: a module in a window, the scene, the user's answers and what the user was told."""

from __future__ import annotations

import importlib.util
import sys
import time
import traceback
from pathlib import Path

from .dialogs import Answers, Message, answers, messages, reset
from .installation import install


class Host:
    """Slicer for one test at a time.

    Made anew, it starts with an empty scene, no windows and no messages.

    An exception in a slot, a timer or an observer, which Qt and VTK would print and forget, is
    raised by the next call of `process`, `click` or `close`.
    """

    #: Whether the last one has left its scene empty.
    _left_empty = False

    def __init__(self):
        self.app = install()
        import slicer
        from segment_editor import SegmentEditorModule

        from .application import qSlicerMainWindow

        self.slicer, self.scene = slicer, self.app._core.scene
        self.messages: list[Message] = messages
        self.answers: Answers = answers
        self.failures: list[str] = []
        reset()
        vars(slicer.modules).clear()
        slicer.modules.sampleDataSources, slicer.selfTests = {}, {}
        slicer.modules.segmenteditor = SegmentEditorModule()
        self._scene_before, slicer.mrmlScene = getattr(slicer, "mrmlScene", None), self.scene
        if not Host._left_empty:
            self._empty_scene()
        Host._left_empty = False
        self.main_window = qSlicerMainWindow()
        self._loaded: list[str] = []
        self._hook, sys.excepthook = sys.excepthook, self._on_exception

    def _empty_scene(self) -> None:
        """Only what Slicer itself keeps in a scene stays: colours, the selection, views."""
        self.scene.Clear(False)
        for kind in ("vtkMRMLScriptedModuleNode", "vtkMRMLLayoutNode"):
            for node in self.slicer.util.getNodesByClass(kind, self.scene):
                self.scene.RemoveNode(node)

    # modules
    # -----------------------------------------------------------------------------------------------------------

    def load_module(self, path: str | Path):
        """Start Slicer with the folder of a module file, up to `startupCompleted`.

        Slicer takes each .py of the folder for a module. Returns the Python module of this one.
        """
        path = Path(path).resolve()
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        modules = {each.stem: self._instantiate(each) for each in sorted(path.parent.glob("*.py"))}
        self.app.startupCompleted.emit()
        self.app.disconnect("startupCompleted()")
        return modules[path.stem]

    def _instantiate(self, path: Path):
        """qSlicerScriptedLoadableModule::setPythonSource."""
        from .application import qSlicerScriptedLoadableModule

        name = path.stem
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, name):
            raise RuntimeError(
                "Failed to load scripted loadable module: "
                f"class {name} was not found in file {path}"
            )
        registered = qSlicerScriptedLoadableModule(name, path)
        setattr(self.slicer.modules, name.lower(), registered)
        setattr(self.slicer.modules, f"{name}Instance", getattr(module, name)(registered))
        self._loaded.append(name)
        return module

    def open_module(self, name: str | None = None, width: int = 520, height: int | None = None):
        """Show a module's panel, as on choosing it in Slicer's list; returns its Widget object."""
        parent = getattr(
            self.slicer.modules, (name or self._loaded[-1]).lower()
        ).widgetRepresentation()
        parent.resize(width, height or max(parent.sizeHint.height(), 100))
        parent.show()
        self.enter(parent.self())
        return parent.self()

    def enter(self, widget) -> None:
        """Choose the module again."""
        widget.parent.enter()
        self.process()

    def leave(self, widget) -> None:
        """Choose another module."""
        widget.parent.exit()
        self.process()

    # the user
    # ----------------------------------------------------------------------------------------------------------

    def process(self, seconds: float = 0.0, until=None) -> None:
        """Let Qt's event loop run: what is waiting, then for `seconds`, or until `until()` is true (TimeoutError if it never is).

        A pass of the loop counts for 20 ms at most, however long a busy computer took for it.
        """
        left = seconds
        while True:
            began = time.monotonic()
            self.app.processEvents()
            self.app.sendPostedEvents(
                None, 52
            )  # QEvent::DeferredDelete, which a loop that is not Qt's own leaves waiting
            self._raise()
            if until is not None and until():
                return
            if left <= 0.0:
                break
            time.sleep(0.002)
            left -= min(time.monotonic() - began, 0.02)
        if until is not None:
            raise TimeoutError(f"it did not happen in {seconds} s")

    def click(self, widget, position=None) -> None:
        """Press and release the left mouse button on a widget, in its middle.

        What is hidden or disabled cannot be clicked.
        """
        from PySide6 import QtCore, QtTest, QtWidgets

        if not widget.visible or not widget.enabled:
            raise AssertionError(
                f"{widget.name or widget.className()} is "
                f"{'disabled' if widget.visible else 'hidden'}"
            )
        if position is None:
            position = widget.rect.center()
            if isinstance(widget, (QtWidgets.QCheckBox, QtWidgets.QRadioButton)):
                position.setX(10)  # these are wider than what can be clicked
            elif isinstance(widget, QtWidgets.QGroupBox) or hasattr(widget, "contentsCollapsed"):
                position = QtCore.QPoint(10, 10)
        self._do(
            QtTest.QTest.mouseClick, widget, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, position
        )

    def click_cell(self, table, row: int, column: int) -> None:
        """Click a cell of a table, or its check mark where it has one."""
        from PySide6 import QtCore

        table.scrollTo(table.model().index(row, column))
        area = table.visualRect(table.model().index(row, column))
        has_mark = table.model().index(row, column).data(QtCore.Qt.CheckStateRole) is not None
        position = QtCore.QPoint(area.left() + 10, area.center().y()) if has_mark else area.center()
        self.click(table.viewport(), position)

    def key(self, widget, key, modifiers=None) -> None:
        from PySide6 import QtCore, QtTest

        self._do(QtTest.QTest.keyClick, widget, key, modifiers or QtCore.Qt.NoModifier)

    def type(self, widget, text: str) -> None:
        """Replace what a line edit or spin box holds, key by key, and press Enter."""
        from PySide6 import QtCore, QtTest, QtWidgets

        edit = (
            widget
            if isinstance(widget, QtWidgets.QLineEdit)
            else widget.findChild(QtWidgets.QLineEdit)
        )
        edit.selectAll()
        self._do(QtTest.QTest.keyClicks, edit, text)
        self._do(QtTest.QTest.keyClick, edit, QtCore.Qt.Key_Return)

    def choose(self, widget, text: str) -> None:
        """Choose the entry of a combo box or node selector that has this text."""
        from PySide6 import QtWidgets

        box = (
            widget
            if isinstance(widget, QtWidgets.QComboBox)
            else widget.findChild(QtWidgets.QComboBox)
        )
        number = box.findText(text)
        if number < 0:
            raise AssertionError(
                f"{text!r} is not among {[box.itemText(i) for i in range(box.count)]}"
            )
        self._do(box.setCurrentIndex, number)
        self._do(box.activated.emit, number)

    def choose_action(self, selector, text: str) -> None:
        """Choose what a node selector lists below its nodes."""
        self._do(selector._menu()[text])

    def _do(self, function, *arguments) -> None:
        try:
            function(*arguments)
        except (
            Exception
        ) as error:  # some versions of PySide6 let it through, others hand it to sys.excepthook
            self._on_exception(type(error), error, error.__traceback__)
        self.process()

    def shown(self, *kinds: str) -> list[str]:
        """Texts of what the user was told or asked, of these kinds (all kinds by default), in order."""
        return [message.text for message in self.messages if not kinds or message.kind in kinds]

    # the end
    # -----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Unload the modules, as Slicer does at its end, and clear the scene."""
        try:
            for name in self._loaded:
                self._unload(getattr(self.slicer.modules, name.lower()))
            self.main_window.deleteLater()
            self._empty_scene()
            self.process()
            Host._left_empty = not self.failures
        finally:
            sys.excepthook, self.slicer.mrmlScene = self._hook, self._scene_before

    def _unload(self, module) -> None:
        panel = module._widget
        if panel is not None and panel.isEntered:
            panel.exit()
        self.app.moduleManager().moduleAboutToBeUnloaded.emit(module.name)
        if panel is not None:
            panel.hide()
            panel.deleteLater()

    def _on_exception(self, kind, error, trace) -> None:
        self.failures.append("".join(traceback.format_exception(kind, error, trace)))
        self._hook(kind, error, trace)

    def _raise(self) -> None:
        if self.failures:
            text = "\n".join(self.failures)
            self.failures.clear()
            raise AssertionError(f"an exception in a slot, a timer or an observer:\n{text}")
