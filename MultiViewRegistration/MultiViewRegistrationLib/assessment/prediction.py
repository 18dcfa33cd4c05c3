"""From what a pose tells of itself to the error to expect: a small model, fitted by Testing/benchmarks/trust_fit.py.

An answer is either near, and then its error is what noise and disagreement say, or it is another minimum or another geometry, and then it
may be anything. The probability of the latter is a logistic function of the features, in each of which it can only grow with what is bad;
the size of the error is log-normal in either case. prediction.json beside this file holds its numbers, and on what they were fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import optimize, stats

#: An answer with a larger mTRE is wrong.
WRONG_MM = 2.0
#: A likely cause that is put right moves an answer by its error, but for a normal deviate of so many mm and such a share of the move. Of
#: causes so many are not what was wrong, at most (docs/trust.md).
MOVE_SD_MM, MOVE_SD_SHARE, MISNAMED = 0.3, 0.1, 0.04
#: Of the depths that one view alone tells 95 % are off by no more than so many times what noise explains with 95 % (docs/trust.md).
ONE_VIEW_BEYOND = 1.6
#: A whole CT, and one structure of it: another model for each, as what lies before and behind a structure is not compared.
KINDS = ("body", "structure")
#: How a feature enters, each so that more is worse. Lengths as logarithms, padded by what is too small to matter.
COLUMNS = {
    "noise_mm": lambda x: np.log(x + 0.01),
    "returned_mm": lambda x: np.log(x + 0.05),
    "alone_sds": lambda x: np.log(x + 0.5),
    "tension": lambda x: np.log(x + 0.2),
    "halves_mm": lambda x: np.log(x + 0.02),
    "similarity": lambda x: np.log(np.clip(1 - x, 0.005, 1.0)),
    "wider_similarity": lambda x: np.log(np.clip(1 - x, 0.005, 1.0)),
    "unlike": lambda x: x,
}


@dataclass(frozen=True)
class Prediction:
    """upper95_mm, mean_mm: what the mTRE stays below in 95 of 100 results, and its mean in these.

    wrong: probability of an mTRE above WRONG_MM.   bounded: whether the features are like those that the model was fitted on.
    """

    mean_mm: float
    upper95_mm: float
    wrong: float
    bounded: bool

    def moved(self, mm: float) -> Prediction:
        """Of an answer whose likely cause would have the targets so much elsewhere: that far off it is, unless that is not the cause."""
        sd = MOVE_SD_MM + MOVE_SD_SHARE * mm
        wrong = MISNAMED * self.wrong + (1 - MISNAMED) * float(stats.norm.sf(WRONG_MM, mm, sd))
        return replace(self, mean_mm=mm, upper95_mm=float(stats.norm.ppf(0.95 / (1 - MISNAMED), mm, sd)), wrong=wrong)

    def no_less_than(self, noise_mean_mm: float, noise_upper95_mm: float, views: int) -> Prediction:
        """With mean and bound at least those that noise alone explains, of one view ONE_VIEW_BEYOND times these.

        Of one view's depth a model of two or more knows too little.
        """
        times = ONE_VIEW_BEYOND if views == 1 else 1.0
        return replace(
            self,
            mean_mm=max(self.mean_mm, times * noise_mean_mm),
            upper95_mm=max(self.upper95_mm, times * noise_upper95_mm),
        )


@dataclass(frozen=True)
class Model:
    """centre, scale: (k,) of the columns.   intercept, weights: of the logistic function of wrong answers.

    near, near_sd: (k + 1,) and a number, mean and deviation of log mTRE (mm) where the answer is right, by 1 and the columns.
    far, far_sd: the same where it is wrong, without columns.
    usual: the value of each feature beyond which hardly any right answer goes, see `worse_than_usual`.
    limits: (k,) of the scaled columns: beyond them nothing was fitted.
    accept, reject: probabilities of a wrong answer up to and from which the verdict is so, see `verdict`.
    """

    centre: np.ndarray
    scale: np.ndarray
    intercept: float
    weights: np.ndarray
    near: np.ndarray
    near_sd: float
    far: float
    far_sd: float
    usual: dict[str, float]
    limits: np.ndarray
    accept: float
    reject: float

    def predict(self, numbers: Mapping[str, float]) -> Prediction:
        """Of the features by the names of COLUMNS."""
        scaled = (columns(numbers) - self.centre) / self.scale
        wrong = float(1 / (1 + np.exp(-np.clip(self.intercept + scaled @ self.weights, -30, 30))))
        near = float(self.near[0] + scaled @ self.near[1:])
        parts = ((1 - wrong, near, self.near_sd), (wrong, self.far, self.far_sd))

        def below(log_mm: float) -> float:
            return sum(share * stats.norm.cdf(log_mm, log_mean, sd) for share, log_mean, sd in parts)

        bound = optimize.brentq(lambda log_mm: below(log_mm) - 0.95, -15, 15)
        # What a log-normal variable adds to the mean below the bound: exp(m + s^2 / 2) times a normal one of mean m + s^2 there.
        mean = sum(
            share * np.exp(log_mean + sd**2 / 2) * stats.norm.cdf(bound, log_mean + sd**2, sd)
            for share, log_mean, sd in parts
        )
        return Prediction(
            mean_mm=float(mean / 0.95),
            upper95_mm=float(np.exp(bound)),
            wrong=wrong,
            bounded=bool((scaled <= self.limits).all()),
        )

    def worse_than_usual(self, numbers: Mapping[str, float]) -> list[str]:
        """The features that are worse than of nearly all right answers, the worst first."""
        usual = columns(self.usual)
        beyond = (columns(numbers) - usual) / self.scale
        return [name for excess, name in sorted(zip(beyond, COLUMNS, strict=True), reverse=True) if excess > 0]


def columns(numbers: Mapping[str, float]) -> np.ndarray:
    """(k,) of the model, from the features by name."""
    return np.array([float(into(numbers[name])) for name, into in COLUMNS.items()])


def write(models: Mapping[str, Model], without: Mapping[str, Mapping[str, Model]], path: Path, about: dict) -> None:
    """As JSON.

    models: of each of KINDS.   without: of each kind, by the SHA-256 of a CT's file, what was fitted to all other anatomies.
    about: on what they were fitted, for whoever reads it.
    """
    told = {
        kind: {**_to_json(model), "without": {sha256: _to_json(each) for sha256, each in without[kind].items()}}
        for kind, model in models.items()
    }
    path.write_text(json.dumps({"about": about, "columns": list(COLUMNS), **told}, indent=1) + "\n", encoding="utf-8")


@lru_cache
def calibrated(kind: str = "body", apart_from: str = "") -> Model:
    """The model of a kind, one of KINDS, that comes with the program.

    apart_from: the SHA-256 of a CT's file. Of one to which the model was fitted, that which was fitted to the others: it tells how well the
    model does with anatomy that it has never seen.
    """
    told = json.loads(Path(__file__).with_name("prediction.json").read_text(encoding="utf-8"))
    if told["columns"] != list(COLUMNS):
        raise ValueError("prediction.json was fitted to other columns; run Testing/benchmarks/trust_fit.py.")
    told = told[kind]["without"].get(apart_from, told[kind])
    values = {part.name: told[part.name] for part in fields(Model)}
    return Model(**{name: np.array(value) if isinstance(value, list) else value for name, value in values.items()})


def _to_json(model: Model) -> dict:
    return {
        key: value.round(4).tolist() if isinstance(value, np.ndarray) else value for key, value in vars(model).items()
    }
