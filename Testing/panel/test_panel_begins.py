"""Where the work begins: a CT or an X-ray makes a registration, and nothing else does."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from gui_driver import GuiDriver
from phantom import make_ct, off
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


def test_the_views_button_shows_the_layout(person, ct, views):
    from MultiViewRegistrationLib.mrml.layout import layout_node, shown

    button = person.ui.layoutButton
    assert not button.enabled
    person.give_views(200, 160)
    registration = begun(make_registration(person.host.scene, ct, views))
    person.panel.choose(registration)
    person.host.click(button)
    assert button.checked and "XRay2" in person.views.sliceViewNames()
    camera = np.array(person.views.threeDWidget(0).threeDView().cameraNode().GetPosition())
    sources = np.array([view.camera.source for view in registration.xrays])
    assert (
        np.linalg.norm(camera) > np.linalg.norm(sources, axis=1).max()
    )  # back, where all of it is seen
    layout_node(person.host.scene).SetViewArrangement(
        layout_node(person.host.scene).SlicerLayoutConventionalView
    )  # by Slicer's tool bar
    person.host.process(0.1)
    assert not button.checked
    person.host.click(button)
    person.host.click(button)
    assert not button.checked and not shown(person.host.scene)


def test_the_views_show_bone_and_start_no_volume_rendering(person, ct, views, monkeypatch):
    """Which may take more than a minute where there is no graphics card."""
    logic = person.host.app._core.volume_rendering._logic
    monkeypatch.setattr(
        person.host.slicer.modules,
        "volumerendering",
        SimpleNamespace(logic=lambda: logic),
        raising=False,
    )
    registration = begun(make_registration(person.host.scene, ct, views))
    person.panel.choose(registration)
    person.give_views(200, 160)
    person.host.click(person.ui.layoutButton)
    person.wait(lambda: registration.node.GetNodeReference("bones") is not None)
    bones, scene = registration.node.GetNodeReference("bones"), person.host.scene
    assert bones.GetPolyData().GetNumberOfPoints() > 100 and bones.GetDisplayVisibility()
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeRenderingDisplayNode") == 0
    person.press("ct", "in_3d")
    assert (
        scene.GetNumberOfNodesByClass("vtkMRMLVolumeRenderingDisplayNode") == 1
        and not bones.GetDisplayVisibility()
    )


def test_an_xray_that_was_taken_off_its_plane_unheard_comes_back(person, ct, views):
    from MultiViewRegistrationLib.mrml import layout, slice_view

    person.give_views(200, 160)
    registration = begun(make_registration(person.host.scene, ct, views))
    person.panel.choose(registration)
    person.host.click(person.ui.layoutButton)
    xray, node = registration.xrays[0], layout.slice_node(person.host.scene, "XRay1")
    node.SetDisableModifiedEvent(True)
    node.SetSliceOffset(node.GetSliceOffset() + 1)
    node.SetDisableModifiedEvent(False)
    assert not slice_view.is_on_plane(xray)
    person.wait(lambda: slice_view.is_on_plane(xray))


def test_a_ct_without_xrays_is_shown_in_slices_and_in_3d(person, coarse_chest):
    person.give_views(400, 320)
    person.drop(coarse_chest)
    person.wait_until_read()
    ct, bones = (
        person.panel.registration.ct,
        lambda: person.panel.registration.node.GetNodeReference("bones"),
    )
    person.wait(lambda: bones() is not None)
    for name in ("Red", "Green", "Yellow"):
        widget = person.views.sliceWidget(name)
        assert widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() == ct.GetID()
        extent = np.array(ct.GetSpacing()) * ct.GetImageData().GetDimensions()
        field = widget.sliceView().mrmlSliceNode().GetFieldOfView()
        assert 0.5 * extent.max() < max(field[:2]) < 3 * extent.max()
    person.host.process(0.3)
    camera = person.views.threeDWidget(0).threeDView().cameraNode()
    ends = np.reshape(bones().GetPolyData().GetBounds(), (3, 2))
    assert (
        np.linalg.norm(np.array(camera.GetFocalPoint()) - ends.mean(axis=1))
        < 0.2 * np.ptp(ends, axis=1).max()
    )
    red = person.views.sliceWidget("Red").mrmlSliceCompositeNode()
    red.SetBackgroundVolumeID(None)  # by a person, who wants something else there
    person.host.process(0.3)
    assert red.GetBackgroundVolumeID() is None


def test_a_pane_is_fitted_and_the_3d_view_centred_once_a_matrix_says_where_the_xray_lies(
    person, views, tmp_path
):
    from MultiViewRegistrationLib.mrml import slice_view
    from MultiViewRegistrationLib.mrml.layout import slice_of
    from MultiViewRegistrationLib.session.geometry import give_geometry

    person.give_views(400, 320)
    sitk.WriteImage(sitk.GetImageFromArray(intensity()), str(tmp_path / "AP.png"))
    person.drop(tmp_path / "AP.png")
    person.wait_until_read()
    person.host.process(0.3)
    (view,) = person.panel.registration.xrays
    matrix = views[0].camera.intrinsics @ views[0].camera.camera_from_world[:3] + np.outer(
        [1, 2, 0], [0, 0, 0, 1]
    )
    give_geometry(view, matrix)
    person.wait(lambda: view.placed and slice_of(view) is not None)
    person.host.process(0.5)
    node = slice_of(view)
    assert slice_view.is_fitted(
        view, node.GetDimensions(), node.GetFieldOfView(), node.GetXYZOrigin()
    )
    camera = person.views.threeDWidget(0).threeDView().cameraNode()
    eye, focus = np.array(camera.GetPosition()), np.array(camera.GetFocalPoint())
    corners = (
        np.array(
            [view.ras_of((x * view.size[0], y * view.size[1])) for x in (0, 1) for y in (0, 1)]
        )
        - eye
    )
    ahead = (focus - eye) / np.linalg.norm(focus - eye)
    off = np.degrees(np.arccos(corners @ ahead / np.linalg.norm(corners, axis=1)))
    assert off.max() < camera.GetViewAngle()


def test_slices_of_the_ct_beside_the_xrays(person, ct, views):
    """Landmarks are clicked in them, so placing some opens them."""
    from MultiViewRegistrationLib.mrml import layout
    from MultiViewRegistrationLib.mrml.slice_view import position_in

    person.give_views(240, 200)
    box = person.ui.ctSlicesBox
    assert not box.enabled
    person.panel.choose(begun(make_registration(person.host.scene, ct, views)))
    person.host.click(person.ui.layoutButton)
    assert box.enabled and not box.checked and "Red" not in person.views.sliceViewNames()
    person.choose("start", "start", "Landmarks")
    person.press("start", "click")
    person.host.process(0.1)
    assert box.checked and {"Red", "XRay1"} <= set(person.views.sliceViewNames())
    shown = {
        name: person.views.sliceWidget(name).mrmlSliceCompositeNode().GetBackgroundVolumeID()
        for name in ("Red", "Green", "XRay1")
    }
    registration = person.panel.registration
    assert shown == {
        "Red": registration.ct.GetID(),
        "Green": registration.ct.GetID(),
        "XRay1": registration.xrays[0].node.GetID(),
    }
    place = off(registration.world_from_ct, (10, 20, 30), (40, 50, 60))
    red = layout.slice_node(person.host.scene, "Red")
    before = position_in(registration.ct, red)
    registration.world_from_ct = place
    person.host.process(0.3)
    assert (
        position_in(registration.ct, red).mm == pytest.approx(before.mm)
        and red.GetOrientation() != "Axial"
    )  # it goes with the CT
    person.press("start", "click")
    person.host.click(box)
    assert red.GetOrientation() == "Axial"
    assert (
        not box.checked
        and "Red" not in person.views.sliceViewNames()
        and person.ui.layoutButton.checked
    )


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
    menu = person.ui.registrationSelector._menu()
    assert [*menu] == ["Rename current registration", "Create new registration", delete]
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
