"""Stand-ins for the plain widgets of Slicer that know the scene, and for the widgets that Slicer puts a module into."""

from __future__ import annotations

import weakref

import vtk
from PySide6 import QtCore, QtWidgets

from .stand_in import stand_in

Signal, Slot = QtCore.Signal, QtCore.Slot


class Follower:
    """Observes VTK objects for a widget for as long as it lives."""

    def __init__(self, widget: QtWidgets.QWidget):
        self._widget = weakref.ref(widget)
        self._observed: list[tuple] = []
        widget.destroyed.connect(self.stop)

    def start(self, target, event, method: str) -> None:
        """Call the widget's `method(node)` at each event; node is what the event is about, or None."""

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def called(caller, name, node=None):
            widget = self._widget()
            if widget is not None:
                getattr(widget, method)(node)

        self._observed.append((target, target.AddObserver(event, called)))

    def stop(self, *unused) -> None:
        for target, tag in self._observed:
            target.RemoveObserver(tag)
        self._observed.clear()


class SceneWidget:
    """Has a scene, and says when it gets another."""

    def mrmlScene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene) -> None:
        if scene is not self.mrmlScene():
            self.__dict__["_scene"] = scene
            self._on_scene()
            if hasattr(self, "mrmlSceneChanged"):
                self.mrmlSceneChanged.emit(scene)

    def _on_scene(self) -> None:
        pass


@stand_in
class qMRMLWidget(SceneWidget, QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)


@stand_in
class qSlicerWidget(SceneWidget, QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)


@stand_in
class qSlicerAbstractModuleWidget(qSlicerWidget):
    """What Slicer hands to a scripted module as `parent`: the inside of the module panel."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setLayout(QtWidgets.QVBoxLayout())


@stand_in
class qSlicerScriptedLoadableModuleWidget(qSlicerAbstractModuleWidget):
    pass
