"""The common part of the panel and the page's application."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, Protocol

from ...errors import InputError
from .. import assessment
from ..session import Session
from .answer import AnswerPresenter
from .files import READING, FilesPresenter
from .host import Host
from .opening import Opening
from .sections import Sections


class ShownPart(Protocol):
    """A presenter as it is shown."""

    presenter: Any

    def refresh(self) -> None:
        """Show the scene as it is."""


class ShownSection(ShownPart, Protocol):
    """A section as it is shown."""

    def problems(self) -> list[str]:
        """Return the problems in its typed values, a sentence each."""


class Frontend(Host):
    """The registration at work, the presenters of all that is shown of it, and one place for errors.

    Attributes
    ----------
    answer_presenter
        Of the answer above the sections.
    sections
        The sections as they are shown, by their names.
    shown
        Whether a person sees it, and not another module.
    unexpected
        What a person reads of an `error` of the program, of some `kind`.
    """

    sections: Mapping[str, ShownSection]
    shown = True
    unexpected: str

    def __init__(self) -> None:
        super().__init__()
        self.registration = None
        self.session = None
        self._in_tick = False
        self.opening = Opening(self)
        self.presenters = Sections.of(self)
        self.files_presenter = FilesPresenter(self, self.presenters)
        self.answer_presenter = AnswerPresenter(self, self.presenters)

    # What a person does

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn an error in here into a message, which stays until the next action."""
        self.show_message("")
        try:
            yield
        except InputError as error:
            self.show_message(str(error))
        except Exception as error:
            self.show_unexpected(error)

    def show_unexpected(self, error: Exception) -> None:
        """Say that the program has an error, which the log has."""
        logging.error("MultiViewRegistration", exc_info=error)
        self.show_message(self.unexpected.format(error=error, kind=type(error).__name__))

    def show_soon(self) -> None:
        """Show the scene as it is: at the end of a tick, where one is under way, what all of its actions have done."""
        if self._in_tick and self.shown:
            self.invalidate()
        else:
            self.refresh()

    def acknowledge_notices(self) -> None:
        """Hide the notices shown now."""
        with self.ui_action():
            if self.session is not None:
                self.session.notices.acknowledge()

    def say_same_patient(self) -> None:
        """Keep that a person says that CT and X-rays are of one patient."""
        with self.ui_action():
            if self.session is not None:
                self.session.notices.say_same_patient()

    def problems(self) -> list[str]:
        """Return the problems in the typed values in any section, a sentence each."""
        return list(chain(*(section.problems() for section in self.sections.values())))

    def waiting(self) -> str:
        """Return what the case waits for, a sentence; "" for nothing."""
        return READING if self.opening.under_way else self.files_presenter.waiting

    # What follows the scene

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Run a part of a tick in here."""
        self._in_tick = True
        try:
            yield
        finally:
            self._in_tick = False

    def tick_parts(self, wait: float) -> Iterator[None]:
        """Follow the work under way and the CT, a part after another; `wait` seconds are for threads."""
        session = self.session
        if session is not None and session.registration.scene is None:
            session.poll(wait)
            self.choose(None)
        if self.session is not None:
            with suppress(InputError):  # of a scene that is not complete yet
                self.follow(self.session, wait)
                yield
            if self.session is not None:
                with suppress(InputError):
                    yield from self.follow_views(self.session)
        yield
        for part in self.parts():
            with suppress(InputError):
                self._follow_part(part)
            yield
        if self._stale and self.shown:
            yield from self.refreshing()

    def _follow_part(self, part: ShownPart) -> None:
        presenter = part.presenter
        if self.session is not None:
            with suppress(InputError):
                presenter.update_views()
        elif not presenter.WITHOUT_SESSION:
            return
        if self.shown and presenter.tick():
            self.invalidate()
        elif self.shown and presenter.changing:
            part.refresh()

    @abstractmethod
    def parts(self) -> Iterable[ShownPart]:
        """Return all that is shown."""

    @abstractmethod
    def follow_views(self, session: Session) -> Iterator[None]:
        """Have the views follow the CT, a part after another."""

    @abstractmethod
    def refreshing(self) -> Iterator[None]:
        """Show the scene as it is, a part after another."""

    def refresh(self) -> None:
        """Show the scene as it is."""
        for _part in self.refreshing():
            pass

    def follow(self, session: Session, wait: float) -> str:
        """Take what the work of the session has done.

        Return the message that is shown of it, "" for none.
        """
        registering = session.running_registration is not None
        if not session.poll(wait) or session.running_registration is not None:
            return ""
        self.invalidate()
        if registering and assessment.verdict(session) == "accept":
            self.presenters.xrays.geometry.close()
        if not session.message or session.ended == "failed":  # which the answer says
            return ""
        self.show_message(session.message)
        return session.message
