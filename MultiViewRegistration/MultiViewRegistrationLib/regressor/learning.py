"""The regressor of a case's CT: train it, find it, the same in a script, at the command line and behind the panel's button.

model = train(case, minutes=2, progress=print)          # into the store of this user's models, or a folder
result = register(case, start="regressor", model=model)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..figures.curves import curves
from ..io.case import Case
from ..io.files import write_atomically
from ..registration.prepared_ct import PreparedCT
from ..registration.ranges import default_pose_at_isocentre
from .model_store import ct_sha256, models_of, new_folder

if TYPE_CHECKING:
    from .model import Model
    from .poses import PoseRange

CURVES = "curves.svg"


def train(
    case: Case,
    folder: str | Path | None = None,
    *,
    minutes: float = 2.0,
    network: str = "voting",
    loss: str = "likelihood",
    seed: int = 0,
    poses: str = "range",
    resume: bool = False,
    progress: Callable[[float, str, float | None], object] = lambda *_: None,
    anatomy: PreparedCT | None = None,
    device: str = "cpu",
) -> Model:
    """Train a network to find the pose of the case's CT in its views, anywhere in the range of its `training`, or of its `search`.

    folder: of the model, new or empty; by default one in this user's store.
    minutes, network, loss, seed: see `regressor.training.TrainingConfig`.
    poses: "range", evenly in that range; or "diffpose", normally distributed as in DiffPose, about the case's nominal pose.
    device: "cpu"; "cuda" or "cuda:N", a CUDA device, which needs Warp; "auto", such a device where there is one. Where it cannot be used a
        warning says why, and the CPU does the work. The images drawn are the same.
    resume: go on with what is in the folder, as it was begun and where; the arguments before are ignored.
    progress: called with the fraction done, what it does and the error so far in mm (None at first); where it returns False the training
        stops with `errors.Cancelled`, and can be resumed.
    anatomy: of the case's CT, where it is there already.
    InputError for a range that puts the CT out of a view's field, a plan that is none, a folder that does not fit, or a package that is
    missing. OSError where the model cannot be written.
    """
    _require_torch()
    from .training import Training, TrainingConfig

    anatomy = anatomy or PreparedCT(case.ct)
    if resume and folder is None:
        raise InputError("resume: found no folder, expected that of the model whose training is to go on; name it.")
    cameras = [view.camera for view in case.views]
    if resume:
        training = Training.resume(Path(folder), case.ct, cameras, anatomy.corners())
    else:
        reach = _range(case, anatomy, poses)
        target = Path(folder) if folder is not None else _stored(case)
        training = Training.begin(
            case.ct,
            cameras,
            reach,
            anatomy.corners(),
            TrainingConfig(minutes, network, loss, seed, poses, device),
            target,
        )
    try:
        return training.run(progress)
    finally:
        if training.card.validation:
            write_atomically(training.folder / CURVES, curves(training.card.losses, training.card.validation))


def _range(case: Case, anatomy: PreparedCT, poses: str) -> PoseRange:
    """The poses to be learnt, see `train`."""
    from .poses import DiffPosePoses, PoseRange
    from .training import DIFFPOSE, POSES

    if poses not in POSES:
        raise InputError(f'poses: found "{poses}", expected one of {", ".join(POSES)}.')
    pose, cameras = nominal_pose(case, anatomy), {view.name: view.camera for view in case.views}
    if poses == DIFFPOSE:
        return DiffPosePoses.about(next(iter(cameras.values())), pose, anatomy.centroid).range()
    return PoseRange.of_case(cameras, pose, anatomy.centroid, anatomy.corners(), case.search, case.training)


def find_model(case: Case, model: Model | str | Path | None = None) -> Model | None:
    """The model to use for a case: the one given, or the newest one of its CT in the store that fits its views; None where there is none.

    InputError where the one given is of another CT, or cannot be loaded.
    """
    _require_torch()
    from .model import load_model

    if model is not None:
        model = load_model(model) if isinstance(model, (str, Path)) else model
        model.check_ct(case.ct)
        return model
    for stored in models_of(ct_sha256(case.ct)):
        if stored.finished:
            try:
                found = load_model(stored.folder)
                found.check_views(case.views, case.world_from_ct)
            except InputError:
                continue
            return found
    return None


def nominal_pose(case: Case, anatomy: PreparedCT) -> np.ndarray:
    """(4, 4) the case's start, or where it has none that from which a search would start."""
    return (
        case.world_from_ct
        if case.world_from_ct is not None
        else default_pose_at_isocentre([view.camera for view in case.views], anatomy.centroid)
    )


def _stored(case: Case) -> Path:

    return new_folder(ct_sha256(case.ct))


def missing_packages() -> list[str]:
    """What a regressor needs, and is not installed."""
    return [name for name in ("torch", "safetensors") if find_spec(name) is None]


def _require_torch() -> None:
    missing = missing_packages()
    if missing:
        raise InputError(
            f"regressor: found no {' and no '.join(missing)}, expected PyTorch and safetensors; install them with "
            'pip install "multiview-registration[torch]".'
        )


def card_json(model: Model) -> dict:
    """What `mvreg train --json` prints."""
    return {"folder": str(model.folder), "card": json.loads(model.card.to_json())}
