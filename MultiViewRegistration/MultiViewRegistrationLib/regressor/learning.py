"""The regressor of a case's CT.

What a registration asks of it, and the one to use, of this user's store or a folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError, install_command
from ..geometry.epipolar import default_pose_at_isocentre
from ..imaging.ct import CT
from ..imaging.xray import View
from ..io.case import Case
from ..registration.prepared_ct import PreparedCT
from .fusion import Candidate
from .model_store import ct_sha256, models_of

if TYPE_CHECKING:
    from .model import RegressorModel


class Regressor(Protocol):
    """The interface of a regressor for a registration, see `model.RegressorModel`."""

    card: Any
    folder: Path | None

    def candidates(
        self, views: Sequence[View], world_from_ct: np.ndarray | None
    ) -> list[Candidate]:
        """Return poses to begin from."""

    def reach(
        self, views: Sequence[View], world_from_ct: np.ndarray | None
    ) -> tuple[np.ndarray, float, float]:
        """Return the nominal pose (4, 4), and how far from it poses were trained.

        Degrees and mm.
        """

    def check_ct(self, ct: CT) -> None:
        """Refuse another CT than the one that was learnt. InputError for that."""


def find_model(case: Case, model: Regressor | str | Path | None = None) -> Regressor | None:
    """Return the model to use for a case.

    The one given, or the newest one of its CT in the store that fits its views.

    None where there is none.

    InputError where the one given is of another CT, or cannot be loaded.
    """
    require_torch()
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


def require_torch() -> None:
    """Refuse a regressor where a package is missing. InputError for that."""
    missing = missing_packages()
    if missing:
        raise InputError(
            f"regressor: found no {' and no '.join(missing)}, expected PyTorch and safetensors; "
            f"install them with {install_command('torch')}."
        )


def card_json(model: RegressorModel) -> dict:
    """Return the output of `mvreg train --json`."""
    return {"folder": str(model.folder), "card": json.loads(model.card.to_json())}
