"""What a person does to the CT in Slicer's other modules: Segment Editor, Transforms, Markups, Data."""

import numpy as np
import pytest
import slicer
from gui_driver import GuiDriver
from helpers.phantom import TRUE_POSE
from helpers.phantom_scene import begun, make_registration, settle
from helpers.running_session import STARTED_AT

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.landmarks import Landmark
from MultiViewRegistrationLib.mrml.landmarks import landmark_list, place_landmarks

pytestmark = pytest.mark.slow

MIN_BONE_HU = 300
LANDMARKS = {name: np.eye(4)[:, :3][n] * 10 for n, name in enumerate("0123")}


@pytest.fixture
def person(host, ct, views):
    """At a pose that was accepted."""
    person = GuiDriver(host)
    person.begin("register", begun(make_registration(host.scene, ct, views, STARTED_AT)))
    settle(person.session, verdict="accept")
    person.wait(lambda: accepted(person))
    return person


def accepted(person):
    return "ACCEPT" in person.answer()


def draw_bone(person):
    """By Threshold of the Segment Editor, on the CT where it lies."""
    ct = person.registration.ct
    segmentation = person.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
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
    drawn, voxels = draw_bone(person), slicer.util.arrayFromVolume(person.registration.ct)
    person.choose("ct", "structure", "bone")
    assert person.registration.segmentation is drawn and not accepted(person)
    assert np.array_equal(person.session.ct().mask, voxels >= MIN_BONE_HU)
    person.choose("ct", "structure", "the whole CT")
    person.wait(lambda: accepted(person))


def test_a_landmark_that_was_moved_or_removed_in_markups_is_so_in_the_panel(person):
    registration = person.registration
    shown = {
        name: {
            v.name: v.camera.project(rigid.transform_points(TRUE_POSE, at)) for v in person.xrays
        }
        for name, at in LANDMARKS.items()
    }
    place_landmarks(registration, [Landmark(n, at, shown[n]) for n, at in LANDMARKS.items()])
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
    tree.RemoveItem(tree.GetItemByDataNode(ct) or tree.CreateItem(tree.GetSceneItemID(), ct))
    person.wait(lambda: not accepted(person), 10)
    assert person.registration.ct is None and person.message == ""
    assert person.header("ct").startswith("\u25cb")
