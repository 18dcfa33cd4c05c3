"""The linked cursor, from points as a person places them to what is drawn in the views."""

import numpy as np
import pytest
from helpers.scene_rendering import add_xray, slice_view

from MultiViewRegistrationLib.mrml.cursor import LinkedCursor
from MultiViewRegistrationLib.mrml.nodes import array_of, nodes_of_class

POINT = np.array([12.0, -7.0, 25.0])  # RAS mm


@pytest.fixture
def registration(two_xrays):
    add_xray(two_xrays, "OBL", 50.0)
    return two_xrays


@pytest.fixture
def cursor(registration):
    return LinkedCursor(registration)


def lps(ras):
    return np.asarray(ras) * [-1, -1, 1]


def pixel(view, ras=POINT):
    return view.camera.project(lps(ras))


def see(cursor, view, ras=POINT, off=(0.0, 0.0)):
    """Place a point where a view shows one; whether anything changed."""
    cursor.points.AddControlPoint(*view.ras_of(pixel(view, ras) + off))
    return cursor.update()


def mark(view, role):
    """(n, 2) pixels of what is drawn in a view's detector plane."""
    node = view.node.GetNodeReference(role)
    points = node and node.GetPolyData().GetPoints()
    return view.camera.project(lps(array_of(points)))


def test_one_x_ray_draws_a_line_through_the_point_in_the_others(cursor, registration):
    ap, *others = registration.xrays
    assert see(cursor, ap)
    assert not cursor.update()
    assert cursor.reading.ras is None
    assert np.allclose(cursor.reading.seen[ap.node.GetID()], pixel(ap), atol=1e-6)
    for view in others:
        (a, b), point = mark(view, "cursorLine"), pixel(view)
        along = (b - a) / np.linalg.norm(b - a)
        assert abs(np.linalg.det([along, point - a])) < 1e-3
        assert 0 < (point - a) @ along < np.linalg.norm(b - a)
        assert not len(mark(view, "cursorCross"))
    assert not len(mark(ap, "cursorLine"))
    ray = registration.node.GetNodeReference("cursorRay")
    assert ray.GetDisplayNode().GetVisibility3D()
    assert not ray.GetDisplayNode().GetVisibility2D()
    assert np.allclose(lps(ray.GetPolyData().GetPoint(0)), ap.camera.source, atol=1e-3)


def test_a_second_x_ray_makes_it_a_point_of_the_ct(cursor, registration):
    registration.world_from_ct = [[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]
    ap, lat, oblique = registration.xrays
    see(cursor, ap)
    assert see(cursor, lat)
    assert np.allclose(cursor.reading.ras, POINT, atol=1e-4)
    assert cursor.reading.residual_mm < 1e-4
    assert not cursor.reading.warning
    for view in registration.xrays:
        assert np.allclose(mark(view, "cursorCross").mean(axis=0), pixel(view), atol=1e-3)
    assert np.allclose(
        np.array(registration.world_from_ct)[:3] @ [*lps(cursor.ct_ras), 1], lps(POINT), atol=1e-4
    )
    assert len(mark(oblique, "cursorLine")) == 4  # one from each
    crosshair = registration.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    assert crosshair.GetCrosshairMode() == crosshair.NoCrosshair  # which has no perspective
    assert registration.node.GetNodeReference("cursorBall").GetDisplayNode().GetVisibility2D()
    assert see(cursor, oblique)  # a third one joins
    assert len(cursor.reading.seen) == 3
    assert see(cursor, oblique, POINT + 5)  # one more in the same X-ray begins again
    assert len(cursor.reading.seen) == 1
    assert cursor.points.GetNumberOfControlPoints() == 1
    assert registration.node.GetNodeReference("cursorBall") is None


def test_a_point_in_the_world_shows_in_all_and_the_slices_go_there(
    cursor, registration, slicer_app
):
    of_ct, of_xray = [
        slice_view(slicer_app, name, (60, 60)).get_view_node() for name in ("Red", "XRay1")
    ]
    of_ct.SetOrientation("Axial")
    before = of_xray.GetSliceToRAS().GetElement(2, 3)
    cursor.points.AddControlPoint(*POINT)
    assert cursor.update()
    for view in registration.xrays:
        assert np.allclose(mark(view, "cursorCross").mean(axis=0), pixel(view), atol=1e-3)
    assert of_ct.GetSliceOffset() == pytest.approx(POINT[2])
    assert of_xray.GetSliceToRAS().GetElement(2, 3) == before


def test_rays_that_miss_each_other_are_a_warning(cursor, registration):
    ap, lat, _ = registration.xrays
    see(cursor, ap)
    see(cursor, lat, off=(0, 5))
    assert cursor.reading.residual_mm == pytest.approx(
        5 * 2 * 0.7 / 2, rel=0.1
    )  # half of five pixels of 2 mm, at the patient
    assert "rays" in cursor.reading.warning
    assert cursor.reading.residual_px == pytest.approx(2.5, rel=0.15)


def test_views_from_one_direction_are_a_warning(registration, cursor):
    ap = registration.xrays[0]
    twin = add_xray(
        registration, "AP again", 5.5
    )  # its plane is within a millimetre of the other's
    see(cursor, ap)
    see(cursor, twin)
    assert cursor.reading.ras is None
    assert "degree" in cursor.reading.warning


def test_clear_leaves_no_mark(cursor, registration, scene):
    def models():
        return [node.GetName() for node in nodes_of_class("vtkMRMLModelNode", scene)]

    before = models()
    for view in registration.xrays[:2]:
        see(cursor, view)
    assert len(models()) > len(before)
    cursor.clear()
    assert models() == before
    assert cursor.points.GetNumberOfControlPoints() == 0
    assert see(cursor, registration.xrays[0])


def test_where_the_ct_is_moved_a_point_of_x_rays_stays_and_one_of_the_ct_goes_with_it(
    cursor, registration, slicer_app
):
    of_ct = slice_view(slicer_app, "Red", (60, 60)).get_view_node()
    of_ct.SetOrientation("Axial")
    ap, lat, _ = registration.xrays
    see(cursor, ap)
    see(cursor, lat)
    place = cursor.ct_ras
    of_ct.SetSliceOffset(-3.0)
    registration.world_from_ct = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 9], [0, 0, 0, 1]]
    assert cursor.update() and np.allclose(cursor.reading.ras, POINT, atol=1e-4)
    assert np.allclose(
        cursor.ct_ras, place - [0, 0, 9], atol=1e-4
    )  # other anatomy, which the slices show
    assert of_ct.GetSliceOffset() == pytest.approx(POINT[2], abs=1e-4) and not cursor.update()

    cursor.clear()
    cursor.points.AddControlPoint(*POINT)
    cursor.update()
    place = cursor.ct_ras
    registration.world_from_ct = [[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 2], [0, 0, 0, 1]]
    assert cursor.update() and np.allclose(cursor.ct_ras, place, atol=1e-4)
    assert not np.allclose(cursor.reading.ras, POINT, atol=1)
    for view in registration.xrays:
        assert np.allclose(
            mark(view, "cursorCross").mean(axis=0), pixel(view, cursor.reading.ras), atol=1e-3
        )
