"""A panel over the phantom, driven as a person does."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
from phantom import TRUE_POSE, off
from phantom_scene import make_registration

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration" / "MultiViewRegistration.py"
STARTED_AT = off(TRUE_POSE, (3, 2, 0), (5, 0, 4))


class Driven:
    """The module opened on a registration of the phantom, with sections 3 and 4 unfolded.

    widget: the module's Widget.   start, register: its sections.
    """

    def __init__(self, host, ct, views, pose=STARTED_AT) -> None:
        self.host = host
        host.load_module(MODULE)
        self.widget = host.open_module(width=450)
        self.registration = make_registration(host.scene, ct, views, pose)
        self.panel.choose(self.registration)
        sections = self.panel.sections
        for name, section in sections.items():
            section.button.collapsed = name not in ("start", "register")
        self.start, self.register = sections["start"], sections["register"]
        host.process(0.05)

    @property
    def panel(self):
        return self.widget.panel

    @property
    def session(self):
        return self.panel.session

    def choose_start(self, start: str) -> None:
        self.host.click(self.start._buttons[start])

    def press_register(self) -> None:
        self.host.click(self.register.ui.registerButton)

    def wait(self, seconds: float = 20.0) -> None:
        """Until the work under way has ended, and the panel shows it."""
        self.host.process(seconds, until=lambda: not self.session.running)
        self.host.process(0.1)

    def header(self, name: str) -> str:
        return self.panel.sections[name].button.text

    def history(self) -> list[str]:
        """The methods in the table."""
        table = self.register.ui.historyTable
        return [table.item(row, 1).text() for row in range(table.rowCount)]

    def selected(self) -> list[int]:
        """The rows of the history that are selected."""
        return sorted({index.row() for index in self.register.ui.historyTable.selectedIndexes()})

    def message(self) -> str:
        """What the panel says went wrong."""
        label = self.panel.ui.messageLabel
        return label.text if label.visible else ""

    def is_at(self, pose) -> bool:
        return np.allclose(self.registration.world_from_ct, pose, atol=1e-9)


def no_thread_is_left() -> bool:
    end = time.monotonic() + 5.0
    while _threads() and time.monotonic() < end:
        time.sleep(0.01)
    return not _threads()


def _threads() -> list:
    return [thread for thread in threading.enumerate() if thread.name == "MultiViewRegistration"]
