"""The layouts, made by Slicer's own layout logic, and what is written in a small view."""

import pytest
import slicer
from helpers.hosts import IN_SLICER
from helpers.tiny_scene import c_arm, registration_of

from MultiViewRegistrationLib.mrml import display, layout
from MultiViewRegistrationLib.mrml.nodes import remove_with_products
from MultiViewRegistrationLib.mrml.registration import Registration


@pytest.fixture
def layout_logic(slicer_app, scene):
    """What looks after layouts in Slicer."""
    if IN_SLICER:
        logic = slicer.app.layoutManager().layoutLogic()
        logic.GetLayoutNode().SetViewArrangement(logic.GetLayoutNode().SlicerLayoutFourUpView)
        yield logic
        return
    before = set(slicer.util.getNodesByClass("vtkMRMLAbstractViewNode", scene))
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    logic.GetLayoutNode().SetViewArrangement(logic.GetLayoutNode().SlicerLayoutFourUpView)
    yield logic
    logic.SetMRMLScene(None)
    scene.RemoveNode(scene.GetFirstNodeByClass("vtkMRMLLayoutNode"))
    for node in set(slicer.util.getNodesByClass("vtkMRMLAbstractViewNode", scene)) - before:
        scene.RemoveNode(node)  # another test's views make nodes of their own


def views_of(logic):
    nodes = logic.GetViewNodes()
    return [nodes.GetItemAsObject(i).GetLayoutName() for i in range(nodes.GetNumberOfItems())]


@pytest.mark.parametrize("number", [1, 8])
def test_there_is_a_view_for_each_xray_and_one_in_3d(scene, layout_logic, number):
    registration = Registration.create(scene)
    for _ in range(number):
        registration.add_xray("X-ray")
    assert layout.show(registration)
    xrays = [f"XRay{i + 1}" for i in range(number)]
    assert sorted(views_of(layout_logic)) == ["1", *xrays]
    assert layout.show(registration, ct_slices=True)
    assert sorted(views_of(layout_logic)) == sorted(["1", *xrays, "Red", "Green", "Yellow"])


def test_it_goes_back_to_the_layout_from_before(scene, layout_logic):
    node = layout_logic.GetLayoutNode()
    registration = registration_of(scene, {"AP": c_arm()})
    layout.show(registration)
    layout.show(registration, ct_slices=True)
    assert layout.shown(scene) and layout.has_ct_slices(scene)
    layout.back(scene)
    assert node.GetViewArrangement() == node.SlicerLayoutFourUpView
    layout.back(scene)
    assert node.GetViewArrangement() == node.SlicerLayoutFourUpView


def test_it_follows_the_number_of_xrays_only_while_it_is_on(scene, layout_logic):
    registration = registration_of(scene)
    display.show(registration)
    assert not layout.shown(scene)
    layout.show(registration)
    remove_with_products(registration.xrays[0].node)
    display.show(registration)
    assert sorted(views_of(layout_logic)) == ["1", "XRay2"]


@pytest.mark.skipif(IN_SLICER, reason="Slicer's scene has one")
def test_a_scene_without_a_layout_is_no_failure(scene):
    registration = registration_of(scene, {"AP": c_arm()})
    layout.register(scene)
    assert not layout.show(registration)
    display.show(registration)
    layout.back(scene)
    display.hide(registration)


def test_slicer_makes_one_slice_view_of_an_x_ray_at_a_time(scene, layout_logic):
    registration = registration_of(scene)
    made = 0
    while layout.make_slice_view(registration):
        made += 1
        assert len(layout.slice_nodes(scene)) >= made
    assert all(layout.slice_of(view) is not None for view in registration.xrays)
