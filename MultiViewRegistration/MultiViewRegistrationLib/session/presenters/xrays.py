"""The X-rays: a table of them, files that are added, and editors of the one that is selected."""

from __future__ import annotations

import shutil
from dataclasses import astuple, dataclass, field
from pathlib import Path

from ...errors import InputError
from ...imaging.view import SharedUnknowns
from ...mrml.case import set_shared_unknowns, shared_unknowns_of
from ...mrml.layout import colour, tag_of
from ...mrml.xray import XRayView
from .. import adding
from ..adding import rename
from ..background_task import Worker
from ..comparison import result_similarity
from ..geometry import certainty, describe, needs_geometry, reference_of
from ..readiness import Readiness
from ..translation import _
from .certainty import CertaintyPresenter, CertaintyShown
from .geometry import GeometryPresenter, GeometryShown
from .image import ImagePresenter, ImageShown
from .number import Number
from .section import PROBLEM, READY, RUNNING, TODO, Presenter, State

#: What is uncertain in all X-rays alike, in the order of `SharedUnknowns`.
SHARED = (
    Number(_("Uncertain source to detector"), 0, 500, " mm", "\u00b1 ", _("known"), 0.0),
    Number(_("Uncertain principal point"), 0, 1000, " px", "\u00b1 ", _("known"), 0.0),
    Number(_("Uncertain isocentre"), 0, 500, " mm", "\u00b1 ", _("known"), 0.0),
)


@dataclass(frozen=True)
class XRayRow:
    """id: of the X-ray's node.   image: what it was made from.   trouble: why it cannot be used.   colour: CSS."""

    id: str
    name: str
    used: bool
    geometry: str
    origin: str
    certainty: str
    trouble: str
    similarity: str
    image: str
    colour: str


@dataclass(frozen=True)
class XRaysShown:
    """selected, name: the node's ID and the name of the X-ray that is edited.   reading: the file that is read."""

    rows: list[XRayRow] = field(default_factory=list)
    selected: str = ""
    name: str = ""
    can_up: bool = False
    can_down: bool = False
    problem: str = ""
    reading: str = ""
    shared: list[str] = field(default_factory=lambda: [""] * len(SHARED))
    geometry: GeometryShown = field(default_factory=GeometryShown)
    image: ImageShown = field(default_factory=ImageShown)
    certainty: CertaintyShown = field(default_factory=CertaintyShown)


class XRaysPresenter(Presenter):
    """Files are read in a thread, one after the other; `tick` takes what has come of it, and watches images that change."""

    TITLE = _("X-rays")

    def __init__(self, host) -> None:
        self.host, self._waiting = host, []
        self.geometry, self.image, self.certainty = (
            GeometryPresenter(self),
            ImagePresenter(self),
            CertaintyPresenter(self),
        )
        super().__init__(host)

    def reset(self) -> None:
        self.readiness = self.session and Readiness(self.session)
        self._selected = ""
        self.stop_reading()
        self.geometry.reset()

    def stop_reading(self) -> None:
        """Forget the files that are being read."""
        for folder in {folder for _path, folder in self._waiting if folder is not None}:
            shutil.rmtree(folder, ignore_errors=True)
        self._waiting: list[tuple[Path, Path | None]] = []
        self._reading: Worker | None = None
        self._failures: list[str] = []
        self._first_of: Path | None = None

    # What is shown

    @property
    def views(self) -> list[XRayView]:
        """All X-rays, in their order."""
        return self.registration.xrays if self.registration is not None else []

    @property
    def selected(self) -> XRayView | None:
        """The X-ray that the editors are about."""
        return next((view for view in self.views if view.node.GetID() == self._selected), None)

    @property
    def reading(self) -> str:
        """The name of the file that is being read, "" for none."""
        return self._waiting[0][0].name if self._reading is not None else ""

    def shown(self) -> XRaysShown:
        registration, views, selected = self.registration, self.views, self.selected
        if registration is None:
            return XRaysShown()
        if selected is None:
            self._selected = ""
        number = views.index(selected) if selected is not None else -1
        similarity = result_similarity(registration)
        return XRaysShown(
            rows=[self._row(view, similarity.get(view.name)) for view in views],
            selected=self._selected,
            name=selected.name if selected is not None else "",
            can_up=number > 0,
            can_down=0 <= number < len(views) - 1,
            problem=self._problem(),
            reading=self.reading,
            shared=[
                number.write_bare(deviation or 0.0)
                for number, deviation in zip(SHARED, astuple(shared_unknowns_of(registration)), strict=True)
            ],
            geometry=self.geometry.shown(),
            image=self.image.shown(),
            certainty=self.certainty.shown(),
        )

    def _row(self, view: XRayView, similarity: float | None) -> XRayRow:
        known = _("reference") if view == reference_of(self.registration) else certainty(view)
        source = view.source
        return XRayRow(
            id=view.node.GetID(),
            name=view.name,
            used=view.used,
            geometry=describe(view),
            origin=view.content.get("from", ""),
            certainty=known if view.placed else "",
            trouble=self.readiness.of(view),
            similarity="" if similarity is None else f"{similarity:.3f}",
            image=_("made from {volume}").format(volume=source.GetName()) if source else _("its volume is gone"),
            colour="rgb(" + ", ".join(str(round(255 * part)) for part in colour(tag_of(view) or "")) + ")",
        )

    def _problem(self) -> str:
        """What a person should know first: of two that are the same, of the selected X-ray."""
        twins, view = self.readiness.twins(), self.selected
        if twins is not None:
            return _(
                "{a} and {b} have the same geometry, expected another for each; correct that of one, or skip it."
            ).format(a=twins[0].name, b=twins[1].name)
        return self.readiness.of(view) if view is not None and not needs_geometry(view) else ""

    def state(self) -> State:
        if self.reading:
            return State(RUNNING, _("reading {name}").format(name=self.reading))
        used, twins = [view for view in self.views if view.used], self.readiness.twins()
        if not used:
            return State(TODO, _("none is used") if self.views else _("add X-rays"))
        if twins is not None:
            return State(PROBLEM, _("{a} and {b} have the same geometry").format(a=twins[0].name, b=twins[1].name))
        for view in used:
            if needs_geometry(view):
                return State(TODO, _("{name} needs geometry").format(name=view.name))
            if self.readiness.of(view):
                return State(PROBLEM, _("{name} cannot be used").format(name=view.name))
        return State(READY, _("1 view ready") if len(used) == 1 else _("{count} views ready").format(count=len(used)))

    # Files

    def read(self, paths: list[Path], folder: Path | None = None) -> None:
        """Read files, and begin a registration where there is none.   folder: is removed once they are read."""
        self.host.begin()
        self._waiting += [(path, folder) for path in paths]
        self._read_next()

    def tick(self) -> bool:
        if self._reading is None:
            return self.readiness.step() or self.geometry.calibration.tick()
        self._reading.poll(self.host.turn_s)
        if self._reading.state != "running":
            self._take_read()
        return False

    def _read_next(self) -> None:
        if self._reading is None and self._waiting:
            path = self._waiting[0][0]
            self._reading = Worker(lambda tell: adding.read(path))

    def _take_read(self) -> None:
        """Add what was read, and read on; what went wrong is told once all are read."""
        reading, self._reading = self._reading, None
        _path, folder = self._waiting.pop(0)
        if folder is not None and all(other != folder for _path, other in self._waiting):
            shutil.rmtree(folder, ignore_errors=True)
        with self.host.acting():
            try:
                if reading.state != "done":
                    raise InputError(reading.message)
                first = reading.result(self.registration)[0]
                if folder is None or folder != self._first_of:  # of several that were sent together the first
                    self._first_of, self._selected = folder, first.node.GetID()
            except InputError as error:
                self._failures.append(str(error))
            self._read_next()
            if self._reading is None and self._failures:
                failures, self._failures = self._failures, []
                raise InputError("\n".join(failures))

    def add_volume(self, volume) -> None:
        """Add an X-ray from a volume of the scene. InputError where it is none."""
        self.host.begin()
        self._selected = adding.add_volume(self.registration, volume).node.GetID()

    # What a person does in the table

    def view(self, node_id: str) -> XRayView:
        """The X-ray with this node. InputError where there is none."""
        found = [view for view in self.views if view.node.GetID() == node_id]
        if not found:
            raise InputError(_("X-rays: this one is not there any more; choose another."))
        return found[0]

    def select(self, node_id: str) -> None:
        """Edit this X-ray; none for ""."""
        self._selected = node_id and self.view(node_id).node.GetID()

    def use(self, node_id: str, on: bool) -> None:
        """Use an X-ray, or skip it."""
        self.view(node_id).change(use=bool(on))

    def rename(self, node_id: str, name: str) -> None:
        """Give an X-ray another name. InputError for one that cannot be."""
        rename(self.registration, self.view(node_id), str(name))

    def move(self, by: int) -> None:
        """Put the selected X-ray earlier or later."""
        if self.selected is not None:
            self.registration.move_xray(self.selected, max(0, self.views.index(self.selected) + int(by)))

    def remove(self) -> None:
        """Remove the selected X-ray, and select its neighbour."""
        if self.selected is not None:
            row = self.views.index(self.selected)
            self.registration.remove_xray(self.selected)
            left = self.views
            self._selected = left[min(row, len(left) - 1)].node.GetID() if left else ""

    def share(self, number: int, text: str) -> None:
        """How uncertain something is that is the same in all X-rays, by its place in SHARED. InputError for what is wrong in it."""
        values = list(astuple(shared_unknowns_of(self.registration)))
        values[int(number)] = SHARED[int(number)].read(text) or None
        set_shared_unknowns(self.registration, SharedUnknowns(*values))
