"""The layouts of the X-rays in Slicer, and what is written in a small view."""

from xml.etree import ElementTree as ET

from scene_rendering import resize, slice_view
from tiny_scene import c_arm, registration_of

from MultiViewRegistrationLib.mrml import display, layout


def test_six_x_rays_lie_in_rows_of_three_beside_3d():
    tree = ET.fromstring(layout.description([layout.tag(n) for n in range(1, 7)]))
    rows = [row.findall("item") for row in tree.iter("layout") if row.get("type") == "horizontal"]
    assert [item.get("splitSize") for item in rows[0]] == ["250", "750"]
    assert [len(row) for row in rows[1:]] == [3, 3]


def test_a_small_view_has_the_name_of_its_x_ray_alone(slicer_app, scene, watch):
    view = slice_view(slicer_app)
    registration = registration_of(scene, {"AP": c_arm()})
    display.show(registration)
    label = registration.xrays[0].node.GetNodeReference("label")
    written = {}
    for size in ((200, 220), (400, 300)):
        resize(view, *size)
        written[size] = label.GetNthControlPointLabel(0)
    assert list(written.values()) == ["AP", "AP \u2013 Test"]
