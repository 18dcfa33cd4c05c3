"""`slicer.app`, the main window and `slicer.modules`, as far as a module uses them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .dialogs import record
from .stand_in import stand_in

Signal = QtCore.Signal


@stand_in
class qSlicerMainWindow(QtWidgets.QMainWindow):
    pass


class ModuleManager(QtCore.QObject):
    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def module(self, name: str):
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self) -> tuple:
        return tuple(module.name for module in vars(slicer.modules).values() if isinstance(module, Module))


class Module(QtCore.QObject):
    """What a module's constructor gets as `parent`, and what `slicer.modules.<name>` is: texts, path, icon, widget."""

    def __init__(self, name: str, path: Path):
        super().__init__()
        self.setObjectName(name)
        self.path = str(path)
        self.title = name
        self.categories, self.dependencies, self.contributors = [], [], []
        self.helpText = self.acknowledgementText = ""
        self.icon = QtGui.QIcon()
        self.index, self.hidden, self.widgetRepresentationCreationEnabled = -1, False, True
        self._widget = None

    def widgetRepresentation(self):
        return self._widget

    def resourcePath(self, name: str) -> str:
        return str(Path(self.path).parent / "Resources" / name)


class SlicerApplication(QtWidgets.QApplication):
    startupCompleted = Signal()

    def __init__(self, app, folder: Path):
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.setApplicationVersion("5.10.0")
        self.setOrganizationName("slicer.org")
        self._app, self._folder = app, folder
        self.temporaryPath = str(folder / "temporary")
        self.slicerHome = str(folder / "home")
        self.defaultScenePath = str(folder / "scenes")
        for path in (self.temporaryPath, self.slicerHome, self.defaultScenePath):
            Path(path).mkdir(exist_ok=True)
        self.majorVersion, self.minorVersion, self.slicerVersion = 5, 10, "5.10.0"
        self.revision, self.os, self.arch = "0", "linux", "amd64"
        self.documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"
        self.testing = False
        self.layout_manager = None
        self._modules = ModuleManager(self)
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(folder / "settings"))

    def testingEnabled(self) -> bool:
        return self.testing

    def layoutManager(self):
        return self.layout_manager

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def applicationLogic(self):
        return self._app.app_logic

    def mrmlScene(self):
        return slicer.mrmlScene

    def userSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    settings = revisionUserSettings = userSettings

    def moduleDocumentationUrl(self, module: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{module.lower()}.html"

    def pauseRender(self) -> None:
        pass

    resumeRender = pauseRender

    def setRenderPaused(self, paused: bool) -> None:
        pass


def make_application(app) -> SlicerApplication:
    """The one application of the process, with settings and temporary files in a folder that goes with it."""
    folder = tempfile.TemporaryDirectory(prefix="slicer_host_")
    application = SlicerApplication(app, Path(folder.name))
    application._temporary_folder = folder
    application.setStyle("Fusion")
    application.setFont(QtGui.QFont("DejaVu Sans", 9))
    return application


def select_module(module) -> None:
    record("module", module if isinstance(module, str) else module.name)
