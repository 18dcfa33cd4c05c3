"""What presenters need of the panel or the page that shows them, and the common part of all sections.

Their state, nodes to choose from, questions that a file leaves open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ...io.datasets.chest import demo_case
from ...mrml.fingerprints import case_id
from ...mrml.loading import read_case
from ...mrml.registration import Registration
from ...translation import _
from .form import Choice, Form, Option, ProgressBar, TextField, choose_among

if TYPE_CHECKING:
    from ...mrml.xray import XRayView
    from ..session import Session
    from .external_files import Question
    from .files import FilesPresenter
    from .frontend import Opening
    from .sections import Sections


class Views(Protocol):
    """The views beside the forms."""

    def camera(self) -> Any:
        """Return the vtkMRMLCameraNode of the 3D view, None without one."""

    def size(self) -> tuple[int, int]:
        """Return (width, height) of the 3D view in pixels; only called where there is a camera."""

    def show_ct_slices(self) -> None:
        """Show slices of the CT to click in."""

    def show_in_xrays(self, boxes: dict[str, np.ndarray]) -> None:
        """Show these pixels, the lowest and the highest (2, 2), in the X-rays by their names; all of the others."""

    def show_bone(self, corners: np.ndarray | None) -> None:
        """Show what lies within these corners (8, 3), world LPS mm, in all views; all where it is None."""


class Hand(Protocol):
    """Mouse, keys and handles that move the CT while this is on, and else do not."""

    @property
    def on(self) -> bool:
        """Whether the CT is moved by hand now."""

    def keys(self) -> str:
        """Return the keys and mouse movements that move the CT, a line each."""

    def toggle(self) -> None:
        """Begin, or end."""

    def step(self) -> bool:
        """Follow the CT; return whether it has stopped elsewhere."""

    def exit(self) -> None:
        """End."""


class Segmenter(Protocol):
    """A module that segments the bones of a CT, while the host goes on.

    Attributes
    ----------
    running
        Whether it is at work.
    said
        What it has said last, a line.
    """

    running: bool
    said: str

    @property
    def installed(self) -> bool:
        """Whether it is there."""

    def begin(self, ct: Any, done: Callable[[Any, str], object]) -> None:
        """Begin to segment a volume node; `done` gets the segmentation node, or why there is none."""

    def cancel(self) -> None:
        """End it."""


class SlicerTools(Protocol):
    """What only a host within 3D Slicer has."""

    @property
    def segmenter(self) -> Segmenter:
        """TotalSegmentator, which may be missing."""

    def draw_mask(self, view: XRayView) -> None:
        """Draw the mask of an X-ray in the Segment Editor."""

    def show_in_module(self, node: Any) -> None:
        """Open Slicer's own module for an MRML node."""


class Host(ABC):
    """The panel in Slicer, or the page's application.

    One registration at work, its views, and one place for errors.

    Attributes
    ----------
    scene
        The vtkMRMLScene.
    registration, session
        At work; None without one.
    views
        The views beside the forms.
    hand
        The switch for moving the CT by hand.
    patience_s
        Seconds that a small file may take before a person is told that it is being looked at.
    installs_packages
        Whether missing Python packages can be installed from here.
    register_keys
        The keys that begin a registration, as "Ctrl+Return".
    replaces
        Whether a case that is opened takes the place of what is open.
    opening
        Reads what is opened as a whole.
    presenters
        Of the sections.
    files_presenter
        Of the files that are taken.
    """

    scene: Any
    registration: Registration | None
    session: Session | None
    views: Views
    hand: Hand
    patience_s: float
    installs_packages: bool
    register_keys: str
    replaces: bool
    opening: Opening
    presenters: Sections
    files_presenter: FilesPresenter
    _stale = True

    @property
    def slicer_tools(self) -> SlicerTools | None:
        """None outside 3D Slicer, where views and volume rendering are the host's own and files are sent by a browser."""
        return None

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
    def take_read(self, read: Any, autosaved: Path | None) -> None:
        """Put what was read, a `frontend.Read`, into the scene, and work on it.

        Parameters
        ----------
        autosaved
            The folder of the scene that this program kept of it.
        """

    @abstractmethod
    def ui_action(self) -> AbstractContextManager[None]:
        """Run an action in here: an error becomes a message, and all forms show the result."""

    @abstractmethod
    def show_message(self, message: str) -> None:
        """Show a sentence about what went wrong; "" takes it away."""

    def invalidate(self, caller: object = None, event: object = None) -> None:
        """Have everything shown as it is in the scene at the next tick."""
        self._stale = True

    def show_geometry(self, xray: XRayView | None = None) -> None:
        """Open the table of the X-rays' geometry, with this X-ray selected.

        Raises
        ------
        InputError
            Without any.
        """
        geometry = self.presenters.xrays.geometry
        geometry.show(xray)
        self.show_section("geometry", geometry.key_to_focus())
        self.invalidate()

    @abstractmethod
    def show_section(self, name: str, key: str = "") -> None:
        """Unfold a section, by its name in `presenters.sections`, "files" or "geometry", and bring it into sight.

        Parameters
        ----------
        key
            Of the control that gets the focus.
        """

    def question(self) -> str:
        """Return the key of the control at which files wait for an answer; "" for none."""
        return self.files_presenter.question()

    @abstractmethod
    def stop_moving(self) -> None:
        """Record the last movement by hand: others move the CT from now on."""

    @property
    def reading(self) -> bool:
        """Whether another registration, or another CT, is being read: that of before is not to be used meanwhile."""
        return self.opening.under_way or self.files_presenter.reads_ct

    @abstractmethod
    def waiting(self) -> str:
        """Return what the case waits for (files, an answer, a dialog), a sentence.

        "" for nothing.
        """

    @abstractmethod
    def missing_packages(self) -> str:
        """Return a sentence on the missing packages for DRRs; "" where all are installed."""


def can_move_by_hand(host: Host) -> bool:
    """Return whether the CT can be moved by hand now."""
    registration = host.registration
    session = host.session
    if registration is None or session is None:
        return False
    return registration.ct is not None and not session.running


#: How far a section is, or its verdict.
Kind = Literal["todo", "ready", "running", "done", "problem", "check", "reject"]


@dataclass(frozen=True)
class State:
    """The state of a section, with a few words."""

    kind: Kind
    text: str = ""


class Presenter:
    """The presenter of a section: its content and actions, as plain data and methods.

    The panel (Qt) and the page (Vue) only bind it.

    Its methods raise InputError, which the host shows; `form()` of a subclass returns its controls.

    Parameters
    ----------
    host
        The panel or the page's application.
    """

    TITLE = ""
    #: Whether the work can begin here, without a registration, which is made then: its form is
    #: shown without one.
    BEGINS = False
    #: Whether `tick` is called without a registration, too.
    WITHOUT_SESSION = False

    def __init__(self, host: Host) -> None:
        self.host = host
        self.reset()

    @property
    def registration(self) -> Registration:
        """The registration at work; only to be asked for where `host.registration` is not None."""
        assert self.host.registration is not None
        return self.host.registration

    @property
    def session(self) -> Session:
        """The session of the registration.

        Only to be asked for where `host.session` is not None.
        """
        assert self.host.session is not None
        return self.host.session

    @property
    def in_slicer(self) -> bool:
        """Whether the host is a module in 3D Slicer."""
        return self.host.slicer_tools is not None

    @property
    def changing(self) -> bool:
        """Whether what it shows changes by itself now, so that the host shows its form at each tick."""
        return False

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before.

        Also called in the beginning.
        """

    def state(self) -> State:
        """Return the state of the section; only called with a registration."""
        return State("todo")

    def form(self) -> Form:
        """Return the controls, see `form`."""
        return []

    def tick(self) -> bool:
        """Take what threads have done, and return whether there is something new to show."""
        return False

    def update_views(self) -> None:
        """Keep true what the views show.

        Called as often as `tick`, and also while the host is not seen.
        """

    def deactivate(self) -> None:
        """Take away what would no longer be kept true.

        Another registration is about to be chosen.
        """

    def exit(self) -> None:
        """End what only makes sense while the host is seen, with this registration."""


def progress_bar(key: str, progress: Any, stage: str, *more: str) -> ProgressBar:
    """Return how far work is.

    Parameters
    ----------
    progress
        Has a `fraction`; None while that is unknown.
    stage, more
        Written, "" for nothing.
    """
    label = ", ".join(filter(None, [stage[:1].upper() + stage[1:], *more]))
    return ProgressBar(key, label, percent=round(100 * progress.fraction) if progress else None)


def written_to(files: list[Path]) -> str:
    """Return where files were written, a sentence."""
    names = ", ".join(file.name for file in files)
    return _("Written to {folder}: {files}.").format(folder=files[0].parent, files=names)


def folder_name(what: str, registration: Registration) -> str:
    """Return a name for a folder of files.

    What they are, the case by its X-rays alone, and the time.
    """
    return f"{what}-{case_id(registration)}-{datetime.now():%Y%m%d-%H%M%S}"


def node_options(first: str, nodes: Iterable) -> tuple[Option, ...]:
    """Return nodes to choose from, by their IDs, after an option for none of them, "".

    Parameters
    ----------
    first
        Its title.
    """
    return (Option("", first), *(Option(node.GetID(), node.GetName()) for node in nodes))


def question_controls(
    prefix: str,
    questions: Sequence[Question],
    answers: Mapping[str, str],
    answer: Callable[[str, str], object],
) -> Form:
    """Return a box or a field for each question.

    Parameters
    ----------
    prefix
        Of the controls' keys.
    answers
        So far, by the questions' keys.
    answer
        Called with a question's key and its answer.
    """
    found: Form = []
    for question in questions:
        key = f"{prefix}.{question.key}"
        given = answers.get(question.key, "")
        act = partial(answer, question.key)
        if question.choices:
            options = choose_among(question.choices)
            found.append(
                Choice(key, question.label, act, value=given, options=options, tip=question.tip)
            )
        else:
            found.append(
                TextField(key, question.label, act, text=given, hint=question.tip, tip=question.tip)
            )
    return found
