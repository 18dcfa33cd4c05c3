"""What is wrong with X-rays is told while they are being prepared, and what a sequence shows now becomes the picture."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from tiny_scene import c_arm, dot_image, registration_of

from MultiViewRegistrationLib.mrml.loading import camera_content
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def registration(scene):
    return registration_of(scene, {"AP": c_arm(0), "LAT": c_arm(90)})


@pytest.fixture
def session(registration):
    return Session(registration)


def test_nothing_is_wrong_and_then_rests(registration, session):
    assert [session.check_next() for _ in range(4)] == [True, True, False, False]
    assert [session.problem(view) for view in registration.xrays] == ["", ""] and session.twins() is None


def test_what_is_wrong(registration, session):
    ap, lat = registration.xrays
    ap.content = {"intensity": "log"}
    assert "AP: has no geometry" in session.problem(ap)
    lat.change(
        c_arm={
            "source_to_detector_mm": 1000,
            "source_to_isocentre_mm": 700,
            "pixel_mm": [1, 1],
            "size": [5, 5],
            "rao_lao_deg": 0,
            "cra_cau_deg": 0,
        }
    )
    assert "the image has 96 columns" in session.problem(lat)
    empty = registration.add_xray("empty")
    assert session.problem(empty).startswith("empty: has no image")
    slicer.util.updateVolumeFromArray(ap.source, np.full((1, 72, 96), np.nan, np.float32))
    ap.change(camera=lat.content.get("camera") or registration_camera())
    while session.check_next():
        pass
    assert "no contrast" in session.problem(ap)


def registration_camera():
    return camera_content(c_arm(0))


def test_twins(registration, session):
    ap, lat = registration.xrays
    lat.change(camera=ap.content["camera"])
    assert session.twins() == (ap, lat)
    lat.change(use=False)
    assert session.twins() is None


def test_the_picture_follows_a_sequence(registration, session):
    while session.check_next():
        pass
    view = registration.xrays[0]
    after = dot_image((96, 72), (10, 12))
    slicer.util.updateVolumeFromArray(view.source, after[None])
    assert session.check_next()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(view.node)[0], after)
    while session.check_next():
        pass
    assert session.problem(view) == ""
