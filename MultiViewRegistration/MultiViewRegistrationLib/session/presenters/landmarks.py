"""Landmarks that are clicked in the CT and in the X-rays, or read from files."""

from __future__ import annotations

from functools import partial
from itertools import chain

from ...geometry.landmarks import LandmarkFit, LandmarkResidual
from ...mrml import landmarks, overlay
from ...mrml.landmarks import ClickOrder, landmark_list
from ...mrml.nodes import place, stop_placing
from ...mrml.xray import XRayView
from ...translation import _
from ..registering import missing_at_start
from .form import Button, Cell, Files, Form, Table, Text, line, quiet, row
from .section import Presenter

CLICKED = "\u2714"
MISFIT = "\u26a0"


class LandmarksPresenter(Presenter):
    """A table of landmarks by where they have been clicked, while the start is from landmarks."""

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._order = ClickOrder()
        self._selected = ""
        self._warned = False
        self._mode_before = ""
        self._seen: tuple | None = None

    @property
    def placing(self) -> bool:
        """Whether a click in a view places a landmark."""
        return self.host.registration is not None and landmarks.are_being_placed(self.registration)

    def form(self) -> Form:
        """Return the controls."""
        clicked = landmarks.clicked(self.registration)
        fit = self.session.landmarks.fit
        residuals = self.session.landmarks.residuals
        order = self._order
        coming = {each: landmarks.next_in(self.registration, each, order) for each in clicked}
        named = list(dict.fromkeys(chain(*clicked.values())))
        lines = []
        for name in dict.fromkeys([*named, *coming.values()]):
            there = []
            for where, names in clicked.items():
                residual = residuals.get((name, where))
                there.append(_cell(name in names, coming[where] == name, residual))
            lines.append(line(name, name, *there))
        placing = self.placing
        selected = self._selected if self._selected in named else ""
        return [
            *self._asked(),
            Table(
                "landmarks",
                _("Landmarks"),
                self.pick,
                columns=(_("Landmark"), *clicked),
                lines=tuple(lines),
                selected=selected,
                cells=True,
            ),
            row(
                "landmark_buttons",
                Button(
                    "click",
                    _("Stop clicking") if placing else _("Click landmarks"),
                    self.stop if placing else self.begin,
                    on=placing,
                    enabled=self.registration.ct is not None,
                    tip=_("Click the same points in the slices of the CT and in each X-ray."),
                ),
                Button(
                    "undo_landmark",
                    _("Undo"),
                    self.undo,
                    enabled=self.can_undo,
                    tip=_("Take back the last click (Ctrl+Z while landmarks are clicked)."),
                ),
                Button(
                    "remove_landmark",
                    _("Remove"),
                    partial(landmarks.remove, self.registration, selected),
                    enabled=bool(selected),
                    tip=_("Remove the landmark in the selected row everywhere."),
                ),
            ),
            quiet(
                "fit",
                missing_at_start(self.session, "landmarks") or _describe_fit(fit),
            ),
            Files(
                "markups",
                _("Landmarks from a file..."),
                self.host.take_files,
                hint=_("landmarks: .mrk.json or .fcsv, as Slicer saves them"),
                suffixes=(".json", ".fcsv"),
            ),
        ]

    def _asked(self) -> Form:
        """Return the question whether points outside the CT are meant."""
        count = len(landmarks.outside_ct(self.registration))
        if not count:
            return []
        question = _("A landmark was clicked outside the CT. Was that meant?")
        if count > 1:
            question = _("{count} landmarks were clicked outside the CT. Was that meant?")
        keep = partial(landmarks.tidy, self.registration, self._order, outside=True)
        return [
            Text("outside", question.format(count=count), tone="caution"),
            row(
                "outside_answers",
                Button(
                    "remove_outside",
                    _("Remove"),
                    partial(landmarks.remove_outside, self.registration),
                ),
                Button("keep_outside", _("Keep"), keep),
            ),
        ]

    def tick(self) -> bool:
        """Name what was clicked, and follow what was moved."""
        if self.registration.start != "landmarks":
            self.stop()
            return False
        if self.registration.ct is not None:
            landmarks.tidy(self.registration, self._order)
            self._warn_once()
        outside = len(landmarks.outside_ct(self.registration))
        if not self.placing:
            self._show_overlay()
        before = self._seen
        self._seen = (landmarks.clicked(self.registration), outside, self.placing)
        return self.session.landmarks.update() | (before != self._seen)

    def _warn_once(self) -> None:
        count = 0 if self._warned else landmarks.without_place(self.registration)
        if count:
            self._warned = True
            self.session.notices.warn(
                _(
                    "Landmarks: {count} without a place, as in a damaged file; remove them, and "
                    "click them again."
                ).format(count=count)
            )

    # What a person does

    def begin(self) -> None:
        """Have clicks in the views place landmarks, on the X-rays alone."""
        self.host.hand.exit()
        self.host.views.show_ct_slices()
        self._mode_before = overlay.mode_of(self.registration)
        self.registration.node.SetParameter(overlay.MODE, "off")
        place(landmark_list(self.registration))

    def stop(self) -> None:
        """Give clicks back their usual meaning."""
        if self.placing and self.registration.scene is not None:
            stop_placing(self.registration.scene)
            self._show_overlay()

    def _show_overlay(self) -> None:
        """Show over the X-rays what was there before landmarks were clicked, unless a person has chosen."""
        before = self._mode_before
        self._mode_before = ""
        if before and overlay.mode_of(self.registration) == "off":
            self.registration.node.SetParameter(overlay.MODE, before)

    def put(self, view: XRayView, column: float, row: float) -> None:
        """Place a landmark on a pixel of an X-ray."""
        landmark_list(self.registration, view).AddControlPoint(
            *map(float, view.ras_of([column, row]))
        )
        landmarks.tidy(self.registration, self._order)

    @property
    def can_undo(self) -> bool:
        """Whether a point was clicked that can be taken back."""
        return bool(self._order.clicks or landmarks.outside_ct(self.registration))

    def undo(self) -> None:
        """Remove the point that was clicked last."""
        landmarks.undo_click(self.registration, self._order)

    def pick(self, name: str, column: int) -> None:
        """Select a landmark; in the column of the CT or an X-ray also have the next click there be this one."""
        self._selected = name
        if column:
            self._order.choose(list(landmarks.clicked(self.registration))[column - 1], name)


def _cell(clicked: bool, coming: bool, residual: LandmarkResidual | None) -> Cell:
    """Return a landmark in the CT or an X-ray."""
    if clicked and residual is not None:
        text = _("{mm:.1f} mm").format(mm=residual.residual_mm)
        tip = _("{px:.1f} pixels from where the landmarks' pose has it: {status}.").format(
            px=residual.residual_px, status=residual.status
        )
        return Cell(text, tip) if residual.used else Cell(f"{MISFIT} {text}", tip, "caution")
    if clicked:
        return Cell(CLICKED, _("Clicked."))
    if coming:
        return Cell(_("next"), _("The next click here is this landmark."))
    return Cell("", _("Not clicked yet. Click this cell to make it the next one here."))


def _describe_fit(fit: LandmarkFit | None) -> str:
    if fit is None:
        return _("Click an empty cell to say which landmark comes next there.")
    used = sum(residual.used for residual in fit.residuals)
    text = _(
        "The landmarks fit their pose within {mm:.1f} mm (root mean square of {used} positions)."
    ).format(mm=fit.rms_mm, used=used)
    if used == len(fit.residuals):
        return text
    left_out = _("Those with {mark} do not fit and were left out: {count}.").format(
        mark=MISFIT, count=len(fit.residuals) - used
    )
    return f"{text} {left_out}"
