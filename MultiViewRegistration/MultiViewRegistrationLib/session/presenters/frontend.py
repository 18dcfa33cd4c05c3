"""The common part of the panel and the page's application."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ...errors import InputError
from ...io.datasets.chest import demo_case
from ...mrml.loading import read_case
from ...mrml.registration import Registration
from ...mrml.xray import XRayView
from ...translation import _
from .. import assessment
from ..session import Session
from .answer import ACCEPT, AnswerPresenter
from .files import READING, FilesPresenter
from .host import Hand, SlicerTools, Views
from .opening import Opening, Read
from .sections import Sections


class ShownSection(Protocol):
    """A section as it is shown."""

    def problems(self) -> list[str]:
        """Return the problems in its typed values, a sentence each."""


class Frontend(ABC):
    """The registration at work, the presenters of all that is shown of it, and one place for errors; a `session.presenters.host.Host`.

    Attributes
    ----------
    registration, session
        At work; None without one.
    opening
        Reads what is opened as a whole.
    presenters
        Of the sections.
    files_presenter, answer_presenter
        Of the files that are taken, and of the answer above the sections.
    sections
        The sections as they are shown, by their names.
    patience_s, installs_packages, register_keys, replaces, scene, views, hand
        See `session.presenters.host.Host`.
    """

    patience_s: float
    installs_packages: bool
    register_keys: str
    replaces: bool
    scene: Any
    views: Views
    hand: Hand
    sections: Mapping[str, ShownSection]

    def __init__(self) -> None:
        super().__init__()
        self.registration: Registration | None = None
        self.session: Session | None = None
        self._stale = True
        self.opening = Opening(self)
        self.presenters = Sections.of(self)
        self.files_presenter = FilesPresenter(self, self.presenters)
        self.answer_presenter = AnswerPresenter(self, self.presenters)

    @property
    def slicer_tools(self) -> SlicerTools | None:
        """None outside 3D Slicer."""
        return None

    # The registration at work

    @abstractmethod
    def choose(self, registration: Registration | None) -> None:
        """Work on another registration."""

    @abstractmethod
    def show_begun(self) -> None:
        """Show what a new registration begins with."""

    def begin(self) -> None:
        """Have a registration to work on: a new one where there is none yet."""
        if self.registration is None:
            self.choose(Registration.create(self.scene))
            self.show_begun()

    @abstractmethod
    def close_registration(self) -> None:
        """Work on no registration; what comes next begins another."""

    def take_files(
        self, paths: Iterable[Path], folder: Path | None = None, preferred: str = ""
    ) -> None:
        """Take files of any kind, as `FilesPresenter.take`."""
        self.files_presenter.take(paths, folder, preferred)

    @abstractmethod
    def open_whole(self, path: Path, folder: Path | None) -> None:
        """Open a case, a result, a track or a scene.

        `folder`, that a page sent it in, is removed then.
        """

    def open_demo(self) -> None:
        """Open the demo's case, whose CT is downloaded where it is not there yet."""
        name = _("the demo; its CT is downloaded the first time")
        self.opening.begin(name, lambda on_progress: read_case(demo_case()))

    @abstractmethod
    def show_reading(self, words: str) -> None:
        """Show what is being read; "" for nothing."""

    @abstractmethod
    def take_read(self, read: Read, autosaved: Path | None = None) -> None:
        """Put what was read into the scene, and work on it.

        Parameters
        ----------
        autosaved
            The folder of the scene that this program kept of it.
        """

    # What a person does

    @abstractmethod
    def ui_action(self) -> AbstractContextManager[None]:
        """Run an action in here: an error becomes a message, and all forms show the result."""

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

    @abstractmethod
    def show_message(self, message: str) -> None:
        """Show a sentence about what went wrong; "" takes it away."""

    def show_unexpected(self, error: Exception) -> None:
        """Say that the program has an error, which the log has."""
        logging.error("MultiViewRegistration", exc_info=error)
        self.show_message(self.describe_unexpected(error))

    @abstractmethod
    def describe_unexpected(self, error: Exception) -> str:
        """Return what a person reads of an error of the program, a sentence."""

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
        return [problem for section in self.sections.values() for problem in section.problems()]

    @abstractmethod
    def show_section(self, name: str, key: str = "") -> None:
        """Unfold a section, by its name, and bring it into sight, with the focus in a control."""

    def show_geometry(self, xray: XRayView | None = None) -> None:
        """Open the table of the X-rays' geometry, with this X-ray selected.

        Raises
        ------
        InputError
            Without any.
        """
        geometry = self.presenters.xrays.geometry
        geometry.show(xray)
        self.show_section("geometry", geometry.wanted())
        self.invalidate()

    @abstractmethod
    def stop_moving(self) -> None:
        """Record the last movement by hand: others move the CT from now on."""

    @property
    def reading(self) -> bool:
        """Whether another registration, or another CT, is being read."""
        return self.opening.under_way or bool(self.presenters.ct.reading)

    def waiting(self) -> str:
        """Return what the case waits for, a sentence; "" for nothing."""
        return READING if self.opening.under_way else self.files_presenter.waiting

    def question(self) -> str:
        """Return the key of the control at which files wait for an answer; "" for none."""
        return self.files_presenter.question()

    @abstractmethod
    def missing_packages(self) -> str:
        """Return a sentence on the missing packages for DRRs; "" where all are installed."""

    # What follows the scene

    def invalidate(self, caller: object = None, event: object = None) -> None:
        """Have everything shown as it is in the scene at the next tick."""
        self._stale = True

    def follow(self, session: Session, wait: float) -> str:
        """Take what the work of the session has done.

        Return the message that is shown of it, "" for none.
        """
        registering = session.running_registration is not None
        if not session.poll(wait) or session.running_registration is not None:
            return ""
        self.invalidate()
        if registering and assessment.verdict(session) == ACCEPT:
            self.presenters.xrays.geometry.close()
        if not session.message or session.ended == "failed":  # which the answer says
            return ""
        self.show_message(session.message)
        return session.message
