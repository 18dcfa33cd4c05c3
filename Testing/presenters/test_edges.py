"""A person looks at the edges of a pose that is to be checked, X-ray by X-ray."""

import numpy as np
import pytest
from helpers.phantom_scene import START, body, settle
from presenter_host import act, control, text

from MultiViewRegistrationLib.assessment.records import POSITION, Finding
from MultiViewRegistrationLib.io.result_json import EDGES_OFF
from MultiViewRegistrationLib.mrml import overlay
from MultiViewRegistrationLib.mrml.ct_3d import put_bones
from MultiViewRegistrationLib.session import assessment

RISK = Finding("risk", uses=POSITION, values={"risk": 0.26, "accepted": 0.004})
BOX = [[1, 2], [20, 30]]


@pytest.fixture
def answer(host):
    settle(host.session, START, verdict="check", findings=[RISK], decisive={"view1": BOX})
    host.wait(host.answer, host.session.prepare)
    yield host.answer
    host.session.stop()


def look(answer, *answers):
    act(answer, "edges")
    for each in answers:
        act(answer, each)


def said(answer):
    return answer.answer().kind, answer.answer().word


def test_each_x_ray_is_checked_at_its_decisive_edges(host, answer):
    first = host.registration.xrays[0]
    window = overlay.xray_window(first)
    look(answer)
    assert overlay.mode_of(host.registration) == "edges"
    assert answer.answer().headline.startswith("view1: does the edge of the bone lie")
    assert np.array_equal(host.boxes["view1"], BOX) and overlay.xray_window(first) != window
    act(answer, "yes")
    act(answer, "leave")
    assert overlay.xray_window(first) == window and control(answer, "yes") is None
    look(answer)
    assert answer.answer().headline.startswith("view2: ")


def test_nobody_can_answer_before_the_line_is_drawn(host):
    settle(host.session, START, verdict="check")
    act(host.answer, "edges")
    assert not control(host.answer, "yes").enabled


def test_confirmed_edges_are_stated_and_never_make_it_accepted(host, answer):
    look(answer, "yes")
    assert said(answer) == ("check", "CHECK")
    act(answer, "yes")
    assert said(answer) == ("checked", "CHECK, edges confirmed")
    assert host.session.history.current.verdict == "check"
    assert control(answer, "registration").primary  # Export
    assert control(answer, "yes") is None


def test_who_sees_the_edges_fit_has_not_said_whose_they_are(host, answer):
    statement = "view1 and CT are of different patients."
    other = Finding("patient-mismatch", values={"statement": statement})
    settle(host.session, START, verdict="check", findings=[other])
    look(answer, "yes", "yes")
    assert said(answer)[0] == "checked" and control(answer, "patient").primary


def test_a_no_is_said_and_leads_to_the_geometry_of_that_x_ray(host, answer):
    look(answer, "yes", "no")
    assert answer.answer().headline.startswith("Edges do not match in view2")
    act(answer, "geometry")
    assert host.presenters.xrays.selected.name == "view2"


def test_a_no_in_every_x_ray_leads_to_another_start(host, answer):
    look(answer, "no", "no")
    act(answer, "look")
    assert host.shown == ["start"]


def test_a_no_takes_an_accept_of_another_use_away_and_a_later_yes_gives_it_back(host, answer):
    settle(host.session, START, verdict="check", findings=[RISK])
    look(answer, "yes", "no")
    assert text(answer, "overlay").startswith("\u26a0")
    look(answer, "yes", "yes")
    assert text(answer, "overlay").startswith("\u2714")


def test_rejected_pose_cannot_be_checked(host, answer):
    settle(host.session, START, verdict="reject", findings=[RISK])
    assert control(answer, "edges") is None


def test_what_changes_the_pose_ends_it_and_undo_brings_it_back(host, answer):
    look(answer, "yes", "yes")
    place = host.registration.world_from_ct
    moved = place.copy()
    moved[0, 3] += 3
    host.registration.world_from_ct = moved
    assert said(answer)[0] == "moved"
    act(answer, "undo")
    assert said(answer)[0] == "checked"


def test_what_changes_an_x_ray_ends_it(host, answer):
    look(answer, "yes")
    host.registration.xrays[1].change(uncertainty={})
    assert said(answer)[0] == "moved"
    assert control(answer, "yes") is None


@pytest.fixture
def bones(host, answer):
    """Of three bones two are to be checked, as the whole is; one of them is seen in one X-ray."""
    bodies = [
        body("L1", "check"),
        body("L2", "accept"),
        body("L3", "check", similarity={"view2": 0.9}),
    ]
    put_bones(host.registration, dict.fromkeys(["L1", "L2", "L3"], START))
    settle(host.session, START, verdict="check", findings=[RISK], bodies=bodies)


def test_each_bone_that_is_to_be_checked_is_asked_about_where_it_is_shown(host, answer, bones):
    look(answer, "yes", "yes")
    assert "view1: does the edge of L1 lie" in answer.answer().headline
    act(answer, "yes")
    assert "view2: does the edge of L3 lie" in answer.answer().headline
    assert said(answer)[0] == "check"
    assert any(
        "L1: check, edges confirmed" in each for each in assessment.explanation(host.session)
    )
    act(answer, "yes")
    assert said(answer)[0] == "checked"


def test_a_no_of_a_bone_is_a_reason_of_that_bone(host, answer, bones):
    look(answer, "yes", "yes", "no", "yes")
    assert said(answer)[0] == "check"
    of_bones = host.session.history.current.as_checked.bodies
    (no,) = [each for each in of_bones["L1"].assessment.findings if each.code == EDGES_OFF]
    assert (no.views, no.values["bone"]) == (("view1",), "L1")
    assert not of_bones["L3"].assessment.has(EDGES_OFF)
