"""Stand-in for the bar over a slice view, as far as it changes the scene: its three selectors of volumes.

They hold what the view shows, and what they hold the view shows. So where a volume that is shown leaves the scene, its selector takes
another one, and the view shows that, with the opacity it had.
"""

from __future__ import annotations

from PySide6 import QtCore

from .mrml_widgets import Follower, qMRMLWidget
from .node_selector import qMRMLNodeComboBox
from .stand_in import stand_in

_LAYERS = {"LabelMap": "Label", "Foreground": "Foreground", "Background": "Background"}


@stand_in
class qMRMLSliceControllerWidget(qMRMLWidget):
    def __init__(self, logic, parent=None):
        super().__init__(parent)
        self._logic, self._follower = logic, Follower(self)
        self._boxes = {}
        for name, layer in _LAYERS.items():
            box = self._boxes[layer] = qMRMLNodeComboBox(self)
            box.setObjectName(f"{name}ComboBox")
            box.nodeTypes = ["vtkMRMLLabelMapVolumeNode" if layer == "Label" else "vtkMRMLVolumeNode"]
            box.noneEnabled = box.editEnabled = box.renameEnabled = True
            box.addEnabled = box.removeEnabled = False
            box.setMRMLScene(logic.GetMRMLScene())
            for signal in (box.currentNodeChanged, box.nodeActivated):
                signal.connect(lambda node, layer=layer: self._on_chosen(layer, node))
        self._follower.start(self.mrmlSliceCompositeNode(), "ModifiedEvent", "_from_composite_node")
        self._follower.start(logic.GetMRMLScene(), logic.GetMRMLScene().EndBatchProcessEvent, "_from_composite_node")
        self._from_composite_node()
        self.hide()

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    @QtCore.Slot()
    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def _on_chosen(self, layer: str, node) -> None:
        composite = self.mrmlSliceCompositeNode()
        self._logic.StartSliceCompositeNodeInteraction(getattr(composite, f"{layer}VolumeFlag"))
        getattr(composite, f"Set{layer}VolumeID")(node.GetID() if node is not None else None)
        self._logic.EndSliceCompositeNodeInteraction()

    def _from_composite_node(self, *unused) -> None:
        scene, composite = self._logic.GetMRMLScene(), self.mrmlSliceCompositeNode()
        if scene is None or scene.IsBatchProcessing() or composite is None:
            return
        for layer, box in self._boxes.items():
            box.blockSignals(True)
            box.setCurrentNodeID(getattr(composite, f"Get{layer}VolumeID")() or "")
            box.blockSignals(False)
