"""The frustum is that of the camera."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_scene import c_arm, registration_of
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.mrml import display
from MultiViewRegistrationLib.mrml.frames import lps_from_ras


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
