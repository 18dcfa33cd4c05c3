"""The host's widgets follow the scene as Slicer's own do (qMRMLSceneModel, qMRMLNodeComboBox, qMRMLSliceControllerWidget)."""

from __future__ import annotations

import numpy as np
import pytest

VOLUME = "vtkMRMLScalarVolumeNode"
LAYOUT = """<layout type="horizontal"><item><view class="vtkMRMLSliceNode" singletontag="One">
<property name="orientation" action="default">Axial</property><property name="viewlabel" action="default">1</property></view></item>
<item><view class="vtkMRMLSliceNode" singletontag="Two">
<property name="orientation" action="default">Axial</property><property name="viewlabel" action="default">2</property></view></item>
</layout>"""


@pytest.fixture
def add(host):
    """Adds a volume of zeros."""

    def added(name: str):
        node = host.scene.AddNewNodeByClass(VOLUME, name)
        host.slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4), np.float32))
        return node

    return added


@pytest.fixture
def selector(host):
    box = host.slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.noneEnabled = [VOLUME], True
    box.setMRMLScene(host.scene)
    return box


def entries(selector) -> list[str]:
    import qt

    box = selector.findChild(qt.QComboBox)
    return [box.itemText(number) for number in range(box.count)]


# selectors of nodes ----------------------------------------------------------------------------------------------------


def test_a_node_that_is_hidden_when_it_is_added_is_never_seen(host, selector, add):
    hidden = host.scene.CreateNodeByClass(VOLUME)
    hidden.UnRegister(None)
    hidden.SetHideFromEditors(True)
    hidden = host.scene.AddNode(hidden)
    hidden.SetHideFromEditors(False)
    hidden.SetName("shown later")
    assert selector.nodeCount() == 0
    shown, counts = add("CT"), []
    for change in (
        lambda: shown.SetHideFromEditors(True),
        lambda: shown.SetName("hidden"),
        lambda: shown.SetHideFromEditors(False),
        lambda: shown.SetName("shown"),
    ):
        change()
        counts.append(selector.nodeCount())
    assert counts == [1, 0, 0, 1]  # of what is followed a new name makes Slicer look again
    selector.showHidden = True
    assert selector.nodeCount() == 2
    parameters = host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    assert parameters.GetHideFromEditors()


def test_an_attribute_may_come_later(host, selector, add):
    ct = add("CT")
    selector.addAttribute("vtkMRMLModelNode", "mine", "1")  # of another type: does nothing
    assert selector.nodeCount() == 1
    selector.addAttribute(VOLUME, "mine", "1")
    assert selector.nodeCount() == 0
    ct.SetAttribute("mine", "1")
    assert selector.nodeCount() == 1


def test_another_node_takes_the_place_of_a_current_one_that_is_removed(host, selector, add):
    first, second, third = add("first"), add("second"), add("third")
    seen = []
    selector.currentNodeChanged.connect(seen.append)
    selector.setCurrentNode(second)
    host.scene.RemoveNode(second)
    assert selector.currentNode() is third  # the next one, though "None" could be chosen
    host.scene.RemoveNode(third)
    assert selector.currentNode() is first  # the last one
    host.scene.RemoveNode(first)
    assert selector.currentNode() is None and seen == [second, third, first, None]


def test_what_is_current_when_nodes_come(host, selector, add):
    other = host.slicer.qMRMLNodeComboBox()
    other.nodeTypes = [VOLUME]
    other.setMRMLScene(host.scene)
    ct = add("CT")
    assert selector.currentNode() is None and other.currentNode() is None
    later = host.slicer.qMRMLNodeComboBox()
    later.nodeTypes = [VOLUME]
    assert not later.enabled
    later.setMRMLScene(host.scene)
    assert later.currentNode() is ct and later.enabled


def test_closing_or_importing_a_scene_leaves_none_current(host, selector, add, tmp_path):
    selector.setCurrentNode(add("CT"))
    assert host.slicer.app.applicationLogic() is not None
    host.scene.StartState(host.scene.ImportState)
    host.scene.EndState(host.scene.ImportState)
    assert selector.currentNode() is None and selector.nodeCount() == 1
    selector.setCurrentNodeIndex(0)
    assert selector.currentNode() is not None
    host.scene.Clear(False)
    assert selector.currentNode() is None and selector.nodeCount() == 0


def test_what_the_selector_offers_besides(host, selector, add):
    add("CT")
    selector.renameEnabled = True
    assert entries(selector) == [
        "None",
        "CT",
        "",
        "Rename current Volume",
        "Create new Volume",
        "Create new Volume as...",
        "Delete current Volume",
    ]
    made = []
    selector.nodeAddedByUserAction.connect(made.append)
    host.choose(selector, "Create new Volume")
    assert selector.currentNode() is made[0] and selector.nodeCount() == 2
    host.answers.text = "Pelvis"
    host.choose(selector, "Rename current Volume")
    assert made[0].GetName() == "Pelvis"
    host.choose(selector, "Delete current Volume")
    assert entries(selector)[:2] == ["None", "CT"] and selector.currentNode().GetName() == "CT"


def test_a_signal_of_two_kinds(host, selector, add):
    nodes, truths = [], []
    selector.currentNodeChanged.connect(nodes.append)
    selector.connect("currentNodeChanged(bool)", truths.append)
    ct = add("CT")
    selector.setCurrentNode(ct)
    assert (nodes, truths) == ([ct], [True])


def test_checked_nodes_are_a_tuple(host, add):
    import qt

    box, first, second = host.slicer.qMRMLCheckableNodeComboBox(), add("first"), add("second")
    box.nodeTypes = [VOLUME]
    box.setMRMLScene(host.scene)
    changes = []
    box.checkedNodesChanged.connect(lambda: changes.append(box.checkedNodes()))
    box.setCheckState(second, qt.Qt.Checked)
    assert box.checkedNodes() == (second,) and box.uncheckedNodes() == (first,)
    host.choose(box, "first")
    assert changes == [(second,), (first, second)] and box.allChecked()


# segments --------------------------------------------------------------------------------------------------------------


def test_a_selector_of_segments(host):
    import qt

    box, ids = host.slicer.qMRMLSegmentSelectorWidget(), []
    box.noneEnabled = True
    box.setMRMLScene(host.scene)
    box.currentSegmentChanged.connect(ids.append)
    box.show()
    message = [label for label in box.findChildren(qt.QLabel) if label.visible]
    assert [label.text for label in message] == ["No node is selected "]
    alone = box.sizeHint.height()
    node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "bones")
    box.setCurrentNode(node)
    assert message[0].text == "No segments in segmentation "
    node.GetSegmentation().AddEmptySegment("hip", "Hip")
    box.setCurrentSegmentID("hip")
    assert (
        ids == ["hip"] and box.currentSegmentID() == "hip" and box.segmentIDs() == ()
    )  # only where several can be chosen
    assert not message[0].visible and box.sizeHint.height() >= alone
    box.setCurrentNode(None)
    assert box.currentSegmentID() == "hip"  # which nobody sees any more
    assert box.sizePolicy.verticalPolicy() == qt.QSizePolicy.Preferred
    holder = qt.QWidget()
    qt.QVBoxLayout(holder).addWidget(box)
    holder.resize(300, 400)
    holder.show()
    host.process()
    assert box.height > 300  # it grows


# views -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def views(host):
    node = host.scene.GetFirstNodeByClass("vtkMRMLLayoutNode") or host.scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    node.AddLayoutDescription(4712, LAYOUT)
    node.SetViewArrangement(4712)
    return host.open_views(240, 200)


def test_a_view_shows_another_volume_in_the_place_of_a_removed_one(host, views, add):
    xray, drr, other = add("X-ray"), add("DRR"), add("another patient's CT")
    composite = views.sliceWidget("One").mrmlSliceCompositeNode()
    composite.SetBackgroundVolumeID(xray.GetID())
    composite.SetForegroundVolumeID(drr.GetID())
    composite.SetForegroundOpacity(0.5)
    host.scene.RemoveNode(drr)
    assert composite.GetForegroundVolumeID() == other.GetID() and composite.GetForegroundOpacity() == 0.5
    composite.SetForegroundVolumeID(None)
    host.scene.RemoveNode(other)
    assert composite.GetForegroundVolumeID() is None and composite.GetBackgroundVolumeID() == xray.GetID()
    add("new")
    empty = views.sliceWidget("Two").mrmlSliceCompositeNode()
    assert empty.GetBackgroundVolumeID() is None  # a volume that is added is not shown of itself
    choice = host.slicer.util.findChild(views.sliceWidget("Two"), "BackgroundComboBox")
    host.choose(choice, "new")
    assert empty.GetBackgroundVolumeID() == choice.currentNodeID != ""


def test_a_segmentation_is_drawn_in_every_view(host, views, add):
    import vtk

    node, ball = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), vtk.vtkSphereSource()
    ball.SetRadius(20.0)
    ball.SetThetaResolution(24)
    ball.SetPhiResolution(24)
    ball.Update()
    node.CreateDefaultDisplayNodes()
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "ball", [0.0, 1.0, 0.0])
    node.GetDisplayNode().SetPreferredDisplayRepresentationName2D("Closed surface")

    def drawn(name: str) -> bool:
        image = host.grab(views.sliceWidget(name).sliceView())
        return any(
            image.pixelColor(x, y).green() > image.pixelColor(x, y).red() + 60
            for x in range(0, image.width(), 2)
            for y in range(0, image.height(), 2)
        )

    for name in ("One", "Two"):
        views.sliceWidget(name).mrmlSliceNode().SetFieldOfView(80.0, 80.0, 1.0)
    assert drawn("One") and drawn("Two")
    node.GetDisplayNode().AddViewNodeID(views.sliceWidget("One").mrmlSliceNode().GetID())
    assert drawn("One") and not drawn("Two")


def test_a_slice_is_seen_in_3d_wherever_it_lies(host, views, add):
    layout = host.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    space = '<item><view class="vtkMRMLViewNode" singletontag="Space"/></item></layout>'
    layout.AddLayoutDescription(4713, LAYOUT.replace("</layout>", space))
    layout.SetViewArrangement(4713)
    host.process()
    ct = add("CT")
    ct.CreateDefaultDisplayNodes()
    ct.GetDisplayNode().AutoWindowLevelOff()
    ct.GetDisplayNode().SetWindowLevel(1, -1)  # all of it white
    widget, space = views.sliceWidget("One"), views.threeDWidget(0).threeDView()
    widget.mrmlSliceCompositeNode().SetBackgroundVolumeID(ct.GetID())
    widget.fitSliceToBackground()
    space.resetCamera()

    def middle() -> tuple:
        image = host.grab(space)
        return image.pixelColor(image.width() // 2, image.height() // 2).getRgb()

    before = middle()
    widget.mrmlSliceNode().SetSliceVisible(1)
    space.resetCamera()
    camera = space.cameraNode().GetCamera()
    camera.SetPosition(0.0, 0.0, 50.0)  # the slice is axial
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    camera.SetViewUp(0.0, 1.0, 0.0)
    assert before != middle() == (255, 255, 255, 255)
