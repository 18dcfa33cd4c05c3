"""The host in which the panel runs without Slicer: that it behaves as Slicer and PythonQt do where the panel relies on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parent / "example" / "ExamplePanel.py"


@pytest.fixture
def panel(host):
    host.load_module(EXAMPLE)
    return host.open_module()


@pytest.fixture
def volume(host):
    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    host.slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4), np.float32))
    return node


# Qt as PythonQt shows it -----------------------------------------------------------------------------------------------


def test_properties_are_attributes(host):
    import qt

    label, box = qt.QLabel("a"), qt.QSpinBox()
    label.text = "b"
    box.value = 3.0
    assert (label.text, box.value, box.enabled, label.name) == ("b", 3, True, "")
    with pytest.raises(TypeError, match="not callable"):
        label.text()
    with pytest.raises(AttributeError, match="texxt"):
        label.texxt = "c"
    with pytest.raises(AttributeError, match="writable"):
        box.cleanText = "c"
    assert qt.QTableWidget(2, 3).horizontalHeader().count() == 3  # what Qt made is seen in the same way
    assert not hasattr(qt, "Signal")


def test_a_widget_written_in_python_keeps_its_own_attributes_and_answers_qt(host):
    import qt

    class Box(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.presses = 0

        def sizeHint(self):
            return qt.QSize(40, 30)

        def mousePressEvent(self, event):
            self.presses += 1

    box = Box()
    box.adjustSize()
    box.show()
    host.click(box)
    assert (box.presses, box.size) == (1, qt.QSize(40, 30))


def test_connections_by_signature(host):
    import qt

    button, seen = qt.QPushButton(), []
    button.checkable = True
    button.connect("toggled(bool)", seen.append)
    button.connect("clicked()", lambda: seen.append("clicked"))
    button.show()
    host.click(button)
    assert button.disconnect("toggled(bool)", seen.append)
    host.click(button)
    assert seen == [True, "clicked", "clicked"]
    with pytest.raises(ValueError, match="klicked"):
        button.connect("klicked()", seen.append)


def test_dialogs_do_not_wait(host, tmp_path):
    import qt

    host.answers.yes, host.answers.save_file = False, tmp_path / "a.mrb"
    assert not host.slicer.util.confirmYesNoDisplay("Overwrite?")
    assert qt.QMessageBox.question(None, "t", "Sure?") == qt.QMessageBox.No
    assert qt.QFileDialog.getSaveFileName(None, "Save") == str(tmp_path / "a.mrb")
    assert host.told("question") == ["Overwrite?", "Sure?"]
    with pytest.raises(ZeroDivisionError), host.slicer.util.tryWithErrorDisplay("Failed."):
        1 / 0  # noqa: B018
    assert "division" in host.told("critical")[0]

    def drive(dialog):
        dialog.findChild(qt.QLineEdit).text = "typed"
        dialog.accept()

    dialog = qt.QDialog()
    edit = qt.QLineEdit(dialog)
    host.answers.dialog = drive
    assert dialog.exec_() == qt.QDialog.Accepted
    assert edit.text == "typed"


def test_what_goes_wrong_in_a_slot_fails_the_test(host):
    import qt

    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.show()
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        host.click(button)


@pytest.mark.filterwarnings("ignore:.*QDragEnterEvent")  # that Qt 6 will want another point one day
def test_cells_and_dropped_files(host, tmp_path):
    import qt

    class Target(qt.QLabel):
        def dragEnterEvent(self, event):
            if event.mimeData().hasUrls():
                event.acceptProposedAction()

        def dropEvent(self, event):
            self.text = event.mimeData().urls()[0].toLocalFile()

    target = Target("drop here")
    target.show()
    assert not host.drop(target, tmp_path)
    target.acceptDrops = True
    assert host.drop(target, tmp_path) and target.text == str(tmp_path)

    table, mark = qt.QTableWidget(2, 2), qt.QTableWidgetItem("use")
    mark.setCheckState(qt.Qt.Unchecked)
    table.setItem(1, 0, mark)
    table.show()
    host.click_cell(table, 1, 0)
    host.click_cell(table, 1, 1)
    assert mark.checkState() == qt.Qt.Checked and (table.currentRow(), table.currentColumn()) == (1, 1)


# stand-ins -------------------------------------------------------------------------------------------------------------


def test_a_collapsible_button_collapses_at_a_click(host):
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton()
    section.text = "Section"
    inside, hidden = qt.QLabel("inside"), qt.QLabel("hidden")
    layout = qt.QVBoxLayout(section)
    layout.addWidget(inside)
    layout.addWidget(hidden)
    hidden.visible = False
    section.show()
    height = section.sizeHint().height()
    host.click(section)
    assert section.collapsed and not inside.visible and section.sizeHint().height() < height
    hidden.visible = True  # while folded: seen once it is unfolded
    assert not hidden.visible
    host.click(section)
    assert not section.collapsed and inside.visible and hidden.visible


def test_a_node_selector_follows_the_scene(host, volume):
    selector = host.slicer.qMRMLNodeComboBox()
    selector.nodeTypes, selector.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    selector.addAttribute("vtkMRMLScalarVolumeNode", "mine", "1")
    selector.setMRMLScene(host.scene)
    ids, nodes = [], []
    selector.connect("currentNodeIDChanged(QString)", ids.append)
    selector.currentNodeChanged.connect(nodes.append)
    assert selector.nodeCount() == 0 and selector.currentNode() is None
    volume.SetAttribute("mine", "1")
    assert selector.nodeCount() == 1
    host.choose(selector, "CT")
    volume.SetName("Renamed")
    host.choose(selector, "Renamed")
    assert selector.currentNode() is volume and selector.currentNodeID == volume.GetID()
    host.scene.RemoveNode(volume)
    assert ids == ["vtkMRMLScalarVolumeNode1", "vtkMRMLScalarVolumeNode1", ""]  # a new name counts as a change
    assert nodes[-1] is None


# views -----------------------------------------------------------------------------------------------------------------

LAYOUT = """<layout type="horizontal"><item><view class="vtkMRMLSliceNode" singletontag="XRay1">
<property name="orientation" action="default">Axial</property><property name="viewlabel" action="default">X1</property>
</view></item></layout>"""


def test_a_view_shows_the_scene_and_hears_the_mouse(host, volume):
    assert host.app.layoutManager() is None
    scene = host.app._core.scene
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode") or scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    node.AddLayoutDescription(4711, LAYOUT)
    node.SetViewArrangement(4711)
    layout = host.open_views(240, 200)
    assert layout.sliceViewNames() == ("XRay1",)
    view = layout.sliceWidget("XRay1").sliceView()
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(1, -1)  # all of it white
    layout.sliceWidget("XRay1").mrmlSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    layout.resetSliceViews()
    image = host.grab(view)
    assert image.pixelColor(view.width // 2, view.height // 2).lightness() == 255
    assert image.pixelColor(1, 1).lightness() == 0
    seen = []
    for event in ("LeftButtonPressEvent", "MouseMoveEvent", "LeftButtonReleaseEvent"):
        view.interactor().AddObserver(
            event, lambda caller, name: seen.append((name, *caller.GetEventPosition())), 100.0
        )
    host.drag(view, (10, 20), (40, 30))
    top = view.height - 1
    assert ("LeftButtonPressEvent", 10, top - 20) in seen and ("MouseMoveEvent", 34, top - 28) in seen
    assert seen[-1] == ("LeftButtonReleaseEvent", 40, top - 30)


# a module --------------------------------------------------------------------------------------------------------------


def test_a_click_through(host, panel, volume, tmp_path):
    assert not panel.ui.applyButton.enabled
    host.choose(panel.ui.ctSelector, "CT")
    assert panel.ui.applyButton.enabled
    host.click(panel.ui.applyButton)
    host.process(60, until=lambda: volume.GetAttribute("done") == "1")
    image = host.grab(panel.parent, tmp_path / "panel.png")
    assert image.width() == 520 and (tmp_path / "panel.png").stat().st_size > 1000


def test_a_failure_is_shown(host, panel):
    host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    host.choose(panel.ui.ctSelector, "empty")
    with pytest.raises(AssertionError, match="holds no image"):
        host.click(panel.ui.applyButton)
    assert host.told("critical") == ["Failed.\n\nempty holds no image"]


def test_widgets_and_parameters_follow_each_other(host, panel):
    parameters = panel.parameters
    host.click(panel.ui.flickerBox)
    panel.ui.blendSlider.value = 0.25
    assert (parameters.flicker, parameters.blend, panel.ui.blendSlider.maximum) == (True, 0.25, 1.0)
    parameters.blend, parameters.count, parameters.kind = 0.75, 5, "edges"
    assert panel.ui.blendSlider.value == 0.75
    for name, value, word in (("count", 9, "8"), ("kind", "other", "one of")):
        with pytest.raises(ValueError, match=word):
            setattr(parameters, name, value)
    with pytest.raises(TypeError, match="int"):
        parameters.count = "3"
    node = parameters.parameterNode  # in the words that Slicer 5.13's own wrapper writes
    assert {name: node.GetParameter(name) for name in ("blend", "flicker", "count", "kind")} == {
        "blend": "0.75",
        "flicker": "True",
        "count": "5",
        "kind": "edges",
    }


def test_closing_the_scene_leaves_a_panel_that_works(host, panel, volume):
    host.choose(panel.ui.ctSelector, "CT")
    host.scene.Clear(False)
    host.process()
    assert panel.ui.ctSelector.currentNode() is None and not panel.ui.applyButton.enabled


def test_a_module_is_reloaded_and_found_from_the_console(host):
    host.load_module(EXAMPLE)
    assert host.slicer.util.getModuleLogic("ExamplePanel").moduleName == "ExamplePanel"  # before its panel is seen
    before = host.open_module()
    host.slicer.util.reloadScriptedModule("ExamplePanel")
    host.process()  # Qt shows what is added to a visible widget a little later
    after = host.slicer.modules.ExamplePanelWidget
    assert after is not before and after is host.slicer.util.getModuleWidget("ExamplePanel")
    assert before.calls == ["setup", "enter", "cleanup"] and after.calls == ["setup"]  # not entered, though it is seen
    assert after.parent.isEntered
    host.click(after.ui.flickerBox)
    assert after.parameters.flicker


def test_what_a_module_registers(host, panel):
    [source] = host.slicer.modules.sampleDataSources["Example"]
    assert source.sampleName == "One"
    assert host.slicer.util.modulePath("ExamplePanel") == str(EXAMPLE)
    host.slicer.selfTests["ExamplePanel"]()
