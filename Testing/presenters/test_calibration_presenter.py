"""A calibration file that is chosen in the table of geometries goes the way of one that is dropped."""

import numpy as np
import pytest
from geometry_table import cell, field
from numpy.testing import assert_allclose, assert_equal
from presenter_host import act, answer, control, questions, settled, text

RTK = (
    '<?xml version="1.0"?><!DOCTYPE RTKGEOMETRY><RTKThreeDCircularGeometry version="3">'
    "<SourceToIsocenterDistance>700</SourceToIsocenterDistance>"
    "<SourceToDetectorDistance>1000</SourceToDetectorDistance>"
    "<Projection><GantryAngle>10</GantryAngle></Projection></RTKThreeDCircularGeometry>"
)


@pytest.fixture
def table(host):
    """The table of the geometries of the phantom's X-rays, all of which have one."""
    act(host.presenters.xrays, "geometry")
    return host.presenters.xrays.geometry


def choose(host, table, path):
    """Choose a file in the table, until it asks or is used."""
    act(table, "calibration", [path], None)
    settled(host)


def test_a_chosen_calibration_gives_the_camera_that_is_meant_and_can_be_put_back(
    host, table, tmp_path
):
    view, before = table._xrays.views[0], table._xrays.views[0].record
    (tmp_path / "rtk.xml").write_text(RTK)
    choose(host, table, tmp_path / "rtk.xml")
    pixel, origin = (key for key in questions(host.files) if key.startswith("detector"))
    used = {f"camera.{view.id}": "0"}  # the other X-ray keeps its geometry
    answer(host.files, **{pixel: "1.25 1.25", origin: "-79.375 -79.375", **used})
    settled(host)
    assert_allclose(
        np.abs(view.camera.intrinsics), [[800, 0, 63.5], [0, 800, 63.5], [0, 0, 1]], atol=1e-9
    )
    assert view.record.origin == "rtk.xml"
    assert field(table, "kind").value == "matrix" and cell(table, "kind").caution == ""
    assert "RTK's fixed frame" in host.session.notices.sentences[0]
    act(table, "put_back")
    assert view.record.is_given_as(before) and not control(table, "put_back").enabled


def test_a_file_that_is_no_calibration_changes_nothing(host, table, tmp_path):
    before = [view.record for view in table._xrays.views]
    (tmp_path / "page.xml").write_text("<html/>")
    choose(host, table, tmp_path / "page.xml")
    assert "page.xml: not recognised" in text(host.files, "refused")
    assert_equal([view.record for view in table._xrays.views], before)
