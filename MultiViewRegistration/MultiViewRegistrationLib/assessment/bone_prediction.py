"""Predict a bone's error from its features, by a small model that benchmarks/bones_fit.py fits.

As in `prediction`: a logistic function that grows with each feature is the probability that the
bone lies elsewhere; the error is log-normal where it does not, about a linear function of the
features, and where it does. bone_prediction.json holds the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from .bone_features import BoneFeatures
from .prediction import WRONG_MM, Prediction, model_of, read_numbers, summary

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

    def predict(self, features: BoneFeatures) -> Prediction:
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
        risk = max(wrong, beyond)
        return Prediction(mean, bound, risk, risk, bool((scaled <= self.limits).all()))


def columns(features: BoneFeatures) -> np.ndarray:
    """Return the columns (k,) of the model."""
    return np.array([float(into(getattr(features, name))) for name, into in COLUMNS.items()])


@lru_cache
def fitted() -> BoneModel:
    """Return the model that comes with the program."""
    content = read_numbers("bone_prediction.json", COLUMNS, "bones_fit")
    return model_of(BoneModel, content["model"])
