"""Two patients in one scene: nothing of the one is seen over the other, whoever made it."""

import numpy as np
import pytest
import slicer
from helpers.scene_rendering import ball
from helpers.tiny_scene import reopened
from test_bones_in_scene import POSES
from test_display import dots

from MultiViewRegistrationLib.mrml.ct_3d import bones_of, put_bone_surface, put_bones, put_surface
from MultiViewRegistrationLib.mrml.display import show_alone
from MultiViewRegistrationLib.mrml.image import segmentation_node
from MultiViewRegistrationLib.mrml.layout import tag_of
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.registration import Registration, delete

#: What a surgeon has in the scene of his patient: segments beside the CT, plans under its
#: transform, under a bone's, and two transforms deep.
HIS = ["vertebrae", "plan", "implant", "screw", "deep plan", "L1"]


def ct(scene, name):
    return volume_node(scene, name, np.zeros((8, 8, 8), np.int16), np.diag([2, 2, 3, 1.0]))


def put(scene, kind, name, under=None):
    node = scene.AddNewNodeByClass(kind, name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(under and under.GetID())
    return node


@pytest.fixture
def patients(scene, watch):
    """A patient with HIS plans, and another one."""
    first, second = dots(scene, "first", 0), dots(scene, "second", 20)
    first.ct, second.ct = ct(scene, "first CT"), ct(scene, "second CT")
    first.choose_segment(
        segmentation_node(scene, "vertebrae", np.ones((8, 8, 8), bool), first.ct)[0]
    )
    put_bones(first, {"L1": POSES["L1"]})
    bone = bones_of(first)["L1"]
    put_bone_surface(bone, ball(), (0.2, 0.6, 0.9))
    between = put(scene, "vtkMRMLLinearTransformNode", "between", first.ct_transform)
    put(scene, "vtkMRMLMarkupsLineNode", "plan", first.ct_transform)
    put(scene, "vtkMRMLModelNode", "implant", first.ct_transform)
    put(scene, "vtkMRMLMarkupsLineNode", "screw", bone.node)
    put(scene, "vtkMRMLMarkupsCurveNode", "deep plan", between)
    put(scene, "vtkMRMLModelNode", "operating table")
    show_alone(scene, first)
    return [first, second]


def seen(scene):
    shown = slicer.util.getNodesByClass("vtkMRMLDisplayableNode", scene)
    return {node.GetName() for node in shown if node.GetDisplayVisibility()}


def test_nothing_of_a_patient_is_seen_over_another_one(scene, patients):
    assert seen(scene).issuperset({*HIS, "operating table"})
    show_alone(scene, patients[1])
    assert not seen(scene).intersection(HIS) and "operating table" in seen(scene)


def test_what_a_person_had_hidden_stays_hidden(scene, patients):
    first, second = patients
    for hidden in ("vertebrae", "deep plan", "L1"):
        slicer.util.getNode(hidden).SetDisplayVisibility(False)
        before = seen(scene)
        for patient in (second, second, first):
            show_alone(scene, patient)
        assert seen(scene) == before and hidden not in before


def test_it_comes_back_from_a_scene_that_was_saved_meanwhile(scene, slicer_app, tmp_path, patients):
    slicer.util.getNode("implant").SetDisplayVisibility(False)
    before = seen(scene)
    show_alone(scene, patients[1])
    again = {each.name: each for each in reopened(slicer_app, tmp_path / "scene.mrb")}
    assert not seen(scene).intersection(HIS)
    show_alone(scene, again["first"])
    assert seen(scene).intersection(HIS) == before.intersection(HIS)


@pytest.mark.parametrize("which", ["first CT", "first X-ray"])
def test_no_slice_view_keeps_a_volume_of_the_patient_before(scene, patients, which):
    volume = patients[0].ct
    if which == "first X-ray":
        volume = ct(scene, which)
        patients[0].xrays[0].node.SetNodeReferenceID("source", volume.GetID())
    red = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    red.SetLayoutName("Red")
    layers = ("Background", "Foreground", "Label")
    for layer in layers:
        getattr(red, f"Set{layer}VolumeID")(volume.GetID())
    show_alone(scene, patients[1])
    for layer in layers:
        assert getattr(red, f"Get{layer}VolumeID")() in (None, patients[1].ct.GetID())


def test_slices_that_were_emptied_with_their_registration_show_the_next_ct(scene, patients):
    red = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    red.SetLayoutName("Red")
    red.SetBackgroundVolumeID(patients[0].ct.GetID())
    show_alone(scene, None)
    assert red.GetBackgroundVolumeID() is None
    show_alone(scene, patients[1])
    assert red.GetBackgroundVolumeID() == patients[1].ct.GetID()
    red.SetBackgroundVolumeID(None)  # by a person
    show_alone(scene, patients[0])
    assert red.GetBackgroundVolumeID() is None


def test_segments_that_two_registrations_of_one_patient_share_stay(scene, patients):
    first, second = patients
    shared = first.segmentation
    second.node.SetNodeReferenceID("segmentation", shared.GetID())
    for _ in range(2):
        show_alone(scene, second)
        assert "vertebrae" in seen(scene)


def test_plans_stay_when_their_registration_is_removed(scene, patients):
    before = seen(scene)
    scene.RemoveNode(patients[0].node)
    assert seen(scene) & set(HIS) == before & {*HIS[:-1]}


def test_the_bones_of_a_ct_go_with_it_and_what_is_planned_on_them_stays(scene, patients):
    first, second = patients
    for each in patients:
        put_surface(each, ball())
    scene.RemoveNode(first.ct)
    assert not seen(scene) & {"L1", "first bones"} and seen(scene) >= {*HIS} - {"L1"}
    assert slicer.util.getNode("screw").GetParentTransformNode() is first.ct_transform
    assert second.node.GetNodeReference("bones") is not None


def test_plans_come_back_with_a_registration_that_was_deleted(scene, patients):
    before = seen(scene)
    show_alone(scene, None)  # as the panel does before
    deleted = delete(patients[0])
    show_alone(scene, patients[1])
    assert not seen(scene).intersection(HIS)
    show_alone(scene, deleted.restore(scene))
    assert seen(scene).intersection(HIS) == before.intersection(HIS)
    assert slicer.util.getNode("screw").GetParentTransformNode().GetName() == "L1 to world"


def test_registrations_of_a_scene_that_is_added_have_names_of_their_own(scene, tmp_path, patients):
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
    names = [each.name for each in Registration.all(scene)]
    assert len(names) == len(set(names)) == 4
    assert seen(scene).intersection(HIS) == {*HIS}  # of one of the two, which is shown
    shown = [each for each in Registration.all(scene) if any(map(tag_of, each.xrays))]
    assert len(shown) == 1
