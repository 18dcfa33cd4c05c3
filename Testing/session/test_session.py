"""A running registration: its start, its result, and what may happen meanwhile."""

import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
from helpers.phantom import error_mm
from helpers.phantom_scene import make_registration, remove
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


def test_a_registration_shows_its_way_and_is_remembered(session, registration):
    for wrong, message in (
        ({"start": "by magic"}, "by magic"),
        ({"start": "auto", "refinement": "xvr"}, "cannot search"),
    ):
        with refuses(message):
            session.register(**wrong)
    assert not session.running and session.history.entries == []
    assert session.prepare() is False and session.preparing
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
    assert stale_reason(session) == ""
    assert no_thread_is_left()


@pytest.mark.slow
def test_warnings_become_notes_and_reasons(session, registration, views, no_cause):
    away = views[0].camera.camera_from_world.copy()
    away[0, 3] += 2000
    third = registration.add_xray("Away")
    third.change(geometry=replace(views[0].camera, camera_from_world=away), intensity="log")
    other = slicer.util.arrayFromVolume(registration.xrays[0].source) + 0.01
    node = slicer.util.addVolumeFromArray(other)
    set_source(third, node)
    register_given(session)
    assert any("Away" in note and "does not show the CT" in note for note in session.notes)
    assert set(session.notes) <= set(session.history.current.reasons)
    registration.xrays[1].change(geometry=registration.xrays[0].record.geometry)
    with refuses(r"view1 and view2 have the same geometry"):
        session.register("given")


@pytest.mark.slow
def test_a_changed_ct_is_prepared_again_and_kept_once(session, registration):
    session.prepare()
    poll(session, 5.0, until=lambda: not session.preparing)
    first = session._preparation._drr.result
    assert session.ct() is session.ct()
    slicer.util.arrayFromVolume(registration.ct)[20:25] += 10
    slicer.util.arrayFromVolumeModified(registration.ct)
    assert session.prepare() is False
    register_given(session)
    assert session.result.anatomy is not first and stale_reason(session) == ""
    assert {result.anatomy for result in session._results.values()} == {session.result.anatomy}


def test_a_failed_preparation_is_one_message(session, monkeypatch):
    tries = []

    def fail(ct, on_progress):
        tries.append(ct)
        raise InputError("CT: is too large.")

    monkeypatch.setattr(inputs, "prepare_for_drr", fail)
    session.prepare()
    poll(session, 5.0, until=lambda: session.message)
    assert session.message == "CT: is too large."
    session.message = ""
    for _ in range(3):
        assert session.prepare() is False
        assert session.poll() is False
    assert len(tries) == 1 and session.message == ""
    session.register("given")  # a person asks: it is tried once more
    with refuses("too large"):
        session.finish()
    assert len(tries) == 2


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
def test_cancel_is_at_once_and_takes_the_ct_back(session, registration):
    held = hold(session)
    poll(session, 0.1)
    session.cancel()
    assert not session.running and session.ended == "cancelled" and session.message == ""
    assert np.allclose(registration.world_from_ct, STARTED_AT)
    began = time.monotonic()
    session.stop(patience=0.3)
    assert 0.2 < time.monotonic() - began < 1.0  # it waits for the thread, but not for long
    held.resume()
    session.register("search")  # need not wait for the thread
    session.finish()
    assert error_mm(registration.world_from_ct) < 0.1
    assert no_thread_is_left()


@pytest.mark.parametrize("end", ["poll", "cancel", "stop"])
def test_a_ct_that_was_moved_meanwhile_stays_where_it_was_put(session, registration, end):
    held = hold(session)
    poll(session, 0.1)
    registration.world_from_ct = ELSEWHERE
    held.resume()
    getattr(session, end)()
    poll(session, 0.2)
    assert np.allclose(registration.world_from_ct, ELSEWHERE)
    assert session.ended == "cancelled" and ("moved" in session.message) == (end == "poll")
    assert len(session.history.entries) == 1
    assert no_thread_is_left()


STOPPED = "The registration was stopped, as {} was removed or replaced."


@pytest.mark.parametrize(
    "happen, message",
    [
        (lambda scene, registration: scene.RemoveNode(registration.ct), STOPPED.format("the CT")),
        (
            lambda scene, registration: scene.RemoveNode(registration.ct_transform),
            STOPPED.format("the CT's transform"),
        ),
        (
            lambda scene, registration: scene.RemoveNode(registration.xrays[1].node),
            STOPPED.format("view2"),
        ),
        (
            lambda scene, registration: setattr(registration, "ct", registration.xrays[0].source),
            STOPPED.format("the CT"),
        ),
        (lambda scene, registration: remove(registration), ""),
        (lambda scene, registration: scene.RemoveNode(registration.node), ""),
        (lambda scene, registration: scene.Clear(False), ""),
    ],
)
def test_without_its_nodes_it_stops_and_they_do_not_come_back(
    scene, session, registration, happen, message, caplog
):
    held = hold(session)
    poll(session, 0.1)
    happen(scene, registration)
    left = nodes(scene)
    assert session.poll()
    assert not session.running and not session.preparing and session.message == message
    assert session.ended == "cancelled" or not message
    held.resume()
    poll(session, 0.2)
    assert nodes(scene) == left and not caplog.records
    assert no_thread_is_left()


@pytest.mark.slow
def test_a_ct_that_changed_meanwhile_makes_the_result_stale_at_once(session, registration):
    held = hold(session)
    slicer.util.arrayFromVolume(registration.ct)[20:25] += 10
    slicer.util.arrayFromVolumeModified(registration.ct)
    held.resume()
    session.finish()
    assert session.ended == "done" and stale_reason(session).startswith("The result is stale")
    assert session._preparation.anatomy() is None  # of the CT from before


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
