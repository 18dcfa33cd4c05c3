"""Asks a person whether the edges of the bone lie on the outlines of a pose, X-ray by X-ray."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...mrml import overlay
from ...translation import _
from .. import assessment
from ..history import CHECK
from .form import RENDERING, Button, Form, TextField
from .section import Presenter


class EdgesPresenter(Presenter):
    """Shows each X-ray where its edges decide, and keeps what a person says of them.

    Attributes
    ----------
    initials
        Of the person who looks, as long as the program runs.
    """

    initials = ""

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._left: list[str] = []
        self._windows: list[tuple[Any, tuple[float, float]]] = []

    @property
    def possible(self) -> bool:
        """Whether there is a pose to look at: one to be checked, and no frame of a sequence."""
        return self.session.sequence.frame is None and assessment.verdict(self.session) == CHECK

    @property
    def view(self) -> str:
        """The X-ray that is asked about; "" for none."""
        return self._left[0] if self._left and self.possible else ""

    @property
    def question(self) -> str:
        """What is asked, a sentence; "" for nothing."""
        question = _("{view}: does the edge of the bone lie on the orange line?")
        return question.format(view=self.view) if self.view else ""

    def button(self) -> Button:
        """Return what begins to ask."""
        tip = _("Say of each X-ray, where its edges decide, whether they lie on the orange line.")
        return Button("edges", _("Look at the edges"), self.begin, needs=(RENDERING,), tip=tip)

    def form(self) -> Form:
        """Return the answers to choose from."""
        drawn = self.session.anatomy is not None and self.session.drawing.sharp
        asked: dict[str, Any] = {"everywhere": True, "enabled": drawn}
        asked["tip"] = _("It is kept with your initials and the time.")
        return [
            TextField("initials", _("Your initials"), self.sign, text=self.initials),
            Button("yes", _("Yes"), partial(self.answer, True), keys=("Y",), **asked),
            Button("no", _("No"), partial(self.answer, False), keys=("N",), **asked),
            Button("leave", _("Not now"), self.leave),
        ]

    # What a person does

    def begin(self) -> None:
        """Ask of the X-rays that nobody has looked at, or of all again."""
        entry = self.session.history.current
        names = [view.name for view in self.registration.used_xrays]
        answered = entry.checks if entry is not None else {}
        self._left = [name for name in names if name not in answered] or names
        self.registration.node.SetParameter(overlay.MODE, "edges")
        self._show()

    def answer(self, on_line: bool) -> None:
        """Keep the answer, and ask of the next X-ray."""
        assessment.check_edges(self.session, self.view, on_line, self.initials)
        self._left = self._left[1:]
        self._show()

    def leave(self) -> None:
        """Ask no more; what was answered stays."""
        self._left = []
        self._show()

    def sign(self, initials: str) -> None:
        """Say whose the answers are."""
        self.initials = initials.strip()

    def _show(self) -> None:
        """Show the X-ray that is asked about where its edges decide, in the greys that are there, and all of the others."""
        for display, window in self._windows:
            display.SetWindowLevelMinMax(*window)
        self._windows = []
        boxes = assessment.where_decisive(self.session)
        asked = [each for each in self.registration.used_xrays if each.name == self.view]
        for view in asked if self.view in boxes else ():
            self._windows = [(view.node.GetDisplayNode(), overlay.xray_window(view))]
            overlay.show_greys_within(view, boxes[view.name])
        self.host.views.show_in_xrays({each: boxes[each] for each in boxes if each == self.view})
