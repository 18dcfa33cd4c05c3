"""`slicer.app`, the main window and `slicer.modules`, as far as a module uses them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import slicer
from helpers.slicer_tree import follow_removals
from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import qSlicerScriptedLoadableModuleWidget
from .stand_in import stand_in, stored

Signal, Property = QtCore.Signal, QtCore.Property


@stand_in
class qSlicerMainWindow(QtWidgets.QMainWindow):
    """What messages and dialogs need: a status bar."""

    def __init__(self):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.statusBar()
        self._module = ""  # that is open


@stand_in
class qSlicerScriptedLoadableModule(QtCore.QObject):
    """A module's `parent`, and what `slicer.modules.<name>` is: texts, path, icon, widget."""

    def __init__(self, name: str, path: Path):
        super().__init__()
        self.setObjectName(name)
        self._path, self._widget = str(path), None
        self.title = name

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        """The module's panel, made when it is asked for first."""
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self.name)
        return self._widget

    path = Property(str, lambda self: self._path)
    title = stored(str, "")
    categories = stored("QStringList", ())
    dependencies = stored("QStringList", ())
    contributors = stored("QStringList", ())
    helpText = stored(str, "")
    acknowledgementText = stored(str, "")
    icon = stored(QtGui.QIcon, QtGui.QIcon())


@stand_in
class qSlicerModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = Signal(str)


@stand_in
class qSlicerApplication(QtWidgets.QApplication):
    """The application; its settings lie in a temporary folder."""

    startupCompleted = Signal()

    def __init__(self, core):
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setApplicationVersion("5.12.0")
        self.setOrganizationName("slicer.org")
        self.setStyle("Fusion")
        self.setFont(QtGui.QFont("DejaVu Sans", 9))
        self._core = core
        self._units = slicer.vtkSlicerUnitsLogic()
        self._units.SetMRMLScene(core.scene)
        follow_removals(core.scene)
        self._modules = qSlicerModuleManager(self)
        self._temporary = tempfile.TemporaryDirectory(prefix="slicer_host_")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(
            QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, self._temporary.name
        )

    def testingEnabled(self) -> bool:
        return False

    def layoutManager(self) -> None:
        """There are no views, as where Slicer runs without a main window."""

    def moduleManager(self) -> qSlicerModuleManager:
        return self._modules

    def applicationLogic(self):
        return self._core.app_logic

    def openNodeModule(self, node, role: str = "", context: str = "") -> None:
        assert node.IsA("vtkMRMLTransformNode")
        select_module("Transforms")


def select_module(module) -> None:
    """slicer.util.selectModule: the panel of the module before is left and hidden, this one's is shown and entered."""
    name = module if isinstance(module, str) else module.name
    window = slicer.util.mainWindow()
    if name == window._module:
        return
    before = getattr(slicer.modules, window._module.lower(), None)
    if isinstance(before, qSlicerScriptedLoadableModule):
        before.widgetRepresentation().exit()
        before.widgetRepresentation().hide()
    window._module = name
    after = getattr(slicer.modules, name.lower(), None)
    if isinstance(after, qSlicerScriptedLoadableModule):
        after.widgetRepresentation().show()
        after.widgetRepresentation().enter()


def selected_module() -> str:
    """slicer.util.selectedModule."""
    return slicer.util.mainWindow()._module
