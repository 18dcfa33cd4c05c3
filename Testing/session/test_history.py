"""The poses a registration has had, and the way back and forth between them."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, off
from helpers.phantom_scene import make_registration

from MultiViewRegistrationLib.assessment.records import Assessment
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, put_bones
from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.history import History, HistoryEntry

POSES = [off(TRUE_POSE, (0, 0, 0), (float(x), 0, 0)) for x in range(6)]


@pytest.fixture
def registration(scene, ct, views):
    return make_registration(scene, ct, views, POSES[0])


@pytest.fixture
def history(registration):
    return History(registration)


@pytest.fixture
def move(registration, history):
    """Move the CT, and note it."""

    def to(number):
        registration.world_from_ct = POSES[number]
        history.note(f"move {number}")

    return to


def at(registration):
    """Which of POSES the CT is at."""
    return next(
        number
        for number, pose in enumerate(POSES)
        if np.allclose(registration.world_from_ct, pose, atol=1e-9)
    )


def assessed(registration, history, number):
    """Have the CT at one of POSES, with a verdict of the inputs as they are."""
    registration.world_from_ct = POSES[number]
    inputs = fingerprint(registration)
    accepted = {"assessment": Assessment(()), "fingerprint": inputs}
    history.add(HistoryEntry.now("given", POSES[number], **accepted))


def test_a_ct_that_is_put_back_exactly_where_it_was_assessed_has_its_verdict_again(
    registration, history, move
):
    assessed(registration, history, 1)
    move(2)
    assert history.current.verdict is None
    move(1)
    assert (history.position, history.current.verdict) == (0, "accept")
    registration.world_from_ct = off(POSES[1], (0, 0, 0), (1e-3, 0, 0))
    history.note("nearly there")
    assert history.current.verdict is None


def test_no_verdict_comes_back_where_an_x_ray_has_changed_since(registration, history, move):
    assessed(registration, history, 1)
    move(2)
    registration.xrays[0].change(uncertainty={"rotation_sd_deg": 2.0})
    move(1)
    assert history.current.verdict is None


def test_a_bone_whose_transform_is_removed_is_no_movement_of_the_ct(registration, history):
    put_bones(registration, {"T10": POSES[1]})
    history.note("registered")
    registration.scene.RemoveNode(bones_of(registration)["T10"].node)
    history.note("by hand")  # as a switch for moving by hand does that is left on
    assert history.change_since_registration == "The transform of T10 was removed."


def test_replaced_or_removed_ct_was_not_moved_by_hand(registration, history, move):
    move(1)
    assert history.change_since_registration == ""
    other = np.zeros((4, 4, 4), np.float32)
    registration.ct = volume_node(registration.scene, "Other", other, np.eye(4))
    assert history.change_since_registration == "The CT was replaced by another one."
    registration.ct = None
    assert history.change_since_registration == "There is no CT."


def test_undo_redo_and_branches(registration, history, move):
    for number in (0, 1, 2):
        move(number)
    visited = []
    for step in (history.undo, history.undo, history.undo, history.redo):
        step()
        visited.append((at(registration), history.can_undo, history.can_redo))
    assert visited == [(1, True, True), (0, False, True), (0, False, True), (1, True, True)]
    history.go(0)
    move(3)  # a new branch
    assert [entry.after for entry in history.entries] == [None, 0, 1, 0]
    history.undo()
    assert at(registration) == 0
    again = History(Registration(registration.node))  # as read from the scene
    assert again.position == 0
    assert [each.to_json() for each in again.entries] == [
        each.to_json() for each in history.entries
    ]
    assert (again.can_undo, again.can_redo) == (False, True)
    history.redo()
    assert at(registration) == 3  # the newer branch
    history.go(2)
    history.undo()
    assert at(registration) == 1


def test_cameras_are_restored_with_the_pose(registration, history, move):
    view = registration.xrays[1]
    move(0)
    given = view.record.geometry
    corrected = replace(given, camera_from_world=given.camera_from_world + np.diag([0, 0, 1e-3], 1))
    view.change(corrected=corrected)
    move(1)
    history.undo()
    assert view.camera.same_as(given)
    history.redo()
    assert view.camera.camera_from_world.tolist() == corrected.camera_from_world.tolist()
    history.undo()
    other = given.corrected(1.0, np.array([1.0, 0.0]))
    view.change(geometry=other)
    history.redo()  # the correction was of the previous geometry
    assert view.camera.same_as(other)


def test_a_pose_that_was_not_noted_is_not_lost(registration, history, move):
    move(0)
    move(1)
    registration.world_from_ct = POSES[4]
    assert history.moved and history.can_undo
    history.undo()
    assert at(registration) == 1
    history.redo()
    assert at(registration) == 4 and history.current.method == "moved"
    registration.world_from_ct = POSES[5]
    history.go(0)
    assert at(registration) == 0 and np.allclose(history.entries[-1].pose, POSES[5])
