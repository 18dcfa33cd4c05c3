"""The answer at the top of the panel.

The verdict, what stands behind it, and the next thing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..session.presenters.answer import (
    ACCEPT,
    CHECKED,
    FAILED,
    REJECT,
    RUNNING,
    AnswerPresenter,
)
from ..session.presenters.section import CHECK
from .form import QtForm
from .section import PanelSection
from .style import plain_tip, put

if TYPE_CHECKING:
    from .panel import Panel

#: Ground and text of the chip, readable (WCAG AA) on a light and on a dark window alike; others are
#: grey.
CHIPS = {
    ACCEPT: ("#1a7f46", "#ffffff"),
    CHECK: ("#ffc04d", "#201600"),
    CHECKED: ("#46617d", "#ffffff"),
    REJECT: ("#b3261e", "#ffffff"),
    FAILED: ("#b3261e", "#ffffff"),
    RUNNING: ("#1763b6", "#ffffff"),
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
        put(ui.answerViews, text=line, toolTip=tip)
        ui.answerViews.setVisible(bool(states))
