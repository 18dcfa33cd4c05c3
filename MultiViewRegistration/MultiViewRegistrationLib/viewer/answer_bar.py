"""The answer over the views: the verdict, what stands behind it, and the next thing to do."""

from __future__ import annotations

from dataclasses import asdict

from trame.widgets import html

from ..session.translation import _
from .page_section import PageSection


class AnswerBar(PageSection):
    """Shows an AnswerPresenter; `state.answer` of the server has its answer, a `presenters.answer.Answer` as plain data."""

    def build(self) -> None:
        """Put the bar into the layout that is being made."""
        with html.Section(classes="mv-answer", aria_label=_("Answer")):
            with html.Div(classes="mv-answer-words", role="status"):
                with html.Span(classes=("'mv-chip mv-chip-' + answer.kind",)):
                    html.Span("{{ answer.symbol }}", aria_hidden="true")
                    html.Span("{{ answer.word }}")
                html.Span("{{ answer.headline }}", classes="mv-headline")
                with html.Span(
                    v_for="view in answer.views",
                    key="view.name",
                    classes=("'mv-view-state mv-view-' + view.state",),
                    title=("view.tip",),
                ):
                    html.Span("{{ view.symbol }}", role="img", aria_label=("view.tip",))
                    html.Span("{{ view.name }}")
            super().build()

    def refresh(self) -> None:
        super().refresh()
        self.application.state.answer = asdict(self.presenter.answer())
