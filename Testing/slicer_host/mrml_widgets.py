"""Stand-ins for the plain widgets of Slicer that know the scene, and for the widgets that Slicer puts a module into."""

from __future__ import annotations

import sys
import weakref

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .stand_in import stand_in

Signal = QtCore.Signal


class Follower:
    """Observes VTK objects for a widget for as long as it lives."""

    def __init__(self, widget: QtWidgets.QWidget):
        self._widget = weakref.ref(widget)
        self._observed: list[tuple] = []
        widget.destroyed.connect(self.stop)

    def start(self, target, event, method: str, priority: float = 0.0, subject=None) -> None:
        """Call the widget's `method(node)` at each event.

        Node is `subject`, or what an event of a scene is about, or None.
        """

        def called(caller, name, node=None):
            widget = self._widget()
            if widget is not None:
                getattr(widget, method)(node if subject is None else subject)

        if target.IsA("vtkMRMLScene"):
            called = vtk.calldata_type(vtk.VTK_OBJECT)(called)
        self._observed.append((target, target.AddObserver(event, called, priority)))

    def stop(self, *unused) -> None:
        for target, tag in self._observed:
            target.RemoveObserver(tag)
        self._observed.clear()


class SceneWidget:
    """Has a scene, and says when it gets another."""

    def _get_scene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene) -> None:
        if scene is not self._get_scene():
            self.__dict__["_scene"] = scene
            self._on_scene()
            if hasattr(self, "mrmlSceneChanged"):
                self.mrmlSceneChanged.emit(scene)

    def _on_scene(self) -> None:
        pass


@stand_in
class qMRMLWidget(SceneWidget, QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)
    mrmlScene = SceneWidget._get_scene


@stand_in
class qSlicerScriptedLoadableModuleWidget(SceneWidget, QtWidgets.QWidget):
    """What Slicer hands to a scripted module as `parent`, the inside of the module panel: holds the module's Widget, and hands `enter` and
    `exit` on to it."""

    def __init__(self, name: str):
        super().__init__()
        self.setLayout(QtWidgets.QVBoxLayout())
        self._entered, self._name, self._python = False, name, None
        self.reload()
        self.setMRMLScene(slicer.mrmlScene)

    def reload(self) -> None:
        """Make the Widget of the class that is in the module file's Python module now."""
        self._python = getattr(sys.modules[self._name], f"{self._name}Widget")(self)
        setattr(slicer.modules, f"{self._name}Widget", self._python)
        self._python.setup()

    def self(self):
        return self._python

    def enter(self) -> None:
        self._entered = True
        self.show()
        self._python.enter()

    def exit(self) -> None:
        self._entered = False
        self._python.exit()
        self.hide()

    isEntered = QtCore.Property(bool, lambda self: self._entered)
