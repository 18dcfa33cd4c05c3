"""What the steps of the page have in common: a header that tells how far the work has come, over widgets that show the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from ..session.presenters.section import TODO, Presenter, State


class Section:
    """One step of the work. A subclass has a NAME and a TITLE, makes its widgets in `build`, and tells in `content` what they show.

    Widgets show `state[NAME]` of the server, which is `content()` as it was last refreshed, and never the other way round: what a person
    does calls a method, which changes the scene, and all pages then show that. Names out of files are shown as text, never as HTML.
    """

    NAME = ""
    TITLE = ""
    PRESENTER = Presenter

    def __init__(self, application) -> None:
        self.application, self.name, self.state_name, self.title = application, self.NAME, self.NAME, self.TITLE
        self.presenter = self.PRESENTER(application)

    def acting(self, action: Callable) -> Callable:
        """The action, as the page calls it: what goes wrong becomes a message, and all pages show what came of it."""

        def act(*args) -> None:
            with self.application.acting():
                action(*args)

        return act

    @property
    def registration(self):
        """The `mrml.registration.Registration` at work, None without one."""
        return self.application.registration

    @property
    def session(self):
        """Its `session.session.Session`."""
        return self.application.session

    def build(self) -> None:
        """Make the widgets, once."""

    def content(self) -> dict:
        """What the widgets show of the scene as it is. Also called without a registration."""
        return asdict(self.presenter.shown())

    def state(self) -> State:
        """Told in the header. Only called with a registration."""
        return self.presenter.state()

    def adopt(self) -> None:
        """There is another registration at work, or none."""
        self.presenter.reset()

    def tick(self) -> None:
        """Called some 20 times a second while there is a registration."""
        if self.presenter.tick():
            self.application.invalidate()

    def refresh(self) -> None:
        """Show the scene as it is."""
        state = self.state() if self.registration is not None else State(TODO)
        self.application.state[self.NAME] = {**self.content(), "state": asdict(state)}
