"""Slot scans in the scene: seen in proportion and from their own sources.

What needs a single source is refused.
"""

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, write_slot_scan_case
from helpers.refusals import refuses
from helpers.scene_rendering import resize, slice_view

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml import display, overlay, source_view
from MultiViewRegistrationLib.mrml.cursor import RAY, LinkedCursor
from MultiViewRegistrationLib.mrml.image import change_image
from MultiViewRegistrationLib.mrml.loading import read_case
from MultiViewRegistrationLib.mrml.nodes import array_of, lps_from_ras
from MultiViewRegistrationLib.session.result_files import missing_for_kind

#: Of a pixel, height over width: where it lies in the scene, and as it is to be seen.
LYING, SEEN = 1.0 / (1.2 * 1.5), 1.0 / 1.2


@pytest.fixture
def registration(scene, tmp_path):
    return read_case(write_slot_scan_case(tmp_path))(scene)


def test_it_is_seen_in_proportion_though_it_lies_stretched(slicer_app, registration, watch):
    view = slice_view(slicer_app, size=(320, 240))
    display.show(registration)
    xray, node = registration.xrays[0], view.get_view_node()

    def aspect():
        """Of a pixel in the slice view."""
        (width, height), (columns, rows) = node.GetFieldOfView()[:2], node.GetDimensions()[:2]
        across, down = xray.node.GetSpacing()[:2]
        return (down / (height / rows)) / (across / (width / columns))

    across, down = xray.node.GetSpacing()[:2]
    assert down / across == pytest.approx(LYING)
    assert aspect() == pytest.approx(SEEN)
    resize(view, 200, 300)
    assert aspect() == pytest.approx(SEEN)
    node.SetFieldOfView(60, 90, 1)
    assert aspect() == pytest.approx(SEEN) and node.GetFieldOfView()[0] == 60
    resize(view, 320, 240)
    assert aspect() == pytest.approx(SEEN)


def test_its_labels_say_where_tube_and_patient_are(registration):
    ap, oblique = registration.xrays
    assert overlay.title(ap)[1:] == ["Slot scan, tube at P", "SOD 550 mm"]
    assert overlay.sides_of(ap) == ("R", "L", "H", "F")
    assert overlay.title(oblique)[1] == "Slot scan, tube at L"
    assert overlay.sides_of(oblique) == ("P", "A", "H", "F")


def test_a_ray_of_the_cursor_begins_at_the_source_of_its_row(registration):
    view, cursor = registration.xrays[0], LinkedCursor(registration)
    pixel = np.array([30.0, 120.0])
    cursor.points.AddControlPoint(*view.ras_of(pixel))
    assert cursor.update()
    drawn = registration.node.GetNodeReference(RAY).GetPolyData()
    ray = lps_from_ras(array_of(drawn.GetPoints()))
    assert np.allclose(ray[0], [0, 550, 80 - 120], atol=1e-3)
    assert np.allclose(view.camera.project(ray[1]), pixel, atol=1e-3)
    other = registration.xrays[1]
    found = rigid.transform_points(TRUE_POSE, np.array([10.0, 5, 0]))
    cursor.clear()
    for each in (view, other):
        cursor.points.AddControlPoint(*each.ras_of(each.camera.project(found)))
        cursor.update()
    assert (
        np.allclose(lps_from_ras(cursor.reading.ras), found, atol=1e-3)
        and cursor.reading.warning == ""
    )


def test_what_needs_a_single_source_is_refused(registration, slicer_app):
    view = registration.xrays[0]
    with refuses("view1: is a slot scan, whose source moves from row to row"):
        source_view.look(view, None, (320, 240))
    with refuses("view1: is a slot scan, whose geometry says which way"):
        change_image(view, flipped=True)
    assert not view.record.flipped
    assert "slot scan" in missing_for_kind(registration, "cameras") and not missing_for_kind(
        registration, "drr"
    )
    for each in registration.xrays:
        each.change(use=False)
    assert not missing_for_kind(registration, "cameras")
