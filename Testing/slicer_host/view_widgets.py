"""Stand-ins for Slicer's views.

Real displayable managers and interactors of slicer-core, drawn offscreen into Qt widgets.
"""

from __future__ import annotations

import numpy as np
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from trame_slicer.views import AbstractView, SliceView, ThreeDView
from trame_slicer.views.render_scheduler import ScheduledRenderStrategy
from vtk.util.numpy_support import vtk_to_numpy

from .mrml_widgets import Follower, qMRMLWidget
from .node_selector import qMRMLNodeComboBox
from .stand_in import stand_in

Qt = QtCore.Qt
_LAYERS = {"LabelMap": "Label", "Foreground": "Foreground", "Background": "Background"}
_BUTTONS = {Qt.LeftButton: "Left", Qt.RightButton: "Right", Qt.MiddleButton: "Middle"}
_KEYS = {
    Qt.Key_Left: "Left",
    Qt.Key_Right: "Right",
    Qt.Key_Up: "Up",
    Qt.Key_Down: "Down",
    Qt.Key_Escape: "Escape",
    Qt.Key_Space: "space",
    Qt.Key_PageUp: "Prior",
    Qt.Key_PageDown: "Next",
}


class _WhenPainted(ScheduledRenderStrategy):
    """A view is drawn when Qt paints its widget, so what nobody looks at costs nothing."""

    def __init__(self, widget):
        super().__init__()
        self._widget = widget

    def schedule_render(self):
        self._widget.update()


class _OfNode:
    """A view of a node that is in the scene, which stays as it is.

    Of its own accord it would make another and turn it.
    """

    def __init__(self, core, node, widget):
        self._given = node
        super().__init__(
            core.scene,
            core.app_logic,
            node.GetLayoutName(),
            scheduled_render_strategy=_WhenPainted(widget),
        )

    def set_scene(self, scene) -> None:
        AbstractView.set_scene(self, scene)
        self._logic.SetMRMLScene(scene)
        if self._given.IsA("vtkMRMLSliceNode"):
            self._logic.SetSliceNode(self._given)
        self.set_view_node(self._given)

    def _reset_node_view_properties(self) -> None:
        pass


class _SliceView(_OfNode, SliceView):
    pass


class _ThreeDView(_OfNode, ThreeDView):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.renderer().SetUseDepthPeelingForVolumes(False)  # Mesa draws no volumes with it


@stand_in
class ctkVTKAbstractView(QtWidgets.QWidget):
    """A view: the mouse and the keys go to its interactor."""

    def __init__(self, kind: type, core, node):
        super().__init__()
        self._view, self._node = kind(core, node, self), node
        self.setMinimumSize(100, 80)
        self.setFocusPolicy(Qt.StrongFocus)
        self.setMouseTracking(True)

    def interactor(self):
        return self._view.interactor()

    # drawing
    # -----------------------------------------------------------------------------------------------------------

    def resizeEvent(self, event):
        window = self._view.render_window()
        window.SetSize(max(self.width, 1), max(self.height, 1))
        self.interactor().UpdateSize(max(self.width, 1), max(self.height, 1))
        if self._node.IsA("vtkMRMLSliceNode"):
            self._view._logic.ResizeSliceNode(max(self.width, 1), max(self.height, 1))

    def _pixels(self) -> np.ndarray:
        """The view as it is now, uint8 (rows, columns, 3), the top row first."""
        self._view.render_window().Render()
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(self._view.render_window())
        reader.ReadFrontBufferOff()
        reader.ShouldRerenderOff()
        reader.Update()
        columns, rows, _ = reader.GetOutput().GetDimensions()
        return (
            vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars())
            .reshape(rows, columns, -1)[::-1, :, :3]
            .copy()
        )

    def paintEvent(self, event):
        pixels = self._pixels()
        image = QtGui.QImage(
            pixels.data,
            pixels.shape[1],
            pixels.shape[0],
            3 * pixels.shape[1],
            QtGui.QImage.Format_RGB888,
        )
        QtGui.QPainter(self).drawImage(self.rect, image)

    # mouse and keys
    # ----------------------------------------------------------------------------------------------------

    def _tell(self, event, name: str, repeat: int = 0) -> None:
        modifiers, (x, y) = event.modifiers(), self.interactor().GetEventPosition()
        key, symbol = chr(0), ""
        if isinstance(event, QtGui.QKeyEvent):
            symbol = _KEYS.get(Qt.Key(event.key()), event.text())
            key = event.text()[:1] or key
        else:
            x, y = int(event.position().x()), self.height - 1 - int(event.position().y())
        ctrl, shift = (
            int(bool(modifiers & held)) for held in (Qt.ControlModifier, Qt.ShiftModifier)
        )
        self.interactor().SetEventInformation(x, y, ctrl, shift, key, repeat, symbol)
        self.interactor().InvokeEvent(name)
        if name == "KeyPressEvent":
            self.interactor().InvokeEvent("CharEvent")

    def mousePressEvent(self, event):
        self._tell(event, f"{_BUTTONS[event.button()]}ButtonPressEvent")

    def mouseReleaseEvent(self, event):
        self._tell(event, f"{_BUTTONS[event.button()]}ButtonReleaseEvent")

    def mouseDoubleClickEvent(self, event):
        self._tell(event, f"{_BUTTONS[event.button()]}ButtonDoubleClickEvent", 1)

    def mouseMoveEvent(self, event):
        self._tell(event, "MouseMoveEvent")

    def keyPressEvent(self, event):
        self._tell(event, "KeyPressEvent")

    def keyReleaseEvent(self, event):
        self._tell(event, "KeyReleaseEvent")


@stand_in
class qMRMLSliceView(ctkVTKAbstractView):
    def __init__(self, core, node):
        super().__init__(_SliceView, core, node)

    def mrmlSliceNode(self):
        return self._node

    def convertRASToXYZ(self, ras):
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.mrmlSliceNode().GetXYToRAS(), inverse)
        return inverse.MultiplyPoint([*ras, 1.0])[:3]


@stand_in
class qMRMLThreeDView(ctkVTKAbstractView):
    def __init__(self, core, node):
        super().__init__(_ThreeDView, core, node)

    def mrmlViewNode(self):
        return self._node

    def cameraNode(self):
        return self._view.get_camera_node()


class _Framed(QtWidgets.QWidget):
    """A bar with the view's name in its colour over the view."""

    def __init__(self, view: ctkVTKAbstractView, node):
        super().__init__()
        self._view, self._node = view, node
        self._bar = QtWidgets.QLabel(node.GetLayoutLabel() or node.GetLayoutName())
        red, green, blue = (round(255 * channel) for channel in node.GetLayoutColor())
        self._bar.setStyleSheet(
            f"background: rgb({red}, {green}, {blue}); color: black; padding: 1px 4px;"
        )
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        layout.addWidget(view, 1)


@stand_in
class qMRMLSliceControllerWidget(qMRMLWidget):
    """The bar over a slice view, as far as it changes the scene: its three selectors of volumes.

    They hold what the view shows, and what they hold the view shows. So where a volume that is
    shown leaves the scene, its selector takes another one, and the view shows that, with the
    opacity it had.
    """

    def __init__(self, logic, parent=None):
        super().__init__(parent)
        self._logic, self._follower = logic, Follower(self)
        self._boxes = {}
        for name, layer in _LAYERS.items():
            box = self._boxes[layer] = qMRMLNodeComboBox(self)
            box.setObjectName(f"{name}ComboBox")
            box.nodeTypes = [
                "vtkMRMLLabelMapVolumeNode" if layer == "Label" else "vtkMRMLVolumeNode"
            ]
            box.noneEnabled = True
            box.setMRMLScene(logic.GetMRMLScene())
            for signal in (box.currentNodeChanged, box.nodeActivated):
                signal.connect(lambda node, layer=layer: self._on_chosen(layer, node))
        self._follower.start(
            self._logic.GetSliceCompositeNode(), "ModifiedEvent", "_from_composite_node"
        )
        self._follower.start(
            logic.GetMRMLScene(), logic.GetMRMLScene().EndBatchProcessEvent, "_from_composite_node"
        )
        self._from_composite_node()
        self.hide()

    def _on_chosen(self, layer: str, node) -> None:
        composite = self._logic.GetSliceCompositeNode()
        self._logic.StartSliceCompositeNodeInteraction(getattr(composite, f"{layer}VolumeFlag"))
        getattr(composite, f"Set{layer}VolumeID")(node.GetID() if node is not None else None)
        self._logic.EndSliceCompositeNodeInteraction()

    def _from_composite_node(self, *unused) -> None:
        scene, composite = self._logic.GetMRMLScene(), self._logic.GetSliceCompositeNode()
        if scene is None or scene.IsBatchProcessing() or composite is None:
            return
        for layer, box in self._boxes.items():
            box.blockSignals(True)
            box.setCurrentNodeID(getattr(composite, f"Get{layer}VolumeID")() or "")
            box.blockSignals(False)


@stand_in
class qMRMLSliceWidget(_Framed):
    def __init__(self, core, node):
        super().__init__(qMRMLSliceView(core, node), node)
        self._controller = qMRMLSliceControllerWidget(self.sliceLogic(), self)

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def sliceLogic(self):
        return self._view._view._logic

    def mrmlSliceCompositeNode(self):
        return self.sliceLogic().GetSliceCompositeNode()

    @QtCore.Slot()
    def fitSliceToBackground(self) -> None:
        self.sliceLogic().FitSliceToBackground()


@stand_in
class qMRMLThreeDWidget(_Framed):
    def __init__(self, core, node):
        super().__init__(qMRMLThreeDView(core, node), node)

    def threeDView(self) -> qMRMLThreeDView:
        return self._view
