"""Predict a bone's error from its features, by a small model that benchmarks/bones_fit.py fits.

As in `prediction`: a logistic function that grows with each feature is the probability that the
bone lies elsewhere; the error is log-normal where it does not, about a linear function of the
features, and where it does. bone_prediction.json holds the numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from .bone_features import BoneFeatures
from .prediction import WRONG_MM, summary

#: How each feature enters the model: more is worse; lengths as logarithms, padded by a negligible
#: length.
COLUMNS = {
    "noise_mm": lambda x: np.log(x + 0.01),
    "split_half_mm": lambda x: np.log(x + 0.05),
    "similarity": lambda x: 1 - x,
    "level_ratio": lambda x: 1 / max(x, 0.5),
    "left_out": lambda x: x,
    "soft": lambda x: x,
    "again_mm": lambda x: np.log(x + 0.05),
    "all_again_mm": lambda x: np.log(x + 0.05),
    "turned_deg": lambda x: np.log(x + 0.5),
}


@dataclass(frozen=True)
class BonePrediction:
    """The error to expect of a bone, mm.

    Attributes
    ----------
    risk
        The probability of an error above WRONG_MM.
    mean_mm, upper95_mm
        Its mean below the 95 % bound, and that bound, as of `prediction.Prediction`.
    bounded
        The features lie within those that the model was fitted on.
    """

    risk: float
    mean_mm: float
    upper95_mm: float
    bounded: bool


@dataclass(frozen=True)
class BoneModel:
    """The model of a bone's error, with k columns.

    Attributes
    ----------
    centre, scale, limits
        (k,) of the columns: what is taken from them and what they are divided by; beyond the limits
        nothing was fitted.
    intercept, weights
        Of the logistic function of wrong answers.
    near, near_sd
        (k + 1,) and a number: mean and deviation of the log error of right answers, by 1 and the
        columns.
    far, far_sd
        The same of wrong ones, without columns.
    accept, reject
        Risks up to and from which the verdict is so.
    """

    centre: np.ndarray
    scale: np.ndarray
    limits: np.ndarray
    intercept: float
    weights: np.ndarray
    near: np.ndarray
    near_sd: float
    far: float
    far_sd: float
    accept: float
    reject: float

    def predict(self, features: BoneFeatures) -> BonePrediction:
        """Predict the error of a bone.

        A feature that is NaN, as it was not measured, counts as usual.
        """
        scaled = np.nan_to_num((columns(features) - self.centre) / self.scale)
        wrong = float(scipy.special.expit(self.intercept + scaled @ self.weights))
        near = float(self.near[0] + scaled @ self.near[1:])
        logs = np.linspace(-6, 6, 1201)  # of mm
        below = (1 - wrong) * scipy.special.ndtr((logs - near) / self.near_sd)
        below += wrong * scipy.special.ndtr((logs - self.far) / self.far_sd)
        _, mean, bound = summary(logs, below)
        beyond = 1 - float(np.interp(np.log(WRONG_MM), logs, below))
        return BonePrediction(max(wrong, beyond), mean, bound, bool((scaled <= self.limits).all()))


def columns(features: BoneFeatures) -> np.ndarray:
    """Return the columns (k,) of the model."""
    return np.array([float(into(getattr(features, name))) for name, into in COLUMNS.items()])


@lru_cache
def fitted() -> BoneModel:
    """Return the model that comes with the program."""
    content = json.loads(
        Path(__file__).with_name("bone_prediction.json").read_text(encoding="utf-8")
    )
    if content["columns"] != list(COLUMNS):
        raise ValueError(
            "bone_prediction.json was fitted to other columns; run python -m benchmarks bones_fit."
        )
    values = {part.name: content["model"][part.name] for part in fields(BoneModel)}
    arrays: dict[str, Any] = {
        k: np.array(value) if isinstance(value, list) else value for k, value in values.items()
    }
    return BoneModel(**arrays)
