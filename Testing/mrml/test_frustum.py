"""The frustum is that of the camera."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_scene import c_arm, registration_of
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.mrml import display, xray_annotations
from MultiViewRegistrationLib.mrml.frames import lps_from_ras
from MultiViewRegistrationLib.mrml.loading import camera_content


def lines_of(node) -> np.ndarray:
    """(lines, 2, 3), world LPS mm."""

    data = node.GetPolyData()
    points = vtk_to_numpy(data.GetPoints().GetData())
    ends = vtk_to_numpy(data.GetLines().GetConnectivityArray()).reshape(-1, 2)
    return lps_from_ras(points[ends])


@pytest.mark.parametrize("mirrored", (False, True))
def test_it_runs_from_the_source_to_the_corners(scene, mirrored):

    camera = c_arm(25, 10, principal_point=(70.3, 20.2), mirrored=mirrored)
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
    assert node.GetHideFromEditors() and not node.GetSelectable() and not node.GetDisplayNode().GetVisibility2D()


def test_it_is_made_anew_only_with_a_new_camera(scene):

    registration = registration_of(scene, {"AP": c_arm(), "lateral": c_arm(90)})
    display.show(registration)
    view = registration.xrays[0]
    drawn = view.node.GetNodeReference("frustum").GetPolyData()
    view.node.SetName("anterior")
    display.show(registration)
    assert view.node.GetNodeReference("frustum").GetPolyData() is drawn
    assert view.node.GetNodeReference("frustum").GetName() == "anterior frustum"
    view.change(camera=camera_content(c_arm(30)))
    view.place()
    display.show(registration)
    assert lines_of(view.node.GetNodeReference("frustum"))[0, 0] == pytest.approx(c_arm(30).source, abs=1e-3)
    colours = {view.node.GetNodeReference("frustum").GetDisplayNode().GetColor() for view in registration.xrays}
    assert len(colours) == 2


def test_a_skipped_view_is_grey(scene):

    registration = registration_of(scene, {"AP": c_arm()})
    registration.xrays[0].change(use=False)
    display.show(registration)
    assert registration.xrays[0].node.GetNodeReference("frustum").GetDisplayNode().GetColor() == pytest.approx(
        xray_annotations.SKIPPED_COLOUR
    )
