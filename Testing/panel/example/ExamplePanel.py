"""A small module of the common kind, which the tests of the host run."""

from __future__ import annotations

from typing import Annotated

import qt
import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class ExamplePanel(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Example")
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self):
        import SampleData

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Example",
            sampleName="One",
            uris="https://example.org/one.nrrd",
            fileNames="one.nrrd",
            nodeNames="one",
            checksums="SHA256:0",
        )


@parameterNodeWrapper
class ExamplePanelParameterNode:
    blend: Annotated[float, WithinRange(0, 1)] = 0.5
    flicker: bool = False
    count: Annotated[int, WithinRange(1, 8)] = 2
    kind: Annotated[str, Choice(["edges", "blend"])] = "blend"


class ExamplePanelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.clicks, self.calls = 0, []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.calls.append("setup")
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/ExamplePanel.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ExamplePanelLogic()
        self.ui.applyButton.clicked.connect(self.onApply)
        self.ui.flickerBox.toggled.connect(self.onFlicker)
        self.ui.ctSelector.currentNodeIDChanged.connect(self.show)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneClosed)
        self.bind()

    def bind(self):
        self.parameters = ExamplePanelParameterNode(self.logic.getParameterNode())
        self.bound = self.parameters.connectGui(self.ui)
        self.show()

    def show(self, nodeID=None):
        self.ui.applyButton.enabled = self.ui.ctSelector.currentNode() is not None
        self.ui.applyButton.toolTip = _("Register") if self.ui.applyButton.enabled else _("Choose a CT first")

    def onFlicker(self, on):
        self.parameters.flicker = on

    def onSceneClosed(self, caller, event):
        self.parameters.disconnectGui(self.bound)
        self.bind()

    def onApply(self):
        self.clicks += 1
        with slicer.util.tryWithErrorDisplay(_("Failed."), waitCursor=True):
            self.logic.process(self.ui.ctSelector.currentNode())

    def enter(self):
        self.calls.append("enter")

    def exit(self):
        self.calls.append("exit")

    def cleanup(self):
        self.calls.append("cleanup")
        self.removeObservers()


class ExamplePanelLogic(ScriptedLoadableModuleLogic):
    def process(self, ct):
        if ct.GetImageData() is None:
            raise ValueError(f"{ct.GetName()} holds no image")
        qt.QTimer.singleShot(0, lambda: ct.SetAttribute("done", "1"))


class ExamplePanelTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_logic(self):
        self.assertEqual(ExamplePanelLogic().moduleName, "ExamplePanel")
