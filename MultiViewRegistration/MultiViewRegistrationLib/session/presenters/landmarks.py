"""Landmarks that are clicked in the CT and in the X-rays, or read from files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ...mrml import landmarks
from ...mrml.landmarks import ClickOrder, landmark_list
from ...mrml.nodes import is_placing, place, stop_placing
from ...mrml.xray import XRayView
from ..external_files import PLACE_QUESTION, landmarks_to_ct, landmarks_to_xray
from ..readiness import missing_at_start
from ..translation import _
from .options import OpenQuestion, Option, open_questions
from .section import Presenter

CLICKED, MISFIT = "\u2714", "\u26a0"
#: Instead of the ID of an X-ray's node.
OF_CT = ""


@dataclass(frozen=True)
class LandmarkCell:
    """A landmark in the CT or an X-ray.   next: whether the next click there is this one.   off: whether it was left out of the fit."""

    text: str
    tip: str
    next: bool = False
    off: bool = False


@dataclass(frozen=True)
class LandmarkRow:
    """clicked: whether it has been clicked anywhere; else it is the name of the next click somewhere."""

    name: str
    clicked: bool
    cells: list[LandmarkCell]


@dataclass(frozen=True)
class LandmarksShown:
    """places: the CT and the X-rays, a column each.   placing: whether clicks place landmarks now."""

    rows: list[LandmarkRow] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    placing: bool = False
    told: str = ""


class LandmarksPresenter(Presenter):
    """A table of landmarks by where they have been clicked, while the start is from landmarks."""

    def reset(self) -> None:
        self._order, self._seen = ClickOrder(), None

    @property
    def active(self) -> bool:
        """Whether the registration starts from landmarks."""
        return self.registration is not None and self.registration.start == "landmarks"

    @property
    def placing(self) -> bool:
        """Whether a click in a view places a landmark."""
        return self.registration is not None and any(is_placing(one) for one in landmarks.lists(self.registration))

    def shown(self) -> LandmarksShown:
        if self.registration is None:
            return LandmarksShown()
        clicked = landmarks.clicked(self.registration)
        result = self.session.result
        fit = result and result.landmark_fit
        residuals = {} if fit is None else {(one.name, one.view): one for one in fit.residuals}
        coming = {where: self._next(where) for where in clicked}
        named = list(dict.fromkeys(name for names in clicked.values() for name in names))
        return LandmarksShown(
            rows=[
                LandmarkRow(
                    name,
                    name in named,
                    [
                        _cell(name in names, coming[where] == name, residuals.get((name, where)))
                        for where, names in clicked.items()
                    ],
                )
                for name in dict.fromkeys([*named, *coming.values()])
            ],
            places=list(clicked),
            placing=self.placing,
            told=missing_at_start(self.session, "landmarks") or _told(fit),
        )

    def _next(self, where: str) -> str:
        """The name that the next click gets there."""
        owner = self.registration.node if where == landmarks.CT else self._view_of(where).node
        return landmarks.next_name(
            self.registration, owner.GetNodeReference(landmarks.LANDMARKS), self._order.next(where)
        )

    def _view_of(self, name: str) -> XRayView:
        return next(view for view in self.registration.xrays if view.name == name)

    def tick(self) -> bool:
        """Name what was clicked, and follow what was moved."""
        if not self.active:
            return False
        if self.registration.ct is not None:
            landmarks.tidy(self.registration, self._order)
        before, self._seen = self._seen, (landmarks.clicked(self.registration), self.placing)
        return before != self._seen

    # What a person does

    def begin(self) -> None:
        """Have clicks in the views place landmarks."""
        place(landmark_list(self.registration))

    def stop(self) -> None:
        """Clicks are what they were before."""
        if self.registration is not None and self.registration.scene is not None and self.placing:
            stop_placing(self.registration.scene)

    def put(self, view: XRayView, column: float, row: float) -> None:
        """Place a landmark on a pixel of an X-ray."""
        landmark_list(self.registration, view).AddControlPoint(*map(float, view.ras_of([column, row])))
        landmarks.tidy(self.registration, self._order)

    def next_at(self, where: str, name: str) -> None:
        """Have the next click there be this landmark."""
        self._order.choose(where, name)

    def remove(self, name: str) -> None:
        """Remove a landmark everywhere."""
        landmarks.remove(self.registration, name)


def _cell(clicked: bool, coming: bool, residual) -> LandmarkCell:
    if clicked and residual is not None:
        text = _("{mm:.1f} mm").format(mm=residual.residual_mm)
        tip = _("{px:.1f} pixels from where the landmarks' pose has it: {status}.").format(
            px=residual.residual_px, status=residual.status
        )
        return LandmarkCell(text if residual.used else f"{MISFIT} {text}", tip, off=not residual.used)
    if clicked:
        return LandmarkCell(CLICKED, _("Clicked."))
    if coming:
        return LandmarkCell("", _("The next click here is this landmark."), next=True)
    return LandmarkCell("", _("Not clicked yet. Click this cell to make it the next one here."))


def _told(fit) -> str:
    if fit is None:
        return _("Click an empty cell to say which landmark comes next there.")
    used = sum(residual.used for residual in fit.residuals)
    told = _("The landmarks fit their pose within {mm:.1f} mm (root mean square of {used} positions).").format(
        mm=fit.rms_mm, used=used
    )
    if used == len(fit.residuals):
        return told
    left_out = _("Those with {mark} do not fit and were left out: {count}.").format(
        mark=MISFIT, count=len(fit.residuals) - used
    )
    return f"{told} {left_out}"


@dataclass(frozen=True)
class LandmarkFileShown:
    """owner: what the points are of, of `owners`.   ready: whether a file can be read.   told: what to do, or what is read."""

    owner: str = OF_CT
    owners: list[Option] = field(default_factory=list)
    questions: list[OpenQuestion] = field(default_factory=list)
    ready: bool = False
    told: str = ""


class LandmarkFilePresenter(Presenter):
    """What the points of a file are of: the CT, or an X-ray, and then where they lie."""

    def reset(self) -> None:
        self._owner, self._place = OF_CT, ""

    def shown(self) -> LandmarkFileShown:
        view = self._view()
        ready = (
            bool(self._place)
            if view is not None
            else self.registration is not None and self.registration.ct is not None
        )
        return LandmarkFileShown(
            owner=self._owner if view is not None else OF_CT,
            owners=[Option(OF_CT, _("the CT")), *(Option(other.node.GetID(), other.name) for other in self._views())],
            questions=open_questions([PLACE_QUESTION] if view is not None else [], {PLACE_QUESTION.key: self._place}),
            ready=ready,
            told=_("Reads .mrk.json or .fcsv, as Slicer saves them; points of a name that is there are moved.")
            if ready
            else _("Choose a CT first.")
            if view is None
            else _("Say first where the points lie."),
        )

    def _views(self) -> list[XRayView]:
        xrays = self.registration.xrays if self.registration is not None else []
        return [view for view in xrays if view.used and view.placed]

    def _view(self) -> XRayView | None:
        """The X-ray whose landmarks they are, None for the CT."""
        return next((view for view in self._views() if view.node.GetID() == self._owner), None)

    def choose(self, owner: str) -> None:
        """Say what the landmarks are of: an X-ray, by the ID of its node, or OF_CT."""
        self._owner = str(owner or OF_CT)

    def answer(self, key: str, answer: str) -> None:
        """Say where the points of an X-ray lie."""
        self._place = str(answer or "")

    def read(self, path: Path) -> None:
        """Read the landmarks of a file. InputError for what is wrong in it."""
        if self.registration is None:
            raise InputError(_("Landmarks: there is no registration, expected one with a CT; open or begin one."))
        view = self._view()
        if view is None:
            landmarks_to_ct(self.registration, path)
        else:
            landmarks_to_xray(self.registration, view, path, self._place)
