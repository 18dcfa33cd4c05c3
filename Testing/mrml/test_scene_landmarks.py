"""Landmarks clicked in any order find their list, their name and their partners.

Distances between other markups.
"""

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

from MultiViewRegistrationLib.mrml.case import landmarks_of
from MultiViewRegistrationLib.mrml.landmarks import (
    LANDMARKS,
    PLANE,
    ClickOrder,
    clicked,
    distances,
    landmark_list,
    next_name,
    tidy,
)
from MultiViewRegistrationLib.mrml.nodes import placed

CT_POINTS = np.array(
    [[30.0, 10, 20], [-25, 15, -10], [5, -30, 25], [10, 25, -30]]
)  # RAS mm in the CT


@pytest.fixture
def registration(two_xrays):
    two_xrays.world_from_ct = [[1, 0, 0, 4], [0, 1, 0, 5], [0, 0, 1, 6], [0, 0, 0, 1]]
    return two_xrays


def world(point):
    """RAS mm of a point of the CT."""
    return point + [-4, -5, 6]


def put(markups, ras):
    """As a click does it: without a name."""
    markups.AddControlPointWorld(vtk.vtkVector3d(*ras))


def shown_at(view, point):
    return view.ras_of(view.camera.project(world(point) * [-1, -1, 1]))


def content(markups):
    return (
        {}
        if markups is None
        else {
            markups.GetNthControlPointLabel(i): np.array(markups.GetNthControlPointPositionWorld(i))
            for i in placed(markups)
        }
    )


def test_the_next_point_gets_the_first_name_that_waits_for_it(registration):
    ap, lat = registration.xrays
    in_ct, in_ap = landmark_list(registration), landmark_list(registration, ap)
    for name, point in zip(("ASIS left", "ASIS right"), CT_POINTS):
        in_ct.AddControlPoint(*point, name)
    assert next_name(registration, in_ap) == "ASIS left"
    assert next_name(registration, in_ct) == "1"
    named = ["ASIS left", "ASIS right"]
    assert clicked(registration) == {"CT": named, "AP": [], "LAT": []}
    for point in CT_POINTS[:3]:
        put(in_ap, shown_at(ap, point))
    tidy(registration)
    assert list(content(in_ap)) == ["ASIS left", "ASIS right", "1"]
    assert clicked(registration) == {"CT": named, "AP": [*named, "1"], "LAT": []}
    lat.change(use=False)
    assert clicked(registration) == {"CT": named, "AP": [*named, "1"]}
    put(in_ap, world(CT_POINTS[2]))  # clicked in the CT with the X-ray's list active
    tidy(registration)
    assert list(content(in_ct)) == ["ASIS left", "ASIS right", "1"]
    in_ap.RemoveNthControlPoint(0)
    put(in_ap, shown_at(ap, CT_POINTS[0]))
    tidy(registration)
    assert list(content(in_ap)) == ["ASIS right", "1", "ASIS left"]


def test_points_of_an_x_ray_stay_on_its_plane_and_on_their_pixels(registration):
    ap = registration.xrays[0]
    in_ap = landmark_list(registration, ap)
    put(in_ap, ap.ras_of([40.25, 33.5]))
    tidy(registration)
    source = ap.camera.source * [-1, -1, 1]
    in_ap.SetNthControlPointPositionWorld(
        0, *(source + 0.7 * (ap.ras_of([50.0, 20.0]) - source))
    )  # pulled off it in 3D
    tidy(registration)
    assert np.allclose(content(in_ap)["1"], ap.ras_of([50.0, 20.0]), atol=1e-6)
    camera = ap.record.geometry
    turn = np.array([[0.96, -0.28, 0, 3], [0.28, 0.96, 0, -4], [0, 0, 1, 5], [0, 0, 0, 1]])
    ap.change(
        geometry=replace(camera, camera_from_world=camera.camera_from_world @ turn),
        image_pixel_mm=(2.2, 2.2),
    )
    ap.place()
    tidy(registration)
    assert np.allclose(content(in_ap)["1"], ap.ras_of([50.0, 20.0]), atol=1e-6)


def test_distances(registration):
    def markups(kind, name, points):
        node = registration.scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", name)
        node.CreateDefaultDisplayNodes()
        for label, point in points:
            node.AddControlPoint(*point, label)
        return node

    line = markups("Line", "Screw", [("a", (0, 0, 0)), ("b", (3, 4, 12))])
    line.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    markups("Fiducial", "planned", [("tip", (0, 0, 0)), ("head", (0, 0, 40))])
    reached = markups("Fiducial", "reached", [("tip", (1, 2, 2))])
    assert {d.name: round(d.mm, 9) for d in distances(registration)} == {
        "Screw": 13.0,
        "tip to head": 40.0,
        "tip: planned to reached": 3.0,
    }
    reached.GetDisplayNode().SetVisibility(False)
    assert [d.name for d in distances(registration)] == ["Screw", "tip to head"]


def test_a_distance_on_a_detector_says_what_it_is_at_the_ct(registration):
    ct = registration.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    ct.SetOrigin(-2, -2, -2)
    values = np.full((5, 5, 5), -1000, np.int16)
    values[1:4, 1:4, 1:4] = 900
    slicer.util.updateVolumeFromArray(ct, values)
    registration.ct = ct
    registration.world_from_ct = np.eye(4)
    ap = registration.xrays[0]
    line = registration.scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "Width")
    line.CreateDefaultDisplayNodes()
    for pixel in ([20, 30], [50, 70]):
        line.AddControlPoint(*ap.ras_of(pixel))
    (found,) = distances(registration)
    assert (found.name, found.view) == ("Width", "AP")
    assert found.mm == pytest.approx(100.0, rel=1e-3)  # 50 pixels of 2 mm
    assert found.at_ct_mm == pytest.approx(70.0, rel=1e-3)  # 700 of 1000 mm


@pytest.mark.parametrize(
    "clicks, names",
    [
        ("CT CT CT AP AP AP LAT LAT LAT", "123123123"),  # image by image
        ("CT AP LAT CT AP LAT CT AP LAT", "111222333"),  # landmark by landmark
        ("CT AP LAT CT LAT CT AP LAT", "11122333"),  # the second is not seen in AP
    ],
)
def test_both_ways_of_clicking(registration, clicks, names):
    views, order, named = {view.name: view for view in registration.xrays}, ClickOrder(), ""
    active = landmark_list(registration)
    for number, place in enumerate(clicks.split()):
        point = CT_POINTS[0] + [0, 0, number]
        put(active, shown_at(views[place], point) if place in views else world(point))
        tidy(registration, order)
        named += clicked(registration)[place][-1]
    assert named == names


def damaged_lists(registration, tmp_path):
    """Landmarks as a damaged file, or scene, leaves them: by what is damaged."""
    ap, _ = registration.xrays
    in_ct, in_ap = landmark_list(registration), landmark_list(registration, ap)

    def no_numbers():
        in_ct.AddControlPoint(np.nan, 0, 0, "n")
        in_ap.AddControlPoint(np.inf, 0, 1e308, "")

    def no_text():
        whole = '{"markups": [{"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": [{"label": "?", "position": [1, 2, 3]}]}]}'
        path = tmp_path / "a.mrk.json"
        path.write_bytes(whole.encode().replace(b"?", b"\xff\xfe"))
        in_ct.AddDefaultStorageNode()
        in_ct.GetStorageNode().SetFileName(str(path))
        assert in_ct.GetStorageNode().ReadData(in_ct)

    def no_plane():
        put(in_ap, shown_at(ap, CT_POINTS[0]))
        in_ap.SetAttribute(PLANE, "[[1, 2], 3]")

    def no_markups():
        model = registration.scene.AddNewNodeByClass("vtkMRMLModelNode")
        registration.node.SetNodeReferenceID(LANDMARKS, model.GetID())

    return {"numbers": no_numbers, "text": no_text, "plane": no_plane, "markups": no_markups}


@pytest.mark.parametrize("what", ["numbers", "text", "plane", "markups"])
def test_damaged_landmarks_are_none_and_nothing_is_raised(registration, tmp_path, what):
    damaged_lists(registration, tmp_path)[what]()
    for _ in range(2):
        tidy(registration)
        clicked(registration)
        distances(registration)
        for landmark in landmarks_of(registration, registration.xrays):
            assert np.isfinite(landmark.ct).all() and isinstance(landmark.name, str)
