"""Predict a bone's error from its features, by a small model that benchmarks/bones_fit.py fits.

As in `prediction`: a logistic function that grows with each feature is the probability that the
bone lies elsewhere; the error is log-normal where it does not, about a linear function of the
features, and where it does. bone_prediction.json holds the numbers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy

from .bone_features import BoneFeatures
from .prediction import (
    WRONG_MM,
    ErrorModel,
    Prediction,
    columns,
    model_of,
    read_numbers,
    summary,
)

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


class BoneModel(ErrorModel):
    """The model of a bone's error."""

    def predict(self, features: BoneFeatures) -> Prediction:
        """Predict the error of a bone.

        A feature that is NaN, as it was not measured, counts as usual.
        """
        scaled = np.nan_to_num((columns(vars(features), COLUMNS) - self.centre) / self.scale)
        wrong = float(scipy.special.expit(self.intercept + scaled @ self.weights))
        near = float(self.near[0] + scaled @ self.near[1:])
        logs = np.linspace(-6, 6, 1201)  # of mm
        below = (1 - wrong) * scipy.special.ndtr((logs - near) / self.near_sd)
        below += wrong * scipy.special.ndtr((logs - self.far) / self.far_sd)
        median, mean, bound = summary(logs, below)
        beyond = 1 - float(np.interp(np.log(WRONG_MM), logs, below))
        risk = max(wrong, beyond)
        bounded = bool((scaled <= self.limits).all())
        return Prediction(mean, bound, risk, risk, bounded, median)


@lru_cache
def fitted() -> BoneModel:
    """Return the model that comes with the program."""
    content = read_numbers("bone_prediction.json", COLUMNS, "bones_fit")
    return model_of(BoneModel, content["model"])
