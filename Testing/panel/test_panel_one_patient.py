"""Whatever is chosen or reopened, what is to be seen is of the patient that the panel names, and of no other.

In the views themselves: Testing/mrml/test_display.py, and the walk through Slicer.
"""

from __future__ import annotations

import pytest
from gui_driver import GuiDriver
from phantom import TRUE_POSE, off
from phantom_scene import begun, make_registration

MODULE = "MultiViewRegistration"


@pytest.fixture
def person(host, ct, views):
    """At registration A; B lies elsewhere."""
    person = GuiDriver(host)
    elsewhere = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))
    person.a = begun(make_registration(host.scene, ct, views, TRUE_POSE, name="A"))
    person.b = begun(make_registration(host.scene, ct, views, elsewhere, name="B"))
    person.panel.choose(person.a)
    return person


def own(registration) -> set:
    """The IDs of a registration's nodes."""
    scene, ids = registration.scene, {registration.node.GetID(), registration.ct.GetID()}
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    for _generation in range(3):
        ids |= {n.GetID() for n in nodes if n.GetNodeReferenceID(f"{MODULE}.owner") in ids}
    return ids


def visible(scene) -> set:
    """The IDs of displayable nodes but volumes that are shown in any view."""
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLDisplayableNode", scene)
    shown = [node for node in nodes if node.GetDisplayNode() and node.GetDisplayVisibility()]
    slices = slicer.vtkMRMLSliceLogic.IsSliceModelNode
    return {
        node.GetID() for node in shown if not node.IsA("vtkMRMLVolumeNode") and not slices(node)
    }


def sees_only(person, registration) -> None:
    person.host.process(0.2)
    assert person.panel.registration == registration
    assert person.ui.registrationSelector.currentNode() is registration.node
    seen = visible(person.host.scene)
    assert seen and seen <= own(registration)


def test_another_registration_is_chosen_and_what_marks_the_xrays_is_kept(person):
    """Nodes that come and go are what takes Slicer longest."""
    sees_only(person, person.a)
    marks = [view.node.GetNodeReference("frustum") for view in person.a.xrays]
    for other in (person.b, person.a):
        person.ui.registrationSelector.setCurrentNode(other.node)
        sees_only(person, other)
    assert marks == [view.node.GetNodeReference("frustum") for view in person.a.xrays]


def test_none_and_another_after_one_was_removed(person):
    person.ui.registrationSelector.setCurrentNode(None)
    person.host.process(0.2)
    assert not visible(person.host.scene)
    person.ui.registrationSelector.setCurrentNode(person.a.node)
    person.host.scene.RemoveNode(person.a.node)
    person.host.process(0.2)
    person.ui.registrationSelector.setCurrentNode(person.b.node)
    sees_only(person, person.b)


@pytest.mark.parametrize("elsewhere", (False, True))
def test_panes_go_with_a_folder_that_is_deleted_in_data(person, elsewhere):
    import slicer

    from MultiViewRegistrationLib.mrml import display, layout

    scene = person.host.scene
    node = layout.layout_node(scene) or scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    node.SetViewArrangement(node.SlicerLayoutFourUpView)
    person.panel.views.show(ct_slices=True)
    person.host.process(0.2)
    assert layout.shown(scene)
    if elsewhere:
        person.host.leave(person.module_widget)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    tree.RemoveItem(display.folder_of(person.a), True, True)
    person.host.process(0.3)
    assert node.GetViewArrangement() == node.SlicerLayoutFourUpView


@pytest.mark.parametrize("elsewhere", (False, True))
def test_a_scene_with_two_is_reopened(person, tmp_path, elsewhere):
    """elsewhere: another module is open meanwhile."""
    from MultiViewRegistrationLib.mrml.registration import Registration

    person.panel.choose(person.b)
    person.host.process(0.2)
    assert person.host.slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    if elsewhere:
        person.host.leave(person.module_widget)
    person.host.scene.Clear(False)
    person.host.slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    if elsewhere:
        person.host.enter(person.module_widget)
    person.host.process(0.5)
    (found,) = [each for each in Registration.all(person.host.scene) if each.name == "B"]
    sees_only(person, found)
