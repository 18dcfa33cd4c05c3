"""A start pose from a file that a page sent."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from trame.widgets import html
from trame.widgets import vuetify3 as v

from ..session.presenters.pose_file import PoseFilePresenter
from ..session.translation import _
from .elements import Files
from .uploads import only_one
from .xray_forms import build_questions

KINDS = ".tfm,.txt,.h5,.hdf5,.npy,.json"


class PoseFileCard:
    """A place for the file, what that leaves open, and a button that puts the CT there.

    section: the `StartSection` that shows it.
    """

    def __init__(self, section) -> None:
        self._section, self.presenter = section, PoseFilePresenter(section.application)

    def build(self) -> None:
        with html.Details(
            v_if="['given', 'search', 'by hand'].includes(start.start) && start.numbers.length", classes="mv-details"
        ):
            html.Summary(_("A pose from a file"))
            Files(target="pose", hint=_("a pose: ITK or Slicer transform, 4 × 4 matrix"), accept=KINDS)
            html.Div("{{ start.pose_file.name }}", v_if="start.pose_file.name", classes="mv-name mt-2")
            build_questions("start.pose_file.questions", self._section.acting(self.presenter.answer))
            html.Div(
                "{{ start.pose_file.problem }}", v_if="start.pose_file.problem", classes="mv-problem", role="alert"
            )
            v.VBtn(
                _("Put the CT there"),
                v_if="start.pose_file.name && !start.pose_file.problem",
                click=self._section.acting(lambda: self._section.presenter.place_at(self.presenter.pose())),
                size="small",
                variant="tonal",
                classes="mt-2",
                disabled=("!start.pose_file.ready || register.running",),
            )

    def content(self) -> dict:
        """What the widgets show."""
        return asdict(self.presenter.shown())

    def take(self, folder: Path) -> None:
        """A file that a page sent. InputError for several."""
        self._section.acting(self.presenter.open)(only_one(folder, _("Start pose")), folder)
