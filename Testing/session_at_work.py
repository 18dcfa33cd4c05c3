"""A session with work under way, and what is looked at of it."""

from __future__ import annotations

import threading
import time

from held import Held
from phantom import TRUE_POSE, off

STARTED_AT = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))
ELSEWHERE = off(TRUE_POSE, (0, 0, 10), (20, 0, 0))


def new_session(registration):
    from MultiViewRegistrationLib.session.session import Session

    return Session(registration)


def hold(session) -> Held:
    """Has a registration under way until it is let go."""
    held = Held()
    session.register("given")
    return held


def look(session):
    while not session.regressors.looked:
        session.regressors.look()
        session.poll()


def poll(session, seconds=0.5, until=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        session.poll()


def no_thread_is_left():
    end = time.monotonic() + 5.0
    while threads() and time.monotonic() < end:
        time.sleep(0.01)
    return not threads()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "MultiViewRegistration"]


def nodes(scene):
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


def playing(scene, track):
    """A session with a track.json open at its first frame, for a fixture; it ends with the test."""
    from MultiViewRegistrationLib.session.sequence import read_track

    read = read_track(track)
    session = new_session(read(scene))
    session.cache_case(read.case)
    read.play(session)
    poll(session, 5, lambda: session.sequence.player.number == 0)
    yield session
    session.stop()
