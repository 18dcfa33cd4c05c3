"""Nodes that a registration takes in stay where they are in the world, whatever they were under.

A person may take them out again.
"""

import numpy as np
import pytest
import slicer
from helpers.phantom import TRUE_POSE, off
from helpers.phantom_scene import (
    add_view,
    make_registration,
    phantom_registration,
    phantom_volume,
    settle,
)
from helpers.refusals import refuses
from helpers.segment_editor import draw_segment
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.mrml.case import ct_of, xray_of
from MultiViewRegistrationLib.mrml.image import draw_mask, segmentation_node
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.nodes import ras_from_node, set_transform
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.xray import place_of
from MultiViewRegistrationLib.session.assessment import stale_reason, verdict
from MultiViewRegistrationLib.session.session import Session

SHIFTED = off(np.eye(4), (0, 0, 0), (20, 0, 0))
TURNED = off(np.eye(4), (10, 20, -30), (20, 33, -17))
FAR = off(np.eye(4), (5, 0, 0), (1000, -900, 800))
POSES = pytest.mark.parametrize("pose", [TURNED, FAR], ids=["turned", "a metre away"])


def bone(registration):
    """The voxels that a threshold selects, of one side, so that a mirrored selection is another."""
    voxels = slicer.util.arrayFromVolume(registration.ct)
    selected = voxels > 300
    selected[:, :, voxels.shape[2] // 2 :] = False
    return selected


def draw(registration, selected):
    return draw_segment(registration.ct, selected)


def transform(scene, world_from_child, kind="vtkMRMLLinearTransformNode"):
    node = scene.AddNewNodeByClass(kind, "a person's transform")
    if world_from_child is not None:
        set_transform(node, world_from_child)
    return node


def put_under(node, *transformed):
    """Under a person's transform."""
    made = transform(node.GetScene(), *transformed)
    node.SetAndObserveTransformNodeID(made.GetID())


def bounds(node):
    """In the world."""
    found = np.zeros(6)
    node.GetRASBounds(found)
    return found


# Segments


@POSES
def test_a_segment_drawn_on_the_placed_ct_selects_what_was_drawn(registration, pose):
    registration.world_from_ct = pose
    selected = bone(registration)
    segmentation, segment = draw(registration, selected)
    before = bounds(segmentation)
    registration.choose_segment(segmentation, segment)
    assert_array_equal(ct_of(registration).mask, selected)
    assert_allclose(bounds(segmentation), before, atol=1e-6)
    registration.world_from_ct = TRUE_POSE
    assert_array_equal(ct_of(registration).mask, selected)
    assert_allclose(ras_from_node(segmentation), ras_from_node(registration.ct))


@POSES
def test_a_segment_that_reaches_beyond_the_ct_is_cut_off(registration, pose):
    """Its voxels are not counted up to where it ends."""
    segmentation, segment = segmentation_node(
        registration.scene, "large", np.ones((60, 60, 60), bool), larger_volume(registration.scene)
    )
    put_under(segmentation, pose @ TRUE_POSE)
    registration.choose_segment(segmentation, segment)
    if pose is FAR:
        with refuses("has no voxel within the CT"):
            ct_of(registration)
    else:
        assert ct_of(registration).mask.shape == slicer.util.arrayFromVolume(registration.ct).shape


def larger_volume(scene):
    place = np.diag([3.0, 3, 3, 1])
    place[:3, 3] = -90
    return volume_node(scene, "larger", np.zeros((60, 60, 60), np.int16), place)


@pytest.mark.parametrize("on_source", [False, True])
def test_a_mask_under_a_transform_is_used_where_it_is(registration, on_source):
    view = registration.xrays[0]
    if on_source:
        put_under(view.source, TURNED)
        used = np.zeros(view.size[::-1], bool)
        used[20:60, 30:90] = True
        mask, _ = segmentation_node(registration.scene, "mask", used[None], view.source)
        mask.HardenTransform()
        view.node.SetNodeReferenceID("mask", mask.GetID())
        assert_array_equal(xray_of(view).valid, used)
    else:
        mask, _ = draw_mask(view)
        before = xray_of(view).valid
        put_under(mask, off(np.eye(4), (0, 0, 0), (500, 0, 0)))
        with refuses("leaves nothing of the X-ray's field"):
            xray_of(view)
        mask.SetAndObserveTransformNodeID(None)
        assert_array_equal(xray_of(view).valid, before)


# The CT


def test_a_ct_under_a_transform_stays_in_its_place(scene, ct, views):
    registration = make_registration(scene, ct, views)
    volume = registration.ct
    registration.ct = None
    put_under(volume, TURNED)
    before = bounds(volume)
    registration.ct = volume
    assert_allclose(bounds(volume), before, atol=1e-6)
    assert_allclose(registration.world_from_ct, TURNED, atol=1e-9)


@pytest.mark.parametrize("by", [np.diag([1.2, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])])
def test_a_ct_under_a_transform_that_is_not_rigid_is_refused(registration, by):
    volume = registration.ct
    registration.ct = None
    put_under(volume, by)
    with refuses("its transform a person's transform"):
        registration.ct = volume
    assert (
        registration.ct is None and volume.GetParentTransformNode() is not registration.ct_transform
    )


def test_the_transform_itself_may_lie_under_another(registration):
    put_under(registration.ct_transform, TURNED)
    assert_allclose(registration.world_from_ct, TURNED @ TRUE_POSE, atol=1e-9)
    registration.world_from_ct = SHIFTED
    assert_allclose(registration.world_from_ct, SHIFTED, atol=1e-9)
    assert_allclose(ras_from_node(registration.ct)[:3, 3], [-20, 0, 0], atol=1e-9)


# Verdicts


@pytest.fixture
def accepted(scene):
    """A session whose pose is accepted."""
    session = Session(phantom_registration(scene))
    settle(session, verdict="accept")
    return session


def taken_by_another(registration):
    other = Registration.create(registration.scene, "Other")
    other.ct = registration.ct
    other.world_from_ct = off(other.world_from_ct, (0, 0, 0), (80, 0, 0))


def xray_under_a_transform(registration):
    view = registration.xrays[0].node
    put_under(view, SHIFTED)


def bent(registration):
    put_under(registration.ct, None, "vtkMRMLBSplineTransformNode")


ELSEWHERE = {
    "another registration moves it": taken_by_another,
    "an X-ray under a transform": xray_under_a_transform,
    "under a transform that is not linear": bent,
    "out of the transform": lambda of: of.ct.SetAndObserveTransformNodeID(None),
    "the transform is moved": lambda of: set_transform(of.ct_transform, SHIFTED),
    "the transform is removed": lambda of: of.scene.RemoveNode(of.ct_transform),
    "the origin of the CT is moved": lambda of: of.ct.SetOrigin(1, 2, 3),
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_verdict_falls_when_the_ct_or_an_xray_is_elsewhere(accepted, change):
    change(accepted.registration)
    assert verdict(accepted) == "" and stale_reason(accepted)


def test_the_pose_of_a_verdict_is_found_again(accepted):
    """By a click in the history, also where another registration has taken the CT."""
    registration, pose = accepted.registration, accepted.registration.world_from_ct
    taken_by_another(registration)
    accepted.history.go(accepted.history.position)
    assert (
        verdict(accepted) == "accept"
        and registration.ct.GetParentTransformNode() is registration.ct_transform
    )
    assert_allclose(registration.world_from_ct, pose)
    [other] = [each for each in Registration.all(registration.scene) if each != registration]
    assert_allclose(other.world_from_ct, pose)  # the CT is in one place


def test_an_xray_under_a_transform_is_not_used(accepted):
    xray_under_a_transform(accepted.registration)
    with refuses("view1: lies under the transform a person's transform"):
        accepted.case()


def test_an_xray_that_was_moved_goes_back(accepted):
    view = accepted.registration.xrays[0]
    before = place_of(view.node)
    put_under(view.node, SHIFTED)
    view.node.HardenTransform()
    accepted.check_next()
    assert_allclose(place_of(view.node), before, atol=1e-9)
    assert verdict(accepted) == "accept"


# Hardening


@pytest.fixture(
    params=[np.diag([-1.0, -1, 1]), np.diag([-1.0, 1, 1])], ids=["as DICOM", "left-handed"]
)
def placed(scene, ct, views, request):
    """A registration of the phantom with a structure, at a pose."""
    registration = Registration.create(scene, "Phantom")
    volume = phantom_volume(scene)
    volume.SetIJKToRASDirections(*request.param.ravel())
    registration.ct = volume
    for view in views:
        add_view(registration, view)
    registration.choose_segment(*draw(registration, bone(registration)))
    registration.world_from_ct = TURNED
    return registration


def test_hardening_the_transform_moves_nothing_and_leaves_the_verdict(placed):
    session = Session(placed)
    settle(session, TURNED)
    before, place = bounds(placed.ct), place_of(placed.ct)
    ct, mask = ct_of(placed), ct_of(placed).mask
    slicer.vtkSlicerTransformLogic.hardenTransform(placed.ct)
    assert placed.ct.GetParentTransformNode() is None
    assert_allclose(bounds(placed.ct), before, atol=1e-6)
    assert_allclose(placed.world_from_ct, TURNED, atol=1e-9)
    assert stale_reason(session) == ""
    assert_array_equal(ct_of(placed).volume.ct_from_index, ct.volume.ct_from_index)
    assert_array_equal(ct_of(placed).mask, mask)
    placed.world_from_ct = SHIFTED
    assert_array_equal(place_of(placed.ct), place)
    assert_array_equal(ct_of(placed).mask, mask)


def test_a_cropped_ct_is_another_one_and_not_a_moved_one(placed):
    """Its origin is elsewhere, but no voxel is."""
    whole, place = slicer.util.arrayFromVolume(placed.ct).copy(), place_of(placed.ct)
    placed.ct.SetAndObserveTransformNodeID(None)
    slicer.util.updateVolumeFromArray(placed.ct, whole[5:, 4:, 3:])
    placed.ct.SetOrigin(*(place @ [3, 4, 5, 1])[:3])
    cropped = place_of(placed.ct)
    assert_allclose(placed.world_from_ct, np.eye(4))
    placed.world_from_ct = SHIFTED
    assert_allclose(place_of(placed.ct), cropped)
