"""Every sentence that names a doubt about a pose has what would settle it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from phantom import make_views, off

from MultiViewRegistrationLib.assessment import diagnosis, verdict
from MultiViewRegistrationLib.assessment.next_view import FurtherView, Plan
from MultiViewRegistrationLib.assessment.parts import Part, elsewhere
from MultiViewRegistrationLib.assessment.remedy import (
    BONES,
    CALIBRATION,
    CT,
    GEOMETRY,
    OVERLAYS,
    PATIENT,
    REGISTER,
    START,
    XRAY,
    proposed_view,
    remedy,
)
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.io.dicom_identity import BY_HEADERS
from MultiViewRegistrationLib.registration.cameras import CALIBRATED

#: Written where the search for a cause needs a registration, as `diagnosis` and `report.result`
#: have them.
FOUND = {
    f"view2 and CT are of different patients (PatientID) {BY_HEADERS}": PATIENT,
    f"view2 and CT are of different days (StudyDate) {BY_HEADERS}": OVERLAYS,
    "The CT's slice spacing seems to be wrong: 3.0 % larger, it fits. Check how it was "
    "exported.": CT,
    "The CT is too short, or AP shows another part of the body: 60 % of this X-ray lies beyond the "
    "ends of the CT.": CT,
    "The X-rays show another part of the CT than the start says: moved by 90 mm towards the head, "
    "the CT fits. Check the start.": START,
    "The CT may be registered to the wrong vertebra: moved by 30 mm towards the head, it fits "
    "better. Count the levels.": OVERLAYS,
    "The geometry of LAT is unknown: it was registered alone and does not support the "
    "pose.": CALIBRATION,
    "A further view near LAO 45° would halve the error that noise and cameras explain, from 2 to 1 "
    "mm.": XRAY,
    "The pose was not refined; it is as given (search).": REGISTER,
    "The pose was set, not registered: the failure probability was not measured for such "
    "poses.": REGISTER,
    "The risk of an error above 2 mm is 26 %; up to 3 % is accepted.": OVERLAYS,
}


@pytest.fixture(scope="module")
def c_arms(ct):
    """The phantom, taken by a C-arm from two oblique angles."""
    views = make_views(ct, ((30, 10), (-60, 20)), size=32)
    return [replace(view, xray=replace(view.xray, pixel_mm=(5.0, 5.0))) for view in views]


def test_what_is_wrong_with_x_rays_and_cameras_is_settled_by_their_geometry(c_arms):
    hypotheses = [
        *diagnosis.image_hypotheses(c_arms),
        *diagnosis.angle_hypotheses(c_arms),
        *diagnosis.camera_hypotheses(c_arms),
    ]
    assert {each.cause for each in hypotheses} >= {
        "mirrored",
        "inverted",
        "angle sign",
        "distance",
        "motion",
    }
    for each in hypotheses:
        assert remedy([each.sentence]) == GEOMETRY, each.sentence
    tube = "The tube of view1 seems to have been on the other side of the patient: from there, it fits."
    assert remedy([tube]) == GEOMETRY
    known = replace(c_arms[0], rotation_sd_deg=0.01)
    turned = off(known.camera.camera_from_world, [2.0, 0, 0], [0.0, 0, 0])
    corrected = replace(known, camera=replace(known.camera, camera_from_world=turned))
    _strain, contradictions = verdict._camera_strain([known], [corrected], CALIBRATED)
    assert contradictions and remedy([sentence for _, sentence in contradictions]) == GEOMETRY
    unsure = SimpleNamespace(camera_failure_probability=0.1)
    assert remedy([verdict._camera_limit(c_arms, 3.0, unsure)]) == CALIBRATION


def test_the_ct_and_the_number_of_x_rays(c_arms):
    assert remedy([diagnosis.mirrored_ct(c_arms, np.zeros(3)).sentence]) == CT
    features = SimpleNamespace(single_view_shift_mm=[np.nan, 1.0])
    one, nothing = verdict._view_limits(c_arms[:1], features, CALIBRATED)
    same, *_rest = verdict._view_limits([c_arms[0], c_arms[0]], features, CALIBRATED)
    assert [remedy([sentence]) for sentence in (one, nothing, same)] == [XRAY] * 3
    shared = verdict._view_limits(c_arms, features, SharedUnknowns(1.0))[-1]
    assert remedy([shared]) == OVERLAYS == remedy([])


@pytest.mark.parametrize("patient_axes", [False, True])
def test_the_view_that_would_help_most_is_named(patient_axes):
    view = FurtherView(45.0, -15.0, 0.4)
    sentence = Plan(1.0, [view], patient_axes).sentence
    assert proposed_view(["Look.", sentence]) == view.words == "LAO 45°, CAU 15°"
    assert remedy([sentence]) == XRAY and not proposed_view(["Look."])


@pytest.mark.parametrize("sentence, what", FOUND.items())
def test_what_a_search_finds(sentence, what):
    assert remedy([sentence]) == what
    risk = "Most likely wrong: 98 % risk of an error above 2 mm."
    assert remedy([risk, sentence]) == what  # the first that something can be done about


def test_bones_that_lie_elsewhere_than_the_whole_ct_has_them():
    """They come first: a camera that seems to be known less well is no wonder then."""
    places = (
        np.random.default_rng(0).normal(scale=5, size=(4, 50, 3))
        + 50.0 * np.arange(4)[:, None, None]
    )
    shifted = [
        Part(points, 0.9, *((3.0, 9.0) if n == 3 else (0.1, 0.2)))
        for n, points in enumerate(places)
    ]
    apart = elsewhere(shifted, places[3])
    assert remedy([apart.reason, "a camera may be known less well"]) == BONES
    assert np.array_equal(apart.points, places[3])
    bone = SimpleNamespace(name="L1", displaced_mm=5.2)
    for displaced, lost in (([bone], []), ([], [bone])):
        bones = SimpleNamespace(displaced=displaced, lost=lost, unseen=[])
        told = verdict.with_bones(
            verdict.Assessment("accept", ["a camera may be known less well"]), bones
        )
        assert told.verdict == "check" and remedy(told.reasons) == OVERLAYS
    told = verdict.with_bones(
        verdict.Assessment("accept", []), SimpleNamespace(displaced=[], lost=[], unseen=[bone])
    )
    assert told.verdict == "check" and told.reasons[0].startswith("No X-ray shows L1: ")
    assert (
        remedy(
            ["The case's structures were not registered: this is the pose of the whole CT alone."]
        )
        == REGISTER
    )
