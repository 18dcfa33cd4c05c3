"""The common part of all sections' presenters.

Their state, nodes to choose from, questions that a file leaves open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...mrml.fingerprints import case_id
from ...translation import _
from .form import Choice, Form, Option, ProgressBar, TextField, choose_among

if TYPE_CHECKING:
    from ...mrml.registration import Registration
    from ..session import Session
    from .external_files import Question
    from .host import Host

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
