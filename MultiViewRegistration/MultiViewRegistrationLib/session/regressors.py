"""Regressors of a registration's CT.

Those in the store, the chosen one, and the training under way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..io.case import Case
from ..jobs import Job, ProgressRecord
from ..mrml import manual_pose
from ..mrml.case import take_ct
from ..mrml.fingerprints import of_ct
from ..translation import _
from .inputs import Inputs
from .registering import write_child_case
from .tasks import BackgroundValue, Task, ended

if TYPE_CHECKING:
    from ..regressor.model_store import StoredModel


class RegressorTraining:
    """One training. It ends with `cancel`, or once this is deleted.

    What was learnt until then stays in the store of models.

    Parameters
    ----------
    case
        What is trained for.
    minutes
        To train for.
    device
        To train on, see `training.train`.
    unfinished
        The folder of a training to go on with.

    Attributes
    ----------
    state
        "running", "done", "failed" or "cancelled", as the last `poll` found it.
    message
        Why it failed, a sentence.
    progress
        The last `ProgressRecord`, None before the first; its stage has the error so far in mm.
    folder
        Of the model, once done.
    warnings
        What the child warned of.
    task
        Writes the case.
    """

    def __init__(
        self, case: Case, minutes: float, device: str, unfinished: Path | None = None
    ) -> None:
        self.state = "running"
        self.message = ""
        self.ending = False
        self.progress: ProgressRecord | None = None
        self.folder: Path | None = None
        self.warnings: list[str] = []
        self._how = (
            ["--minutes", minutes, "--device", device]
            if unfinished is None
            else ["--out", unfinished, "--resume"]
        )
        self._place = tempfile.TemporaryDirectory(prefix="mvreg-case-", ignore_cleanup_errors=True)
        self._job: Job | None = None
        self.task = Task(
            lambda on_progress: write_child_case(case, case.world_from_ct, self._place.name)
        )

    @property
    def stage(self) -> str:
        """The stage, in a few words."""
        if self.ending:
            return _("stopping")
        return self.progress.stage if self.progress else _("preparing the training")

    def poll(self) -> bool:
        """See how far the training is, on the main thread; takes milliseconds.

        Returns
        -------
        bool
            Whether it has just ended.
        """
        if self.state != "running":
            return False
        try:
            if self._job is None:
                self._poll_case()
            else:
                self._poll_job(self._job)
        except InputError as error:
            self.state = "failed"
            self.message = str(error)
        if self.state != "running":
            self._place.cleanup()
        return self.state != "running"

    def cancel(self) -> None:
        """Ask it to stop, without waiting for it."""
        self.ending = True
        if self._job is not None:
            self._job.cancel()

    def _poll_case(self) -> None:
        if not ended(self.task):
            return
        folder = self.task.result.parent
        if self.ending:
            self.state = "cancelled"
        else:
            self._job = Job(["train", folder, *self._how])

    def _poll_job(self, job: Job) -> None:
        self.progress = job.poll() or self.progress
        self.state = job.state
        self.message = job.message
        self.warnings = list(job.warnings)
        if self.state == "done":
            assert job.result is not None
            self.folder = Path(job.result["folder"])


#: In the record: the folder of the model that was chosen, and the fingerprint of the CT
#: that it was chosen for.
MODEL = "model"
MODEL_OF = "modelOf"
DEFAULT_MINUTES = 2.0


class Regressors:
    """The regressors for one registration. `poll` follows a training, `update` the store.

    Both take milliseconds.

    Attributes
    ----------
    training
        The last `Training`, None before the first.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._registration = inputs.registration
        self.training: RegressorTraining | None = None
        self._found = BackgroundValue()
        self._reloads = 0
        self._trained_for = ""

    # The models

    @property
    def models(self) -> list[StoredModel]:
        """`regressor.model_store.StoredModel` of the CT, the newest first, as the last `update` found them."""
        of = self._found.made_of and self._found.made_of[0]
        return self._found.value or [] if of == of_ct(self._registration) else []

    def update(self) -> bool:
        """Look into the store, in a thread, whenever the CT is another one, and return whether the models are others now."""
        return self._found.update((of_ct(self._registration), self._reloads), self._take)

    def reload(self) -> None:
        """Have the next `update` look into the store again."""
        self._reloads += 1

    @property
    def up_to_date(self) -> bool:
        """Whether `models` are those of the CT as it is."""
        return self._found.made_of == (of_ct(self._registration), self._reloads)

    @property
    def model(self) -> Path | None:
        """The folder of the model that a registration begins with.

        That which was chosen, else the newest that is finished.
        """
        return self._chosen or next((model.folder for model in self.models if model.finished), None)

    def choose(self, folder: Path) -> None:
        """Begin with the model in this folder from now on, as long as the CT is this one."""
        self._registration.keep(MODEL_OF, of_ct(self._registration, ""))
        self._registration.keep(MODEL, str(folder))

    def remove(self, model: StoredModel) -> None:
        """Remove a `StoredModel` from the store.

        Raises
        ------
        InputError
            Where its files cannot be removed.
        """
        from ..regressor import model_store

        model_store.remove_model(model)
        if self._chosen == model.folder:
            self._registration.keep(MODEL, "")
        self.reload()

    @property
    def gone(self) -> str:
        """A sentence where the model that was chosen is not in the store any more, "" else.

        A scene may name any folder.
        """
        from ..regressor import model_store

        if self._chosen is None or model_store.is_in_store(self._chosen):
            return ""
        return _(
            "The regressor that was chosen, {name}, is not there any more: choose another one, or "
            "train one."
        ).format(name=self._chosen.name)

    def missing(self) -> str:
        """Return why a registration cannot begin with a regressor, a sentence.

        "" where it can, as far as can be known.
        """
        if self.gone:
            return self.gone
        if self.model is None and self.up_to_date:
            return _("There is no regressor for this CT: train one, or choose another start.")
        return ""

    # The training

    @property
    def is_training(self) -> bool:
        """Whether a training is under way."""
        return self.training is not None and self.training.state == "running"

    def train(
        self, minutes: float = DEFAULT_MINUTES, unfinished: StoredModel | None = None
    ) -> None:
        """Begin to train a network for the CT and these X-rays.

        Parameters
        ----------
        unfinished
            A `StoredModel` to go on with, for as long as it was to be trained.

        Raises
        ------
        InputError
            As `Inputs.case`, and while a training is under way.
        """
        if self.is_training:
            raise InputError(
                _("Regressor: wait until the current training has finished, or cancel it.")
            )
        case = self._inputs.case(placed=manual_pose.ct_is_seen(self._registration))
        self.training = RegressorTraining(
            case,
            minutes,
            self._registration.device,
            None if unfinished is None else unfinished.folder,
        )
        self._trained_for = of_ct(self._registration, "")

    def cancel(self) -> None:
        """Make an end of the training under way.

        What was learnt is kept, and can be gone on with.
        """
        if self.training and self.is_training:
            self.training.cancel()

    def poll(self) -> bool:
        """Follow the training; when it has ended its model is chosen, and a search becomes "auto".

        Returns
        -------
        bool
            Whether it has just ended.
        """
        if self.training is None or not self.training.poll():
            return False
        self.reload()
        folder = self.training.folder
        if folder is not None and self._trained_for == of_ct(self._registration, ""):
            self.choose(folder)
            if self._registration.start == "search":
                self._registration.node.SetParameter("start", "auto")
        return True

    # Within

    @property
    def _chosen(self) -> Path | None:
        """The folder that was chosen for this CT; it need not be there any more."""
        folder = self._registration.kept(MODEL)
        here = self._registration.kept(MODEL_OF, "") in ("", of_ct(self._registration, ""))
        return Path(folder) if folder and here else None

    def _take(self) -> Callable[[], list[StoredModel]]:
        """Return a function that finds the models of this CT.

        It costs time and memory only where there are models.
        """
        take = take_ct(self._registration)

        def find() -> list[StoredModel]:
            from ..regressor import model_store

            if not model_store.all_models():
                return []
            return model_store.models_of(model_store.ct_sha256(take()))

        return find
