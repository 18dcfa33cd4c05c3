"""A calibration file that is chosen in the table of geometries goes the way of one that is dropped."""

import numpy as np
import pytest
from geometry_table import field
from numpy.testing import assert_allclose
from presenter_host import act, control

from MultiViewRegistrationLib.session.presenters.form import walk

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


def test_selected_calibration_gives_a_camera_until_it_is_put_back(host, table, file_of):
    view, before = table._xrays.views[0], table._xrays.views[0].record
    act(table, "calibration", [file_of("rtk.xml", RTK)], None)
    host.wait(host.files, lambda: not host.taking and host.question())
    keys = walk(host.files.form())
    pixel, origin = (key for key in keys if key.startswith("calibrations.detector"))
    act(host.files, pixel, "1.25 1.25")
    act(host.files, origin, "-79.375 -79.375")
    act(host.files, "calibrations.camera.0", "0")
    intrinsics = [[800, 0, 63.5], [0, 800, 63.5], [0, 0, 1]]
    assert_allclose(np.abs(view.camera.intrinsics), intrinsics, atol=1e-9)
    assert view.record.origin == "rtk.xml" and field(table, "mode").value == "matrix"
    assert "RTK's fixed frame" in host.session.notices.sentences[0]
    act(table, "put_back")
    assert view.record.is_given_as(before) and not control(table, "put_back").enabled
