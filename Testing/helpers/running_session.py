"""A session with a registration or a sequence under way."""

import threading
import time
from typing import ClassVar

import pytest

from helpers.phantom import TRUE_POSE, off


class PausedRegistration:
    """The next registration waits until `resume`, and then begins at a pose (4, 4), if there is one.   asked: the cases so far."""

    made: ClassVar[list] = []

    def __init__(self, pose=None):
        from MultiViewRegistrationLib import api

        self._go, self._pose, self._real, self.asked = threading.Event(), pose, api.register, []
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(api, "register", self._register)
        self.made.append(self)

    def resume(self):
        self._go.set()

    @classmethod
    def release_all(cls):
        """At the end of a test: as it was before any."""
        while cls.made:
            held = cls.made.pop()
            held.resume()
            held._patch.undo()

    def _register(self, case, *arguments, **options):
        self.asked.append(case)
        assert self._go.wait(20.0)
        return self._real(
            case if self._pose is None else case.starting_at(self._pose),
            *arguments,
            **options,
        )


STARTED_AT = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))
ELSEWHERE = off(TRUE_POSE, (0, 0, 10), (20, 0, 0))


def new_session(registration):
    from MultiViewRegistrationLib.session.session import Session

    return Session(registration)


def hold(session):
    """Has a registration under way until it is let go."""
    held = PausedRegistration()
    session.register("given")
    return held


def look(session):
    while not session.regressors.up_to_date:
        session.regressors.update()
        session.poll()


def register_given(session):
    """Register from where the CT is, and wait for the end."""
    session.register("given")
    session.finish()


def poll(session, seconds=0.5, until=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        session.poll()
        time.sleep(0.002)


def no_thread_is_left():
    end = time.monotonic() + 5.0
    while threads() and time.monotonic() < end:
        time.sleep(0.01)
    return not threads()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "MultiViewRegistration"]


def nodes(scene):
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
