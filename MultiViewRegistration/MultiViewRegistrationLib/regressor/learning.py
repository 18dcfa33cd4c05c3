"""The regressor of a case's CT: train it, find it, the same in a script, at the command line and behind the panel's button.

model = train(case, minutes=2, progress=print)          # into the store of this user's models, or a folder
result = register(case, start="regressor", model=model)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError, install_command
from ..geometry.epipolar import default_pose_at_isocentre
from ..imaging.ct import CT
from ..imaging.xray import View
from ..io.case import Case
from ..io.files import write_atomically
from ..io.html import learning_curves
from ..registration.prepared_ct import PreparedCT
from .fusion import Candidate
from .model_store import ct_sha256, models_of, new_folder
from .poses import PoseRange

if TYPE_CHECKING:
    from .model import RegressorModel

CURVES = "curves.svg"


class Regressor(Protocol):
    """The interface of a regressor for a registration, see `model.RegressorModel`."""

    card: Any
    folder: Path | None

    def candidates(self, views: Sequence[View], world_from_ct: np.ndarray | None) -> list[Candidate]:
        """Return poses to begin from."""

    def reach(self, views: Sequence[View], world_from_ct: np.ndarray | None) -> tuple[np.ndarray, float, float]:
        """Return the nominal pose (4, 4), and how far from it poses were trained: degrees and mm."""

    def check_ct(self, ct: CT) -> None:
        """Refuse another CT than the one that was learnt. InputError for that."""


def train(
    case: Case,
    folder: str | Path | None = None,
    *,
    minutes: float = 2.0,
    network: str = "voting",
    loss: str = "likelihood",
    seed: int = 0,
    resume: bool = False,
    progress: Callable[[float, str, float | None], object] = lambda *_: None,
    anatomy: PreparedCT | None = None,
    device: str = "cpu",
) -> RegressorModel:
    """Train a network to find the pose of the case's CT in its views, anywhere in the range of its `training`, or of its `search`.

    Parameters
    ----------
    folder
        Of the model, new or empty; by default one in this user's store.
    minutes
        Of training, on this machine.
    network, loss
        Of `network.NAMES` and `loss.NAMES`.
    seed
        Of all that is drawn.
    resume
        Go on with what is in the folder, as it was begun and where; the arguments before are ignored.
    progress
        Called with the fraction done, what it does and the error so far in mm (None at first). Where it returns False the training stops,
        and can be resumed.
    anatomy
        The prepared CT of the case, where there is one already.
    device
        "cpu"; "cuda" or "cuda:N", a CUDA device; "auto", such a device where there is one. Where it cannot be used a
        warning says why, and the CPU does the work. The images are the same.

    Raises
    ------
    InputError
        The range puts the CT out of a view's field; the folder does not fit; an argument is wrong; a package is missing.
    Cancelled
        `progress` returned False.
    OSError
        The model cannot be written.
    """
    _require_torch()
    from .training import Training

    if resume and folder is None:
        raise InputError("resume: found no folder, expected that of the model whose training is to go on; name it.")
    anatomy = anatomy or PreparedCT(case.ct)
    corners, cameras = anatomy.corners(), {view.name: view.camera for view in case.views}
    folder = new_folder(ct_sha256(case.ct)) if folder is None else Path(folder)
    if resume:
        training = Training.resume(folder, case.ct, list(cameras.values()), corners)
    else:
        pose = nominal_pose(case, anatomy)
        poses = PoseRange.of_case(cameras, pose, anatomy.centroid, corners, case.search, case.training)
        training = Training.begin(
            case.ct,
            list(cameras.values()),
            poses,
            corners,
            folder,
            minutes=minutes,
            network=network,
            loss=loss,
            seed=seed,
            device=device,
        )
    try:
        return training.run(progress)
    finally:
        if training.card.validation:
            write_atomically(training.folder / CURVES, learning_curves(training.card.losses, training.card.validation))


def find_model(case: Case, model: Regressor | str | Path | None = None) -> Regressor | None:
    """Return the model to use for a case: the one given, or the newest one of its CT in the store that fits its views.

    None where there is none.

    InputError where the one given is of another CT, or cannot be loaded.
    """
    _require_torch()
    from .model import load_model

    if model is not None:
        named: Regressor = load_model(model) if isinstance(model, (str, Path)) else model
        named.check_ct(case.ct)
        return named
    for stored in models_of(ct_sha256(case.ct)):
        if stored.finished:
            try:
                found = load_model(stored.folder)
                found.reach(case.views, case.world_from_ct)
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


def missing_packages() -> list[str]:
    """Return the missing packages of a regressor."""
    return [name for name in ("torch", "safetensors") if find_spec(name) is None]


def _require_torch() -> None:
    missing = missing_packages()
    if missing:
        raise InputError(
            f"regressor: found no {' and no '.join(missing)}, expected PyTorch and safetensors; install them with "
            f"{install_command('torch')}."
        )


def card_json(model: RegressorModel) -> dict:
    """Return the output of `mvreg train --json`."""
    return {"folder": str(model.folder), "card": json.loads(model.card.to_json())}
