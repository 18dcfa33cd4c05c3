"""Slices of the CT go after it only where a movement has taken it out of them."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.slice_view import CTSliceFollower

CENTRE = np.array([10.0, 20.0, -30.0])


@pytest.fixture
def slices(scene):
    """A volume of 100 mm about CENTRE under a transform, an axial slice through it, and what has it follow."""
    place = np.diag([2.0, 2.0, 2.0, 1.0])
    place[:3, 3] = CENTRE * [-1, -1, 1] - 49
    ct = volume_node(scene, "ct", np.zeros((50, 50, 50), np.float32), place)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    ct.SetAndObserveTransformNodeID(transform.GetID())
    node = slicer.vtkMRMLSliceNode()
    node.SetLayoutName("followed")  # no view of another test
    node = scene.AddNode(node)
    node.SetOrientation("Axial")
    node.SetFieldOfView(150, 150, 1)
    node.JumpSliceByCentering(*CENTRE)
    follower = CTSliceFollower()

    def follow(*moved) -> np.ndarray:
        if moved:
            place = np.eye(4)
            place[:3, 3] = moved
            transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(place))
        follower.follow(ct, [node])
        return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3]

    follow()
    yield node, follow
    scene.RemoveNode(node)


@pytest.mark.parametrize("moved", [(0, 0, 300), (0, 0, 48), (400, 0, 0), (0, -160, 10)])
def test_a_slice_that_has_lost_the_ct_jumps_to_its_middle(slices, moved):
    _node, follow = slices
    np.testing.assert_allclose(follow(*moved), CENTRE + moved, atol=1e-6)


@pytest.mark.parametrize("moved", [(0, 0, 30), (60, 0, 0)])
def test_a_slice_that_still_shows_it_stays(slices, moved):
    _node, follow = slices
    np.testing.assert_allclose(follow(*moved), CENTRE, atol=1e-6)


def test_where_a_person_has_scrolled_to_stays_while_the_ct_rests(slices):
    node, follow = slices
    for z in (45, 500):  # at the CT's edge, and beside it
        node.JumpSliceByCentering(*(CENTRE + [0, 0, z]))
        np.testing.assert_allclose(follow(), CENTRE + [0, 0, z], atol=1e-6)
    node.JumpSliceByCentering(*(CENTRE + [0, 0, 45]))
    follow()
    np.testing.assert_allclose(follow(0, 0, 1), CENTRE + [0, 0, 45], atol=1e-6)
