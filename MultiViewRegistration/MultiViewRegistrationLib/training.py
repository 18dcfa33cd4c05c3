"""Train a regressor for a case: a network that proposes poses of its CT in X-rays of its cameras."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from .errors import InputError
from .finding import case_of, minutes_of, seed_of, with_whole_ct

if TYPE_CHECKING:  # what takes most of a second to import is imported where it is first used
    from .io.case import Case
    from .registration.optimizer import Report
    from .registration.prepared_ct import PreparedCT
    from .regressor.initialise import Regressor
    from .regressor.model import RegressorModel

    TrainingReport = Callable[[float, str, float | None], object]


#: The file of a model's folder with the plots of its training.
LEARNING_CURVES = "curves.svg"
#: Share of the progress bar that a training takes before its registration.
TRAINING_SHARE = 0.95


def train(
    case: Case | str | os.PathLike[str],
    folder: str | Path | None = None,
    *,
    minutes: float = 2.0,
    steps: int | None = None,
    network: str | type = "voting",
    loss: str | type = "likelihood",
    seed: int = 0,
    resume: bool = False,
    progress: TrainingReport = lambda *_: None,
    anatomy: PreparedCT | None = None,
    device: str = "cpu",
    begin_with: RegressorModel | str | Path | None = None,
) -> RegressorModel:
    """Train a network to find the pose of the case's CT in its views, anywhere in the range of its `training`, or of its `search`.

    Parameters
    ----------
    case
        CT and views; or the path of a case.json, or of its folder. Of a CT with a mask all of it is
        learnt, about the middle of what the mask holds.
    folder
        Of the model, new or empty; by default one in this user's store.
    minutes
        Of training, on this machine.
    steps
        In place of minutes: with the same seed, packages and machine the same model again.
    network, loss
        Of `regressor.network.NETWORKS`; "likelihood", or of `regressor.loss.PRESETS`. Or an own
        `PoseNetwork` and `PoseLoss`, as classes, or by the names that installed packages register.
    seed
        Of all that is drawn.
    resume
        Go on with what is in the folder, as it was begun and where; the arguments before are
        ignored.
    progress
        Called with the fraction done, what it does and the error so far in mm (None at first).
        Where it returns False the training stops, and can be resumed.
    anatomy
        The prepared CT of the case, where there is one already.
    device
        "cpu"; "cuda" or "cuda:N", a CUDA device; "auto", such a device where there is one. Where it
        cannot be used a warning says why, and the CPU does the work. The images are the same.
    begin_with
        A model, or its folder, of another CT of the same region: its weights in place of random
        ones.

    Raises
    ------
    InputError
        The range puts the CT out of a view's field; the folder does not fit; an argument is wrong;
        a package is missing.
    Cancelled
        `progress` returned False.
    OSError
        The model cannot be written.
    """
    from .io.files import write_atomically
    from .registration.prepared_ct import PreparedCT
    from .regressor.initialise import nominal_pose, require_torch
    from .regressor.model_store import ct_sha256, new_folder
    from .regressor.poses import PoseRange
    from .report.plot import learning_curves

    require_torch()
    from .regressor.training import Training

    if steps is not None and (not isinstance(steps, int) or steps < 2):
        raise InputError(f"steps: found {steps!r}, expected a whole number from 2; correct it.")
    if resume and folder is None:
        raise InputError(
            "resume: found no folder, expected that of the model whose training is to go on; name "
            "it."
        )
    case = case_of(case)
    anatomy = anatomy or PreparedCT(case.ct)
    _, anatomy = with_whole_ct(case, anatomy)
    corners = anatomy.corners()
    cameras = {view.name: view.camera for view in case.views}
    folder = new_folder(ct_sha256(anatomy.ct)) if folder is None else Path(folder)
    if resume:
        training = Training.resume(folder, anatomy.ct, list(cameras.values()), corners)
    else:
        pose = nominal_pose(case, anatomy)
        poses = PoseRange.of_case(
            cameras, pose, anatomy.centroid, corners, case.search_range, case.training
        )
        training = Training.begin(
            anatomy.ct,
            list(cameras.values()),
            poses,
            corners,
            folder,
            minutes=minutes_of(minutes),
            steps=steps,
            network=network,
            loss=loss,
            seed=seed_of(seed),
            device=device,
            begin_with=_model_of(begin_with),
        )
    try:
        return training.run(progress)
    finally:
        if training.card.validation:
            write_atomically(
                training.folder / LEARNING_CURVES,
                learning_curves(training.card.losses, training.card.validation),
            )


def _model_of(model: RegressorModel | str | Path | None) -> RegressorModel | None:
    """Return a model, loaded where it is given by its folder."""
    from .regressor.model import load_model

    return load_model(model) if isinstance(model, (str, Path)) else model


def train_first(
    case: Case, anatomy: PreparedCT, minutes: float, seed: int, progress: Report, device: str
) -> tuple[Regressor, float]:
    """Return a regressor trained now, and the seconds that took.

    Cancelled, it stays in the store and can be resumed.
    """
    from .registration.optimizer import Progress
    from .regressor.initialise import nominal_pose

    began = perf_counter()
    pose = nominal_pose(case, anatomy)

    def report(fraction: float, stage: str, error_mm: float | None) -> object:
        return progress(Progress(TRAINING_SHARE * fraction, stage, pose, math.nan))

    model = train(case, minutes=minutes, seed=seed, progress=report, anatomy=anatomy, device=device)
    return model, perf_counter() - began
