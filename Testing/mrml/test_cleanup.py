"""Nodes that are removed by hand, a scene that is closed.

Nothing stays behind, and nothing else is touched.
"""

import pytest
import slicer
from helpers.hosts import IN_SLICER
from helpers.running_session import nodes
from helpers.scene_rendering import slice_view, threed_view
from helpers.slicer_tree import follow_removals
from helpers.tiny_scene import c_arm, complete, registration_of

from MultiViewRegistrationLib.mrml import display, source_view


def tree_items(scene):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene).GetNumberOfItems()


@pytest.fixture
def queued(scene):
    """What the observer of the scene has queued: a function that does it, as Slicer's event loop would."""
    calls = []
    watch = display.SceneObserver(scene, lambda _ms, call: calls.append(call))
    tag = None if IN_SLICER else follow_removals(scene)

    def do():
        while calls:
            calls.pop(0)()

    yield do
    watch.stop()
    if tag is not None:
        scene.RemoveObserver(tag)


def test_the_tree_of_the_data_stays_as_it_is_until_a_removal_is_over(scene, queued):
    """Slicer changes it during the event, too, and ends where two do."""
    registration = complete(scene)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    scene.RemoveNode(registration.node)
    assert tree.GetItemByName("Test")
    queued()
    assert not tree.GetItemByName("Test")


def test_a_registration_that_is_removed_leaves_the_ct_where_it_was(slicer_app, scene, watch):
    view = slice_view(slicer_app)
    above = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    items, before = tree_items(scene), nodes(scene)
    registration = registration_of(scene, {})
    scene.RemoveNode(registration.node)
    assert nodes(scene) == before
    registration = complete(scene)
    ct = registration.ct
    registration.ct = None
    ct.SetAndObserveTransformNodeID(above.GetID())
    registration.ct = ct
    scene.RemoveNode(registration.node)
    assert nodes(scene) == before | {ct.GetID(), ct.GetDisplayNodeID()}
    assert ct.GetParentTransformNode() is above
    assert tree_items(scene) == items
    assert not view.get_background_volume_id() and view.get_view_node().GetOrientation() == "Axial"
    assert (
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene).GetItemByName("Test") == 0
    )


def test_an_xray_that_is_removed_takes_along_what_was_made_for_it(slicer_app, scene, watch):
    first, second, eye = (
        slice_view(slicer_app),
        slice_view(slicer_app, "XRay2"),
        threed_view(slicer_app),
    )
    eye.render()
    registration = complete(scene)
    camera_node = eye.get_camera_node()
    position = camera_node.GetPosition()
    source_view.look(registration.xrays[0], camera_node, (320, 240))
    lateral = registration.xrays[1].node
    removed = registration.xrays[0].node
    scene.RemoveNode(removed)
    assert [view.name for view in registration.xrays] == ["lateral"]
    for name in ("AP DRR", "AP frustum", "AP label", "AP label 3D", "Landmarks AP", "AP image"):
        assert scene.GetFirstNodeByName(name) is None
    assert (
        not first.get_background_volume_id()
        and second.get_background_volume_id() == lateral.GetID()
    )
    assert camera_node.GetPosition() == position
    display.show(registration)
    assert second.get_background_volume_id() == lateral.GetID()


def delete_folder(registration):
    """As in Slicer's Data module."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(registration.scene)
    tree.RemoveItem(display.folder_of(registration), True, True)


def test_a_registration_goes_with_its_folder_and_the_ct_stays(slicer_app, scene, queued):
    registration = complete(scene)
    ct = registration.ct
    delete_folder(registration)
    queued()
    assert registration.scene is None
    assert ct.GetScene() is scene and ct.GetParentTransformNode() is None


def test_a_closed_scene_leaves_no_view_behind(slicer_app, scene, watch):
    view = slice_view(slicer_app)
    complete(scene)
    scene.Clear(False)
    node = view.get_view_node()
    assert (
        not node.HasSliceOrientationPreset("X-ray")
        and not node.GetSliceVisible()
        and not view.get_background_volume_id()
    )
    registration = complete(scene)
    assert view.get_background_volume_id() == registration.xrays[0].node.GetID()


def test_the_tree_has_a_folder_for_each_registration(scene, watch):
    registration = complete(scene)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    inside = slicer.util.getSubjectHierarchyItemChildren(
        display.folder_of(registration), recursive=True
    )
    assert sorted(tree.GetItemName(item) for item in inside) == [
        "AP",
        "AP DRR",
        "Landmarks AP",
        "Landmarks CT",
        "Test CT to world",
        "lateral",
    ]
    registration.node.SetName("Renamed")
    display.show(registration)
    assert tree.GetItemName(display.folder_of(registration)) == "Renamed"
    tree.SetItemParent(
        tree.GetItemByDataNode(registration.xrays[1].node),
        other := tree.CreateFolderItem(tree.GetSceneItemID(), "mine"),
    )
    display.show(registration)
    assert tree.GetItemParent(tree.GetItemByDataNode(registration.xrays[1].node)) == other


def test_a_scene_with_a_registration_is_not_empty(scene):
    assert display.is_empty(scene)
    display.show(registration_of(scene, {"AP": c_arm()}))
    assert not display.is_empty(scene)
    scene.Clear(False)
    assert display.is_empty(scene)
