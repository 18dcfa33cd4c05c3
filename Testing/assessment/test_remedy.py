"""Every reason has a code that is documented, and keeps it; every one to doubt a pose has what would settle it."""

import ast
import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.phantom import make_views, off
from helpers.result_schema import CAUSES, CODES

import MultiViewRegistrationLib
from MultiViewRegistrationLib.assessment.bodies import BodyResult, Moved, Together
from MultiViewRegistrationLib.assessment.case_verdict import with_together
from MultiViewRegistrationLib.assessment.faults import cause_code
from MultiViewRegistrationLib.assessment.next_view import FurtherView, Plan
from MultiViewRegistrationLib.assessment.parts import ADVICE, Part, elsewhere
from MultiViewRegistrationLib.assessment.remedy import proposed_view, remedy
from MultiViewRegistrationLib.assessment.verdict import Assessment
from MultiViewRegistrationLib.assessment.verdict_reasons import (
    camera_limits,
    camera_strain,
    view_limits,
)
from MultiViewRegistrationLib.errors import Reason, from_codes, with_codes
from MultiViewRegistrationLib.imaging.xray import CALIBRATED, SharedUnknowns

#: What settles causes that are not of the geometry of the X-rays.
OF_CAUSES = {
    "mirrored ct": "ct",
    "short": "ct",
    "part": "start",
    "level": "overlays",
}
#: Codes of reasons, and what settles them.
FOUND = {
    "patient-mismatch": "patient",
    "other-day": "overlays",
    "geometry-unknown": "calibration",
    "further-view": "xray",
    "not-refined": "register",
    "pose-set": "register",
    "bones-not-registered": "register",
    "risk": "overlays",
    "part-displaced": "bones",
    "most-displaced": "overlays",
    "ct-misfit": "match",
}


@pytest.fixture(scope="module")
def c_arms(ct):
    """The phantom, taken by a C-arm from two oblique angles."""
    views = make_views(ct, ((30, 10), (-60, 20)), size=32)
    return [view.with_xray(pixel_mm=(5.0, 5.0)) for view in views]


def test_what_is_wrong_with_x_rays_and_cameras_is_settled_by_their_geometry(c_arms):
    known = replace(c_arms[0], rotation_sd_deg=0.01)
    turned = off(known.camera.camera_from_world, [2.0, 0, 0], [0.0, 0, 0])
    corrected = known.with_camera(camera_from_world=turned)
    _strain, contradictions = camera_strain([known], [corrected], CALIBRATED)
    assert contradictions and remedy([sentence for _, sentence in contradictions]) == "geometry"
    unsure = SimpleNamespace(camera_failure_probability=0.1)
    assert remedy(camera_limits(c_arms, 3.0, unsure)) == "calibration"


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_what_settles_it(cause):
    assert remedy([Reason(cause_code(cause), "Any words.")]) == OF_CAUSES.get(cause, "geometry")


def test_the_number_of_x_rays(c_arms):
    features = SimpleNamespace(single_view_shift_mm=[np.nan, 1.0])
    one, nothing = view_limits(c_arms[:1], features, CALIBRATED)
    same, *_rest = view_limits([c_arms[0], c_arms[0]], features, CALIBRATED)
    assert [remedy([sentence]) for sentence in (one, nothing, same)] == ["xray"] * 3
    shared = view_limits(c_arms, features, SharedUnknowns(1.0))[-1]
    assert remedy([shared]) == "overlays" == remedy([])


def test_the_view_that_would_help_most_is_named():
    view = FurtherView(45.0, -15.0, 0.4)
    sentence = Plan(1.0, [view], True).sentence
    reason = Reason("further-view", sentence, view.words)
    assert proposed_view(["Look.", reason]) == "LAO 45°, CAU 15°" and remedy([reason]) == "xray"


@pytest.mark.parametrize("code, what", FOUND.items())
def test_the_first_reason_that_something_can_be_done_about_counts(code, what):
    assert code in CODES
    likely, found = (Reason(each, "Any words.") for each in ("most-likely-wrong", code))
    assert remedy(["A sentence without a code.", likely, found]) == what


def test_displaced_bones_come_before_doubts_of_the_cameras():
    random = np.random.default_rng(0)
    places = random.normal(scale=5, size=(4, 50, 3)) + 50.0 * np.arange(4)[:, None, None]
    shifts = [(0.1, 0.2), (0.1, 0.2), (0.1, 0.2), (3.0, 9.0)]
    each = zip(places, shifts, strict=True)
    apart = elsewhere([Part(points, 0.9, 0.8, 0.2, *mm, 0.2) for points, mm in each], places[3])
    doubt = Reason("views-disagree", "A camera may be known less well.")
    assert remedy([apart.reason, doubt]) == "bones" and apart.reason.endswith(ADVICE)
    moved = Moved(5.2, 0.0, np.eye(3)[2])
    bone = BodyResult("L1", np.eye(4), "accept", [], moved=moved, displaced_mm=5.2)
    told = with_together(Assessment("accept", [apart.reason, doubt]), Together([bone]))
    assert not any(ADVICE in each for each in told.reasons)
    assert told.verdict == "check" and remedy(told.reasons) == "overlays"
    unseen = BodyResult("L1", np.eye(4), "not shown", [], moved=moved)
    told = with_together(Assessment("accept", []), Together([unseen]))
    assert told.verdict == "check" and told.reasons[0].startswith("No X-ray shows L1: ")


@pytest.mark.parametrize("unseen, verdict", [("ulna", "check"), ("radius", "reject")])
def test_a_bone_that_no_view_shows_stops_an_accept_and_the_use_of_its_own_pose(unseen, verdict):
    bones = [
        BodyResult(name, np.eye(4), each, [])
        for name, each in {"radius": "check", "ulna": "check", unseen: "not shown"}.items()
    ]
    told = with_together(Assessment("accept", []), Together(bones), "radius")
    assert told.verdict == verdict and told.reasons[0] == f"No X-ray shows {unseen}."


LIBRARY = Path(MultiViewRegistrationLib.__file__).parent


@pytest.mark.slow
def test_the_codes_that_are_given_are_those_that_are_documented():
    given, texts = set(), set()
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason":
                given |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    of_causes = set(map(cause_code, CAUSES))
    assert given <= CODES - of_causes <= texts
    assert of_causes == {code for code in CODES if code.startswith("cause-")}
    assert texts.issuperset(CAUSES)


def test_a_reason_is_a_sentence_that_keeps_its_code():
    reason = Reason("risk", "The risk is 26 %.")
    assert f"{reason}" == "The risk is 26 %." and json.dumps([reason]) == '["The risk is 26 %."]'
    again = pickle.loads(pickle.dumps(reason))
    assert (again, again.code) == (reason, "risk")
    told = with_codes([reason])
    assert told["reason_codes"] == ["risk"] and from_codes(told)[0].headline == reason.headline
