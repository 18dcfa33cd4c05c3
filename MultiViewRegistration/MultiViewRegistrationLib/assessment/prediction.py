"""Predict a pose's error from its reliability features, by a small model that benchmarks/trust_fit.py fits.

A pose is either in the right minimum, with an error that noise explains, or it lies in another one,
with any error. The probability of that is a logistic function that grows with each feature; the
error is log-normal in both cases. Where the views disagree, the right minimum is off by about as
much as would make them agree. To it comes the error that the uncertainty of the cameras leaves,
which no image shows (`uncertainty.Minimum.cameras`). prediction.json beside this
file holds the numbers, and what they were fitted to.

Where targets appear in the X-rays, and how far that is known: cameras and pose are solved for
together. The uncertainty of the cameras moves the bone in 3D, and the X-rays still show it
where the overlay has it: errors of pose and cameras go together (`uncertainty.PoseUncertainty.in_view`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy

from ..errors import Verdict
from .metrics import WRONG_MM, Error, in_mm
from .uncertainty import LogNormal, ScaledChiSquare, TargetUncertainty

if TYPE_CHECKING:
    from .features import ReliabilityFeatures

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """The numbers of the prediction that were chosen, not fitted.

    Attributes
    ----------
    move_errors
        Correcting a cause moves the pose by its error, with this standard deviation in mm and as a
        share of the move; at most this share of the named causes is wrong. Of causes that are not
        precise, and of those that are.
    agree
        Views agree where the product of `features.tension` and `features.disagreement` is no
        larger. A principal point that is not as stated moves the bone and shows only here, if at
        all: of 55 wrong ones of seeds 1 to 4, on which this was chosen, none passes, by either
        alone at the same cost 13 and 2; of 57 later ones 7 pass.
    carried_tension
        X-rays of a kind that the model does not know agree where `features.tension` is no larger,
        as in 95 % of right answers of seeds 1 to 4: in units of what is left over it is the same
        for all kinds.
    carried_inflation
        Such X-rays are off by so many times what noise explains: with 2 the bound held for 32 of 34
        simulated right ones, with 2.5 for all.
    disagree, pad_mm
        Views disagree where a motion between them, or another size of the CT, explains more than
        this share of the cost, and then (`features.disagreement`): a right answer is off by about
        as much as that moves it, and this length.
    one_view_beyond
        Of one view's depths 95 % are off by at most this many times the 95 % bound of noise.
    risks_elsewhere
        The share that was wrong of bodies of which a part lies elsewhere (`parts.elsewhere`): of 7
        whose parts only asked for another place 2, of 36 where it was proven 31 (seed 1).
    camera_risk
        No 3D position is accepted if the uncertainty of the cameras alone makes an error
        above WRONG_MM likelier than this: no X-ray shows it.
    """

    move_errors: tuple[tuple[float, float, float], ...] = ((0.5, 0.35, 0.2), (0.3, 0.1, 0.04))
    agree: float = 0.004
    carried_tension: float = 1.05
    carried_inflation: float = 2.5
    disagree: float = 0.01
    pad_mm: float = 0.1
    one_view_beyond: float = 1.6
    risks_elsewhere: tuple[float, float] = (0.3, 0.85)
    camera_risk: float = 0.001


LIMITS = Limits()
#: By so many quantiles the error of the cameras is averaged over.
QUANTILES = 64
#: A whole CT, and one structure of it: a model for each, as nothing before and behind a structure
#: is compared.
KINDS = ("body", "structure")
#: How each feature enters the model: more is worse; lengths as logarithms, padded by a negligible
#: length.
COLUMNS = {
    "noise_mm": lambda x: np.log(x + 0.01),
    "single_view_shift_sds": lambda x: np.log(x + 0.5),
    "split_half_mm": lambda x: np.log(x + 0.02),
    "similarity": lambda x: 1 - x,
    "wider_similarity": lambda x: 1 - x,
    "outlier_fraction": lambda x: x,
}
#: Features that are no columns.
EXTRA_FEATURES = ("tension", "disagreement", "disagreement_mm", "disagreement_by_size")


@dataclass(frozen=True)
class Prediction:
    """The error to expect.

    Attributes
    ----------
    mean_mm, upper95_mm
        The mTRE's 95 % bound, and its mean below the model's own.
    failure_probability
        Of an mTRE above WRONG_MM; no less than `Model.contradicted_risk` unless the views agree.
    image_failure_probability
        The same if the cameras are what they are said to be: what the X-rays show.
    bounded
        The features lie within those that the model was fitted on.
    typical_mm
        Median of the mTRE.
    agree
        The views disagree by no more than `Limits.agree`, or `Limits.carried_tension`: noise, and
        cameras as they are stated, explain it.
    camera_failure_probability
        Of an mTRE above WRONG_MM by the uncertainty of the cameras alone: what no X-ray shows.
    familiar
        The X-rays are of a kind that the model knows. In others noise explains more at right poses
        than is usual, and the model takes them for wrong: where `parts.carried_risk` does not,
        that is the probability.
    carries
        They are not, and this is what `carried` tells.
    elsewhere_proven
        Of a body of which a part lies elsewhere, as `parts.Elsewhere.proven`: how far off such
        bodies are was not measured, nor how often they are wrong where it is not proven.
    in_place
        Most tiles of each X-ray fit best where the pose has them, and no part is proven to lie
        elsewhere: of the poses that the model took for wrong in spite of it 2 were right and 1 was
        wrong, of the others 6 and 87 (benchmarks/appearances.py, seeds 2 and 14).
    raised
        A rule raised `failure_probability` above what the model says.
    tested
        The bone about the targets would have been seen to lie elsewhere, and does not, or nobody
        asked (`pieces.Asked`): else all this holds only if it has not moved by itself.
    """

    mean_mm: float
    upper95_mm: float
    failure_probability: float
    image_failure_probability: float
    bounded: bool
    typical_mm: float = math.nan
    agree: bool = True
    camera_failure_probability: float = 0.0
    familiar: bool = True
    carries: bool = False
    elsewhere_proven: bool | None = None
    in_place: bool = False
    raised: bool = False
    tested: bool = True

    @property
    def known_risk(self) -> float | None:
        """`failure_probability`, None where it was not measured for such results."""
        if self.familiar and self.elsewhere_proven is not False:
            return self.failure_probability
        return None

    @property
    def known_upper95_mm(self) -> float | None:
        """`upper95_mm`, None where it was not measured for such results."""
        fits = self.familiar and self.agree and self.tested
        return self.upper95_mm if fits and self.elsewhere_proven is None else None

    @property
    def known_kind(self) -> bool:
        """Whether views agree, and it is a case of a kind of which it is known how often it is wrong."""
        return self.bounded and self.agree and (self.familiar or self.carries)

    @property
    def cameras_suffice(self) -> bool:
        """Whether cameras are known well enough for a 3D position."""
        return self.camera_failure_probability <= LIMITS.camera_risk

    def carried(
        self, risk: float, explained: TargetUncertainty, disagreement_mm: float
    ) -> Prediction:
        """Return the prediction for X-rays that the model does not know, by what holds for any.

        Parameters
        ----------
        risk, disagreement_mm
            `carried_risk` and the other of `features.ReliabilityFeatures`.
        explained
            By noise and the cameras.
        """
        mean = math.hypot(explained.mean_mm, disagreement_mm)
        upper = math.hypot(explained.bound_mm(), disagreement_mm)
        beyond = explained.distribution.probability_beyond(WRONG_MM)
        return replace(
            self,
            mean_mm=mean,
            upper95_mm=upper if self.agree else max(upper, self.upper95_mm),
            typical_mm=mean,
            failure_probability=risk + (1 - risk) * beyond,
            image_failure_probability=risk,
            bounded=True,
            carries=True,
        )

    def moved(self, mm: float, *, precise: bool) -> Prediction:
        """Return the prediction for a pose whose likely cause moves the targets this far when corrected.

        Parameters
        ----------
        precise
            As of `cause.Cause`.
        """
        sd_mm, sd_share, misnamed = LIMITS.move_errors[precise]
        sd = sd_mm + sd_share * mm
        beyond = (1 - misnamed) * float(scipy.special.ndtr((mm - WRONG_MM) / sd))
        # Nothing else is in doubt: the cause is why the views looked otherwise.
        return Prediction(
            mean_mm=mm,
            upper95_mm=mm + sd * float(scipy.special.ndtri(min(0.95 / (1 - misnamed), 0.99))),
            failure_probability=misnamed * self.failure_probability + beyond,
            image_failure_probability=misnamed * self.image_failure_probability + beyond,
            bounded=self.bounded,
            typical_mm=mm,
            camera_failure_probability=self.camera_failure_probability,
            carries=self.carries,
        )

    def no_less_than(
        self, noise_mean_mm: float, noise_upper95_mm: float, views: int, depth_risk: float = 0.0
    ) -> Prediction:
        """Return the prediction with at least what noise alone explains.

        For one view it is `Limits.one_view_beyond` times that, as the model does not know its
        depth.

        Parameters
        ----------
        depth_risk
            Of one view, the probability that this many times what noise explains is above WRONG_MM.
        """
        times = LIMITS.one_view_beyond if views == 1 else 1.0
        return replace(
            self,
            mean_mm=max(self.mean_mm, times * noise_mean_mm),
            upper95_mm=max(self.upper95_mm, times * noise_upper95_mm),
            typical_mm=max(self.typical_mm, times * noise_mean_mm),
            failure_probability=max(self.failure_probability, depth_risk),
            raised=self.raised or depth_risk > self.failure_probability,
        )

    def elsewhere(self, *, proven: bool) -> Prediction:
        """Return the prediction for a body of which a part lies elsewhere.

        Parameters
        ----------
        proven
            As of `parts.Elsewhere`.
        """
        risk = LIMITS.risks_elsewhere[proven]
        return replace(
            self,
            failure_probability=max(self.failure_probability, risk),
            image_failure_probability=max(self.image_failure_probability, risk),
            elsewhere_proven=proven,
            in_place=self.in_place and not proven,
        )

    def __str__(self) -> str:
        if self.elsewhere_proven is False:
            return "The error was not measured for bodies with a possibly displaced part."
        error = f"the expected error is {in_mm(self.typical_mm)}"
        if not self.familiar:
            return (
                f"If the pose is right, {error}. The risk was not measured for X-rays of this kind."
            )
        risk = f"{percent(self.failure_probability)} risk of an error above {WRONG_MM:g} mm"
        if self.elsewhere_proven:
            return f"{risk}."
        if not self.tested:
            return f"{risk}. If no bone is displaced, {error}."
        if self.raised:
            return f"{risk}. If the pose is right, {error}."
        return f"Expected error {in_mm(self.typical_mm)}, {risk}."


@dataclass(frozen=True)
class ErrorModel:
    """What the models of the errors of all bodies have, with k columns.

    Attributes
    ----------
    centre, scale
        (k,) of the columns: what is taken from them, and what they are divided by.
    limits
        (k,) of the scaled columns: beyond them nothing was fitted.
    intercept, weights
        Of the logistic function of wrong answers.
    near, near_sd
        (k + 1,) and a number, mean and deviation of the log error (mm) of right answers, by 1 and
        the columns.
    far, far_sd
        The same of wrong ones, without columns.
    accept, reject
        Probabilities of a wrong answer up to and from which the verdict is so, see `verdict`.
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

    @property
    def wrong_error(self) -> LogNormal:
        """The error of wrong answers."""
        return LogNormal(self.far, self.far_sd)

    def right_error(self, scaled: np.ndarray) -> LogNormal:
        """Return the error of right answers by their scaled columns (k,)."""
        return LogNormal(float(self.near[0] + scaled @ self.near[1:]), self.near_sd)


@dataclass(frozen=True)
class Model(ErrorModel):
    """The model of a pose's error.

    Attributes
    ----------
    apart, apart_sd
        Mean and deviation of the log of mTRE over `features.disagreement_mm` where the CT lies
        elsewhere in a view.
    sized, sized_sd
        The same where another size of the CT makes the views agree.
    usual
        The value of each feature beyond which hardly any right answer goes, see `worse_than_usual`.
    contradicted_risk
        The least probability of a wrong answer where the views do not agree.
    """

    apart: float
    apart_sd: float
    sized: float
    sized_sd: float
    usual: dict[str, float]
    contradicted_risk: float

    def predict(
        self, numbers: Mapping[str, float], cameras: ScaledChiSquare | None = None
    ) -> Prediction:
        """Predict the error of a pose.

        Parameters
        ----------
        numbers
            The features by the names of COLUMNS and of EXTRA_FEATURES, and "carried_risk", without which
            X-rays count as familiar. By "odds" those of a wrong answer are multiplied.
        cameras
            What the uncertainty of the cameras adds, at the targets; None for exact ones.
        """
        scaled = (columns(numbers) - self.centre) / self.scale
        wrong = float(1 / (1 + np.exp(-np.clip(self.intercept + scaled @ self.weights, -30, 30))))
        carried = numbers.get("carried_risk", 1.0)
        familiar = not carried <= self.accept < wrong or "noise_mm" not in self.worse_than_usual(
            numbers
        )
        if not familiar:
            wrong = carried
        odds = numbers.get("odds", 1.0)
        wrong = odds * wrong / (odds * wrong + 1 - wrong)
        near = self.right_error(scaled)
        if disagree := numbers["disagreement"] > LIMITS.disagree:
            apart = float(np.log(numbers["disagreement_mm"] + LIMITS.pad_mm))
            near = LogNormal(apart + self.apart, self.apart_sd)
            if numbers["disagreement_by_size"]:
                near = LogNormal(apart + self.sized, self.sized_sd)
        cameras_mm = cameras.quantiles_mm(QUANTILES) if cameras else np.zeros(1)
        logs = np.linspace(-9, 9, 1801)  # of mm
        below = (1 - wrong) * near.below_with(cameras_mm, np.exp(logs))
        median, mean, bound = summary(logs, below + wrong * self.wrong_error.below(logs))
        exact = float(near.below(np.log(WRONG_MM)))
        known = float(near.below_with(cameras_mm, np.array(WRONG_MM)))
        # Where views agree, the wrong ones hold what of the right minimum is beyond WRONG_MM.
        counted = 1.0 if disagree else exact
        agree = numbers["tension"] <= LIMITS.carried_tension
        if familiar:
            agree = numbers["tension"] * numbers["disagreement"] <= LIMITS.agree
        risk = wrong + (1 - wrong) * (counted - known)
        raised = not agree and risk < self.contradicted_risk
        return Prediction(
            mean_mm=mean,
            upper95_mm=bound,
            failure_probability=self.contradicted_risk if raised else risk,
            image_failure_probability=wrong + (1 - wrong) * (counted - exact),
            bounded=bool((scaled <= self.limits).all()),
            typical_mm=median,
            agree=agree,
            camera_failure_probability=cameras.probability_beyond(WRONG_MM) if cameras else 0.0,
            familiar=familiar,
            in_place=carried <= self.accept,
            raised=raised,
        )

    def worse_than_usual(self, numbers: Mapping[str, float]) -> list[str]:
        """Return the features that are worse than in nearly all correct results, the worst first."""
        beyond = (columns(numbers) - columns(self.usual)) / self.scale
        return [
            name
            for excess, name in sorted(zip(beyond, COLUMNS, strict=True), reverse=True)
            if excess > 0
        ]


def summary(logs: np.ndarray, below: np.ndarray) -> tuple[float, float, float]:
    """Summarise the distribution of an error.

    Parameters
    ----------
    logs, below
        (N,) logarithms of mm, and the probability of a smaller error.

    Returns
    -------
    float, float, float
        The median, the mean of what lies below the 95 % bound, and that bound, mm.
    """
    lengths = np.exp(logs)
    (median, bound) = (float(np.exp(np.interp(share, below, logs))) for share in (0.5, 0.95))
    inside = lengths < bound
    return (
        median,
        float(bound - np.trapezoid([*below[inside], 0.95], [*lengths[inside], bound]) / 0.95),
        bound,
    )


def columns(numbers: Mapping[str, float], of: Mapping[str, Any] = COLUMNS) -> np.ndarray:
    """Return the columns (k,) of a model, from the features by name."""
    return np.array([float(into(numbers[name])) for name, into in of.items()])


@lru_cache
def calibrated(kind: str = "body", apart_from: str = "") -> Model:
    """Return the model of a kind, one of KINDS, that comes with the program.

    Parameters
    ----------
    apart_from
        The SHA-256 of a CT's file. Of one to which the model was fitted, that which was fitted to
        the others: it tells how well the model does with anatomy that it has never seen.
    """
    content = read_numbers("prediction.json", COLUMNS, "trust_fit")[kind]
    return model_of(Model, content["without"].get(apart_from, content))


def read_numbers(file: str, columns: Mapping[str, object], made_by: str) -> dict:
    """Return the content of a file beside this one, which a benchmark fitted to these columns."""
    content = json.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    if content["columns"] != list(columns):
        raise ValueError(f"{file} was fitted to other columns; run python -m benchmarks {made_by}.")
    return content


def model_of(kind: type[T], content: dict) -> T:
    """Return a model of what its file says."""
    arrays: dict[str, Any] = {}
    for part in fields(kind):  # type: ignore[arg-type]
        value = content[part.name]
        arrays[part.name] = np.array(value) if isinstance(value, list) else value
    return kind(**arrays)


def percent(share: float) -> str:
    """Format a probability for a reader."""
    if not 0.001 <= share <= 0.99:
        return "less than 0.1 %" if share < 0.001 else "more than 99 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def appearance(
    features: ReliabilityFeatures, points: np.ndarray, model: Model, numbers: Mapping[str, float]
) -> Error:
    """Return how far targets (N, 3), world mm, are known to appear where they do.

    As many times what noise explains as right poses of such features are off, cameras known; and
    what the cameras leave.

    Parameters
    ----------
    numbers
        As of `Model.predict`.
    """
    exact = model.predict(numbers)
    explained = features.uncertainty.at(points)
    typical = upper = LIMITS.carried_inflation
    if exact.familiar:
        typical = exact.typical_mm / explained.mean_mm
        upper = exact.upper95_mm / explained.bound_mm()
    of_noise, of_cameras = features.appearing
    of_views = []
    for seen in features.seen:
        noise = of_noise.in_view(points, *seen)
        likely = typical * noise.mean_mm
        most = upper * noise.bound_mm()
        if of_cameras:
            cameras = of_cameras.in_view(points, *seen)
            likely = hypot(likely, cameras.mean_mm)
            most = hypot(most, cameras.bound_mm())
        of_views.append((likely, most))
    return Error(*map(max, zip(*of_views, strict=True)))


def appears_right(
    prediction: Prediction, model: Model, upper95_mm: float, *, in_each_view: bool
) -> bool:
    """Return whether the bone appears in these X-rays where the pose has it.

    Whatever its 3D position is. Where views disagree, each alone has to show it there.
    """
    safe = prediction.image_failure_probability <= model.accept
    here = replace(prediction, agree=prediction.agree or in_each_view)
    return safe and upper95_mm <= WRONG_MM and here.known_kind


def is_likely_wrong(prediction: Prediction, model: ErrorModel) -> bool:
    """Return whether the model, fitted to simulated X-rays, expects an error above WRONG_MM.

    Not if most tiles of each X-ray fit best at this pose. This is no evidence from these images: an
    unfamiliar kind of X-ray at a right pose may look the same. So it rules out an accept, and does
    not reject.
    """
    return prediction.image_failure_probability >= model.reject and not prediction.in_place


def decide(prediction: Prediction, model: ErrorModel, measured: bool) -> Verdict:
    """Return "accept" for a small risk, a small error and well-known cameras, otherwise "check".

    Parameters
    ----------
    measured
        As of `verdict.Assessment`.
    """
    if is_likely_wrong(prediction, model):
        return "check"
    safe = prediction.failure_probability <= model.accept and prediction.upper95_mm <= WRONG_MM
    known = measured and prediction.cameras_suffice and prediction.known_kind
    return "accept" if safe and known else "check"


def depth_risk(noise: TargetUncertainty, views: int) -> float:
    """Return the depth risk of `Prediction.no_less_than`.

    0 of several views, whose depth the model knows.
    """
    if views > 1:
        return 0.0
    return noise.distribution.probability_beyond(WRONG_MM / LIMITS.one_view_beyond)


def model_inputs(features: ReliabilityFeatures) -> dict[str, float]:
    """Return the features by the names that `Model.predict` knows.

    The worst of all views that show enough of the CT.
    """
    names = *COLUMNS, *EXTRA_FEATURES, "carried_risk"
    values = {name: np.atleast_1d(getattr(features, name)) for name in names}
    return {
        name: float(max(value[np.isfinite(value)], default=0.0)) for name, value in values.items()
    }
