"""Structures of the patient are drawn in the X-rays where the backend's camera puts them, and nowhere else."""

import numpy as np
import pytest
import slicer
import vtk
from helpers.scene_rendering import ball
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.image import segmentation_node
from MultiViewRegistrationLib.mrml.nodes import array_of, lps_from_ras
from MultiViewRegistrationLib.mrml.structures import (
    OUTLINES,
    StructureOutlines,
    choose_structures,
    show_outlines,
    structures_of,
)

RADIUS, CENTRE = 20.0, np.array([8.0, -14.0, 11.0])  # RAS mm, in the CT's frame
RED, GREEN, BLUE = (1, 0, 0), (0, 1, 0), (0, 0, 1)


@pytest.fixture
def registration(two_xrays):
    two_xrays.world_from_ct = rigid.from_rotation_translation(
        Rotation.from_euler("xyz", [10, -20, 15], degrees=True).as_matrix(), [6.0, -9, 4]
    )
    return two_xrays


def sphere_model(registration, resolution=96):
    model = registration.scene.AddNewNodeByClass("vtkMRMLModelNode", "Ball")
    model.SetAndObservePolyData(ball(RADIUS, CENTRE, resolution))
    model.CreateDefaultDisplayNodes()
    model.GetDisplayNode().SetColor(*RED)
    model.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    return model


def green_markups(registration, kind, points):
    node = registration.scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", kind)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSelectedColor(*GREEN)
    for point in points:
        node.AddControlPoint(*point)
    node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    return node


def outlines(registration):
    """What gives the outlines, once they are drawn in each X-ray."""
    made = StructureOutlines(registration)
    for _view in registration.xrays:  # time for a new model each
        show_outlines(registration, made.take())
    return made


def model_in(view):
    """The model of an X-ray with the outlines; None without any."""
    return view.node.GetNodeReference(OUTLINES)


def colours_in(view):
    """The colour of each line, 0 to 1."""
    model = model_in(view)
    return vtk_to_numpy(model.GetPolyData().GetCellData().GetScalars()) / 255 if model else []


def drawn_pixels(view, colour=RED):
    """Where the ends of lines of this colour are in an X-ray's image, and that they are in its detector plane."""
    points = lps_from_ras(array_of(model_in(view).GetPolyData().GetPoints()))
    points = points.reshape(-1, 2, 3)[np.isclose(colours_in(view), colour, atol=0.01).all(axis=1)]
    assert np.allclose(view.camera.depth(points), view.detector_mm, atol=1e-3)
    return view.camera.project(points).reshape(-1, 2)


def in_world(registration, ras_in_ct):
    """LPS mm in the world of a point, RAS mm, in the CT's frame."""
    return rigid.transform_points(registration.world_from_ct, np.asarray(ras_in_ct) * [-1, -1, 1])


def off_conic(camera, centre, pixels):
    """By how many pixels some pixels miss the outline of the sphere, whose dual conic is P Q* P^T (Hartley and Zisserman, 8.7)."""
    dual = np.diag([RADIUS**2] * 3 + [0.0]) - np.outer([*centre, 1], [*centre, 1])
    conic = np.linalg.inv(camera.projection_matrix @ dual @ camera.projection_matrix.T)
    rays = np.column_stack([pixels, np.ones(len(pixels))])
    value = np.einsum("ni,ij,nj->n", rays, conic, rays)
    slope = 2 * (rays @ conic)[:, :2]
    return np.abs(value) / np.linalg.norm(slope, axis=1)


def test_a_sphere_is_drawn_as_its_conic(registration):
    sphere_model(registration)
    outlines(registration)
    for view in registration.xrays:
        drawn = drawn_pixels(view)
        assert off_conic(view.camera, in_world(registration, CENTRE), drawn).max() < 0.05
        assert np.ptp(drawn, axis=0).min() > 1.9 * RADIUS * 1000 / 700 / 2  # all of it


def test_a_segment_is_drawn_as_its_conic(registration):
    ct = registration.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    ct.SetOrigin(*(CENTRE - 30))
    slicer.util.updateVolumeFromArray(ct, np.zeros((61, 61, 61), np.int16))
    k, j, i = np.indices((61, 61, 61)) - 30
    segmentation, _ = segmentation_node(
        registration.scene, "Bone", k**2 + j**2 + i**2 <= RADIUS**2, ct
    )
    segmentation.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    outlines(registration)
    colour = segmentation.GetSegmentation().GetNthSegment(0).GetColor()
    for view in registration.xrays:
        drawn = drawn_pixels(view, colour)
        off = off_conic(view.camera, in_world(registration, CENTRE), drawn)
        assert np.percentile(off, 90) < 0.5  # of pixels that are 1.3 voxels wide
    assert not segmentation.GetSegmentation().ContainsRepresentation(
        "Closed surface"
    )  # the user's node is as it was


def test_it_follows_pose_shape_colour_and_camera_and_rests_otherwise(registration):
    model = sphere_model(registration, resolution=24)
    made = outlines(registration)
    view = registration.xrays[0]

    def changes():
        before = model_in(view).GetPolyData().GetMTime()
        show_outlines(registration, made.take())
        return model_in(view).GetPolyData().GetMTime() != before

    assert not changes()
    registration.world_from_ct = np.eye(4)
    assert changes()
    assert off_conic(view.camera, in_world(registration, CENTRE), drawn_pixels(view)).max() < 0.3

    model.GetPolyData().GetPoints().SetPoint(0, 0, 0, 0)
    model.GetPolyData().GetPoints().Modified()
    assert changes()
    model.GetDisplayNode().SetColor(*BLUE)
    assert changes()
    before = drawn_pixels(view, BLUE).mean(axis=0)
    view.change(geometry=view.record.geometry.corrected(1.0, np.array([10.0, 0.0])))
    view.place()
    assert changes()
    moved = drawn_pixels(view, BLUE).mean(axis=0) - before
    assert np.linalg.norm(moved) == pytest.approx(10, abs=0.5)
    assert not changes()


def test_visible_structures_of_the_patient_are_drawn_or_those_that_are_chosen(registration):
    model = sphere_model(registration)
    line = green_markups(registration, "Line", [[0, 0, 0], [10, 0, 0]])
    made = outlines(registration)

    def drawn():
        show_outlines(registration, made.take())
        return {tuple(each) for view in registration.xrays for each in colours_in(view)}

    assert drawn() == {RED, GREEN}
    model.GetDisplayNode().SetVisibility(False)
    assert drawn() == {GREEN}
    model.GetDisplayNode().SetVisibility(True)
    model.SetAndObserveTransformNodeID(None)  # no longer of the patient
    assert drawn() == {GREEN}
    choose_structures(registration, [model])
    assert structures_of(registration) == [model] and drawn() == {RED}
    choose_structures(registration, [])
    assert drawn() == set()
    choose_structures(registration, None)
    assert structures_of(registration) == [line]
    registration.scene.RemoveNode(line)
    assert drawn() == set()


@pytest.mark.parametrize("kind, lines", [("ClosedCurve", 20), ("Angle", 2), ("Fiducial", 12)])
def test_other_markups_are_drawn_too(registration, kind, lines):
    green_markups(registration, kind, [[0, 0, 0], [20, 0, 0], [20, 20, 5]])
    outlines(registration)
    assert model_in(registration.xrays[0]).GetPolyData().GetNumberOfLines() >= lines


def test_a_model_of_loose_or_flipped_triangles_is_mended(registration):
    """As files in the STL format have them.

    No two triangles share a point, and some go round the other way.
    """
    model = sphere_model(registration)
    mesh = model.GetPolyData()
    points = array_of(mesh.GetPoints())
    triangles = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3).copy()
    triangles[::7] = triangles[::7, ::-1]
    loose, cells, shared = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    loose.SetData(numpy_to_vtk(points[triangles.ravel()], deep=True))
    cells.SetData(3, numpy_to_vtkIdTypeArray(np.arange(triangles.size), deep=True))
    shared.SetPoints(loose)
    shared.SetPolys(cells)
    made = outlines(registration)
    expected = len(drawn_pixels(registration.xrays[0]))
    model.SetAndObservePolyData(shared)
    show_outlines(registration, made.take())
    assert len(drawn_pixels(registration.xrays[0])) == expected
