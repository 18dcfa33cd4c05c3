"""Statistics of the protocol and the fits, beside those of the library's studies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.stats import mannwhitneyu

from MultiViewRegistrationLib.studies.statistics import SuccessRate

#: Ridge of the fits on scaled weights, in rows.
RIDGE = 1.0
#: Smallest standard deviation of a log error: few rows must not promise a smaller one.
MIN_SD = 0.3


def auroc(score: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive has the higher score, ties counting half.

    NaN where all or none are positive.

    score, positive: (n,), bool the latter. The area under the ROC curve is Mann and Whitney's U by
    the number of pairs (Hanley and McNeil, Radiology 143:29-36, 1982).
    """
    score, positive = np.asarray(score, float), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return float("nan")
    return float(
        mannwhitneyu(score[positive], score[~positive]).statistic
        / positive.sum()
        / (~positive).sum()
    )


def share(hits: ArrayLike, of: np.ndarray | None = None) -> str:
    """ "3 of 200 (1.5 %, 0.5 to 4.3)".

    Of those in `of` (n,) bool, by default all, how many are in `hits` (n,) bool.
    """
    rate = SuccessRate.of(hits, of)
    if not rate.total:
        return "none"
    low, high = rate.interval
    return f"{rate.successes} of {rate.total} ({100 * rate.rate:.1f} %, {100 * low:.1f} to {100 * high:.1f})"


def quantile(values: np.ndarray, q: float, digits: int = 3) -> str:
    """A quantile that is one of the values.

    Registrations without a result, infinite, lie beyond all others.
    """
    if not len(values):
        return "none"
    value = float(np.quantile(values, q, method="higher"))
    return f"{value:.{digits}f}" if np.isfinite(value) else "no answer"


def logistic(x: np.ndarray, wrong: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """(k + 1,) intercept and weights of a logistic regression of which no weight is negative.

    x: (n, k).   wrong: (n,) bool.   ridge: on the weights, in rows.
    """

    def cost(beta):
        z, weights = beta[0] + x @ beta[1:], beta[1:]
        value = np.sum(np.logaddexp(0, z) - wrong * z) + ridge / 2 * weights @ weights
        off = 1 / (1 + np.exp(-z)) - wrong
        return value, np.concatenate([[off.sum()], x.T @ off + ridge * weights])

    k = x.shape[1]
    bounds = [(None, None), *[(0, None)] * k]
    return minimize(cost, np.zeros(k + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
