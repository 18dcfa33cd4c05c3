"""What a person does to the CT in Slicer's other modules: Segment Editor, Transforms, Data, a script."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from gui_driver import GuiDriver
from phantom import TRUE_POSE
from phantom_scene import begun, make_registration, settle
from running_session import STARTED_AT

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.landmarks import Landmark
from MultiViewRegistrationLib.mrml.landmarks import landmark_list, place_landmarks

MIN_BONE_HU = 300


@pytest.fixture
def person(host, ct, views):
    """At a pose that was accepted."""
    person = GuiDriver(host)
    registration = make_registration(host.scene, ct, views, STARTED_AT)
    person.begin("register", begun(registration))
    settle(person.session)
    person.session.history.add(replace(person.session.history.current, verdict="accept"))
    person.wait(lambda: accepted(person))
    return person


def accepted(person) -> bool:
    return "ACCEPT" in person.answer()


def bounds_of(node) -> np.ndarray:
    """In the world."""
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    return bounds


def drawn_bone(person):
    """By Threshold of the Segment Editor, on the CT where it lies."""
    scene, ct = person.host.scene, person.registration.ct
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    segment = segmentation.GetSegmentation().AddEmptySegment("bone", "bone")
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(ct)
    editor.mrmlSegmentEditorNode().SetSelectedSegmentID(segment)
    person.host.process(0.1)
    editor.setActiveEffectByName("Threshold")
    effect = editor.activeEffect()
    effect.setParameter("MinimumThreshold", str(MIN_BONE_HU))
    effect.setParameter("MaximumThreshold", "10000")
    effect.self().onApply()
    editor.setActiveEffectByName("")
    person.host.enter(person.module_widget)
    return segmentation


def test_a_segment_that_was_drawn_on_the_placed_ct_is_registered_as_drawn(person):
    registration, voxels = person.registration, slicer.util.arrayFromVolume(person.registration.ct)
    segmentation = drawn_bone(person)
    bounds = bounds_of(segmentation)
    person.choose("ct", "structure", "bone")
    assert registration.segmentation is segmentation and not accepted(person)
    assert np.allclose(bounds_of(segmentation), bounds, atol=1e-3)
    selected = person.session.ct().mask
    assert np.array_equal(selected, voxels >= MIN_BONE_HU)
    registration.world_from_ct = np.linalg.inv(TRUE_POSE)
    assert np.array_equal(person.session.ct().mask, selected)
    registration.world_from_ct = TRUE_POSE
    person.host.choose(
        person.widget("ct", "structure"), person.host.entries(person.widget("ct", "structure"))[0]
    )
    person.wait(lambda: accepted(person))


def test_the_verdict_falls_and_returns_with_what_moves_the_ct(person):
    registration, scene = person.registration, person.host.scene
    other = type(registration).create(scene, "Another")
    other.ct = registration.ct
    person.host.process(0.3)
    assert accepted(person)
    other.world_from_ct = STARTED_AT
    person.wait(lambda: not accepted(person), 3)
    scene.RemoveNode(other.node)
    person.wait(lambda: accepted(person))
    registration.ct.SetAndObserveTransformNodeID(None)
    person.wait(lambda: not accepted(person), 3)
    registration.ct.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    person.wait(lambda: accepted(person))


def test_a_hardened_transform_keeps_place_and_verdict_through_undo_and_redo(person):
    registration = person.registration
    bounds = bounds_of(registration.ct)
    slicer.vtkSlicerTransformLogic().hardenTransform(registration.ct)
    person.host.process(0.5)
    assert registration.ct.GetParentTransformNode() is None and accepted(person)
    assert np.allclose(bounds_of(registration.ct), bounds, atol=1e-3) and person.is_at(TRUE_POSE)
    person.press("answer", "undo")
    person.press("register", "redo")
    assert registration.ct.GetParentTransformNode() is registration.ct_transform
    assert np.allclose(bounds_of(registration.ct), bounds, atol=1e-3) and accepted(person)


def test_a_landmark_that_was_moved_or_removed_in_markups_is_so_in_the_panel(person):
    registration = person.registration
    points = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]], float)
    views = registration.xrays
    pixels = {
        view.name: view.camera.project(rigid.transform_points(TRUE_POSE, points)) for view in views
    }
    place_landmarks(
        registration,
        [
            Landmark(f"{n}", point, {view.name: pixels[view.name][n] for view in views})
            for n, point in enumerate(points)
        ],
    )
    person.choose("start", "start", "Landmarks")
    person.wait(lambda: len(person.cells("start", "landmarks")) == 5)  # the next one's row below
    in_ct = landmark_list(registration)
    in_ct.SetNthControlPointPosition(1, 40.0, 0.0, 0.0)
    person.wait(lambda: "do not fit and were left out: 1" in person.text("start", "fit"))
    in_ct.RemoveNthControlPoint(1)
    person.wait(lambda: person.cells("start", "landmarks")[3][:2] == ["1", "next"])
    assert person.message == ""


def test_a_ct_that_is_deleted_in_data_has_no_verdict(person):
    ct = person.registration.ct
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(person.host.scene)
    item = tree.GetItemByDataNode(ct) or tree.CreateItem(tree.GetSceneItemID(), ct)
    tree.RemoveItem(item)
    person.wait(lambda: not accepted(person), 10)
    assert person.registration.ct is None and person.message == ""
    assert person.header("ct").startswith("\u25cb")
