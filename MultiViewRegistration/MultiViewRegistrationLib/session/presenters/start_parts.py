"""Landmarks and regressors, from which the section Start begins.

Landmarks are clicked in the CT and in the X-rays, or read from files. Train a regressor of the CT,
watch that, choose among those that are there, remove one.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING

from ...errors import InputError, install_command
from ...finding import REGRESSOR_STARTS
from ...geometry.landmarks import LandmarkFit, LandmarkResidual
from ...mrml import landmarks, overlay
from ...mrml.landmarks import ClickOrder, landmark_list
from ...mrml.nodes import place, stop_placing
from ...mrml.xray import XRayView
from ...translation import _
from ..registering import missing_at_start, missing_images
from .form import (
    Button,
    Cell,
    Files,
    Form,
    Table,
    TableRow,
    Text,
    TextField,
    group,
    line,
    quiet,
    row,
)
from .number import Number
from .section import Presenter, progress_bar

if TYPE_CHECKING:
    from ...regressor.model_store import StoredModel

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


MINUTES = Number(_("Minutes of training"), 0.1, 600, _(" min"))


class RegressorPresenter(Presenter):
    """Works on the `session.regressors.Regressors` of the registration.

    A host whose `installs_packages` is true offers to install PyTorch once it is needed.
    """

    minutes = 2.0

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self._selected = ""

    @property
    def learning(self):
        """The `session.regressors.Regressors` of the registration at work."""
        return self.session.regressors

    # The form

    def form(self) -> Form:
        """Return the controls."""
        learning = self.learning
        models = self._models()
        missing = self._missing()
        training = learning.is_training
        self._selected = self._still_selected([str(model.folder) for model in models])
        selected = next((model for model in models if str(model.folder) == self._selected), None)
        under_way = _("A training is under way.") if training else ""
        gone = self._is_gone() and not training
        told = Text("models_text", self._models_text(), tone="error" if gone else "quiet")
        controls: Form = [told]
        if models:
            lines = tuple(_line(model, model.folder == learning.model) for model in models)
            titles = (_("Trained"), _("Training"), _("Error"), _("Size"), "")
            controls.append(
                Table(
                    "models",
                    _("Regressors of this CT"),
                    lambda folder, column: self.select(folder),
                    columns=titles,
                    lines=lines,
                    selected=self._selected,
                )
            )
        train = Button(
            "train",
            _("Train"),
            self.train,
            enabled=not (missing or training),
            needs=("network",),
            tip=under_way
            or missing
            or _(
                "Train a network for this CT and these X-rays, in the background. You can go on "
                "with other work meanwhile."
            ),
        )
        minutes = TextField(
            "minutes",
            _("Train for"),
            self.type_minutes,
            text=MINUTES.write_bare(self.minutes),
            number=MINUTES,
            enabled=not training,
        )
        buttons: Form = [minutes, train]
        if selected is not None and not selected.finished and not training:
            tip = missing or _(
                "Go on with the training in the selected row, for as long as it was to be."
            )
            resume = Button(
                "resume",
                _("Resume"),
                partial(learning.train, unfinished=selected),
                enabled=not missing,
                tip=tip,
                needs=("network",),
            )
            buttons.append(resume)
        if selected is not None:
            remove = Button(
                "remove_model",
                _("Remove"),
                partial(learning.remove, selected),
                enabled=not training,
                tip=under_way or _("Remove the regressor in the selected row from this computer."),
                question=_(
                    "Remove the regressor {name} ({size}) from this computer? It cannot be brought "
                    "back, only be trained again."
                ).format(name=selected.name, size=_size(selected)),
            )
            buttons.append(remove)
        controls += [row("train_row", *buttons), *self._training()]
        return [group("regressor", self._title(), *controls, open=learning.training is not None)]

    def state_of_training(self) -> str:
        """Return how far the running training is, in a few words."""
        progress = self.learning.training.progress
        percent = f"{round(100 * progress.fraction)} %" if progress else ""
        return _("training {percent}").format(percent=percent).strip()

    def _models(self) -> list:
        """Return the models without the one that is being trained."""
        training = self.learning.is_training
        return [model for model in self.learning.models if model.finished or not training]

    def _still_selected(self, folders: list[str]) -> str:
        """Return the model that was selected, or else the one in use, or else the newest."""
        if self._selected in folders:
            return self._selected
        used = str(self.learning.model)
        if used in folders:
            return used
        return folders[0] if folders and not self.learning.gone else ""

    def _missing(self) -> str:
        if not self.host.installs_packages and not _has_torch():
            return _("A regressor needs PyTorch: {command}.").format(
                command=install_command("torch")
            )
        return missing_images(self.registration)

    def _is_gone(self) -> bool:
        """Return whether this section, not Start, reports that the chosen model is gone."""
        return bool(self.learning.gone) and self.registration.start not in REGRESSOR_STARTS

    def _models_text(self) -> str:
        learning = self.learning
        if self.registration.ct is None:
            return _("A regressor is trained for one CT: choose that first.")
        if not _has_torch() and self.host.installs_packages:
            return _(
                "A regressor needs PyTorch, which is not installed: Train offers to install it."
            )
        if learning.is_training:
            return _("It trains in the background; you can go on with other work.")
        if self._is_gone():
            return learning.gone
        if not learning.up_to_date:
            return _("Looking for regressors of this CT...")
        if [model.folder for model in learning.models] == [learning.model]:
            return _("Regressor and Automatic, above, use this one.")
        if any(model.finished for model in learning.models):
            return _("Choose the one that Regressor and Automatic use.")
        return _(
            "There is none for this CT yet. A network is trained for it once, in minutes, and then "
            "finds the CT without a start."
        )

    def _title(self) -> str:
        learning = self.learning
        state = ""
        if learning.is_training:
            state = self.state_of_training()
        elif learning.up_to_date and not learning.models and self.registration.ct is not None:
            state = _("none for this CT yet")
        return _("Regressor \u2013 {state}").format(state=state) if state else _("Regressor")

    def _training(self) -> Form:
        """Return the progress of the training under way, or how the last one ended."""
        learning = self.learning
        training = learning.training
        if training is None:
            return []
        if learning.is_training:
            progress = training.progress
            left = progress.left if progress and not training.ending else ""
            kept = _("What was learnt is kept.")
            stop = Button("stop", _("Stop"), learning.cancel, enabled=not training.ending, tip=kept)
            return [progress_bar("training", progress, training.stage, left), stop]
        if training.state == "failed":
            return [Text("ended", training.message, tone="error")]
        text = "\n".join(training.warnings)
        if training.state == "cancelled":
            text = _("Cancelled.")
            if any(not model.finished for model in learning.models):
                text += " " + _("What was learnt is kept: Resume goes on with it.")
        return [Text("ended", text)]

    # What a person does

    def type_minutes(self, text: str) -> None:
        """Train for so long.

        Raises
        ------
        InputError
            For invalid text.
        """
        self.minutes = MINUTES.read(text)

    def train(self) -> None:
        """Begin to train a network."""
        if self._missing():
            raise InputError(_("Regressor: {missing}"), missing=self._missing())
        self.learning.train(self.minutes)

    def select(self, folder: str) -> None:
        """Use a model from now on; one that is not finished can be gone on with."""
        found = [model for model in self.learning.models if str(model.folder) == folder]
        if not found:
            raise InputError(_("Regressor: this one is not there any more; choose another."))
        (model,) = found
        self._selected = folder
        if model.finished:
            self.learning.choose(model.folder)


def _line(model: StoredModel, used: bool) -> TableRow:
    card = model.card
    tip = "" if model.finished else _("Resume goes on with its training.")
    if card.fault:
        tip = _("Its training ended early, at the last good state: {fault}").format(
            fault=card.fault
        )
    trained = _("{minutes:g} min").format(minutes=card.minutes)
    state = "" if model.finished else _("unfinished")
    return line(
        str(model.folder),
        Cell(model.name, str(model.folder)),
        Cell(trained, _("On {device}").format(device=card.device)),
        "" if card.error_mm is None else _("{mm:.1f} mm").format(mm=card.error_mm),
        _size(model),
        Cell(_("in use") if used else state, tip),
    )


def _size(model: StoredModel) -> str:
    return _("{size:.1f} MB").format(size=model.bytes / 1e6)


def _has_torch() -> bool:
    return find_spec("torch") is not None
