"""By what a person judges the pose: overlays, similarity, points that must agree."""

from __future__ import annotations

from contextlib import suppress

from slicer.i18n import tr as _

from ..errors import InputError
from ..session import assessment
from ..session.presenters.section import PROBLEM, READY, TODO, State
from .check_overlays import Overlays
from .check_points import Points
from .check_similarity import Judgement
from .section import Section, verdict_state


class CheckSection(Section):
    """Three parts, each over some widgets of Check.ui."""

    FILE = "Check.ui"
    TITLE = _("5. Check")

    def connect(self) -> None:
        self.overlays, self.judgement, self.points = Overlays(self), Judgement(self), Points(self)
        self._parts = (self.overlays, self.judgement, self.points)
        self._of = None

    def refresh(self) -> None:
        self._adopt()
        for part in self._parts:
            part.refresh()

    def state(self) -> State:
        entry = self.session.history.current
        if entry is None or not (entry.fingerprint or entry.assessed):
            return State(TODO)
        judged = verdict_state(self.session)
        if judged:
            return judged
        return (
            State(PROBLEM, _("assess anew"))
            if assessment.outdated_reason(self.session)
            else State(READY, _("look at every X-ray"))
        )

    def follow(self) -> None:
        self._adopt()
        for part in self._parts:
            with suppress(InputError):  # of a scene that is not complete yet
                part.follow()

    def tick(self) -> None:
        for part in self._parts:
            with suppress(InputError):
                part.tick()

    def leave(self) -> None:
        self.points.leave()

    def let_go(self) -> None:
        if self._of is not None and self._of.scene is not None:
            for part in self._parts:
                part.let_go()
        self._of = None

    def _adopt(self) -> None:
        if self._of != self.registration:
            self._of = self.registration
            for part in self._parts:
                part.adopt()
