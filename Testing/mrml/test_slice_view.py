"""An X-ray's slice view shows the image as it is stored, in full, where the camera projects to; slices of the CT go after it."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from scene_rendering import brightest, pixels, resize, slice_view
from tiny_scene import c_arm, registration_of

from MultiViewRegistrationLib.mrml import display, xray_annotations
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.slice_view import CTSliceFollower

POINT = np.array([30.0, -20.0, 25.0])


def shown(registration):
    """Its first X-ray in its slice view, without labels."""
    display.show(registration)
    view = registration.xrays[0]
    xray_annotations.remove_labels(view)
    return view


def expected(pixel, image_size, pixel_mm, view_size):
    """(column, row) in the picture of a pixel of an image that fills the view; by hand, without MRML.

    Slicer's views have the middle of the image half a pixel right of, and above, that of the picture's pixels.
    """
    scale = min(view_size[0] / image_size[0] / pixel_mm[0], view_size[1] / image_size[1] / pixel_mm[1]) * np.array(
        pixel_mm
    )
    return np.array(view_size) / 2 + scale * (np.array(pixel) - (np.array(image_size) - 1) / 2) - (0, 1)


@pytest.mark.parametrize("mirrored", (False, True))
@pytest.mark.parametrize(
    "principal_point, pixel_mm, view_size",
    [
        (None, (2.0, 2.0), (320, 240)),
        ((70.3, 20.2), (2.0, 1.4), (200, 300)),
        ((40.0, 50.0), (1.4, 2.0), (333, 211)),
    ],
)
def test_a_point_is_seen_where_the_camera_projects_it(
    slicer_app, scene, mirrored, principal_point, pixel_mm, view_size
):
    camera = c_arm(25, 10, mirrored=mirrored, principal_point=principal_point, pixel_mm=pixel_mm)
    view = slice_view(slicer_app, size=view_size)
    xray = shown(registration_of(scene, {"AP": camera}, {"AP": POINT}, pixel_mm))
    pixel = camera.project(POINT)
    where = expected(pixel, camera.size, pixel_mm, view_size)
    assert brightest(pixels(view)) == pytest.approx(where, abs=0.25)

    marker = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    marker.AddControlPoint(*xray.ras_of(pixel))
    style = marker.GetDisplayNode()
    style.SetPointLabelsVisibility(False)
    style.SetPropertiesLabelVisibility(False)
    xray.node.GetDisplayNode().SetWindowLevelMinMax(1e6, 2e6)
    in_image = min(view_size[0] / camera.size[0] / pixel_mm[0], view_size[1] / camera.size[1] / pixel_mm[1]) * np.array(
        pixel_mm
    )
    assert np.abs((brightest(pixels(view)) - where) / in_image).max() < 0.5


def test_a_resized_view_shows_the_whole_image_but_a_zoom_stays(slicer_app, scene, watch):
    camera = c_arm()
    view = slice_view(slicer_app)
    shown(registration_of(scene, {"AP": camera}, {"AP": POINT}))
    node = view.get_view_node()
    for size in ((150, 300), (400, 120), (320, 240)):
        resize(view, *size)
        assert brightest(pixels(view)) == pytest.approx(
            expected(camera.project(POINT), camera.size, (2, 2), size), abs=0.25
        )
    node.SetFieldOfView(60, 45, 1)
    resize(view, 400, 300)
    assert node.GetFieldOfView()[1] == pytest.approx(45)


def test_it_stays_on_the_image(slicer_app, scene, watch):
    view = slice_view(slicer_app)
    registration = registration_of(scene, {"AP": c_arm()}, {"AP": POINT})
    shown(registration)
    node = view.get_view_node()
    there = pixels(view)
    node.JumpSliceByOffsetting(40, -30, 20)
    node.SetOrientation("Axial")
    assert node.GetOrientation() == "X-ray"
    assert (pixels(view) == there).all()


def test_it_is_linked_to_nothing_and_takes_no_other_volume(slicer_app, scene):
    view, red = slice_view(slicer_app), slice_view(slicer_app, "Red")
    xray = shown(registration_of(scene, {"AP": c_arm()}))
    other = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    before = red.get_view_node().GetSliceToRAS().GetElement(2, 3)
    view.get_view_node().JumpAllSlices(10, 20, 30)
    assert red.get_view_node().GetSliceToRAS().GetElement(2, 3) == before
    slicer_app.app_logic.GetSelectionNode().SetActiveVolumeID(other.GetID())
    slicer_app.app_logic.PropagateVolumeSelection(0)
    assert red.get_background_volume_id() == other.GetID()
    assert view.get_background_volume_id() == xray.node.GetID()


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
        follower.update(ct, [node])
        return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3]

    follow()
    yield node, follow
    scene.RemoveNode(node)


@pytest.mark.parametrize(
    "moved, lost",
    [
        ((0, 0, 300), True),
        ((0, 0, 48), True),
        ((400, 0, 0), True),
        ((0, -160, 10), True),
        ((0, 0, 30), False),
        ((60, 0, 0), False),
    ],
)
def test_a_slice_that_has_lost_the_ct_jumps_to_its_middle(slices, moved, lost):
    _node, follow = slices
    np.testing.assert_allclose(follow(*moved), CENTRE + np.array(moved) * lost, atol=1e-6)


def test_where_a_person_has_scrolled_to_stays_while_the_ct_rests(slices):
    node, follow = slices
    for z in (45, 500):  # at the CT's edge, and beside it
        node.JumpSliceByCentering(*(CENTRE + [0, 0, z]))
        np.testing.assert_allclose(follow(), CENTRE + [0, 0, z], atol=1e-6)
    node.JumpSliceByCentering(*(CENTRE + [0, 0, 45]))
    follow()
    np.testing.assert_allclose(follow(0, 0, 1), CENTRE + [0, 0, 45], atol=1e-6)
