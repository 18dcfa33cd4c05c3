"""The X-rays of a scene that was saved before its nodes kept records are read as they were."""

import json

import pytest
import slicer
from numpy.testing import assert_array_equal
from refusals import refuses
from tiny_scene import c_arm, dot_image, registration_of, reopened

from MultiViewRegistrationLib.io.case_file import DicomImage
from MultiViewRegistrationLib.io.isocentre import Stand
from MultiViewRegistrationLib.mrml.xray import ATTRIBUTE, XRayView
from MultiViewRegistrationLib.mrml.xray_record import Header, record_of

C_ARM = {
    "source_to_detector_mm": 1000.0,
    "source_to_isocentre_mm": 700.0,
    "pixel_mm": [0.5, 0.5],
    "size": [96, 72],
    "rao_lao_deg": 30.0,
    "cra_cau_deg": 0.0,
    "mirrored": True,
}
#: SHA-256 of the geometry in the history of a scene from before.
OF_GEOMETRY = "ce451c69a74ca0deb9a435da8093417ec68d941b0f0bd0addb112a433e810f24"


def before(**content):
    return record_of("AP", json.dumps(content))


def test_a_c_arm_with_what_its_header_says():
    record = before(
        c_arm=C_ARM,
        pixel_mm=[0.5, 0.5],
        header={"rao_lao_deg": 30.0},
        header_of_frames=[{}, {"rao_lao_deg": 35.0}],
        header_missing=["mirrored"],
        assumptions=["One."],
        stands=[{"machine": "a", "table": None, "patient": None}] * 2,
        world={"machine": "a", "table": None, "patient": None},
        frame=1,
        use=False,
        inverted=True,
        white=4095.0,
        flipped=None,
        intensity="log",
        origins={"rao_lao_deg": "", "pixel_mm": "lab"},
        rotation_sd_deg=None,
        corrected={**c_arm(31).to_json(), "of": "ab"},
        dicom=dict.fromkeys(
            ("study_uid", "series_uid", "sop_class_uid", "sop_instance_uid"), "1.2"
        ),
        **{"from": "entered"},
    )
    assert record.geometry.to_json() == C_ARM and record.image_pixel_mm == (0.5, 0.5)
    assert record.header == Header(
        "c_arm",
        {"rao_lao_deg": 30.0},
        ("mirrored",),
        ("One.",),
        ({}, {"rao_lao_deg": 35.0}),
        (Stand("a"), Stand("a")),
    )
    assert record.c_arm_proposal == {"rao_lao_deg": 35.0} and record.world == record.stand == Stand(
        "a"
    )
    assert (record.use, record.inverted, record.white, record.flipped) == (
        False,
        True,
        4095.0,
        False,
    )
    assert (record.intensity, record.origin, record.origins["pixel_mm"]) == (
        "log",
        "entered",
        "lab",
    )
    assert record.uncertainty == {"rotation_sd_deg": None} and record.corrected.same_as(c_arm(31))
    assert record.dicom == DicomImage("1.2", "1.2", "1.2", "1.2")
    assert record_of("AP", json.dumps(record.scene_json())) == record


def test_a_scout_whose_geometry_is_not_complete():
    said = {
        "columns_along": [1.0, 0, 0],
        "rows_along": [0, 0, -1.0],
        "pixel_mm": [0.5, 0.5],
        "size": [96, 72],
    }
    record = before(
        localizer={"values": said, "missing": ["source_to_isocentre_mm"], "assumptions": ["One."]},
        frame_of_reference="1.2.3",
        assumptions=["One."],
        scout="lateral",
        camera=None,
        step_sd_percent=0.2,
    )
    assert (
        record.geometry is None
        and record.slot_scan == said
        and record.header.missing == ("source_to_isocentre_mm",)
    )
    assert (record.header.frame_of_reference, record.scout, record.uncertainty) == (
        "1.2.3",
        "lateral",
        {},
    )
    assert record_of("AP", json.dumps(record.scene_json())) == record


def test_a_result_of_before_stays_that_of_its_geometry():
    assert before(camera=c_arm(30).to_json(), intensity="log").geometry_fingerprint == OF_GEOMETRY


def test_a_saved_scene_of_before_opens(slicer_app, scene, tmp_path):
    view = registration_of(scene, {"AP": c_arm(30)}).xrays[0]
    view.node.SetAttribute(
        ATTRIBUTE,
        json.dumps({"camera": c_arm(30).to_json(), "intensity": "log", "pixel_mm": [2.0, 2.0]}),
    )
    ((view,),) = (each.xrays for each in reopened(slicer_app, tmp_path / "scene.mrb"))
    assert view.camera.same_as(c_arm(30)) and view.detector_mm == pytest.approx(1000)
    view.change(flipped=True)
    assert json.loads(view.node.GetAttribute(ATTRIBUTE))["version"] == 2 and view.camera.same_as(
        c_arm(30)
    )
    assert_array_equal(
        slicer.util.arrayFromVolume(view.source)[0],
        dot_image((96, 72), view.camera.project([0, 0, 0])),
    )


def test_a_record_of_a_later_version_is_refused(scene):
    view = XRayView.create(scene, "AP")
    view.node.SetAttribute(ATTRIBUTE, '{"version": 3}')
    with refuses("AP: is of a scene of a later version, 3"):
        view.record  # noqa: B018
