"""A running registration: its start, its result, and what may happen meanwhile."""

from dataclasses import replace

import numpy as np
import pytest
import slicer
from helpers.phantom import error_mm
from helpers.phantom_scene import make_registration
from helpers.refusals import refuses
from helpers.running_session import (
    ELSEWHERE,
    STARTED_AT,
    PausedRegistration,
    hold,
    new_session,
    no_thread_is_left,
    nodes,
    poll,
    register_given,
)

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.mrml.image import set_source
from MultiViewRegistrationLib.rendering import cpu
from MultiViewRegistrationLib.session import inputs
from MultiViewRegistrationLib.session.assessment import follow_similarity, stale_reason
from MultiViewRegistrationLib.session.tasks import BackgroundValue


@pytest.fixture
def registration(scene, ct, views):
    return make_registration(scene, ct, views, STARTED_AT)


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    PausedRegistration.release_all()


def test_registration_shows_progress_and_is_added_to_the_history(session, registration):
    with refuses("by magic"):
        session.register("by magic")
    assert not session.running and session.history.entries == []
    session.register("given")
    assert session.running_registration.stage == "preparing the CT"
    poses, stages = [], []
    while session.running:
        if session.poll():
            poses.append(registration.world_from_ct)
            stages.append(getattr(session.running_registration, "stage", ""))
    assert session.ended == "done" and session.message == ""
    assert any("px" in stage for stage in stages) and len(poses) > 1
    before, entry = session.history.entries
    assert np.allclose(before.pose, STARTED_AT)
    assert np.array_equal(entry.pose, registration.world_from_ct)
    assert stale_reason(session) == "" and no_thread_is_left()


@pytest.mark.slow
def test_warnings_become_notes(session, registration, views, no_cause):
    away = views[0].camera.camera_from_world.copy()
    away[0, 3] += 2000
    third = registration.add_xray("Away")
    third.change(geometry=replace(views[0].camera, camera_from_world=away), intensity="log")
    other = slicer.util.arrayFromVolume(registration.xrays[0].source) + 0.01
    set_source(third, slicer.util.addVolumeFromArray(other))
    register_given(session)
    assert any("Away" in note and "does not show the CT" in note for note in session.notes)
    assert session.notes == session.history.current.notes


def test_failed_preparation_is_reported_once(session, monkeypatch):
    attempts = []

    def fail(ct, on_progress):
        attempts.append(ct)
        raise InputError("CT: is too large.")

    monkeypatch.setattr(inputs, "prepare_for_drr", fail)
    session.prepare()
    poll(session, 5.0, until=lambda: session.message)
    assert session.message == "CT: is too large."
    session.message = ""
    for _ in range(3):
        assert not session.prepare() and not session.poll()
    assert len(attempts) == 1 and session.message == ""
    session.register("given")  # tries again
    with refuses("too large"):
        session.finish()


def test_the_main_thread_compiles_nothing(session, registration):
    """The first DRR and the first similarity find all kernels ready."""
    kernels = [kernel for kernel in vars(cpu).values() if hasattr(kernel, "signatures")]
    session.prepare()
    poll(session, 60.0, until=lambda: not session.preparing)
    ready = [len(kernel.signatures) for kernel in kernels]
    similarity = BackgroundValue()
    assert session.drawing.step()
    poll(session, 60.0, until=lambda: follow_similarity(similarity, session))
    assert similarity.value
    assert [len(kernel.signatures) for kernel in kernels] == ready and sum(ready) > 0


@pytest.mark.slow
def test_cancel_is_immediate_and_restores_the_ct(session, registration):
    held = hold(session)
    poll(session, 0.1)
    session.cancel()
    assert not session.running and session.ended == "cancelled" and session.message == ""
    assert np.allclose(registration.world_from_ct, STARTED_AT)
    session.stop(patience=0.3)  # does not wait for the thread
    held.resume()
    session.register("search")
    session.finish()
    assert error_mm(registration.world_from_ct) < 0.1 and no_thread_is_left()


@pytest.mark.parametrize("end", ["poll", "cancel"])
def test_ct_moved_during_a_registration_stays_there(session, registration, end):
    held = hold(session)
    poll(session, 0.1)
    registration.world_from_ct = ELSEWHERE
    held.resume()
    getattr(session, end)()
    poll(session, 0.2)
    assert np.allclose(registration.world_from_ct, ELSEWHERE)
    assert session.ended == "cancelled" and ("moved" in session.message) == (end == "poll")
    assert len(session.history.entries) == 1 and no_thread_is_left()


@pytest.mark.parametrize(
    "remove_part, named",
    [
        (lambda registration: registration.ct, "the CT"),
        (lambda registration: registration.xrays[1].node, "view2"),
        (lambda registration: registration.node, ""),
        (None, ""),
    ],
    ids=["CT", "X-ray", "registration", "scene"],
)
def test_registration_stops_when_its_nodes_are_removed(
    scene, session, registration, remove_part, named, caplog
):
    held = hold(session)
    poll(session, 0.1)
    if remove_part is None:
        scene.Clear(False)
    else:
        scene.RemoveNode(remove_part(registration))
    remaining = nodes(scene)
    stopped = f"The registration was stopped, as {named} was removed or replaced."
    assert session.poll() and not session.running
    assert session.message == (stopped if named else "")
    held.resume()
    poll(session, 0.2)
    assert nodes(scene) == remaining and not caplog.records and no_thread_is_left()


@pytest.mark.slow
def test_ct_changed_during_a_registration_makes_the_result_stale(session, registration):
    held = hold(session)
    slicer.util.arrayFromVolume(registration.ct)[20:25] += 10
    slicer.util.arrayFromVolumeModified(registration.ct)
    held.resume()
    session.finish()
    assert session.ended == "done" and stale_reason(session).startswith("The result is stale")


@pytest.mark.slow
def test_a_correction_is_not_put_on_a_geometry_that_came_meanwhile(scene, ct, views):
    uncertain = [views[0], replace(views[1], rotation_sd_deg=1.0, translation_sd_mm=2.0)]
    registration = make_registration(scene, ct, uncertain, STARTED_AT)
    session = new_session(registration)
    register_given(session)
    first, second = registration.xrays
    assert second.record.corrected and not first.record.corrected
    held = hold(session)
    moved = views[1].camera.camera_from_world.copy()
    moved[2, 3] += 3.0
    new = replace(views[1].camera, camera_from_world=moved)
    second.change(geometry=new)
    held.resume()
    session.finish()
    assert not second.record.corrected
    assert np.allclose(second.camera.camera_from_world, moved)
    assert stale_reason(session).startswith("The result is stale")
