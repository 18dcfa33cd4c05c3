"""Whatever is chosen or reopened, what is to be seen is of the patient that the panel names, and of no other.

In the views themselves: Testing/mrml/test_display.py, and the walk through Slicer.
"""

import pytest
import qt
import slicer
from helpers.phantom import TRUE_POSE, off
from helpers.phantom_scene import begun, make_registration, settle

from MultiViewRegistrationLib.mrml import display, layout
from MultiViewRegistrationLib.mrml.registration import Registration

OWNER = "MultiViewRegistration.owner"


@pytest.fixture
def person(person, ct, views):
    """At registration A; B lies elsewhere."""
    elsewhere = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))
    person.a = person.registration
    person.b = begun(make_registration(person.host.scene, ct, views, elsewhere, name="B"))
    return person


def owners(node):
    """The IDs of a node and of what it was made for."""
    found = set()
    while node is not None:
        found.add(node.GetID())
        node = node.GetNodeReference(OWNER)
    return found


def shown(scene):
    """The displayable nodes but volumes and slices that are shown in any view."""
    nodes = slicer.util.getNodesByClass("vtkMRMLDisplayableNode", scene)
    slices = slicer.vtkMRMLSliceLogic.IsSliceModelNode
    others = [node for node in nodes if not node.IsA("vtkMRMLVolumeNode") and not slices(node)]
    return [node for node in others if node.GetDisplayNode() and node.GetDisplayVisibility()]


def sees_only(person, registration):
    person.host.process(0.2)
    assert person.panel.registration == registration
    assert person.ui.registrationSelector.currentNode() is registration.node
    own = {registration.node.GetID(), registration.ct.GetID()}
    seen = shown(person.host.scene)
    assert seen and all(owners(node) & own for node in seen)


def choose(person, registration):
    person.ui.registrationSelector.setCurrentNode(registration and registration.node)
    person.host.process(0.2)


def test_another_registration_is_chosen_or_none_or_another_after_one_was_removed(person):
    choose(person, None)
    assert not shown(person.host.scene)
    choose(person, person.a)
    sees_only(person, person.a)
    person.host.scene.RemoveNode(person.a.node)
    person.host.process(0.2)
    choose(person, person.b)
    sees_only(person, person.b)


def visible_texts(around):
    """The texts of the widgets within another one that are visible."""
    inside = around.findChildren(qt.QWidget)
    return [each.property("text") for each in inside if each.visible and each.property("text")]


@pytest.mark.slow
def test_sections_are_blank_until_they_show_the_registration_that_was_chosen(person):
    sections = person.panel.sections
    settle(person.session, verdict="accept")
    for section in sections.values():
        section.button.collapsed = False
    person.host.process(0.3)
    assert "accept" in sections["register"].button.text
    assert all(visible_texts(section.widget) for section in sections.values())
    person.panel.choose(person.b)
    for section in sections.values():
        assert section.button.text == section.title and not visible_texts(section.widget)
    person.host.process(0.3)
    assert all(visible_texts(section.widget) for section in sections.values())


@pytest.mark.slow
def test_the_geometry_table_is_closed_when_another_registration_is_chosen(person):
    person.open_geometry(0)
    assert person.panel.geometry.dialog.visible
    person.panel.choose(person.b)
    assert not person.panel.geometry.dialog.visible


@pytest.mark.slow
def test_questions_about_files_go_with_their_registration(person, tmp_path):
    mask = tmp_path / "left femur.stl"
    mask.write_text("solid s\nendsolid s\n")
    person.drop(mask)
    person.wait(lambda: "left femur" in " ".join(visible_texts(person.panel.files.widget)))
    person.panel.choose(person.b)
    assert not visible_texts(person.panel.files.widget)


@pytest.mark.slow
def test_a_registration_and_its_panes_go_with_a_folder_that_is_deleted_in_data(person):
    scene = person.host.scene
    node = layout.layout_node(scene) or scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    node.SetViewArrangement(node.SlicerLayoutFourUpView)
    person.panel.views.show(ct_slices=True)
    person.host.process(0.2)
    assert layout.shown(scene)
    person.host.leave(person.module_widget)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    tree.RemoveItem(display.folder_of(person.a), True, True)
    person.host.process(0.3)
    assert node.GetViewArrangement() == node.SlicerLayoutFourUpView
    assert person.panel.registration is None and person.message == ""
    assert Registration.all(scene) == [person.b]


@pytest.mark.slow
def test_scene_with_two_registrations_is_reopened_beside_another_module(person, tmp_path):
    choose(person, person.b)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    person.host.leave(person.module_widget)
    person.host.scene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    person.host.enter(person.module_widget)
    person.host.process(0.5)
    (found,) = [each for each in Registration.all(person.host.scene) if each.name == "B"]
    sees_only(person, found)
