"""Where the work begins: a CT or an X-ray makes a registration, and nothing else does."""

import pytest
import slicer
import vtk
from gui_driver import GuiDriver
from helpers.phantom_scene import begun, make_registration, phantom_volume
from helpers.running_session import nodes

from MultiViewRegistrationLib.mrml.registration import Registration


@pytest.fixture
def person(host):
    return GuiDriver(host)


def registrations(person):
    return Registration.all(person.host.scene)


def test_a_registration_begins_with_a_ct_that_is_chosen(person, ct):
    volume = phantom_volume(person.host.scene)
    person.host.leave(person.module_widget)
    person.host.enter(person.module_widget)
    assert registrations(person) == [] and not person.panel.sections["start"].widget.enabled
    person.choose("ct", "ct", "Phantom")
    person.wait_until_read()
    (made,) = registrations(person)
    assert made.ct is volume and person.ui.registrationSelector.currentNode() is made.node
    person.host.scene.Clear(False)
    person.host.process(0.1)
    assert person.control("ct", "facts") is None and person.header("ct") == "\u25cb"


def test_a_new_registration_is_visible_to_slicers_selectors_when_it_is_added(person):
    """They look only at nodes that are visible when they are added, whatever becomes of them later."""
    seen = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(scene, event, node):
        seen.append((node.GetHideFromEditors(), node.GetAttribute("ModuleName"), node.GetName()))

    tag = person.host.scene.AddObserver(person.host.scene.NodeAddedEvent, added)
    person.panel.begin()
    person.host.scene.RemoveObserver(tag)
    assert seen[0] == (0, "MultiViewRegistration", person.panel.registration.name)


def test_a_registration_is_deleted_after_a_question_and_can_be_brought_back(person, ct, views):
    selector, delete = person.ui.registrationSelector, "Delete the registration..."
    registration = begun(make_registration(person.host.scene, ct, views, name="Hip"))
    person.panel.choose(registration)
    assert not any("Delete current" in text for text in person.host.entries(selector))
    person.host.answers.yes = False
    person.host.choose_action(selector, delete)
    assert "Delete Hip" in person.host.shown("question", "warning", "information")[-1]
    assert person.panel.registration == registration and not person.ui.restoreButton.visible
    person.host.answers.yes = True
    person.host.choose_action(selector, delete)
    assert registrations(person) == [] and selector.currentNode() is None
    assert person.ui.deletedLabel.text == "Hip was deleted."
    person.host.click(person.ui.restoreButton)
    assert person.panel.registration == registration and selector.currentNode() is registration.node
    assert not person.ui.restoreButton.visible and person.message == ""


def test_a_registration_is_made_from_the_list(person):
    person.host.choose_action(person.ui.registrationSelector, "Create new registration")
    assert person.panel.registration.name == "Registration"


@pytest.mark.slow
def test_a_module_that_was_opened_and_left_unused_leaves_the_scene_as_it_was(host):
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)  # as in Slicer
    before = nodes(host.scene)
    person = GuiDriver(host)
    for _ in range(2):
        host.enter(person.module_widget)
        host.process(0.3)
        host.leave(person.module_widget)
        assert nodes(host.scene) == before and not tree.GetNumberOfItems()
