"""The regressor of a case's CT, and registrations that start at its predictions.

The one to use is of this user's store or a folder; `--start regressor`, and `--start auto` with a
search beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError, install_command, warn
from ..geometry.epipolar import default_pose_at_isocentre
from ..imaging.ct import CT
from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from ..io.case import Case
from ..registration.cameras import uncalibrated_view_indices
from ..registration.optimizer import (
    CAPTURE_RADIUS_MM,
    MAX_EXPECTED_MM,
    Range,
    Refinement,
    RefinementMethod,
    Report,
)
from ..registration.pipeline import refine
from ..registration.prepared_ct import PreparedCT
from ..registration.variants import Start, refine_along_least_certain_axis, refine_from
from ..rendering.devices import CPU
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


#: Above this expected error the prediction is refined on the X-rays before the registration starts.
CONFIDENT_MM = 2 * CAPTURE_RADIUS_MM


@dataclass(frozen=True)
class InitialPose:
    """A pose (4 rows of 4) that the regressor named, the views it is from in words, and the error to expect, root mean square."""

    views: str
    expected_mm: float
    agree: bool
    world_from_ct: list[list[float]]


@dataclass(frozen=True)
class RegressorReport:
    """How a registration with a regressor began.

    Parameters
    ----------
    model
        The name of its folder, "" for one that is in no folder, None where there was none.
    minutes
        The time of its training.
    device
        The device of the training, see `model_store.Card`.
    trained
        Whether the model was trained for this registration.
    candidates
        Its predictions, the most credible first.
    selected_start
        The candidate that led to the result, "search" where it came from none.
    """

    model: str | None
    minutes: float | None
    device: str | None
    trained: bool
    candidates: list[InitialPose]
    selected_start: str

    @property
    def expected_mm(self) -> float | None:
        """The error to expect of the most credible candidate, root mean square of points 60 mm from the anatomy's centre."""
        return self.candidates[0].expected_mm if self.candidates else None

    def to_json(self) -> dict:
        """Return the report as a result.json has it."""
        return {**asdict(self), "expected_mm": self.expected_mm}

    def __str__(self) -> str:
        if not self.candidates:
            return (
                "no model of this CT"
                if self.model is None
                else "a model that cannot say anything of these views"
            ) + ": searched for"
        name = f" {self.model}" if self.model else ""
        trained = ", trained for this" if self.trained else ""
        length = f"{self.minutes:.2g} minute{'s' * (self.minutes != 1)}" + (
            f" on {self.device}" if self.device != CPU else ""
        )
        return f"model{name} of {length}{trained}, expected error {self.expected_mm:.1f} mm; selected start: {self.selected_start}"


class RegressorInitialisation:
    """The registration of a case's views from a model's predictions, and how it began.

    Parameters
    ----------
    model
        None where there is none, and only a search is done.
    anatomy, views
        The case's.
    world_from_ct
        (4, 4) its nominal pose, None where it has none.
    centre, reach
        With them a search goes along, see `refine_from`; as one does, through the range of the
        training, where the model itself knows the pose no better than by MAX_EXPECTED_MM.

    Raises
    ------
    InputError
        For views that the model cannot predict, except beside a search: then there is a warning,
        and that alone is done.
    """

    def __init__(
        self,
        model: Regressor | None,
        anatomy: PreparedCT,
        views: Sequence[View],
        world_from_ct: np.ndarray | None,
        shared: SharedUnknowns = CALIBRATED,
        *,
        centre: np.ndarray | None = None,
        reach: Range | None = None,
        seed: int = 0,
    ) -> None:
        self._model = model
        self._anatomy = anatomy
        self._nominal = world_from_ct
        self._shared = shared
        self._centre = centre
        self._reach = reach
        self._seed = seed
        self.seconds = 0.0
        """The time of the model's prediction."""
        alone = uncalibrated_view_indices(views, shared)
        self._together = [view for i, view in enumerate(views) if i not in alone]
        self.candidates = self._ask(self._together)
        """The candidates of the views registered together, the most credible first; none for a
        search alone."""

    def run(
        self,
        method: RefinementMethod,
        anatomy: PreparedCT,
        views: list[View],
        progress: Report,
    ) -> Refinement:
        """Register views, those that belong together or one of the others, see `register_views`.

        A published refinement begins with the most credible pose, and without one it is an
        InputError.
        """
        together = [view.name for view in views] == [view.name for view in self._together]
        candidates = self.candidates if together else self._ask(views)
        if method.name != "joint":
            if not candidates:
                raise method.missing_pose()
            return method.run(anatomy, views, candidates[0].world_from_ct, progress, self._shared)
        if not candidates:
            assert self._centre is not None and self._reach is not None
            return refine(
                anatomy,
                views,
                self._centre,
                progress,
                self._shared,
                reach=self._reach,
                seed=self._seed,
            )
        starts = [
            Start(candidate.world_from_ct, candidate.expected_mm()) for candidate in candidates
        ]
        centre = self._centre
        reach = self._reach
        if self._model and reach is None and starts[0].expected_mm > MAX_EXPECTED_MM:
            centre, degrees, mm = self._model.reach(views, self._nominal)
            reach = Range(degrees, mm)
        return refine_from(
            anatomy,
            views,
            starts,
            progress,
            self._shared,
            centre=centre,
            reach=reach,
            seed=self._seed,
        )

    def report(self, refinement: Refinement, method: RefinementMethod) -> RegressorReport:
        """Return the report on the start that led to this refinement."""
        initial_poses = []
        for candidate in self.candidates:
            words = of_views(candidate, self._together)
            pose = candidate.world_from_ct.tolist()
            initial_poses.append(InitialPose(words, candidate.expected_mm(), candidate.agree, pose))
        selected = refinement.selected_start if method.name == "joint" else 0
        begun = "search" if selected is None else initial_poses[selected].views
        if self._model is None:
            return RegressorReport(None, None, None, False, initial_poses, begun)
        card = self._model.card
        name = Path(self._model.folder or "").name
        return RegressorReport(name, float(card.minutes), card.device, False, initial_poses, begun)

    def _ask(self, views: list[View]) -> list[Candidate]:
        if self._model is None:
            return []
        began = perf_counter()
        try:
            return predict_poses(self._model, self._anatomy, views, self._nominal)
        except InputError as error:
            if self._reach is None:
                raise
            warn(f"{error} The pose is searched for, without the model.")
            return []
        finally:
            self.seconds += perf_counter() - began


def predict_poses(
    model: Regressor, anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray | None
) -> list[Candidate]:
    """Return a model's predictions for X-rays, the most credible first.

    Of a body, an uncertain one comes a second time, before it: refined along its least certain
    axis, see `refine_along_least_certain_axis`.

    Arguments and InputError as of `model.RegressorModel.candidates`.
    """
    candidates = model.candidates(views, world_from_ct)
    if anatomy.structure or candidates[0].expected_mm() < CONFIDENT_MM:
        return candidates
    pose, covariance = refine_along_least_certain_axis(
        anatomy, views, candidates[0].world_from_ct, candidates[0].covariance
    )
    return [replace(candidates[0], world_from_ct=pose, covariance=covariance), *candidates]


def model_for(case: Case, start: str, model: str | Path | Regressor | None) -> Regressor | None:
    """Return the regressor that "regressor" or "auto" uses, see `find_model`.

    None where there is none.
    """
    if start == "auto" and model is None and missing_packages():
        return None
    return find_model(case, model)


def of_views(candidate: Candidate, views: Sequence[View]) -> str:
    """Return the views of a candidate, in words: "both views together", "AP alone"."""
    names = [views[i].name for i in candidate.views]
    if len(names) == 1:
        return f"{names[0]} alone"
    if len(names) < len(views):
        return f"{', '.join(names[:-1])} and {names[-1]} together"
    return "both views together" if len(names) == 2 else f"all {len(names)} views together"
