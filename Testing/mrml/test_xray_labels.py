"""What is drawn at an X-ray: its frustum, its name and angles, and the patient's sides, as a person at the C-arm knows them."""

import numpy as np
import pytest
import slicer
from helpers.scene_rendering import slice_view
from helpers.tiny_scene import c_arm, registration_of
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.mrml import display, overlay
from MultiViewRegistrationLib.mrml.nodes import lps_from_ras
from MultiViewRegistrationLib.mrml.registration import Registration

PIXEL_MM = (2.0, 2.0)


def xray_of(scene, camera, **fields):
    view = Registration.create(scene).add_xray("AP")
    view.change(geometry=CArm.from_camera(camera, PIXEL_MM), **fields)
    slicer.util.updateVolumeFromArray(view.node, np.zeros((1, *camera.size[::-1]), np.float32))
    return view


@pytest.mark.parametrize(
    "rao_lao, cra_cau, text",
    [
        (12.04, 5.0, "LAO 12.0°  CRA 5.0°"),
        (-30.0, -20.26, "RAO 30.0°  CAU 20.3°"),
    ],
)
def test_angles_are_those_of_the_c_arm(scene, rao_lao, cra_cau, text):
    assert overlay.title(xray_of(scene, c_arm(rao_lao, cra_cau))) == [
        "AP \u2013 Registration",
        text,
        "SID 1000 mm",
    ]
    assert overlay.title(xray_of(scene, c_arm(rao_lao, cra_cau), use=False))[0].endswith(
        " (skipped)"
    )


def test_there_are_no_angles_where_no_isocentre_is_in_the_beam(scene):
    camera = c_arm(12)
    moved = camera.camera_from_world.copy()
    moved[:3, 3] = (400, 0, 700)
    view = xray_of(scene, Camera(camera.intrinsics, moved, camera.size))
    assert len(overlay.title(view)) == 1 and overlay.sides_of(view) is None


def test_a_camera_whose_world_need_not_be_the_patients_has_no_sides_and_no_angles(scene):
    view = registration_of(scene, {"wrist": c_arm(12)}).xrays[0]
    assert overlay.sides_of(view) is None
    assert overlay.title(view) == ["wrist \u2013 Test"]


@pytest.mark.parametrize(
    "rao_lao, cra_cau, mirrored, left_right_top_bottom",
    [
        (0, 0, False, "L R H F"),  # as the source behind the patient sees it
        (0, 0, True, "R L H F"),  # as seen facing the patient
        (90, 0, True, "A P H F"),
        (45, 0, True, "AR LP H F"),
        (0, 89.9, False, "L R P A"),
    ],
)
def test_sides_are_those_of_the_patient(scene, rao_lao, cra_cau, mirrored, left_right_top_bottom):
    view = xray_of(scene, c_arm(rao_lao, cra_cau, mirrored=mirrored))
    sides = overlay.sides_of(view)
    assert ["".join(sorted(side)) for side in sides] == left_right_top_bottom.split()
    # A point on the patient's left is seen on the side that says so.
    places = {"L": (60, 0, 0), "R": (-60, 0, 0), "H": (0, 0, 60), "A": (0, -60, 0)}
    for letter, point in places.items():
        across, down = view.camera.project(point) - view.camera.project((0, 0, 0))
        edge = 1 if across > 0 else 0
        if abs(across) > 2 * abs(down) and abs(across) > 10:
            assert letter in sides[edge]


def test_points_are_not_placed_into_labels(slicer_app, scene):
    slice_view(slicer_app)
    selection = slicer_app.app_logic.GetSelectionNode()
    registration = registration_of(scene, {"AP": c_arm(12, 5)})
    for active in (
        scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode"),
        scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode"),
    ):
        display.hide(registration)
        selection.SetReferenceActivePlaceNodeClassName(active.GetClassName())
        selection.SetReferenceActivePlaceNodeID(active.GetID())
        display.show(registration)
        assert (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()) == (
            active.GetClassName(),
            active.GetID(),
        )


def lines_of(node):
    """(lines, 2, 3), world LPS mm."""
    data = node.GetPolyData()
    points = vtk_to_numpy(data.GetPoints().GetData())
    ends = vtk_to_numpy(data.GetLines().GetConnectivityArray()).reshape(-1, 2)
    return lps_from_ras(points[ends])


def test_frustum_runs_from_source_to_detector_corners(scene):
    camera = c_arm(25, 10, principal_point=(70.3, 20.2), mirrored=True)
    registration = registration_of(scene, {"AP": camera})
    display.show(registration)
    node = registration.xrays[0].node.GetNodeReference("frustum")
    lines = lines_of(node)
    edges, dashes = lines[:8], lines[8:]
    assert edges[:4, 0] == pytest.approx(np.tile(camera.source, (4, 1)), abs=1e-3)
    corners = np.array([(-0.5, -0.5), (95.5, -0.5), (95.5, 71.5), (-0.5, 71.5)])
    assert camera.project(edges[:4, 1]) == pytest.approx(corners, abs=1e-3)
    assert camera.depth(edges[4:]) == pytest.approx(np.full((4, 2), 1000.0), abs=1e-2)
    on_axis = camera.project(dashes[1:].reshape(-1, 3))
    assert on_axis == pytest.approx(np.tile((70.3, 20.2), (len(on_axis), 1)), abs=1e-2)
    assert (
        node.GetHideFromEditors()
        and not node.GetSelectable()
        and not node.GetDisplayNode().GetVisibility2D()
    )
