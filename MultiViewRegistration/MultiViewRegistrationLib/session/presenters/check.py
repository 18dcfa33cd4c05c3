"""The section Check: by what a person judges the pose."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from ...errors import InputError
from .. import assessment, curves
from ..assessment import SimilarityUpdater
from ..background_task import Worker
from ..translation import _
from .cursor import CursorPresenter
from .form import (
    CAUTION,
    ERROR,
    QUIET,
    RENDERING,
    STRONG,
    Button,
    Cell,
    Control,
    Line,
    Picture,
    Table,
    Text,
    group,
    row,
)
from .overlays import OverlaysPresenter
from .register import verdict_state
from .section import PROBLEM, READY, TODO, Presenter, State


class CheckPresenter(Presenter):
    """The verdict, similarity where the CT is, how it was found; with `overlays`, and the `cursor`."""

    TITLE = _("Check")

    def __init__(self, host) -> None:
        self.overlays, self.cursor = OverlaysPresenter(host), CursorPresenter(host)
        super().__init__(host)

    def reset(self) -> None:
        self._similarity = SimilarityUpdater(self.session) if self.session is not None else None
        self._left_out, self._of, self._changed = "", "", False
        self._found: list[Control] = []
        self._maps: list[Control] = []
        self._drawing: Worker | None = None
        self.overlays.reset()
        self.cursor.reset()

    # What is shown

    @property
    def changing(self) -> bool:
        return self._changed

    def form(self) -> list[Control]:
        self._changed = False
        self._look_at_result()
        session, judged = self.session, assessment.verdict(self.session)
        self._left_out = "" if judged else self._left_out  # masks make a result stale
        headline, *reasons = assessment.describe(session)
        verdict = {"check": CAUTION, "reject": ERROR}.get(judged, STRONG)
        return [
            *(self.overlays.form() if self.host.in_slicer else []),
            Text("verdict", headline, tone=verdict),
            *(Text(f"reason{number}", reason) for number, reason in enumerate(reasons)),
            row(
                "judge",
                Button(
                    "assess",
                    _("Assess this pose"),
                    self.assess,
                    enabled=not session.running,
                    needs=(RENDERING,),
                    tip=_(
                        "Say how far the pose as it is can be trusted, without a registration. At best it is to be checked: "
                        "how often poses set by hand are wrong was not measured."
                    ),
                ),
                Button(
                    "leave_out",
                    _("Leave out what does not fit"),
                    self.leave_out,
                    enabled=judged in ("accept", "check") and not session.running,
                    needs=(RENDERING,),
                    tip=_(
                        "Give the X-rays masks without the parts that disagree with the CT here, as tools or what moved; they "
                        "can be edited in X-rays, Image. A registration with them is at best to be checked."
                    ),
                ),
            ),
            Text("left_out", self._left_out),
            Table(
                "similarity",
                _("Similarity, where the CT is now"),
                columns=(_("X-ray"), _("Similarity")),
                lines=tuple(self._similarity_line(view) for view in self.registration.xrays),
                tip=_("Local NCC of X-ray and DRR, 1 at best. A high value is no proof of a right pose."),
            ),
            group("maps", _("Where each X-ray disagrees, and how far off the targets may be"), *self._maps, open=False),
            *self._found,
            *self.cursor.form(),
        ]

    def _similarity_line(self, view) -> Line:
        value = self._similarity.values.get(view.name)
        if not view.used:
            cell = Cell(_("skipped"))
        elif value is None:
            cell = Cell("")
        elif not np.isfinite(value):
            cell = Cell(_("shows nothing of the CT"))
        else:
            cell = Cell(f"{value:.2f}", share=min(max(float(value), 0.0), 1.0))
        return Line(view.name, (Cell(view.name), cell))

    def _look_at_result(self) -> None:
        """Have what there is to show of the result that the CT is at, made once for each; `_maps` of it follow."""
        entry, result = self.session.history.current, self.session.result
        there = entry is not None and result is not None and not self.session.history.moved
        key = entry.key if there else ""
        if key != self._of:
            self._of, self._maps = key, []
            self._found = [*_errors(result), _refinement(result)] if there else []
            self._drawing = Worker(lambda tell: curves.maps(result)) if there else None

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
        """Take what was measured and drawn, which only this section shows."""
        self._changed |= self._similarity.update()
        if self._drawing is not None:
            self._drawing.poll(0)
            if self._drawing.state != "running":
                maps, self._drawing, self._changed = self._drawing.result or [], None, True
                legend = Text(
                    "map_legend", _("Orange: less alike than noise explains. Dark: not compared."), tone=QUIET
                )
                pictures = (Picture(f"map.{name}", f"{name}: {text}", rgb=rgb) for name, text, rgb in maps)
                self._maps = [legend, *pictures] if maps else []
        self._changed |= self.cursor.tick()
        return False

    def follow(self) -> None:
        with suppress(InputError):  # of a scene that is not complete yet
            self.overlays.follow()
        self.cursor.follow()

    def let_go(self) -> None:
        self.overlays.let_go()
        if self.registration is not None and self.registration.scene is not None:
            self.cursor.clear()

    def leave(self) -> None:
        self.cursor.stop()

    # What a person does

    def assess(self) -> None:
        """Assess the pose as it is."""
        assessment.assess(self.session)

    def leave_out(self) -> None:
        """Give the X-rays masks without what does not fit."""
        self._left_out = assessment.use_suggested_masks(self.session)


def _errors(result) -> list[Control]:
    """Errors at the targets: to be expected, and against the case's truth."""
    errors, predicted = curves.errors_at_targets(result), curves.predicted_at_targets(result)
    target, widest = _("target {number}"), max((bound for _mm, bound in predicted), default=0.0)
    expected = [(target.format(number=n), [mm, bound], widest) for n, (mm, bound) in enumerate(predicted, start=1)]
    true = [(target.format(number=n), [mm], max(errors)) for n, mm in enumerate(errors, start=1)]
    columns = _("Target"), _("Expected (mm)"), _("In 95 of 100 below (mm)")
    mean = _("Error at the targets, against the case's truth: mean {mm:.2f} mm").format(mm=np.mean(errors or 0))
    return [
        group("predicted", _("Predicted error at the targets"), *_bars("expected", columns, expected), open=False),
        group("true", mean, *_bars("errors", (_("Target"), _("Error (mm)")), true), open=False),
    ]


def _bars(key: str, columns: tuple[str, ...], rows: list[tuple[str, list[float], float]]) -> list[Control]:
    """A table of a name and lengths each, which have bars; nothing where there are none."""
    lines = [
        Line(name, (Cell(name), *(Cell(f"{mm:.2f}", share=mm / (longest or 1.0)) for mm in lengths)))
        for name, lengths, longest in rows
    ]
    return [Table(key, columns=columns, lines=tuple(lines))] if lines else []


def _refinement(result) -> Control:
    """How the refinement went."""
    step, mm = _("step"), _("mm, log scale")
    plots = (
        (_("Similarity"), _("local NCC"), curves.similarity(result)),
        (_("Error to expect at the targets, had it ended there"), mm, curves.predicted(result)),
        (_("Cost, of each level's first"), "%", curves.cost(result)),
        (_("How far each step moved the CT"), mm, curves.movement(result)),
    )
    pictures = (
        Picture(f"plot{number}", title, svg=curves.plot(title, step, up, lines, log=up == mm))
        for number, (title, up, lines) in enumerate(plots)
        if lines
    )
    return group("refinement_plots", _("How the refinement went"), *pictures, open=False)
