"""What may happen while a registration is under way: nothing is left running, nothing comes back, nothing is raised."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
from held import Held
from phantom import TRUE_POSE, error_mm, off
from phantom_scene import make_registration, remove
from session_at_work import ELSEWHERE, STARTED_AT, hold, new_session, no_thread_is_left, nodes, poll

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.mrml.loading import camera_content


@pytest.fixture
def registration(scene, ct, views):
    return make_registration(scene, ct, views, STARTED_AT)


@pytest.fixture
def session(registration):
    return new_session(registration)


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    Held.release_all()


# Cancel


def test_cancel_is_at_once_and_takes_the_ct_back(session, registration):
    held = hold(session)
    poll(session, 0.1)
    session.cancel()
    assert not session.running and session.ended == "cancelled" and session.message == ""
    assert np.allclose(registration.world_from_ct, STARTED_AT)
    held.let_go()
    session.register("given")  # need not wait for the thread
    session.finish()
    assert error_mm(registration.world_from_ct) < 0.1
    assert no_thread_is_left()


def test_cancel_in_the_midst_of_a_search(session, registration):
    registration.node.SetParameter("rotation_deg", "90")
    registration.node.SetParameter("translation_mm", "150")
    session.register("search")
    poll(session, 10.0, until=lambda: session.running_registration.progress is not None)
    session.cancel()
    assert np.allclose(registration.world_from_ct, STARTED_AT)
    poll(session, 0.2)
    assert np.allclose(registration.world_from_ct, STARTED_AT) and session.ended == "cancelled"
    assert no_thread_is_left()


@pytest.mark.parametrize("end", ["poll", "cancel", "stop"])
def test_a_ct_that_was_moved_meanwhile_stays_where_it_was_put(session, registration, end):
    held = hold(session)
    poll(session, 0.1)
    registration.world_from_ct = ELSEWHERE
    held.let_go()
    getattr(session, end)()
    poll(session, 0.2)
    assert np.allclose(registration.world_from_ct, ELSEWHERE)
    assert session.ended == "cancelled" and ("moved" in session.message) == (end == "poll")
    assert len(session.history.entries) == 1
    assert no_thread_is_left()


def test_stop_waits_for_the_thread_but_not_for_long(session):
    held = hold(session)
    began = time.monotonic()
    session.stop(patience=0.3)
    assert 0.2 < time.monotonic() - began < 1.0
    held.let_go()
    assert no_thread_is_left()


# What happens in the scene meanwhile


def remove_ct(scene, registration):
    scene.RemoveNode(registration.ct)


def remove_transform(scene, registration):
    scene.RemoveNode(registration.ct_transform)


def remove_xray(scene, registration):
    scene.RemoveNode(registration.xrays[1].node)


def replace_ct(scene, registration):
    other = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Another")
    other.CopyContent(registration.ct)
    registration.ct = other


@pytest.mark.parametrize(
    "happen, what",
    [(remove_ct, "the CT"), (remove_transform, "the CT's transform"), (remove_xray, "view2"), (replace_ct, "the CT")],
)
def test_without_its_nodes_it_stops_and_they_do_not_come_back(scene, session, registration, happen, what, caplog):
    held = hold(session)
    poll(session, 0.1)
    happen(scene, registration)
    left = nodes(scene)
    poll(session, 0.1)
    assert not session.running and session.ended == "cancelled"
    assert session.message == f"The registration was stopped, as {what} was removed or replaced."
    held.let_go()
    poll(session, 0.2)
    assert nodes(scene) == left and not caplog.records
    assert no_thread_is_left()


@pytest.mark.parametrize(
    "end",
    [
        lambda scene, registration: remove(registration),
        lambda scene, registration: scene.RemoveNode(registration.node),
        lambda scene, registration: scene.Clear(False),
    ],
)
def test_without_its_registration_it_is_forgotten(scene, session, registration, end, caplog):
    held = hold(session)
    poll(session, 0.1)
    end(scene, registration)
    left = nodes(scene)
    assert session.poll() is True
    assert not session.running and not session.preparing
    held.let_go()
    poll(session, 0.2)
    session.finish()
    assert nodes(scene) == left and not caplog.records
    assert no_thread_is_left()


def test_with_its_transform_gone_a_registration_makes_a_new_one_for_the_ct(scene, session, registration):
    scene.RemoveNode(registration.ct_transform)
    assert np.allclose(registration.world_from_ct, np.eye(4))
    session.register("search")
    session.finish()
    assert error_mm(registration.world_from_ct) < 0.1
    assert registration.ct.GetParentTransformNode() is registration.ct_transform


def test_a_ct_that_changed_meanwhile_makes_the_result_stale_at_once(session, registration):
    held = hold(session)
    slicer.util.arrayFromVolume(registration.ct)[20:25] += 10
    slicer.util.arrayFromVolumeModified(registration.ct)
    held.let_go()
    session.finish()
    assert session.ended == "done" and session.stale_reason().startswith("The result is stale")
    assert session._preparation.anatomy() is None  # of the CT from before


def test_a_correction_is_not_put_on_a_geometry_that_came_meanwhile(scene, ct, views):
    uncertain = [views[0], replace(views[1], rotation_sd_deg=1.0, translation_sd_mm=2.0)]
    registration = make_registration(scene, ct, uncertain, STARTED_AT)
    session = new_session(registration)
    session.register("given")
    session.finish()
    first, second = registration.xrays
    assert second.content["corrected"] and not first.content.get("corrected")
    held = hold(session)
    moved = views[1].camera.camera_from_world.copy()
    moved[2, 3] += 3.0
    new = camera_content(replace(views[1].camera, camera_from_world=moved))
    second.change(camera=new)
    held.let_go()
    session.finish()
    assert not second.content.get("corrected")
    assert np.allclose(second.camera.camera_from_world, moved)
    assert session.stale_reason().startswith("The result is stale")


def test_a_mistake_of_ours_at_the_end_is_a_message(session, registration, monkeypatch, caplog):
    monkeypatch.setattr(session.history, "add", lambda entry: 1 / 0)
    session.history.note = lambda method: None
    session.register("given")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        session.finish()
    assert session.ended == "failed" and not session.running and len(caplog.records) == 1


def test_two_sessions_at_once(scene, ct, views):
    first = make_registration(scene, ct, views, STARTED_AT, "First")
    second = make_registration(scene, ct, views, off(TRUE_POSE, (0, -4, 3), (0, 6, 0)), "Second")
    sessions = [new_session(registration) for registration in (first, second)]
    for session in sessions:
        session.register("given")
    while any(session.running for session in sessions):
        for session in sessions:
            session.poll()
    together = [registration.world_from_ct for registration in (first, second)]
    assert max(map(error_mm, together)) < 0.1
    for session, pose in zip(sessions, together, strict=True):
        session.history.undo()
        session.register("given")
        session.finish()
        assert np.allclose(session.registration.world_from_ct, pose, atol=1e-9)
