"""A panel over the phantom, driven as a person does."""

from __future__ import annotations

import threading
import time

import numpy as np
from person import Person
from phantom import TRUE_POSE, off
from phantom_scene import make_registration

STARTED_AT = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))


class Driven(Person):
    """Somebody at a registration of the phantom, with the sections Start and Register unfolded."""

    def __init__(self, host, ct, views, pose=STARTED_AT) -> None:
        super().__init__(host, width=450)
        self.registration = make_registration(host.scene, ct, views, pose)
        self.panel.choose(self.registration)
        for name, section in self.panel.sections.items():
            section.button.collapsed = name not in ("start", "register")
        host.process(0.05)

    @property
    def session(self):
        return self.panel.session

    def choose_start(self, start: str) -> None:
        from MultiViewRegistrationLib.session.history import METHODS

        self.choose("start", "start", METHODS[start])

    def press_register(self) -> None:
        self.press("register", "register")

    def finish(self) -> None:
        """Until the work under way has ended, and the panel shows it."""
        self.wait(lambda: not self.session.running, 60.0)

    def is_at(self, pose) -> bool:
        return np.allclose(self.registration.world_from_ct, pose, atol=1e-9)


def no_thread_is_left() -> bool:
    end = time.monotonic() + 5.0
    while _threads() and time.monotonic() < end:
        time.sleep(0.01)
    return not _threads()


def _threads() -> list:
    return [thread for thread in threading.enumerate() if thread.name == "MultiViewRegistration"]
