"""Stand-in for Slicer's layout manager.

Slicer's own layout logic, and a widget for each view of the layout that is on.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .stand_in import stand_in
from .view_widgets import qMRMLSliceWidget, qMRMLThreeDWidget

Qt = QtCore.Qt
#: A view lives as long as the process, as in Slicer, where a layout that is left only hides its
#: views.
_widgets: dict[str, QtWidgets.QWidget] = {}


@stand_in
class qSlicerLayoutManager(QtCore.QObject):
    """Follows the scene's layout node.

    Before that is told a layout, it has none of Slicer's default ones.
    """

    def __init__(self, core):
        super().__init__()
        self._core, self._viewport = core, QtWidgets.QWidget()
        QtWidgets.QVBoxLayout(self._viewport).setContentsMargins(0, 0, 0, 0)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(core.scene)
        self._shown = None
        self._tag = self._logic.GetLayoutNode().AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._follow()
        )
        self._follow()

    def _close(self) -> None:
        """Let go of the scene and of the views."""
        node = self._logic.GetLayoutNode()
        if node is not None:
            node.RemoveObserver(self._tag)
        self._logic.SetMRMLScene(None)
        for widget in _widgets.values():
            widget.setParent(None)
        self._viewport.deleteLater()

    def _follow(self) -> None:
        node = self._logic.GetLayoutNode()
        now = node.GetViewArrangement(), node.GetCurrentLayoutDescription()
        if now == self._shown:
            return
        self._shown = now
        for widget in _widgets.values():
            widget.setParent(None)
        old = self._viewport.layout().takeAt(0)
        if old is not None and old.widget() is not None:
            old.widget().deleteLater()
        if now[1]:
            self._viewport.layout().addWidget(self._make(ET.fromstring(now[1])))

    def _make(self, element: ET.Element) -> QtWidgets.QWidget:
        """The widget of a <view> or <layout>."""
        if element.tag == "view":
            kind = (
                "vtkMRMLSliceNode"
                if element.get("class") == "vtkMRMLSliceNode"
                else "vtkMRMLViewNode"
            )
            nodes = slicer.util.getNodesByClass(kind, self._core.scene)
            node = next(
                node for node in nodes if node.GetLayoutName() == element.get("singletontag")
            )
            widget = self._widget(node)
            widget.show()
            return widget
        if element.get("type") == "tab":
            box = QtWidgets.QTabWidget()
            for item in element.findall("item"):
                box.addTab(self._make(item[0]), item.get("name") or "")
            return box
        box = QtWidgets.QSplitter(
            Qt.Vertical if element.get("type") == "vertical" else Qt.Horizontal
        )
        items = element.findall("item")
        for item in items:
            box.addWidget(self._make(item[0]))
        box.setSizes([int(item.get("splitSize") or 500) for item in items])
        for number in range(len(items)):
            box.setStretchFactor(number, 1)
        return box

    def _widget(self, node) -> QtWidgets.QWidget:
        name = f"{node.GetClassName()} {node.GetLayoutName()}"
        if name not in _widgets:
            _widgets[name] = (
                qMRMLSliceWidget if node.IsA("vtkMRMLSliceNode") else qMRMLThreeDWidget
            )(self._core, node)
        return _widgets[name]

    def _nodes(self, kind: str) -> list:
        nodes = self._logic.GetViewNodes()
        return [
            node
            for node in map(nodes.GetItemAsObject, range(nodes.GetNumberOfItems()))
            if node.IsA(kind)
        ]

    def viewport(self) -> QtWidgets.QWidget:
        return self._viewport

    @QtCore.Slot(int)
    def setLayout(self, number: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(number)

    def sliceViewNames(self) -> tuple:
        return tuple(node.GetLayoutName() for node in self._nodes("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return next(
            (
                self._widget(node)
                for node in self._nodes("vtkMRMLSliceNode")
                if node.GetLayoutName() == name
            ),
            None,
        )

    def threeDWidget(self, which: int) -> qMRMLThreeDWidget | None:
        nodes = self._nodes("vtkMRMLViewNode")
        return self._widget(nodes[which]) if which < len(nodes) else None

    threeDViewCount = QtCore.Property(int, lambda self: len(self._nodes("vtkMRMLViewNode")))
