"""The sections of the panel, each a header with the state of the work over the form of a presenter, and the answer above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt

from ..session.presenters.answer import AnswerPresenter
from ..session.presenters.form import Text
from ..session.presenters.section import Presenter, State
from ..translation import _
from .form import QtForm
from .style import plain_tip, put, show_text

if TYPE_CHECKING:
    from .panel import Panel

SYMBOLS = {
    "todo": "\u25cb",
    "ready": "\u25d0",
    "running": "\u25b6",
    "done": "\u2714",
    "problem": "\u26a0",
    "check": "\u26a0",
    "reject": "\u2718",
}


class PanelSection:
    """Shows one presenter.

    Parameters
    ----------
    presenter
        Of the section.
    panel
        The panel.
    button
        The header, a ctkCollapsibleButton.
    number
        Of the section.
    """

    def __init__(self, presenter: Presenter, panel: Panel, button: Any, number: int) -> None:
        self.panel = panel
        self.button = button
        self.presenter = presenter
        self.title = f"{number}. {presenter.TITLE}"
        self.widget = qt.QWidget()
        button.layout().addWidget(self.widget)
        self.form = QtForm(panel, self.widget)

    def problems(self) -> list[str]:
        """Return the problems in the typed values here."""
        return self.form.problems()

    def refresh(self) -> None:
        """Show the scene as it is."""
        there = self.panel.registration is not None or self.presenter.BEGINS
        self.widget.enabled = there
        self.form.show(
            self.presenter.form()
            if there
            else [Text("no registration", _("Choose a CT, or load a case, first."))]
        )
        self._fit()
        self._show_state()

    def _fit(self) -> None:
        """Take the height of all texts: Slicer's panel takes one of several lines for one, and would push rows over each other."""
        height = self.widget.layout().heightForWidth(self.widget.width)
        put(self.widget, minimumHeight=max(height, 0))

    def _show_state(self) -> None:
        """Write the state into the header."""
        state = self.presenter.state() if self.panel.registration else State("todo")
        text = f"{SYMBOLS[state.kind]}  {self.title}" + (
            f"  \u2013  {state.text}" if state.text else ""
        )
        metrics = self.button.fontMetrics()
        room = self.button.width - 3 * metrics.height()
        put(self.button, text=metrics.elidedText(text, qt.Qt.ElideRight, room))
        put(self.button, toolTip="" if self.button.text == text else plain_tip(text))


#: Ground and text of the chip, readable (WCAG AA) on a light and on a dark window alike; others are
#: grey.
CHIPS = {
    "accept": ("#1a7f46", "#ffffff"),
    "check": ("#ffc04d", "#201600"),
    "checked": ("#46617d", "#ffffff"),
    "reject": ("#b3261e", "#ffffff"),
    "failed": ("#b3261e", "#ffffff"),
    "running": ("#1763b6", "#ffffff"),
}
GREY = ("#4f5b66", "#ffffff")


class AnswerBar(PanelSection):
    """Shows an AnswerPresenter, in `answerFrame` of MultiViewRegistration.ui."""

    presenter: AnswerPresenter

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.presenter = panel.answer_presenter
        self.form = QtForm(panel, panel.ui.answerForm)

    def refresh(self) -> None:
        """Show the scene as it is; nothing before there is a registration."""
        self.panel.ui.answerFrame.setVisible(self.panel.registration is not None)
        self.form.show(self.presenter.form())
        answer = self.presenter.answer()
        ui = self.panel.ui
        ground, text = CHIPS.get(answer.kind, GREY)
        sheet = f"background: {ground}; color: {text}; border-radius: 8px; padding: 2px 8px; font-weight: bold;"
        put(ui.answerChip, text=f"{answer.symbol} {answer.word}", styleSheet=sheet)
        put(ui.answerHeadline, text=answer.headline.replace(" %", "\u00a0%"))
        states = answer.views
        line = "    ".join(f"{state.symbol} {state.name}" for state in states)
        tip = plain_tip("\n".join(state.tip for state in states))
        show_text(line, ui.answerViews)
        put(ui.answerViews, toolTip=tip)
