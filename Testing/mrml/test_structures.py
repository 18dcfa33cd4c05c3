"""Structures of the patient are drawn in the X-rays where the backend's camera puts them, and nowhere else."""

import numpy as np
import pytest
import slicer
import vtk
from scene_rendering import ball, pixels, slice_view, window_of, window_point
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml import nodes
from MultiViewRegistrationLib.mrml.image import segmentation_node
from MultiViewRegistrationLib.mrml.nodes import lps_from_ras, products_of
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.structures import Projections, choose_structures, structures_of

RADIUS, CENTRE = 20.0, np.array([8.0, -14.0, 11.0])  # RAS mm, in the CT's frame


@pytest.fixture
def registration(two_xrays):
    two_xrays.world_from_ct = rigid.from_rotation_translation(
        Rotation.from_euler("xyz", [10, -20, 15], degrees=True).as_matrix(), [6.0, -9, 4]
    )
    return two_xrays


def sphere_model(registration, name="Ball", resolution=96):
    model = registration.scene.AddNewNodeByClass("vtkMRMLModelNode", name)
    model.SetAndObservePolyData(ball(RADIUS, CENTRE, resolution))
    model.CreateDefaultDisplayNodes()
    model.GetDisplayNode().SetColor(1, 0, 0)
    model.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    return model


def line_markups(registration, ends, name="Screw"):
    node = registration.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", name)
    node.CreateDefaultDisplayNodes()
    for end in ends:
        node.AddControlPoint(*end)
    node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    return node


def projections(registration):
    made = Projections(registration)
    while made.update():
        pass
    return made


def products(registration):
    """{(X-ray, structure): model node}"""
    return {
        (view.name, node.GetNodeReference("structure").GetName()): node
        for view in registration.xrays
        for node in products_of(view.node)
        if node.GetNodeReference("structure") is not None
    }


def drawn_pixels(view, model):
    """Where the points of a model in an X-ray's detector plane are in its image, and that they are in that plane."""
    points = lps_from_ras(vtk_to_numpy(model.GetPolyData().GetPoints().GetData()))
    assert np.allclose(view.camera.depth(points), view.detector_mm, atol=1e-3)
    return view.camera.project(points)


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
    projections(registration)
    models = products(registration)
    assert len(models) == 2
    for view in registration.xrays:
        drawn = drawn_pixels(view, models[view.name, "Ball"])
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
    projections(registration)
    for view in registration.xrays:
        drawn = drawn_pixels(view, products(registration)[view.name, "Bone"])
        off = off_conic(view.camera, in_world(registration, CENTRE), drawn)
        assert np.percentile(off, 90) < 0.5  # of pixels that are 1.3 voxels wide
    assert not segmentation.GetSegmentation().ContainsRepresentation(
        "Closed surface"
    )  # the user's node is as it was


def test_lines_are_seen_in_their_own_view_at_their_pixels(registration, slicer_app):
    """A ball's outline and a point's cross, in pixels of a window that shows each pixel of the image four times as wide."""
    sphere_model(registration)
    cross = line_markups(registration, [[-35.0, 5, -15]], "Point")
    cross.GetDisplayNode().SetSelectedColor(0, 1, 0)
    projections(registration)
    red = slice_view(slicer_app, "Red", (100, 100))
    views = [window_of(slicer_app, view, (480, 360)) for view in registration.xrays]
    for view, shown in zip(registration.xrays, views):
        image = pixels(shown).astype(int)
        rows, columns = np.nonzero((image[..., 0] > 128) & (image[..., 1] < 64))
        across = window_point(shown, view.ras_of((1, 0))) - window_point(shown, view.ras_of((0, 0)))
        assert np.allclose(across, [4, 0], atol=1e-6)
        at = (np.stack([columns, rows], 1) + 0.5 - window_point(shown, view.ras_of((0, 0)))) / 4
        off = 4 * off_conic(view.camera, in_world(registration, CENTRE), at)
        assert len(at) > 300
        assert off.max() < 2.0  # the line is two pixels wide
        assert off.mean() < 0.8
        rows, columns = np.nonzero((image[..., 1] > 128) & (image[..., 0] < 64))
        expected = window_point(
            shown, view.ras_of(view.camera.project(in_world(registration, [-35.0, 5, -15])))
        )
        assert np.abs([columns.mean() + 0.5, rows.mean() + 0.5] - expected).max() < 0.5
    assert pixels(red).max() == 0


def test_views_of_slicer_are_given_time_between_new_projections(registration, monkeypatch):
    monkeypatch.setattr(nodes, "MAKING_S", 1e-9)
    sphere_model(registration)
    line_markups(registration, [[0, 0, 0], [10, 0, 0]])
    kept = Projections(registration)
    counts = []
    while kept.update():
        counts.append(len(products(registration)))
    assert max(np.diff([0, *counts])) == 1
    assert counts[-1] == 4


def test_it_follows_pose_shape_colour_and_camera_and_rests_otherwise(registration):
    model = sphere_model(registration, resolution=24)
    kept = projections(registration)
    view = registration.xrays[0]
    assert not kept.update()

    registration.world_from_ct = np.eye(4)
    assert kept.update()
    drawn = products(registration)["AP", "Ball"]
    assert (
        off_conic(view.camera, in_world(registration, CENTRE), drawn_pixels(view, drawn)).max()
        < 0.3
    )

    model.GetPolyData().GetPoints().SetPoint(0, 0, 0, 0)
    model.GetPolyData().GetPoints().Modified()
    assert kept.update()
    model.GetDisplayNode().SetColor(0, 0, 1)
    assert kept.update()
    assert drawn.GetDisplayNode().GetColor() == (0, 0, 1)
    view.change(geometry=view.record.geometry.corrected(1.0, np.array([10.0, 0.0])))
    view.place()
    before = drawn_pixels(view, drawn)
    assert kept.update()
    assert np.allclose(
        drawn_pixels(view, drawn).mean(axis=0), before.mean(axis=0), atol=0.5
    )  # both read by the new camera
    assert not kept.update()


def test_visible_structures_of_the_patient_are_drawn_or_those_that_are_chosen(registration):
    model, line = sphere_model(registration), line_markups(registration, [[0, 0, 0], [10, 0, 0]])
    kept = projections(registration)

    def drawn() -> set:
        while kept.update():
            pass
        return {name for _, name in products(registration)}

    assert set(products(registration)) == {
        ("AP", "Ball"),
        ("LAT", "Ball"),
        ("AP", "Screw"),
        ("LAT", "Screw"),
    }
    model.GetDisplayNode().SetVisibility(False)
    assert drawn() == {"Screw"}
    model.GetDisplayNode().SetVisibility(True)
    model.SetAndObserveTransformNodeID(None)  # no longer of the patient
    assert drawn() == {"Screw"}
    choose_structures(registration, [model])
    assert structures_of(registration) == [model] and drawn() == {"Ball"}
    choose_structures(registration, [])
    assert drawn() == set()
    choose_structures(registration, None)
    assert structures_of(registration) == [line]
    registration.scene.RemoveNode(line)
    assert drawn() == set()


def test_a_saved_scene_comes_back_with_its_projections(registration, scene, tmp_path):
    sphere_model(registration, resolution=24)
    projections(registration)
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(False)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    (back,) = Registration.all(scene)
    before = {key: node.GetID() for key, node in products(back).items()}
    assert set(before) == {("AP", "Ball"), ("LAT", "Ball")}
    projections(back)
    assert {key: node.GetID() for key, node in products(back).items()} == before
    for view in back.xrays:
        off = off_conic(
            view.camera,
            in_world(back, CENTRE),
            drawn_pixels(view, products(back)[view.name, "Ball"]),
        )
        assert off.max() < 0.3


@pytest.mark.parametrize(
    "kind, lines", [("Curve", 20), ("ClosedCurve", 20), ("Angle", 2), ("Fiducial", 12)]
)
def test_other_markups_are_drawn_too(registration, kind, lines):
    node = registration.scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", kind)
    node.CreateDefaultDisplayNodes()
    for point in ([0, 0, 0], [20, 0, 0], [20, 20, 5]):
        node.AddControlPoint(*point)
    node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    projections(registration)
    assert products(registration)["AP", kind].GetPolyData().GetNumberOfLines() >= lines


def test_a_model_of_loose_or_flipped_triangles_is_mended(registration):
    """As files in the STL format have them.

    No two triangles share a point, and some go round the other way.
    """
    model = sphere_model(registration)
    mesh = model.GetPolyData()
    points = vtk_to_numpy(mesh.GetPoints().GetData())
    triangles = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3).copy()
    triangles[::7] = triangles[::7, ::-1]
    loose, cells, shared = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    for triangle in triangles:
        cells.InsertNextCell(3)
        for corner in triangle:
            cells.InsertCellPoint(loose.InsertNextPoint(*points[corner]))
    shared.SetPoints(loose)
    shared.SetPolys(cells)
    projections(registration)
    expected = products(registration)["AP", "Ball"].GetPolyData().GetNumberOfLines()
    model.SetAndObservePolyData(shared)
    projections(registration)
    assert products(registration)["AP", "Ball"].GetPolyData().GetNumberOfLines() == expected
