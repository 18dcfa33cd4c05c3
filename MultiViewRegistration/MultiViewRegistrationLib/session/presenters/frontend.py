"""The common part of the panel and the page's application, and opening a case, a result, a tracked sequence or a scene.

One is opened at a time, read in a thread.
"""

from __future__ import annotations

import logging
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from ...errors import InputError
from ...io.recognise import CASE, NAMED, RESULT, SCENE, TRACK, WHOLES, kinds_of
from ...mrml.image import how_many
from ...mrml.loading import ReadCase, read_case
from ...mrml.registration import Registration
from ...translation import _
from .. import assessment
from ..result_files import read_result, read_track
from ..session import Session
from ..tasks import Task, ended
from .answer import AnswerPresenter
from .files import READING, FilesPresenter
from .section import Host
from .sections import Sections

#: What was read: it puts itself into a scene, in the main thread.
Read = ReadCase | Callable[[Any], Registration | None]


class Opening:
    """Reads one thing at a time, which the host then takes.

    Another file, or another registration that is chosen meanwhile, takes its place.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._task: Task[tuple[Read, bool]] | None = None
        self._before: Registration | None = None
        self._sent: Path | None = None
        self._frames: tuple[Registration | None, Path] | None = None
        self._autosaved: Path | None = None

    @property
    def under_way(self) -> bool:
        """Whether something is being read."""
        return self._task is not None

    def open(
        self,
        path: Path,
        case: Path | None = None,
        sent: Path | None = None,
        read_scene: Callable[[Path], Read] | None = None,
    ) -> None:
        """Open a case.json, a result.json, a track.json, a folder that holds one, or a scene.

        Parameters
        ----------
        path
            Of it.
        case
            Of a result or a track, see `read_result`.
        sent
            The folder that a page sent it in; it is removed once it is read, that of a case whose
            images have several frames, which are read as they are tracked, with the registration.
        read_scene
            Reads a scene; None where that is not done here.
        """
        name = path.parent.name if path.stem in ("case", "track") else path.stem
        self.begin(name, lambda on_progress: read_whole(path, case, read_scene), sent)

    def begin(
        self,
        name: str,
        work: Callable[[Callable], Read],
        sent: Path | None = None,
        autosaved: Path | None = None,
    ) -> None:
        """Begin to read what has this name for a person.

        Parameters
        ----------
        work
            Of a `Task`.
        sent, autosaved
            See `open`, and the host's `take_read`.
        """
        self.stop()
        self._host.show_message("")
        self._before = self._host.registration
        self._sent = sent
        self._autosaved = autosaved

        def read(on_progress: Callable) -> tuple[Read, bool]:
            found = work(on_progress)
            return found, sent is not None and _has_frames(found)

        self._task = Task(read)
        self._host.show_reading(_("Reading {name}…").format(name=name))

    def stop(self) -> None:
        """Forget what is being read."""
        self._task = None
        if self._sent is not None:
            shutil.rmtree(self._sent, ignore_errors=True)
            self._sent = None

    def tick(self, wait: float = 0.0) -> None:
        """Take what was read, after so many seconds at most."""
        self._release()
        task = self._task
        if task is None:
            return
        task.wait(wait)
        chosen = self._host.registration != self._before
        if not (chosen or ended(task)):
            return
        self._task = None
        self._host.show_reading("")
        if not chosen:
            with self._host.ui_action(), self._host.files_presenter.refusing():
                self._take(task)
        self.stop()

    def _release(self) -> None:
        """Remove the folder of frames whose registration is open no more."""
        if self._frames is not None and self._frames[0] != self._host.registration:
            shutil.rmtree(self._frames[1], ignore_errors=True)
            self._frames = None

    def _take(self, task: Task[tuple[Read, bool]]) -> None:
        read, has_frames = task.result
        files = self._host.files_presenter
        refused = files.refused  # of the drop that is opened
        self._host.take_read(read, self._autosaved)
        files.refused = refused
        if self._sent is not None and has_frames:
            self._release()
            self._frames = (self._host.registration, self._sent)
            self._sent = None
        if self._host.session is not None:
            self._host.session.notices.loaded(task.warnings)


def _has_frames(read: Read) -> bool:
    """Return whether what was read is a case whose images have several frames, in any thread."""
    return (
        isinstance(read, ReadCase) and read.case.path is not None and how_many(read.case.path) > 1
    )


def keep_read(session: Session, read: Read) -> None:
    """Keep what was read beside the scene that it has just filled; a sequence then plays."""
    if isinstance(read, ReadCase):
        session.cache_case(read.case, read.ready)
        if read.play is not None:
            read.play(session)


def read_whole(
    path: Path, case: Path | None = None, read_scene: Callable[[Path], Read] | None = None
) -> Read:
    """Return what puts the content of a path into a scene, see `Opening.open`; in any thread.

    Raises
    ------
    InputError
        For an unknown kind of file, or an invalid one.
    """
    named = ", ".join(NAMED)
    if path.is_dir():
        inside = [name for name in NAMED if (path / name).is_file()]
        if not inside:
            raise InputError(
                _("{folder}: holds none of {names}, expected one of them; choose another folder."),
                folder=path.name,
                names=named,
            )
        path = path / inside[0]
    kind = next(iter(kinds_of(path)), "") if path.is_file() else NAMED.get(path.name, CASE)
    if kind == SCENE and read_scene is not None:
        return read_scene(path)
    if kind == TRACK:
        return read_track(path, case)
    if kind == RESULT or (case is not None and kind in WHOLES):
        return read_result(path, case)
    if kind == CASE or path.suffix.lower() == ".json":
        return read_case(path)
    raise InputError(
        _(
            "{file}: cannot be opened as a whole, expected one of {names}, or a scene (.mrb); drop "
            "a CT or X-rays here."
        ),
        file=path.name,
        names=named,
    )


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
