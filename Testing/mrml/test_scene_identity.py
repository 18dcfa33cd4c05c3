"""What makes a result stale, and what does not."""

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from helpers.phantom import TRUE_POSE, off
from helpers.tiny_scene import reopened
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.image import draw_mask, segmentation_node
from MultiViewRegistrationLib.mrml.xray import MASK

#: Voxels as most CTs have them, in the middle between two rounded numbers: mm along i, j, k, and
#: where the first lies.
IN_THE_MIDDLE = {
    "as DICOM": ((0.703125, 0.703125, 1.25), (-56.1125 - 12 * 0.703125, -180.3515625, -71.1125)),
    "left-handed, from the side": ((1 / 3, 0.48828125, 0.625), (-56.0005, 56.0005, -0.0005)),
}
DIRECTIONS = {
    "as DICOM": np.diag([-1, -1, 1]),
    "left-handed, from the side": np.eye(3)[[2, 1, 0]],
}


def blob(shape):
    selected = np.zeros(shape, bool)
    selected[tuple(slice(size // 4, size // 2) for size in shape)] = True
    return selected


def with_structure(scene, registration):
    node, segment = segmentation_node(scene, "Bone", blob((48, 48, 48)), registration.ct)
    registration.choose_segment(node, segment)
    return node.GetSegmentation().GetSegment(segment)


def with_mask(scene, registration):
    view = registration.xrays[0]
    node, segment = segmentation_node(scene, "Mask", blob((1, 128, 128)) | True, view.node)
    view.node.SetNodeReferenceID(MASK, node.GetID())
    return node.GetSegmentation().GetSegment(segment)


def paint(segment):
    labelmap = segment.GetRepresentation("Binary labelmap")
    voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    voxels[len(voxels) // 3 :: 7] ^= 1
    labelmap.GetPointData().GetScalars().Modified()


def shift(segment):
    labelmap = segment.GetRepresentation("Binary labelmap")
    labelmap.SetOrigin(*(x + 1 for x in labelmap.GetOrigin()))


def raise_voxels(node):
    slicer.util.arrayFromVolume(node)[...] += 1
    slicer.util.arrayFromVolumeModified(node)


def change_geometry(view):
    camera = view.record.geometry
    view.change(geometry=replace(camera, intrinsics=np.diag([1.01, 1, 1]) @ camera.intrinsics))


def widen(registration):
    """Add another segment, which widens what is saved for the first."""
    beside, place = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    registration.ct.GetIJKToRASMatrix(place)
    beside.SetImageToWorldMatrix(place)
    beside.SetExtent(-3, 50, 2, 60, 0, 9)
    beside.AllocateScalars(3, 1)
    beside.GetPointData().GetScalars().Fill(1)
    registration.segmentation.AddSegmentFromBinaryLabelmapRepresentation(beside, "Beside")


@pytest.mark.parametrize("way", DIRECTIONS)
def test_whatever_voxels_the_ct_has_it_is_the_same_in_a_scene_that_was_saved(
    slicer_app, scene, registration, tmp_path, way
):
    spacing, origin = IN_THE_MIDDLE[way]
    registration.ct.SetIJKToRASDirections(*DIRECTIONS[way].ravel())
    registration.ct.SetSpacing(spacing)
    registration.ct.SetOrigin(origin)
    with_structure(scene, registration)
    widen(registration)
    with_mask(scene, registration)
    registration.xrays[1].source.SetSpacing(*spacing[:2], 1)
    before = fingerprint(registration)
    (again,) = reopened(slicer_app, tmp_path / "scene.mrb")
    assert fingerprint(again) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda scene, registration: raise_voxels(registration.ct),
        lambda scene, registration: registration.node.SetParameter("ctUnit", "relative"),
        with_structure,
        with_mask,
        lambda scene, registration: raise_voxels(registration.xrays[0].source),
        lambda scene, registration: change_geometry(registration.xrays[1]),
        lambda scene, registration: registration.xrays[1].change(flipped=True),
        lambda scene, registration: registration.xrays[1].change(use=False),
        lambda scene, registration: scene.RemoveNode(registration.ct),
    ],
)
def test_what_makes_a_result_stale(scene, registration, change):
    before = fingerprint(registration)
    change(scene, registration)
    assert fingerprint(registration) != before


@pytest.mark.parametrize("make", [with_structure, with_mask])
@pytest.mark.parametrize("change", [paint, shift])
def test_a_segment_that_is_painted_or_moved(scene, registration, make, change):
    segment = make(scene, registration)
    before = fingerprint(registration)
    change(segment)
    assert fingerprint(registration) != before


def move(scene, registration):
    registration.world_from_ct = off(TRUE_POSE, (1, 0, 0), (0, 5, 0))


def rename(scene, registration):
    for node in (registration.node, registration.ct, registration.xrays[0].node):
        node.SetName("Another name")


def correct(scene, registration):
    view = registration.xrays[0]
    view.change(corrected=view.record.geometry)


def look(scene, registration):
    registration.ct.GetDisplayNode().SetWindowLevelMinMax(0, 50)
    registration.node.SetParameter("opacity", "0.1")


def add_unused(scene, registration):
    registration.add_xray("Another").change(use=False)


def begin_a_mask(scene, registration):
    draw_mask(registration.xrays[0])


@pytest.mark.parametrize("change", [move, rename, correct, look, add_unused, begin_a_mask])
def test_what_leaves_a_result_valid(scene, registration, change):
    before = fingerprint(registration)
    change(scene, registration)
    assert fingerprint(registration) == before


def test_a_drawn_mask_goes_with_a_camera_that_is_corrected(scene, registration):
    view = registration.xrays[0]
    paint(draw_mask(view)[0].GetSegmentation().GetNthSegment(0))
    before, camera = fingerprint(registration), view.record.geometry
    moved = off(camera.camera_from_world, (3, 0, 0), (0, 4, 0))
    assert view.correct(replace(camera, camera_from_world=moved))
    view.place()
    assert fingerprint(registration) == before


def test_a_mask_counts_once_something_is_drawn_on_it(slicer_app, scene, registration, tmp_path):
    """The Segment Editor alone, opened and closed, changes nothing, wherever the image is laid meanwhile, and in a saved scene."""
    view, before = registration.xrays[0], fingerprint(registration)
    draw_mask(view)
    record = view.record
    away = off(record.geometry.camera_from_world, (3, 0, 0), (0, 40, 0))
    view.change(geometry=replace(record.geometry, camera_from_world=away))
    view.place()
    view.change(geometry=record.geometry, uncertainty=record.uncertainty)
    view.place()
    (registration,) = reopened(slicer_app, tmp_path / "scene.mrb")
    assert fingerprint(registration) == before
    paint(registration.xrays[0].mask.GetSegmentation().GetNthSegment(0))
    assert fingerprint(registration) != before
