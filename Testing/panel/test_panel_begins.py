"""Where the work begins: a CT or an X-ray makes a registration, and nothing else does."""

from __future__ import annotations

import pytest
import SimpleITK as sitk
from gui_driver import GuiDriver
from phantom import make_ct
from phantom_scene import begun, make_registration
from tiny_scene import intensity


@pytest.fixture
def person(host):
    return GuiDriver(host)


def registrations(person) -> list:
    from MultiViewRegistrationLib.mrml.registration import Registration

    return Registration.all(person.host.scene)


def phantom(person):
    from MultiViewRegistrationLib.mrml.loading import volume_node

    ct = make_ct()
    return volume_node(person.host.scene, "Phantom", ct.volume.values, ct.volume.ct_from_index)


def test_a_registration_begins_with_a_ct_or_an_xray_only(person, tmp_path):
    volume = phantom(person)
    person.host.process(0.1)
    person.host.leave(person.module_widget)
    person.host.enter(person.module_widget)
    assert registrations(person) == [] and person.panel.registration is None
    assert not person.panel.sections["start"].widget.enabled
    person.choose("ct", "ct", "Phantom")
    person.wait_until_read()
    (made,) = registrations(person)
    assert made.ct is volume and person.ui.registrationSelector.currentNode() is made.node
    assert person.text("ct", "facts")
    person.host.scene.Clear(False)
    person.host.process(0.1)
    assert (
        registrations(person) == []
        and person.control("ct", "facts") is None
        and person.header("ct") == "\u25cb"
    )
    sitk.WriteImage(sitk.GetImageFromArray(intensity()), str(tmp_path / "AP.png"))
    person.drop(tmp_path / "AP.png")
    person.wait_until_read()
    (made,) = registrations(person)
    assert person.panel.registration == made and len(made.xrays) == 1 and person.message == ""


def test_kernels_are_compiled_from_when_the_panel_is_opened(person):
    from MultiViewRegistrationLib.session import inputs

    assert person.panel.registration is None and inputs._children


def test_a_new_registration_is_visible_to_slicers_selectors_when_it_is_added(person):
    """Slicer's selectors look only at nodes that are visible when they are added, whatever becomes of them later."""
    import vtk

    seen = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(scene, event, node):
        seen.append((node.GetHideFromEditors(), node.GetAttribute("ModuleName"), node.GetName()))

    tag = person.host.scene.AddObserver(person.host.scene.NodeAddedEvent, added)
    person.panel.begin()
    person.host.scene.RemoveObserver(tag)
    assert seen[0] == (0, "MultiViewRegistration", person.panel.registration.name)


def test_a_registration_is_deleted_after_a_question_and_can_be_brought_back(person, ct, views):
    """At one click it was gone, with X-rays and history, and Slicer's selector called it "ScriptedModule"."""
    from MultiViewRegistrationLib.mrml.registration import Registration

    selector, delete = person.ui.registrationSelector, "Delete the registration..."
    registration = begun(make_registration(person.host.scene, ct, views, name="Hip"))
    person.panel.choose(registration)
    listed = person.host.entries(selector)
    assert {"Rename current registration", "Create new registration", delete} <= {*listed}
    assert not any("Delete current" in text or "ScriptedModule" in text for text in listed)
    person.host.answers.yes = False
    person.host.choose_action(selector, delete)
    assert "Delete Hip" in person.host.shown("question", "warning", "information")[-1]
    assert person.panel.registration == registration and not person.ui.restoreButton.visible
    person.host.answers.yes = True
    person.host.choose_action(selector, delete)
    assert Registration.all(person.host.scene) == [] and person.panel.registration is None
    assert person.ui.deletedLabel.text == "Hip was deleted." and selector.currentNode() is None
    person.host.click(person.ui.restoreButton)
    assert person.panel.registration == registration and selector.currentNode() is registration.node
    assert [view.name for view in registration.xrays] == [view.name for view in views]
    assert not person.ui.restoreButton.visible and person.message == ""
    person.host.choose_action(selector, delete)
    person.host.scene.Clear(False)
    person.host.process(0.1)
    assert not person.ui.restoreButton.visible
    person.host.choose_action(selector, "Create new registration")
    assert person.panel.registration.name == "Registration"
