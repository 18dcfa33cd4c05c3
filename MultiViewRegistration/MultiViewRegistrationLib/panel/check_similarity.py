"""Similarity by X-ray, and the verdict."""

from __future__ import annotations

import numpy as np
from slicer.i18n import tr as _

from ..session import assessment
from ..session.assessment import use_suggested_masks
from ..session.comparison import SimilarityUpdater
from . import packages
from .looks import CAUTION, ERROR, PLAIN, set_tone
from .part import Part
from .tables import fill, set_up


class Judgement(Part):
    """What the program says of the pose as it is now."""

    def connect(self) -> None:
        self._similarity: SimilarityUpdater | None = None
        self._left_out = ""
        self.ui.assessButton.clicked.connect(self._assess)
        self.ui.leaveOutButton.clicked.connect(self._leave_out)
        set_up(self.ui.similarityTable, [_("X-ray"), _("Similarity")])

    def adopt(self) -> None:
        self._similarity, self._left_out = SimilarityUpdater(self.session), ""

    def refresh(self) -> None:
        self._show_similarity()
        self._show_verdict()

    def tick(self) -> None:
        if self._similarity.update():
            self._show_similarity()

    def _assess(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))
            assessment.assess(self.session)

    def _leave_out(self) -> None:
        with self.panel.acting():
            packages.ensure(self.panel.resource_path("requirements.txt"))
            self._left_out = use_suggested_masks(self.session)

    def _show_similarity(self) -> None:
        values = self._similarity.values
        fill(
            self.ui.similarityTable,
            [
                (view.name, _told(values.get(view.name)) if view.used else _("skipped"))
                for view in self.registration.xrays
            ],
        )

    def _show_verdict(self) -> None:
        judged = assessment.verdict(self.session)
        if judged:
            self._left_out = ""
        set_tone(self.ui.verdictLabel, {"check": CAUTION, "reject": ERROR}.get(judged, PLAIN))
        self.ui.verdictLabel.text = "\n".join(filter(None, [*assessment.describe(self.session), self._left_out]))
        self.ui.assessButton.enabled = not self.session.running
        self.ui.leaveOutButton.enabled = judged in ("accept", "check") and not self.session.running


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if np.isfinite(value) else _("shows nothing of the CT")
