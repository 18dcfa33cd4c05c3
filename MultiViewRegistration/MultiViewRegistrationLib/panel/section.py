"""What the sections of the panel have in common: a collapsible header that tells how far the work has come, over a .ui of its own."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer

from ..errors import InputError
from ..session.presenters.section import CHECK, DONE, PROBLEM, READY, REJECT, RUNNING, TODO, Presenter, State

SYMBOLS = {
    TODO: "\u25cb",
    READY: "\u25d0",
    RUNNING: "\u25b6",
    DONE: "\u2714",
    PROBLEM: "\u26a0",
    CHECK: "\u26a0",
    REJECT: "\u2718",
}


class Section:
    """One step of the work. A subclass names its .ui file and title, connects its widgets in `connect`, and shows the scene in `refresh`.

    Widgets are `self.ui.<name>`. `self.panel` has the registration, its session, and `acting()` in which every slot does its work.
    """

    FILE = ""
    TITLE = ""
    PRESENTER = Presenter
    #: What is typed here and counts for a registration, `fields.NumberField`s.
    fields: tuple = ()
    #: Whether the work can begin here, without a registration, which is made then.
    BEGINS = False

    def __init__(self, panel, button, number: int = 0) -> None:
        self.panel, self.button = panel, button
        self.presenter = self.PRESENTER(panel)
        self.widget = slicer.util.loadUI(panel.resource_path(f"UI/{self.FILE}"))
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        button.layout().addWidget(self.widget)
        self.connect()

    @property
    def registration(self):
        """The `mrml.registration.Registration` at work, None without one."""
        return self.panel.registration

    @property
    def session(self):
        """Its `session.session.Session`."""
        return self.panel.session

    @property
    def asked(self) -> bool:
        """Whether a signal comes from a person: there is a registration, and no widget is being filled from it."""
        return self.registration is not None and not self.panel.filling

    @property
    def may_begin(self) -> bool:
        """Whether a signal comes from a person, and a registration can begin with it; see `Panel.begin`."""
        return self.BEGINS and not self.panel.filling

    def do(self, action: Callable, *args) -> None:
        """Do what a person asks for at a widget; nothing while widgets are filled from the scene."""
        if self.asked:
            with self.panel.acting():
                action(*args)

    def check_fields(self) -> None:
        """InputError for what is wrong in a number that was typed here."""
        for field in self.fields:
            if field.problem:
                raise InputError(field.problem)

    def problems(self) -> list[str]:
        """What is wrong in a number that was typed here."""
        return [field.problem for field in self.fields if field.problem]

    def connect(self) -> None:
        """Connect the widgets, once."""

    def refresh(self) -> None:
        """Show the scene as it is. Only called with a registration; signals of its own widgets are ignored meanwhile."""

    def state(self) -> State:
        """Told in the header. Only called with a registration."""
        return self.presenter.state()

    def tick(self) -> None:
        """Called some 20 times a second while the module is shown."""

    def follow(self) -> None:
        """Keep true what the views show, whatever was moved: called as often as `tick`, and also while another module is shown."""

    def let_go(self) -> None:
        """Another registration is about to be chosen: take away of this one what would no longer be kept true."""

    def leave(self) -> None:
        """The module is left, or another registration chosen: end what only makes sense while the panel is seen."""

    def show_state(self) -> None:
        """Write the state into the header."""
        state = self.state() if self.registration else State(TODO)
        text = f"{SYMBOLS[state.kind]}  {self.TITLE}" + (f"  \u2013  {state.text}" if state.text else "")
        metrics = self.button.fontMetrics()
        self.button.text = metrics.elidedText(text, qt.Qt.ElideRight, self.button.width - 3 * metrics.height())
        self.button.toolTip = "" if self.button.text == text else text
        self.button.setProperty("state", state.kind)
        self.widget.enabled = self.registration is not None or self.BEGINS
