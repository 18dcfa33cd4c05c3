"""The real wrist's radius from far off. Nobody knows its pose: the one that the refinement reaches from the given start stands for it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pose_cases

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.regressor.model import RegressorModel
from MultiViewRegistrationLib.studies.statistics import perturbed

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "wrist"
OFF_DEG, OFF_MM = 30.0, 30.0


def paths() -> list[Path]:
    """InputError where the folder with the shared data is missing."""
    found = sorted(FOLDER.glob("radius_*.json"))
    if not found:
        raise InputError(f"{FOLDER}: found no radius_*.json, expected the real wrist; leave this part out (--only).")
    return found


@dataclass(frozen=True, eq=False)
class OffCase:
    """A case whose start is so far from the reference (4, 4), and whose search and training reach as far about it, and no farther."""

    case: Case
    reference: np.ndarray

    @classmethod
    def of(cls, path: Path) -> OffCase:
        case = Case.load(path)
        reference = _registered(case, "given")
        seed = int(path.stem.split("_")[-1])  # another direction for each instant
        start = perturbed(reference, case.ct.centroid(), OFF_DEG, OFF_MM, 1, seed)[0]
        search = {"rotation_deg": OFF_DEG + 1, "translation_mm": OFF_MM + 1}
        return cls(replace(case, world_from_ct=start, search=search, training={}), reference)

    @property
    def name(self) -> str:
        return self.case.name

    def measure(self, model: RegressorModel) -> dict:
        """(mm, degrees) from the reference: of what the network says, and where each start leads; None where it leads nowhere."""
        predicted = model.candidates(self.case.views, self.case.world_from_ct)[0].world_from_ct
        return {
            "predicted": self._off(predicted),
            "regressor": self._led("regressor", model=model),
            "auto": self._led("auto", model=model),
            "search": self._led("search"),
        }

    def _led(self, start: str, **how) -> list[float] | None:
        try:
            return self._off(_registered(self.case, start, **how))
        except InputError:
            return None

    def _off(self, pose: np.ndarray) -> list[float]:
        centroid = self.case.ct.centroid()
        mm = np.linalg.norm(rigid.transform_points(pose, centroid) - rigid.transform_points(self.reference, centroid))
        return [round(float(mm), 4), round(float(np.degrees(rigid.rotation_distance(pose, self.reference))), 4)]


def _registered(case: Case, start: str, **how) -> np.ndarray:
    with warnings.catch_warnings(action="ignore"):
        return register(case, start=start, anatomy=pose_cases.ready(case), **how).world_from_ct
