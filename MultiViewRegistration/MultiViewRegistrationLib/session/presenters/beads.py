"""The geometry of all X-rays from a phantom of beads in them: found, looked at, and accepted."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...io.calibration.from_beads import BeadCamera
from ...io.files import redact_upload_paths
from ...io.points import BeadModel, read_bead_model
from ...report.bead_picture import (
    LEFT_OUT,
    MISSING,
    OTHER,
    BeadMark,
    Window,
    bead_figure,
    marks_of,
    window_about,
)
from ...report.plot import svg_text
from ...translation import _
from ..bead_geometry import BeadCameras, BeadXRays, use_bead_cameras
from ..tasks import Task, ended
from .certainty import EditorPresenter, XRaySelection
from .form import (
    Button,
    Cell,
    Choice,
    Control,
    Files,
    Form,
    Option,
    Picture,
    Table,
    Text,
    group,
    line,
    quiet,
    row,
)
from .geometry_editor import GeometryEditor
from .section import progress_bar

SUFFIXES = (".csv", ".txt", ".json", ".fcsv")
FIXED_TO = (Option("patient", _("the patient")), Option("world", _("the table")))
PICTURE_PX = 380
#: Seconds to wait for cameras that are at hand, so that nothing flickers.
PATIENCE_S = 0.1
#: Residual, px and in those of the others, from which on a bead is pointed at.
LARGE_PX = 0.5
LARGE_RATIO = 4.0
#: Share of a picture's width within which a click means a bead, beside its own radius.
NEAR_SHARE = 0.02


class BeadsPresenter(EditorPresenter):
    """Looks for beads in a thread while it is open; what a person leaves out is fitted again."""

    TITLE = _("From beads in these X-rays")

    def __init__(self, xrays: XRaySelection, editor: GeometryEditor) -> None:
        self._editor = editor
        super().__init__(xrays)

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self.open = False
        self._fixed_to = FIXED_TO[0].value
        self._model: BeadModel | None = None
        self._task: Task[BeadCameras] | None = None
        self._forget()

    @property
    def known(self) -> bool:
        """Whether the X-rays are said to show a phantom."""
        return self._model is not None

    def _forget(self) -> None:
        """Forget what was found."""
        self._stop()
        self._sources: BeadXRays | None = None
        self._found = BeadCameras([], [])
        self._left_out: list[dict[int, str]] = []
        self._pictures: list[tuple[Window, str]] = []
        self._problem = ""

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None

    # What a person does

    def show(self) -> None:
        """Open it, and look again where a phantom is known."""
        self.open = True
        self._forget()
        self._begin()

    def close(self) -> None:
        """Close it; the phantom stays known."""
        self.open = False
        self._forget()

    def find(self, path: Path, folder: Path | None = None) -> None:
        """Open it with this phantom, and look for that.

        Parameters
        ----------
        folder
            Is removed then.
        """
        self.open = True
        self._forget()
        self._model = None
        try:
            self._model = read_bead_model(path)
        except InputError as error:
            self._problem = redact_upload_paths(str(error))
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        self._begin()

    def toggle(self, number: int, bead: int) -> None:
        """Leave out a bead of an X-ray, or put it back, both by their numbers."""
        out = self._left_out[number]
        if bead in out:
            del out[bead]
        else:
            out[bead] = self._names(number).get(bead, "")
        self._fit_again()

    def pick(self, number: int, across: float, down: float) -> None:
        """Leave out the bead at a place of an X-ray's picture, shares of its width and height, or put it back."""
        window = self._pictures[number][0]
        beads = self._found.seen[number].beads
        if not beads:
            return
        at = window.pixel(float(across), float(down))
        away = [np.linalg.norm(bead.pixel - at) for bead in beads]
        nearest = int(np.argmin(away))
        if away[nearest] <= max(beads[nearest].radius_px, NEAR_SHARE * window.width) * 1.5:
            self.toggle(number, nearest)

    def pick_name(self, name: str, column: int) -> None:
        """Leave out the bead of this name in the X-ray of a column of the table, or put it back."""
        number = column - 1
        if number < 0:
            return
        out = (bead for bead, known in self._left_out[number].items() if known == name)
        seen = (bead for bead, known in self._names(number).items() if known == name)
        for bead in (*out, *seen):
            self.toggle(number, bead)
            return

    def use(self) -> None:
        """Give the X-rays the cameras that were found.

        Raises
        ------
        InputError
            Where the X-rays have changed since.
        """
        sources = self._sources
        cameras = self._found.cameras
        if sources is None or not cameras or not sources.are_those_of(self.session):
            raise InputError(_("Beads: the X-rays have changed; wait until they are found again."))
        views = self.registration.used_xrays
        for view in views:
            self._editor.discard(view)
        use_bead_cameras(views, cameras, self._fixed_to)
        self.close()

    # The work

    def _begin(self) -> None:
        """Look for the beads from the beginning."""
        if self._model is None:
            return
        try:
            self._sources = BeadXRays.of(self.session)
        except InputError as error:
            self._problem = str(error)
            return
        self._left_out = [{} for _name in self._sources.names]
        self._run()

    def _fit_again(self) -> None:
        self._stop()
        self._run()
        assert self._task is not None
        self._task.wait(PATIENCE_S)
        self.tick()

    def _run(self) -> None:
        sources = self._sources
        model = self._model
        found = self._found
        assert sources is not None and model is not None
        out = [frozenset(each) for each in self._left_out]
        self._task = Task(
            lambda on_progress: sources.find(model, found.seen, found.cameras, out, on_progress)
        )

    def tick(self) -> bool:
        """Take what was found, and look again where the X-rays have changed; return whether anything did."""
        if not self.open or self._sources is None:
            return False
        if not self._sources.are_those_of(self.session):
            self._forget()
            self._begin()
            return True
        if self._task is None:
            return False
        self._task.poll(0.0)
        if ended(self._task):
            task = self._task
            self._task = None
            self._problem = redact_upload_paths(task.message)
            if not self._problem:
                self._found = task.result_or(self._found)
                self._problem = redact_upload_paths(self._found.problem)
            self._draw()
        return True

    def _names(self, number: int) -> dict[int, str]:
        """Return the names of the beads of an X-ray that are the phantom's, by their numbers."""
        if not self._found.cameras:
            return {}
        names = {each.pixel.tobytes(): each.name for each in self._found.cameras[number].beads}
        beads = [each.pixel.tobytes() for each in self._found.seen[number].beads]
        return {n: names[bead] for n, bead in enumerate(beads) if bead in names}

    def _draw(self) -> None:
        self._pictures = []
        for number, seen in enumerate(self._found.seen):
            marks = self._marks(number)
            whole = seen.xray.line_integrals
            window = window_about(marks, whole.shape[::-1])
            figure = bead_figure(whole, marks, window, PICTURE_PX)
            self._pictures.append((window, svg_text(figure)))

    def _marks(self, number: int) -> list[BeadMark]:
        beads = self._found.seen[number].beads
        out = self._left_out[number]
        left = [
            BeadMark(LEFT_OUT, beads[n].pixel, beads[n].radius_px, name) for n, name in out.items()
        ]
        if self._found.cameras:
            names = set(out.values())
            marks = marks_of(self._found.cameras[number])
            return [mark for mark in marks if mark.kind != MISSING or mark.name not in names] + left
        others = [bead for n, bead in enumerate(beads) if n not in out]
        return left + [BeadMark(OTHER, bead.pixel, bead.radius_px) for bead in others]

    # The form

    def form(self) -> Form:
        """Return the controls."""
        return [
            quiet("bead_hint", self._hint()),
            row(
                "phantom",
                Files(
                    "bead_model",
                    _("Choose the phantom's file..."),
                    lambda paths, folder: self.find(paths[0], folder),
                    hint=_("where its beads are, mm: lines of name,x,y,z; JSON; Slicer's markups"),
                    suffixes=SUFFIXES,
                    primary=self._model is None,
                ),
                Choice(
                    "fixed_to",
                    _("The phantom is fixed to"),
                    partial(setattr, self, "_fixed_to"),
                    value=self._fixed_to,
                    options=FIXED_TO,
                    tip=_(
                        "Fixed to the table, the patient must not have moved between the X-rays."
                    ),
                )
                if self._model is not None
                else None,
            ),
            *self._progress(),
            Text("bead_problem", self._problem, tone="error"),
            quiet(
                "bead_problem_hint",
                _("Only X-rays that are ticked in the step X-rays are looked at.")
                if self._problem and self._model is not None
                else "",
            ),
            row("bead_pictures", *self._shown()),
            self._table(),
            row(
                "bead_acts",
                Button("leave_beads", _("Back to the table"), self.close),
                Button(
                    "use_beads",
                    _("Use these cameras"),
                    self.use,
                    enabled=bool(self._found.cameras) and self._task is None,
                    primary=True,
                    tip=_("Give each X-ray the camera that its beads show."),
                ),
            ),
        ]

    def _hint(self) -> str:
        if self._found.cameras:
            return _(
                "Is each name at its ball? Green: the phantom's beads; the line from each is its "
                "residual, 100 times as long. Orange: what only looks like a bead. Pink: not found. "
                "Click a bead that is wrong, in a picture or in the table, to leave it out."
            )
        if self._model is not None:
            return _("{file}: {count} beads.").format(
                file=Path(self._model.file).name, count=len(self._model.names)
            )
        return _(
            "For X-rays that were taken with a phantom, steel balls at known places, beside the "
            "bone: its beads show where each X-ray was taken from. To make one, see Read "
            "calibration files in the documentation."
        )

    def _progress(self) -> Form:
        task = self._task
        if task is None:
            again = self._model is not None and self._sources is None
            return [Button("find_beads", _("Look for the beads"), self.show)] if again else []
        stage = task.progress.stage if task.progress else _("looking for beads")
        return [
            row(
                "bead_work",
                progress_bar("bead_progress", task.progress, stage, task.left),
                Button("cancel_beads", _("Cancel"), self._forget),
            )
        ]

    def _shown(self) -> list[Picture]:
        names = [] if self._sources is None else self._sources.names
        tip = _("Click a bead to leave it out, or to put it back.")
        shown = []
        for number, (name, (_window, svg)) in enumerate(zip(names, self._pictures)):
            pick = partial(self.pick, number)
            words = self._caption(number, name)
            shown.append(
                Picture(f"beads{number}", words, pick, svg=svg, height=PICTURE_PX, tip=tip)
            )
        return shown

    def _caption(self, number: int, name: str) -> str:
        if not self._found.cameras:
            return _("{name}: {count} found").format(
                name=name, count=len(self._found.seen[number].beads)
            )
        camera = self._found.cameras[number]
        return _(
            "{name}: {count} of {all} beads, {px:.2f} px off; near the phantom right to {sd:.2f} px"
        ).format(
            name=name,
            count=len(camera.beads),
            all=len(camera.beads) + len(camera.missing),
            px=camera.residual_px,
            sd=camera.sd_px,
        )

    def _table(self) -> Control | None:
        if not self._found.cameras or self._sources is None or self._model is None:
            return None
        seen = zip(self._found.cameras, self._left_out, strict=True)
        columns = [_residuals(camera, out.values()) for camera, out in seen]
        table = Table(
            "beads",
            _("Beads"),
            self.pick_name,
            columns=(_("Bead"), *self._sources.names),
            lines=tuple(
                line(name, name, *(column[name] for column in columns))
                for name in self._model.names
            ),
            cells=True,
        )
        return group("bead_table", _("Each bead"), table, open=False)


def _residuals(camera: BeadCamera, left_out: Iterable[str]) -> dict[str, Cell]:
    """Return what an X-ray says of each bead, by its name."""
    off = {bead.name: float(np.linalg.norm(bead.residual_px)) for bead in camera.beads}
    large = max(LARGE_PX, LARGE_RATIO * float(np.median(list(off.values()))))
    cells = {name: Cell(_("not found")) for name in camera.missing}
    for name, px in off.items():
        tip = _("Click to leave it out.")
        cells[name] = Cell(f"{px:.2f} px", tip, "caution" if px > large else "")
    tip = _("Click to put it back.")
    return cells | {name: Cell(_("left out"), tip, "quiet") for name in left_out if name}
