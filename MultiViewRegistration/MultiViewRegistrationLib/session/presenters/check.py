"""The section Check: by what a person judges the pose."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...mrml import overlay
from .. import assessment, curves
from ..background_task import Worker
from ..comparison import SimilarityUpdater
from ..translation import _
from .cursor import CursorPresenter
from .register import verdict_state
from .section import PROBLEM, READY, TODO, Presenter, State

#: Each overlay mode's name, and what its colours say.
OVERLAYS = {
    "blend": (
        _("Blend"),
        _("The CT rendered as an X-ray (DRR), in the X-ray's greys. Where the CT ends, the X-ray alone is seen."),
    ),
    "flicker": (_("Flicker"), _("X-ray and DRR by turns: nothing must jump.")),
    "checkerboard": (
        _("Checkerboard"),
        _("Tiles of X-ray and DRR by turns: lines of bone must run on from tile to tile."),
    ),
    "edges": (_("Edges"), _("Orange: edges of the CT's bones, or of the structure that is registered.")),
    "colours": (_("Two colours"), _("X-ray in orange, DRR in blue: grey where they agree.")),
    "difference": (_("Difference"), _("Orange: the X-ray is brighter; blue: the DRR is brighter; dark: they agree.")),
    "off": (_("X-ray alone"), ""),
}


@dataclass(frozen=True)
class SimilarityRow:
    """share: of the longest bar there may be, from 0 to 1; None for no bar."""

    name: str
    text: str
    share: float | None


@dataclass(frozen=True)
class CheckShown:
    """What the widgets show.

    verdict: with what speaks against the pose, a sentence each.   judged: "accept", "check" or "reject", "" for none.
    left_out: what the last suggested masks leave out, "" for nothing.
    """

    verdict: list[str] = field(default_factory=lambda: [assessment.NOT_ASSESSED])
    judged: str = ""
    similarity: list[SimilarityRow] = field(default_factory=list)
    left_out: str = ""
    can_assess: bool = False
    can_leave_out: bool = False


@dataclass(frozen=True)
class TargetRow:
    """An error at a target, and a bound that it stays below.   share, bound: of the longest bar, from 0 to 1."""

    name: str
    text: str
    share: float
    bound: float = 0.0


@dataclass(frozen=True)
class PlotsShown:
    """How a result was found, and how far off it may be.

    rising: similarity by step; falling: the error to expect; cost, movement: of each level; {"name", "points"} each.
    predicted: errors to expect at the targets; targets: against the case's truth, with their mean.
    """

    rising: list[dict] = field(default_factory=list)
    falling: list[dict] = field(default_factory=list)
    cost: list[dict] = field(default_factory=list)
    movement: list[dict] = field(default_factory=list)
    predicted: list[TargetRow] = field(default_factory=list)
    targets: list[TargetRow] = field(default_factory=list)
    mean: str = ""


class CheckPresenter(Presenter):
    """Similarity where the CT is, the verdict, how it was found; `cursor` presents the linked cursor.

    maps: of each X-ray its name, how far off the targets may be as seen from it, and uint8 (rows, columns, 3) of where it disagrees.
    """

    TITLE = _("Check")

    def __init__(self, host) -> None:
        self.cursor = CursorPresenter(host)
        super().__init__(host)

    def reset(self) -> None:
        self._similarity = SimilarityUpdater(self.session) if self.session is not None else None
        self._left_out, self._plotted, self._plots = "", "", PlotsShown()
        self._drawing: Worker | None = None
        self.maps: list[tuple[str, str, np.ndarray]] = []
        self.cursor.reset()

    # What is shown

    def shown(self) -> CheckShown:
        if self.session is None:
            return CheckShown()
        judged, idle = assessment.verdict(self.session), not self.session.running
        self._left_out = "" if judged else self._left_out  # masks make a result stale
        return CheckShown(
            verdict=assessment.describe(self.session),
            judged=judged,
            similarity=self.similarity(),
            left_out=self._left_out,
            can_assess=idle,
            can_leave_out=judged in ("accept", "check") and idle,
        )

    def similarity(self) -> list[SimilarityRow]:
        """Of each X-ray, where the CT is now."""
        values = self._similarity.values
        return [_similarity_row(view, values.get(view.name)) for view in self.registration.xrays]

    def plots(self) -> PlotsShown:
        """Of the result that the CT is at, made once for each; `maps` of it follow."""
        if self.session is None:
            return PlotsShown()
        result = self.session.result if not self.session.history.moved else None
        key = self._key() if result is not None else ""
        if key != self._plotted:
            self._plotted, self.maps = key, []
            self._plots = _plots_of(result) if result is not None else PlotsShown()
            self._drawing = Worker(lambda tell: curves.maps(result)) if result is not None else None
        return self._plots

    def state(self) -> State:
        entry = self.session.history.current
        if entry is None or not (entry.fingerprint or entry.assessed):
            return State(TODO)
        judged = verdict_state(self.session)
        if judged:
            return judged
        if assessment.outdated_reason(self.session):
            return State(PROBLEM, _("assess anew"))
        return State(READY, _("look at every X-ray"))

    def tick(self) -> bool:
        """Take what was measured and drawn; whether there is something new to show."""
        measured = self._similarity.update()
        if self._drawing is None:
            return measured
        self._drawing.poll(0)
        if self._drawing.state == "running":
            return measured
        self.maps, self._drawing = self._drawing.result or [], None
        return True

    def _key(self) -> str:
        """Tells the entry of the history that the CT is at from others."""
        entry = self.session.history.current
        return entry.key if entry is not None else ""

    # What a person does

    def assess(self) -> None:
        """Assess the pose as it is."""
        assessment.assess(self.session)

    def leave_out(self) -> None:
        """Give the X-rays masks without what does not fit."""
        self._left_out = assessment.use_suggested_masks(self.session)

    def choose_overlay(self, mode: str) -> None:
        """Choose one of OVERLAYS."""
        if mode in overlay.MODES:
            self.registration.node.SetParameter(overlay.MODE, mode)

    def set_opacity(self, opacity: float) -> None:
        """Blend from 0, the X-ray alone, to 1, the DRR alone."""
        self.registration.node.SetParameter(overlay.OPACITY, str(round(min(max(float(opacity), 0.0), 1.0), 3)))


def _similarity_row(view, value: float | None) -> SimilarityRow:
    if not view.used:
        return SimilarityRow(view.name, _("skipped"), None)
    if value is None:
        return SimilarityRow(view.name, "", None)
    if not np.isfinite(value):
        return SimilarityRow(view.name, _("shows nothing of the CT"), None)
    return SimilarityRow(view.name, f"{value:.2f}", min(max(float(value), 0.0), 1.0))


def _plots_of(result) -> PlotsShown:
    errors, predicted = curves.errors_at_targets(result), curves.predicted_at_targets(result)
    longest, widest = max(errors, default=0.0) or 1.0, max((bound for _mm, bound in predicted), default=0.0) or 1.0
    return PlotsShown(
        rising=_lines(curves.similarity(result)),
        falling=_lines(curves.predicted(result)),
        cost=_lines(curves.cost(result)),
        movement=_lines(curves.movement(result)),
        predicted=[
            TargetRow(
                _("target {number}").format(number=number),
                _("{mm:.2f}, below {bound:.2f} mm").format(mm=mm, bound=bound),
                mm / widest,
                bound / widest,
            )
            for number, (mm, bound) in enumerate(predicted, start=1)
        ],
        targets=[
            TargetRow(_("target {number}").format(number=number), _("{mm:.2f} mm").format(mm=mm), mm / longest)
            for number, mm in enumerate(errors, start=1)
        ],
        mean=_("{mm:.2f} mm").format(mm=np.mean(errors)) if errors else "",
    )


def _lines(found: list[tuple[str, list]]) -> list[dict]:
    return [{"name": name, "points": points} for name, points in found]
