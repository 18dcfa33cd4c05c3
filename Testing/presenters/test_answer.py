"""The answer above all sections.

What it says of a pose, what comes next, and what begins by itself.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, error_mm, make_views, off
from helpers.phantom_scene import START, add_view, body, phantom, phantom_registration, settle
from helpers.running_session import PausedRegistration
from presenter_host import PresenterHost, act, control, text

from MultiViewRegistrationLib.assessment.bodies import BoneMotion
from MultiViewRegistrationLib.assessment.records import (
    FAILURE,
    NOTE,
    OVERLAY,
    POSITION,
    RELATIVE,
    Assessment,
    ExpectedError,
    Finding,
)
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.io.dicom_identity import PATIENT_ID
from MultiViewRegistrationLib.mrml.case import settings_of
from MultiViewRegistrationLib.mrml.identity import remember_identity
from MultiViewRegistrationLib.mrml.xray_record import Header
from MultiViewRegistrationLib.report.messages import describe, sentences
from MultiViewRegistrationLib.session.presenters.form import walk
from MultiViewRegistrationLib.session.presenters.section import State
from MultiViewRegistrationLib.session.registering import AutomaticRegistration

OUTSIDE = off(TRUE_POSE, (0, 0, 0), (0, 900.0, 0))


@pytest.fixture(autouse=True)
def looks_at_every_tick(monkeypatch):
    """For what may begin by itself."""
    monkeypatch.setattr("MultiViewRegistrationLib.session.presenters.answer.LOOK_S", 0.0)


@pytest.fixture
def answer(host):
    yield host.answer
    PausedRegistration.release_all()
    host.session.stop()


def kind(answer):
    return answer.answer().kind


def registered(host, answer):
    """Until what begins by itself has ended."""
    host.wait(answer, lambda: host.session.running)
    host.session.finish()


def methods(host):
    return [entry.method for entry in host.session.history.entries]


def rests(host, answer):
    """Whether nothing begins for a while."""
    for _ in range(10):
        host.session.poll(0.01)
        answer.tick()
    return not host.session.running


def test_poses_and_motion_of_bones_are_reported(host, answer):
    moved = BoneMotion(5.23, 3.14, np.array([0.0, 0.0, 1.0]))
    unlike = Finding("bone-not-like-ct", FAILURE, values={"bone": "L1", "value": 0.1})
    bones = [
        body("L1", "reject", [unlike], moved=moved),
        body("L2", "check", [Finding("unlike-known", NOTE), PLACED], position=(0.04, 3.0)),
    ]
    flexion = "3.0 degrees of flexion"
    motions = [{"name": "L1", "against": "L2", "deg": 3.0, "mm": 2.0, "words": flexion}]
    settle(
        host.session, START, verdict="check", findings=[DISPLACED], bodies=bones, motions=motions
    )
    host.session.history.put(host.session.history.current)
    assert answer.answer().why[-3:] == (
        "L1: reject, displaced 5.2 mm and 3.1\u00b0 from the pose of the whole CT. "
        f"{describe(unlike)}",
        f"L2: check, expected error < 0.5 mm. {describe(PLACED)}",
        "Motion of L1 relative to L2: 3.0 degrees of flexion, 2.0 mm at the joint.",
    )


def test_each_use_has_a_line_with_its_verdict_and_expected_error(host, answer):
    errors = {"overlay": (0.21, 0.4), "position": (3.1, 7.0)}
    settle(host.session, START, verdict="check", findings=[READINGS], **errors)
    assert (kind(answer), answer.answer().headline.split(" \u00b7 ")[-1]) == (
        "check",
        "expected error 3.1 mm",
    )
    assert text(answer, "overlay") == "\u2714 Overlay on the X-rays: accept, < 0.5 mm"
    assert (
        text(answer, "position") == "\u26a0 3D position (navigation): check, 3.1 mm (95 %: 7.0 mm)"
    )
    host.registration.world_from_ct = OUTSIDE
    assert control(answer, "overlay") is None


def bent(host, verdict="accept", whole="check", findings=()):
    """A pose of the whole CT, with a verdict, and of three bones displaced from it, of which two are accepted."""
    bones = [
        body("L1", "accept", overlay=(0.2, 0.4)),
        body("L2", verdict, findings, overlay=(0.3, 0.4)),
        body("L3", "accept", overlay=(0.1, 0.2)),
    ]
    values = {"bone": "L1", "distance_mm": 4.6, "further": 0, "accepted": 3, "total": 3}
    displaced = [Finding("bone-displaced", values=values)]
    views = dict.fromkeys(("view1", "view2"), "bad")
    of_whole = {"verdict": whole, "findings": displaced, "position": (2.4, 5.0), "views": views}
    settle(host.session, START, bodies=bones, **of_whole)
    host.session.history.put(host.session.history.current)


@pytest.mark.parametrize("whole", ["check", "reject"])
def test_the_answer_for_bones_that_lie_apart_is_that_of_each(host, answer, whole):
    bent(host, whole=whole)
    said = answer.answer()
    assert (said.kind, said.word) == ("accept", "BONES: ACCEPT")
    assert {view.state for view in said.views} == {"good"}
    assert said.headline.startswith("L1 is displaced by 4.6 mm") and "2.4 mm" not in said.headline
    assert text(answer, "overlay") == "\u2714 Overlay on the X-rays: accept, < 0.5 mm"
    assert control(answer, "registration").primary  # Export
    assert control(answer, "edges") is None
    assert host.presenters.register.state() == State("done", "each bone: accept")


LIMITS_OF_USES = {
    "overlay": Finding("overlay-error-bound", uses=OVERLAY, values={"upper95_mm": 2.4}),
    "relative": Finding("neighbour-not-shown", uses=RELATIVE, values={"bone": "L1", "other": "L2"}),
    "position": Finding("error-bound", uses=POSITION, values={"upper95_mm": 2.4}),
}


@pytest.mark.parametrize("limited", LIMITS_OF_USES)
def test_a_pose_is_accepted_only_if_each_of_its_uses_is(host, answer, limited):
    """One line a use, with its own verdict, and none of them above the others."""
    errors = dict.fromkeys(("overlay", "relative", "position"), ExpectedError(0.6, 1.2))
    accepted = Assessment((), errors)
    settle(host.session, START)
    entry = replace(host.session.history.current, assessment=accepted)
    host.session.history.replace_current(entry)
    assert kind(answer) == "accept" and lines_of_uses(answer) == dict.fromkeys(errors, "\u2714")
    assert control(answer, "registration").primary  # Export
    finding = LIMITS_OF_USES[limited]
    limit = replace(entry, assessment=accepted.with_findings([finding]))
    host.session.history.replace_current(limit)
    said = answer.answer()
    assert (said.kind, said.word) == ("check", "CHECK")
    assert said.headline.startswith(describe(finding).headline)
    marks = {use: "\u26a0" if use == limited else "\u2714" for use in errors}
    assert lines_of_uses(answer) == marks
    assert not control(answer, "registration").primary
    assert host.presenters.register.state().kind == "check"


def lines_of_uses(answer):
    """The symbol before each use."""
    uses = ("overlay", "relative", "position")
    return {use: text(answer, use)[0] for use in uses if control(answer, use)}


def test_bones_are_accepted_only_for_all_uses(host, answer):
    bent(host, findings=[LIMITS_OF_USES["overlay"]])
    said = answer.answer()
    assert (said.kind, said.word) == ("check", "CHECK")
    assert text(answer, "overlay").startswith("\u26a0") and text(answer, "position")[0] == "\u2714"
    assert host.presenters.register.state() == State("check", "check")


def test_nobody_is_asked_about_the_edges_of_a_ct_from_which_bones_lie_apart(host, answer):
    bent(host, "check")
    assert kind(answer) == "check"
    act(answer, "edges")
    assert answer.answer().headline.startswith("view1: does the edge of L2 lie")


def test_moving_the_ct_clears_the_verdict_until_undo_and_starts_nothing(host, answer):
    settle(host.session, verdict="accept")
    host.registration.world_from_ct = START
    said = answer.answer()
    assert (said.kind, said.headline, said.views) == ("moved", "the CT was moved by hand", ())
    act(answer, "undo")
    assert kind(answer) == "accept"
    act(host.presenters.register, "redo")
    assert kind(answer) == "moved" and rests(host, answer)


@pytest.mark.slow
def test_new_case_is_centred_and_registered_once(host, answer):
    host.registration.world_from_ct = OUTSIDE
    registered(host, answer)
    assert methods(host) == ["before", "centred", "search"]
    assert error_mm(host.registration.world_from_ct) < 0.1
    said = answer.answer()
    assert said.kind == "accept" and said.headline.startswith("expected error ")
    assert [view.state for view in said.views] == ["good", "good"]
    assert rests(host, answer)


@pytest.mark.slow
def test_a_start_from_a_file_is_taken(host, answer):
    host.registration.node.SetParameter("start", "given")
    registered(host, answer)
    assert methods(host) == ["before", "given"]


def test_what_a_person_has_begun_is_left_alone(host, answer):
    host.session.history.note("by hand")
    assert rests(host, answer) and kind(answer) == "none"
    assert control(answer, "register").enabled
    host.choose(phantom_registration(host.scene, "Landmarks"))
    host.registration.node.SetParameter("start", "landmarks")
    assert rests(host, answer)


@pytest.mark.parametrize(
    "hindered", [{"waits_for": "Reading files\u2026"}, {"missing": "Rendering needs numba."}]
)
def test_nothing_begins_while_files_are_read_or_packages_are_missing(host, answer, hindered):
    vars(host).update(hindered)
    assert rests(host, answer) and [answer.answer().headline] == list(hindered.values())


def test_nothing_begins_while_a_geometry_is_typed(host, answer):
    """Its last reading may not be the right one yet."""
    host.show_geometry()
    assert rests(host, answer)
    act(host.presenters.xrays.geometry, "close")
    host.wait(answer, lambda: host.session.running)


def test_next_action_leads_to_an_open_question_about_files(host, answer, monkeypatch):
    monkeypatch.setattr(host, "question", lambda: "calibrations.axes")
    act(answer, "question")
    assert host.shown == ["files/calibrations.axes"]


@pytest.mark.slow
def test_nothing_starts_again_after_cancel(host, answer):
    held = PausedRegistration()
    host.wait(answer, lambda: host.session.running)
    assert kind(answer) == "running" and control(answer, "progress") is not None
    act(answer, "cancel")
    held.resume()
    assert kind(answer) == "none" and answer.answer().headline.startswith("Cancelled.")
    assert rests(host, answer) and np.allclose(host.registration.world_from_ct, START)


@pytest.mark.slow
def test_x_ray_added_during_a_registration_is_registered_next(host, answer):
    (view,) = make_views(phantom()[0], ((45, 20),))
    third = add_view(host.registration, replace(view, name="view3"))
    third.change(use=False)
    held = PausedRegistration()
    host.wait(answer, lambda: len(held.asked) == 1)
    third.change(use=True)
    host.wait(answer, lambda: len(held.asked) == 2)
    held.resume()
    host.wait(answer, lambda: not host.session.running)
    assert [len(case.views) for case in held.asked] == [2, 3]


def test_the_reason_of_a_register_that_is_grey_is_in_sight(host, answer):
    settle(host.session)
    host.registration.world_from_ct = OUTSIDE
    host.registration.node.SetParameter("start", "landmarks")
    assert not control(answer, "register").enabled
    assert host.presenters.register.missing() in answer.answer().headline


def test_next_action_of_an_incomplete_case(scene):
    host = PresenterHost(scene)
    answer = host.answer

    def next_action():
        return answer.next_act().key

    assert next_action() == "open_ct"
    host.choose(phantom_registration(scene))
    first, second = host.registration.xrays
    camera = second.record.geometry
    ct, host.registration.ct = host.registration.ct, None
    assert next_action() == "open_ct"
    host.registration.ct = ct
    second.change(use=False)
    assert next_action() == "add_xrays"
    second.change(use=True, geometry=None)
    assert next_action() == "geometry"
    act(answer, "geometry")
    assert host.presenters.xrays.selected == second
    second.change(header=Header("c_arm", {}, missing=("pixel_mm",)))
    assert answer.answer().headline.endswith("does not say all of the geometry; enter pixel size.")
    second.change(geometry=first.record.geometry, header=None)  # the same geometry twice
    assert rests(host, answer)
    assert control(answer, "geometry").label == "Correct the geometry"
    second.change(geometry=camera)
    host.session.history.note("by hand")
    assert next_action() == "register"


def test_a_doubt_about_the_patient_is_settled_by_a_person_and_then_by_a_registration(host, answer):
    doubt = Finding("patient-mismatch", values={"statement": "view1 is of another patient."})
    settle(host.session, verdict="check", findings=[doubt, CAUSE])
    asked = control(answer, "patient")
    assert asked.primary and asked.question.endswith("Are they of the same patient all the same?")
    act(answer, "patient")
    assert settings_of(host.registration).same_patient and kind(answer) == "moved"
    assert control(answer, "register").primary  # what was said of the patient before does not hold


def give_headers(host, ct, xray):
    """Give the CT and the first X-ray these values of DICOM headers."""
    remember_identity(host.registration.ct, ct)
    remember_identity(host.registration.xrays[0].node, xray)


def test_different_patients_are_named_in_red_and_answered_before_anything_is_computed(host, answer):
    assert control(answer, "register").primary and control(answer, "patients") is None
    give_headers(host, {PATIENT_ID: "A-1"}, {PATIENT_ID: "B-2"})
    assert answer.answer().headline == "CT and X-rays are of different patients."
    named = control(answer, "patients")
    assert named.tone == "error" and "PatientID: CT A-1, view1 B-2, view2 unknown" in named.label
    assert not control(host.presenters.register, "register").enabled
    automatic = AutomaticRegistration(host.session)
    assert not automatic.may_begin()
    asked = control(answer, "patient")
    assert asked.primary and asked.question.startswith("PatientID: CT A-1, view1 B-2")
    act(answer, "patient")
    assert control(answer, "register").primary and control(answer, "patients") is None
    assert automatic.may_begin()


def test_different_days_are_noted_in_the_section_of_x_rays(host, answer):
    days = ({PATIENT_ID: "A-1", "days (StudyDate)": day} for day in ("20240101", "20240228"))
    give_headers(host, *days)
    note = control(host.presenters.xrays, "days")
    assert note.tone == "quiet" and "taken on different days" in note.label
    assert host.session.notices.sentences == [] and control(answer, "register").primary


CAUSE = Finding("cause-mirrored", views=("view1",))
CAUSE_OF_FAILURE = replace(CAUSE, severity=FAILURE)
PART = Finding("cause-part", values={"shift_mm": 90.0, "towards": "feet"})
PLACED = Finding("pose-set")
RISK = Finding("risk", uses=POSITION, values={"risk": 0.26, "accepted": 0.004})
ANGLES = {"angles": "LAO 45\u00b0", "axes": "patient", "from_mm": 2.0, "to_mm": 1.0}
FURTHER = Finding("further-view", NOTE, values=ANGLES)
KNOWN_TO = {"known_to": "0.5 degrees", "bound_mm": 3.0, "risk": 0.1, "views": 2}
READINGS = Finding("cameras-uncertain", uses=POSITION, values=KNOWN_TO)
DISPLACED = Finding(
    "part-displaced",
    values={"count": 3, "total": 8, "points": "test points", "distance_mm": 4.0},
)
WRONG = Finding("most-likely-wrong", FAILURE, values={"risk": 0.98})


@pytest.mark.parametrize(
    "verdict, findings, typical_mm, headline, next_action",
    [
        (
            "accept",
            [],
            0.052,
            "expected error < 0.5 mm \u00b7 as a rigid body",
            "registration",
        ),
        (
            "check",
            [RISK],
            1.12,
            "26 % risk of an error above 2 mm \u00b7 expected error 1.1 mm",
            "edges",
        ),
        ("check", [RISK, FURTHER], 1.12, "26 % risk of an error above 2 mm", "add_xrays"),
        ("check", [READINGS], 1.0, "C-arm geometry approximate", "geometry"),
        ("check", [PLACED], 0.3, "The pose was set, not registered", "register"),
        ("check", [DISPLACED], 0.3, "Bone is displaced at 3 of 8 test points", "look"),
        (
            "reject",
            [CAUSE_OF_FAILURE, WRONG],
            14.0,
            "Left and right of view1 may be exchanged",
            "geometry",
        ),
        ("reject", [WRONG], 14.0, "98 % risk of an error above 2 mm", "search"),
    ],
)
def test_headline_and_next_action_of_a_verdict(
    host, answer, verdict, findings, typical_mm, headline, next_action
):
    views = dict.fromkeys(("view1", "view2"), "bad" if verdict == "reject" else "check")
    errors = {"position": (typical_mm, 3 * typical_mm)}
    settle(host.session, START, verdict=verdict, findings=findings, views=views, **errors)
    said = answer.answer()
    assert said.kind == verdict and said.headline.startswith(headline)
    assert said.why[: len(findings)] == tuple(sentences(findings))
    assert said.views[1].state == {"accept": "good", "check": "check", "reject": "bad"}[verdict]
    (primary,) = [each for each in walk(answer.form()).values() if each.primary]
    assert primary.key == next_action and primary.enabled
    assert (control(answer, "registration") is None) == (verdict == "reject")  # Export
    host.registration.xrays[1].change(uncertainty={"rotation_sd_deg": 1.0})
    assert kind(answer) == "moved"


@pytest.mark.parametrize("finding, section", [(PART, "start"), (DISPLACED, "ct")])
def test_the_next_act_leads_to_the_section_where_it_is_done(host, answer, finding, section):
    settle(host.session, START, verdict="check", findings=[finding])
    act(answer, "look")
    assert host.shown == [section]


def test_readings_of_a_c_arm_lead_to_what_can_be_done_without_a_phantom_first(host, answer):
    for view in host.registration.xrays:
        c_arm = CArm.from_camera(view.camera, (1.25, 1.25))
        view.change(geometry=c_arm, image_pixel_mm=c_arm.pixel_mm)
    settle(host.session, START, verdict="check", findings=[READINGS])
    assert control(answer, "edges").primary  # X-rays that were taken show no beads
    assert "phantom of steel balls" in answer.answer().why[-1]
    act(answer, "calibrate")
    geometry = host.presenters.xrays.geometry
    assert geometry.open and control(geometry, "bead_model").primary


def test_the_verdict_of_before_is_not_offered_while_another_case_is_read(host, answer):
    settle(host.session, verdict="accept")
    assert kind(answer) == "accept" and control(answer, "registration").enabled
    host.reading = True
    said = answer.answer()
    assert (said.kind, said.views, said.why) == ("reading", (), ())
    assert control(answer, "registration") is None
    assert not control(host.presenters.export, "registration").enabled
