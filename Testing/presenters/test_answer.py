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

from MultiViewRegistrationLib.assessment.parts import CT_MISFIT
from MultiViewRegistrationLib.errors import Reason
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.io.dicom_identity import PATIENT_ID
from MultiViewRegistrationLib.mrml.case import settings_of
from MultiViewRegistrationLib.mrml.identity import remember_identity
from MultiViewRegistrationLib.mrml.xray_record import Header
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
    moved = {"mm": 5.23, "deg": 3.14, "axis": [0.0, 0.0, 1.0]}
    reason = "L1 does not look like the X-rays."
    bones = {
        "L1": body("reject", moved=moved, reasons=[reason]),
        "L2": body("check", predicted_tre_mm={"mean": 0.04, "upper95": 0.08}),
    }
    flexion = "3.0 degrees of flexion"
    motions = [{"name": "L1", "against": "L2", "deg": 3.0, "mm": 2.0, "words": flexion}]
    settle(host.session, START, verdict="check", reasons=[ELSEWHERE], bodies=bones, motions=motions)
    host.session.history.put(host.session.history.current)
    assert answer.answer().why[-3:] == (
        f"L1: reject, moved by 5.2 mm and 3.1\u00b0 against the pose of the whole CT. {reason}",
        "L2: check, expected error < 0.5 mm.",
        "L1 on L2: 3.0 degrees of flexion, 2.0 mm at the joint.",
    )


def test_each_use_has_a_line_with_its_verdict_and_expected_error(host, answer):
    overlay = {"verdict": "accept", "typical_mm": 0.21, "upper95_mm": 0.4}
    position = {"verdict": "check", "typical_mm": 3.1, "upper95_mm": 7.0}
    uses = {"overlay": overlay, "position": position}
    settle(host.session, START, verdict="check", reasons=[READINGS], typical_mm=3.1, uses=uses)
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


def bent(host, verdict="accept", whole="check"):
    """A pose of a CT in one piece, with a verdict, and of two bones apart from it, of which one is accepted."""
    uses = {"overlay": {"verdict": verdict, "typical_mm": 0.3}, "position": {"verdict": "accept"}}
    accepted = {"overlay": {"verdict": "accept", "typical_mm": 0.2}}
    bones = {"L1": body("accept", uses=accepted), "L2": body(verdict, uses=uses)}
    bones["L3"] = body("accept")
    in_one = {"overlay": {"verdict": whole}, "position": {"verdict": whole, "typical_mm": 2.4}}
    apart = Reason("bone-displaced", "L1 lies 4.6 mm from there\n: use each bone's own pose.")
    told = {"verdict": whole, "uses": in_one, "reasons": [apart]}
    told["views"] = dict.fromkeys(("view1", "view2"), "bad")
    settle(host.session, START, bodies=bones, typical_mm=2.4, **told)
    host.session.history.put(host.session.history.current)


@pytest.mark.parametrize("whole", ["check", "reject"])
def test_the_answer_for_bones_that_lie_apart_is_that_of_each(host, answer, whole):
    bent(host, whole=whole)
    said = answer.answer()
    assert (said.kind, said.word) == ("accept", "BONES: ACCEPT")
    assert {view.state for view in said.views} == {"good"}
    assert said.headline.startswith("L1 lies 4.6 mm from there") and "2.4 mm" not in said.headline
    assert text(answer, "overlay") == "\u2714 Overlay on the X-rays: accept, < 0.5 mm"
    assert control(answer, "registration").primary  # Export
    assert control(answer, "edges") is None
    assert host.presenters.register.state() == State("done", "each bone: accept")


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
    doubt = "view1 and CT are of different patients (PatientID) by their DICOM headers; check them."
    settle(host.session, verdict="check", reasons=[Reason("patient-mismatch", doubt), CAUSE])
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


@pytest.mark.parametrize("method, act_key", [("search", "look"), ("given", "search")])
def test_ct_that_does_not_fit_leads_to_the_check_of_the_patient(host, answer, method, act_key):
    """Only after a search, as a given start may be wrong instead."""
    host.slicer_tools = None
    give_headers(host, {PATIENT_ID: "A-1"}, {})
    settle(host.session, method=method, verdict="reject", reasons=[CT_MISFIT])
    assert answer.answer().headline == "Bone does not fit: another patient's CT?"
    found = control(answer, act_key)
    assert found.primary and (found.label == "Check the patient") == (method == "search")
    if method == "search":
        act(answer, act_key)
        assert host.shown == ["ct"]
        ct = host.presenters.ct
        host.wait(ct, lambda: "CT A-1, view1 unknown" in text(ct, "facts"))


CAUSE = Reason(
    "cause-mirrored",
    "view1 seems to be mirrored left to right\n: turned back, it fits. Check how it was loaded.",
)
PART = Reason(
    "cause-part",
    "The X-rays show another part of the CT than the start says\n: moved by 90 mm towards the feet, the CT fits. Check the start.",
)
PLACED = Reason(
    "pose-set",
    "The pose was set, not registered\n: the failure probability was not measured for such poses.",
)
RISK = Reason("risk", "The risk of an error above 2 mm is 26 %; up to 0.4 % is accepted.")
FURTHER = Reason(
    "further-view",
    "A further view near LAO 45\u00b0 would halve the error that noise and cameras explain, from 2 to 1 mm.",
    "LAO 45\u00b0",
)
READINGS = Reason(
    "cameras-uncertain",
    "The cameras are known only to \u00b10.5\u00b0\n: the pose may be off by 3 mm.",
)
ELSEWHERE = Reason(
    "part-displaced",
    "The upper part of the bone lies elsewhere than this pose has it\n: it may be bent.",
)
WRONG = Reason("most-likely-wrong", "Most likely wrong: 98 % risk of an error above 2 mm.")


@pytest.mark.parametrize(
    "verdict, reasons, typical_mm, risk, headline, next_action",
    [
        (
            "accept",
            [],
            0.052,
            0.001,
            "expected error < 0.5 mm \u00b7 as a rigid body",
            "registration",
        ),
        (
            "check",
            [RISK],
            1.12,
            0.26,
            "26 % risk of more than 2 mm, expected error 1.1 mm",
            "edges",
        ),
        ("check", [RISK, FURTHER], 1.12, 0.26, "26 % risk of more than 2 mm", "add_xrays"),
        ("check", [READINGS], 1.0, 0.1, "The cameras are known only to", "geometry"),
        ("check", [PLACED], 0.3, 0.003, "The pose was set, not registered", "register"),
        ("check", [ELSEWHERE], 0.3, 0.003, "The upper part of the bone lies elsewhere", "look"),
        ("reject", [CAUSE, WRONG], 14.0, 0.98, "view1 seems to be mirrored", "geometry"),
        ("reject", [WRONG], 14.0, 0.98, "98 % risk of more than 2 mm", "search"),
    ],
)
def test_headline_and_next_action_of_a_verdict(
    host, answer, verdict, reasons, typical_mm, risk, headline, next_action
):
    views = dict.fromkeys(("view1", "view2"), "bad" if verdict == "reject" else "check")
    result = {"verdict": verdict, "reasons": reasons, "typical_mm": typical_mm, "risk": risk}
    settle(host.session, START, views=views, **result)
    said = answer.answer()
    assert said.kind == verdict and said.headline.startswith(headline)
    assert said.why[: len(reasons)] == tuple(reasons)
    assert said.views[1].state == {"accept": "good", "check": "check", "reject": "bad"}[verdict]
    (primary,) = [each for each in walk(answer.form()).values() if each.primary]
    assert primary.key == next_action and primary.enabled
    assert (control(answer, "registration") is None) == (verdict == "reject")  # Export
    host.registration.xrays[1].change(uncertainty={"rotation_sd_deg": 1.0})
    assert kind(answer) == "moved"


@pytest.mark.parametrize("reason, section", [(PART, "start"), (ELSEWHERE, "ct")])
def test_the_next_act_leads_to_the_section_where_it_is_done(host, answer, reason, section):
    settle(host.session, START, verdict="check", reasons=[reason])
    act(answer, "look")
    assert host.shown == [section]


def test_readings_of_a_c_arm_lead_to_what_can_be_done_without_a_phantom_first(host, answer):
    for view in host.registration.xrays:
        c_arm = CArm.from_camera(view.camera, (1.25, 1.25))
        view.change(geometry=c_arm, image_pixel_mm=c_arm.pixel_mm)
    settle(host.session, START, verdict="check", reasons=[READINGS])
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
