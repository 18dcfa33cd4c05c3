"""An X-ray's slice view shows the image as it is stored, in full, where the camera projects to.

Slices of the CT go after it.
"""

from itertools import product

import numpy as np
import pytest
import slicer
from helpers.scene_rendering import brightest, pixels, resize, slice_view
from helpers.tiny_scene import c_arm, registration_of
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.mrml import display, overlay
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.nodes import remove_product
from MultiViewRegistrationLib.mrml.slice_view import (
    CTSliceFollower,
    fit_to_ct,
    lay_through,
    plane_of,
    position_in,
    scroll_to,
)

POINT = np.array([30.0, -20.0, 25.0])


def shown(registration):
    """Its first X-ray in its slice view, without labels."""
    display.show(registration)
    view = registration.xrays[0]
    remove_product(view.node, overlay.LABEL)
    remove_product(view.node, overlay.LABEL_3D)
    return view


def expected(pixel, image_size, pixel_mm, view_size):
    """(column, row) in the picture of a pixel of an image that fills the view.

    By hand, without MRML.

    Slicer's views have the middle of the image half a pixel right of, and above, that of the
    picture's pixels.
    """
    scale = min(
        view_size[0] / image_size[0] / pixel_mm[0], view_size[1] / image_size[1] / pixel_mm[1]
    ) * np.array(pixel_mm)
    return (
        np.array(view_size) / 2
        + scale * (np.array(pixel) - (np.array(image_size) - 1) / 2)
        - (0, 1)
    )


@pytest.mark.parametrize(
    "mirrored, principal_point, pixel_mm, view_size",
    [
        (False, (70.3, 20.2), (2.0, 1.4), (200, 300)),
        (True, (40.0, 50.0), (1.4, 2.0), (333, 211)),
    ],
)
def test_a_point_is_seen_where_the_camera_projects_it(
    slicer_app, scene, mirrored, principal_point, pixel_mm, view_size
):
    camera = c_arm(25, 10, mirrored=mirrored, principal_point=principal_point, pixel_mm=pixel_mm)
    view = slice_view(slicer_app, size=view_size)
    shown(registration_of(scene, {"AP": camera}, {"AP": POINT}, pixel_mm))
    where = expected(camera.project(POINT), camera.size, pixel_mm, view_size)
    assert brightest(pixels(view)) == pytest.approx(where, abs=0.25)


def test_a_resized_view_shows_the_whole_image_but_a_zoom_stays(slicer_app, scene, watch):
    camera = c_arm()
    view = slice_view(slicer_app)
    shown(registration_of(scene, {"AP": camera}, {"AP": POINT}))
    node = view.get_view_node()
    for size in ((150, 300), (320, 240)):
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
    node.SetFieldOfView(150, 150, 1)
    follower = CTSliceFollower()

    def follow(moved=None):
        if moved is not None:
            transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
        follower.update(ct, {"Axial": node})
        return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).copy()

    follow()
    yield ct, node, follow
    scene.RemoveNode(node)


def moved_and_rotated():
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
    moved[:3, 3] = (300, -160, 48)
    return moved


def test_a_slice_shows_the_same_of_a_ct_wherever_that_goes(slices):
    _ct, node, follow = slices
    at_first = follow()
    assert_allclose(at_first[:3, 3], CENTRE, atol=1e-6)
    node.JumpSliceByCentering(*(CENTRE + [0, 0, 45]))  # where a person has scrolled to
    scrolled = follow()
    assert_allclose(scrolled[:3, 3], CENTRE + [0, 0, 45], atol=1e-6)
    moved = moved_and_rotated()
    assert_allclose(follow(moved), moved @ scrolled, atol=1e-6)
    assert_allclose(follow(np.eye(4)), scrolled, atol=1e-6)


@pytest.mark.parametrize(
    "orientation, axis, sides", [("Axial", "SI", "RLAP"), ("Sagittal", "RL", "APSI")]
)
def test_position_and_letters_are_those_of_the_ct(slices, scene, orientation, axis, sides):
    ct, node, follow = slices
    follow(moved_and_rotated())
    lay_through(ct, node, orientation)
    which = "RAS".index(axis[0])
    at = position_in(ct, node)
    assert (at.axis, "".join(at.sides)) == (axis, sides)
    assert (at.low, at.mm, at.high) == pytest.approx([CENTRE[which] + far for far in (-50, 0, 50)])
    scroll_to(ct, node, CENTRE[which] + 12.5)
    assert position_in(ct, node).mm == pytest.approx(CENTRE[which] + 12.5)
    # a point of the CT that far along its axis lies in the slice, wherever the CT is
    inside = np.append(CENTRE, 1.0)
    inside[which] += 12.5
    assert np.linalg.solve(plane_of(node), moved_and_rotated() @ inside)[2] == pytest.approx(
        0, abs=1e-6
    )


def test_a_slice_shows_all_of_the_ct_where_it_was_scrolled_to(slices):
    ct, node, follow = slices
    node.SetDimensions(200, 100, 1)
    follow(moved_and_rotated())
    scroll_to(ct, node, CENTRE[2] + 20)
    fit_to_ct(ct, node)
    corners = (
        np.array([[*(CENTRE + half), 1] for half in product((-50, 50), repeat=3)])
        @ moved_and_rotated().T
    )
    xy = corners @ np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())).T
    assert xy[:, :2].min(axis=0) == pytest.approx((100 - 50 / 1.05, 50 - 50 / 1.05), abs=1)
    assert xy[:, :2].max(axis=0) == pytest.approx((100 + 50 / 1.05, 50 + 50 / 1.05), abs=1)
    assert position_in(ct, node).mm == pytest.approx(CENTRE[2] + 20)
