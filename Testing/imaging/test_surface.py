"""Closed surfaces as volumes, against VTK's own measure of them."""

import numpy as np
import pytest
from helpers.refusals import refuses
from imaging.damaged_surfaces import write
from numpy.testing import assert_allclose
from vtkmodules.vtkFiltersCore import vtkMassProperties, vtkTriangleFilter
from vtkmodules.vtkFiltersSources import vtkConeSource, vtkPlaneSource

from MultiViewRegistrationLib.imaging.ct import MATERIALS, attenuation, load_ct
from MultiViewRegistrationLib.imaging.surface import read_triangles

CENTRE = np.array([5.0, -3.0, 8.0])


def cone(height=30.0):
    source = vtkConeSource()
    source.SetHeight(height)
    source.SetRadius(height / 3)
    source.SetResolution(60)
    source.SetCenter(*CENTRE)
    triangles = vtkTriangleFilter()
    triangles.SetInputConnection(source.GetOutputPort())
    triangles.Update()
    return triangles.GetOutput()


@pytest.mark.parametrize("ending", [".stl", ".vtp"])
def test_load_ct_fills_closed_surface(tmp_path, ending):
    measured = vtkMassProperties()
    measured.SetInputData(cone())
    ct = load_ct(write(cone(), tmp_path / f"cone{ending}"), "titanium")
    filled_mm3 = ct.volume.values.sum() * np.prod(ct.volume.spacing_mm)
    assert_allclose(filled_mm3, measured.GetVolume(), rtol=2e-3)
    # A cone's centroid lies a quarter of its height before its base, which is at -x.
    assert_allclose(ct.centroid(), CENTRE - [7.5, 0, 0], atol=0.05)
    assert_allclose(attenuation(ct).values.max(), MATERIALS["titanium"], rtol=1e-6)


@pytest.mark.parametrize(
    "name, side, settings",
    [("cone.stl", 1, []), ("cone.vtk", -1, [["SetHeader", "3D Slicer output. SPACE=RAS"]])],
)
def test_read_triangles_returns_lps(tmp_path, name, side, settings):
    """Also of a file of Slicer's in RAS."""
    points, triangles = read_triangles(write(cone(), tmp_path / name, *settings))
    corners = points[triangles]
    areas = np.linalg.norm(np.cross(*np.diff(corners, axis=1).swapaxes(0, 1)), axis=1) / 2
    measured = vtkMassProperties()
    measured.SetInputData(cone())
    assert_allclose(areas.sum(), measured.GetSurfaceArea(), rtol=1e-4)
    assert_allclose(points.min(axis=0), CENTRE * [side, side, 1] - [15, 10, 10], atol=0.1)


def test_surface_has_stated_attenuation(tmp_path):
    ct = load_ct(write(cone(), tmp_path / "cone.stl"), "0.05/mm")
    assert_allclose(attenuation(ct).values.max(), 0.05, rtol=1e-6)


def test_load_ct_rejects_unusable_surfaces(tmp_path):
    plane = vtkPlaneSource()
    plane.SetXResolution(3)
    plane.SetPoint1(9, 0, 0)
    plane.SetPoint2(0, 9, 0)
    plane.Update()
    no_surface = tmp_path / "no.stl"
    no_surface.write_text("solid\nendsolid\n")
    for path, said in (
        (write(plane.GetOutput(), tmp_path / "open.stl"), "is open along"),
        (write(cone(0.03), tmp_path / "metres.stl"), "Export it in mm"),
        (no_surface, "the surface cannot be read"),
    ):
        with refuses(said):
            load_ct(path, "titanium")


def test_load_ct_rejects_surface_without_material(tmp_path):
    with refuses("material is not named"):
        load_ct(write(cone(), tmp_path / "cone.stl"))
