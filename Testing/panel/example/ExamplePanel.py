"""A small module of the common kind, which the tests of the host run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import (
    Choice,
    Decimals,
    Default,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)
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
            category="Example", sampleName="One", uris="https://example.org/one.nrrd", fileNames="one.nrrd", nodeNames="one",
            checksums="SHA256:0")


class Method(Enum):
    SEARCH = "search"
    GIVEN = "given"


@parameterPack
class View:
    name: str = "AP"
    image: slicer.vtkMRMLScalarVolumeNode
    angle: Annotated[float, WithinRange(-90, 90)] = 0.0


@parameterNodeWrapper
class ExamplePanelParameterNode:
    ct: slicer.vtkMRMLScalarVolumeNode
    blend: Annotated[float, WithinRange(0, 1), Decimals(3)] = 0.5
    flicker: bool = False
    count: Annotated[int, WithinRange(1, 8)] = 2
    method: Method = Method.GIVEN
    kind: Annotated[str, Choice(["edges", "blend"]), Default("blend")]
    note: str = ""
    folder: Path
    views: list[View]
    start: float | None = None
    pair: tuple[int, str] = (0, "")


class ExamplePanelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.clicks = 0

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/ExamplePanel.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ExamplePanelLogic()
        self.ui.applyButton.clicked.connect(self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneClosed)
        self.bind()

    def bind(self):
        self.removeObservers(self.show)
        self.parameters = ExamplePanelParameterNode(self.logic.getParameterNode())
        self.parameters.connectGui(self.ui)
        self.addObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.show)
        self.show()

    def show(self, caller=None, event=None):
        self.ui.applyButton.enabled = self.parameters.ct is not None
        self.ui.applyButton.toolTip = _("Register") if self.ui.applyButton.enabled else _("Choose a CT first")

    def onSceneClosed(self, caller, event):
        self.bind()

    def onApply(self):
        self.clicks += 1
        with slicer.util.tryWithErrorDisplay(_("Failed."), waitCursor=True):
            self.logic.process(self.parameters.ct)

    def cleanup(self):
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
