"""Error of a registered pose, predicted from its reliability features.

A pose is either in the correct minimum, with an error that noise explains, or in another one, with
any error. The probability of the latter is a logistic function that grows with each feature; the
error is log-normal in both cases. If the views disagree, the error in the correct minimum is about
the motion that would make them agree. The error due to uncertain cameras, which no image shows, is
independent of both (`uncertainty.Minimum.cameras`). prediction.json has
the coefficients and what they were fitted to; benchmarks/fit_risk.py writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy

from .records import WRONG_MM, ExpectedError
from .uncertainty import LogNormal, ScaledChiSquare, TargetUncertainty

if TYPE_CHECKING:
    from .bone_features import BoneFeatures
    from .features import ReliabilityFeatures

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Constants of the prediction that were chosen, not fitted.

    Attributes
    ----------
    move_errors
        For causes without and with clear evidence: standard deviation of the estimated error in mm,
        the same as a fraction of the motion, and largest fraction of wrong diagnoses. The motion that
        corrects a cause is the estimate of the error of the uncorrected pose.
    agree
        Views agree if the product of tension and disagreement (`features`) is at most this. Only
        this product reveals a wrong principal point: none of the 55 cases with one in seeds 1 to 4,
        on which the limit was chosen, passes, and 7 of 57 later cases.
    unfamiliar_tension
        Views of an unfamiliar kind agree if the tension is at most this, as at 95 % of the correct
        poses of seeds 1 to 4.
    unfamiliar_inflation
        Ratio of the error in views of an unfamiliar kind to the error explained by noise. With 2 the
        bound held for 32 of 34 simulated correct poses, with 2.5 for all.
    disagree
        Views disagree if a motion between them, or another size of the CT, explains more than this
        fraction of the cost.
    pad_mm
        Length added to that motion to estimate the error.
    one_view_factor
        95 % of the depth errors of one view are below this multiple of the 95 % bound of noise.
    camera_risk
        A 3D position is accepted only if the probability of an error above WRONG_MM due to camera
        uncertainty alone is at most this. The X-rays cannot reveal such an error.
    tested_odds
        Factor applied to the odds of a wrong pose if the test for displaced bone found none: 2 of
        123 wrong poses with targets passed the test, and 50 of 89 correct poses of rigid bodies
        (benchmarks/bent.py --inside --machines, seeds 96001, 97001, 98001 and 120001).
    """

    move_errors: tuple[tuple[float, float, float], ...] = ((0.5, 0.35, 0.2), (0.3, 0.1, 0.04))
    agree: float = 0.004
    unfamiliar_tension: float = 1.05
    unfamiliar_inflation: float = 2.5
    disagree: float = 0.01
    pad_mm: float = 0.1
    one_view_factor: float = 1.6
    camera_risk: float = 0.001
    tested_odds: float = 0.1


LIMITS = Limits()
#: Number of quantiles over which the error due to the cameras is averaged.
CAMERA_QUANTILE_COUNT = 64
#: There is one model for a whole CT and one for a single structure, since what is in front of and
#: behind a structure is not compared.
KINDS = ("body", "structure")
Columns = Mapping[str, Callable[[float], float]]
#: Transform of each feature in the model of a whole CT or a structure. Larger values are worse;
#: lengths are logarithmic, with a negligible offset.
COLUMNS: Columns = {
    "noise_mm": lambda x: np.log(x + 0.01),
    "single_view_shift_sds": lambda x: np.log(x + 0.5),
    "split_half_mm": lambda x: np.log(x + 0.02),
    "similarity": lambda x: 1 - x,
    "wider_similarity": lambda x: 1 - x,
    "outlier_fraction": lambda x: x,
}
#: Features that are not columns of the model.
EXTRA_FEATURES = ("tension", "disagreement", "disagreement_mm", "disagreement_by_size")
#: Transform of each feature in the model of a bone.
BONE_COLUMNS: Columns = {
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
class Risk:
    """Predicted error of a pose, and the probability that it exceeds WRONG_MM.

    Attributes
    ----------
    typical_mm, upper95_mm
        Median and 95 % bound of the mTRE.
    failure
        Probability of an mTRE above WRONG_MM.
    image_failure
        The same if the cameras are as stated.
    camera_failure
        The same due to uncertain cameras alone.
    is_within_fit
        The features are within the range on which the model was fitted.
    views_agree
        Noise and the stated uncertainty of the cameras explain the differences between the views.
    is_familiar
        The X-rays are of a kind on which the model was fitted. In others noise explains more at
        correct poses than is usual; then `failure` follows from the tile votes (`votes`).
    has_tiles_in_place
        Most tiles of every X-ray fit best at this pose. Of the poses that the model took for wrong
        in spite of it 2 were right and 1 was wrong, of the others 6 and 87
        (benchmarks/appearances.py, seeds 2 and 14).
    """

    typical_mm: float
    upper95_mm: float
    failure: float
    image_failure: float
    camera_failure: float = 0.0
    is_within_fit: bool = True
    views_agree: bool = True
    is_familiar: bool = True
    has_tiles_in_place: bool = False

    @property
    def position_error(self) -> ExpectedError:
        """Expected error of the 3D position; its bound is unknown unless the views are familiar and agree."""
        is_known = self.is_familiar and self.views_agree
        return ExpectedError(self.typical_mm, self.upper95_mm if is_known else None)

    @property
    def cameras_suffice(self) -> bool:
        """Whether the cameras are known well enough for a 3D position."""
        return self.camera_failure <= LIMITS.camera_risk

    def from_votes(
        self, failure: float, explained: TargetUncertainty, disagreement_mm: float
    ) -> Risk:
        """Return the risk for views of an unfamiliar kind, from tile votes and propagated uncertainty.

        Parameters
        ----------
        failure
            `ReliabilityFeatures.vote_risk`.
        explained
            Target error that noise and cameras explain.
        disagreement_mm
            `ReliabilityFeatures.disagreement_mm`.
        """
        upper_mm = hypot(explained.bound_mm(), disagreement_mm)
        beyond = explained.distribution.probability_beyond(WRONG_MM)
        return replace(
            self,
            typical_mm=hypot(explained.mean_mm, disagreement_mm),
            upper95_mm=upper_mm if self.views_agree else max(upper_mm, self.upper95_mm),
            failure=failure + (1 - failure) * beyond,
            image_failure=failure,
            is_within_fit=True,
        )

    def if_moved(self, mm: float, *, is_clear: bool) -> Risk:
        """Return the risk of a pose if correcting its likely cause moves the targets by this distance.

        Parameters
        ----------
        is_clear
            `causes.Cause.is_clear`.
        """
        sd_mm, sd_fraction, misdiagnosed = LIMITS.move_errors[is_clear]
        sd = sd_mm + sd_fraction * mm
        beyond = (1 - misdiagnosed) * float(scipy.special.ndtr((mm - WRONG_MM) / sd))
        quantile = float(scipy.special.ndtri(min(0.95 / (1 - misdiagnosed), 0.99)))
        return Risk(
            typical_mm=mm,
            upper95_mm=mm + sd * quantile,
            failure=misdiagnosed * self.failure + beyond,
            image_failure=misdiagnosed * self.image_failure + beyond,
            camera_failure=self.camera_failure,
            is_within_fit=self.is_within_fit,
        )

    def at_least(self, explained: TargetUncertainty, view_count: int) -> Risk:
        """Return the risk with at least the error that noise and cameras explain.

        One view shows little of the depth: its error is a multiple of that.
        """
        factor = LIMITS.one_view_factor if view_count == 1 else 1.0
        depth_risk = 0.0
        if view_count == 1:
            depth_risk = explained.distribution.probability_beyond(WRONG_MM / factor)
        return replace(
            self,
            typical_mm=max(self.typical_mm, factor * explained.mean_mm),
            upper95_mm=max(self.upper95_mm, factor * explained.bound_mm()),
            failure=max(self.failure, depth_risk),
        )


@dataclass(frozen=True)
class ErrorModel:
    """Coefficients common to the models of all bodies, with k columns.

    Attributes
    ----------
    centre, scale
        (k,) offset and scale of the columns.
    limits
        (k,) largest scaled columns in the fit.
    intercept, weights
        Coefficients of the logistic function for wrong poses.
    near, near_sd
        (k + 1,) coefficients and residual deviation of the log error (mm) of correct poses, for 1
        and the columns.
    far, far_sd
        Mean and deviation of the log error of wrong poses.
    accept
        Largest probability of a wrong pose with which it is accepted.
    reject
        Smallest probability with which it is most likely wrong.
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
        """The distribution of the error of wrong poses."""
        return LogNormal(self.far, self.far_sd)

    def right_error(self, scaled: np.ndarray) -> LogNormal:
        """Return the distribution of the error of correct poses for scaled columns (k,)."""
        return LogNormal(float(self.near[0] + scaled @ self.near[1:]), self.near_sd)

    def is_likely_wrong(self, risk: Risk) -> bool:
        """Return whether the model expects an error above WRONG_MM and the tile votes do not contradict this.

        A likely wrong pose is not accepted, but it is not rejected on this evidence alone: the model was
        fitted to simulated X-rays, and real X-rays at a correct pose may have the same features.
        """
        return risk.image_failure >= self.reject and not risk.has_tiles_in_place


@dataclass(frozen=True)
class BodyRiskModel(ErrorModel):
    """Model of the error of a whole CT, or of one structure.

    Attributes
    ----------
    motion_ratio, motion_ratio_sd
        Mean and deviation of the log ratio of the mTRE to `features.disagreement_mm` if the CT is
        displaced in one view.
    size_ratio, size_ratio_sd
        The same if another size of the CT makes the views agree.
    usual
        Value of each feature beyond which, on its bad side, hardly any correct pose lies.
    contradicted_risk
        Smallest probability of a wrong pose if the views disagree.
    """

    motion_ratio: float
    motion_ratio_sd: float
    size_ratio: float
    size_ratio_sd: float
    usual: dict[str, float]
    contradicted_risk: float

    def predict(
        self,
        features: Mapping[str, float],
        cameras: ScaledChiSquare | None = None,
        odds: float = 1.0,
    ) -> Risk:
        """Predict the error of a pose.

        Parameters
        ----------
        features
            By the names of COLUMNS and EXTRA_FEATURES, and "vote_risk"; without the latter the
            X-rays count as familiar.
        cameras
            Distribution of the mean square target error due to the cameras; None for exact ones.
        odds
            Factor of the odds of a wrong pose.
        """
        scaled = (columns(features) - self.centre) / self.scale
        logit = np.clip(self.intercept + scaled @ self.weights, -30, 30)
        wrong = float(scipy.special.expit(logit))
        vote_risk = features.get("vote_risk", 1.0)
        votes_decide = vote_risk <= self.accept < wrong
        is_familiar = not (votes_decide and "noise_mm" in self.worse_than_usual(features))
        if not is_familiar:
            wrong = vote_risk
        wrong = odds * wrong / (odds * wrong + 1 - wrong)
        right = self.right_error(scaled)
        if disagree := features["disagreement"] > LIMITS.disagree:
            log_mm = float(np.log(features["disagreement_mm"] + LIMITS.pad_mm))
            right = LogNormal(log_mm + self.motion_ratio, self.motion_ratio_sd)
            if features["disagreement_by_size"]:
                right = LogNormal(log_mm + self.size_ratio, self.size_ratio_sd)
        cameras_mm = cameras.quantiles_mm(CAMERA_QUANTILE_COUNT) if cameras else np.zeros(1)
        logs = np.linspace(-9, 9, 1801)  # of mm
        below = (1 - wrong) * right.below_with(cameras_mm, np.exp(logs))
        below = below + wrong * self.wrong_error.below(logs)
        exact = float(right.below(np.log(WRONG_MM)))
        known = float(right.below_with(cameras_mm, np.array(WRONG_MM)))
        # If the views agree, `wrong` includes errors above WRONG_MM in the correct minimum.
        counted = 1.0 if disagree else exact
        agree = features["tension"] <= LIMITS.unfamiliar_tension
        if is_familiar:
            agree = features["tension"] * features["disagreement"] <= LIMITS.agree
        failure = wrong + (1 - wrong) * (counted - known)
        return Risk(
            typical_mm=quantile_mm(logs, below, 0.5),
            upper95_mm=quantile_mm(logs, below, 0.95),
            failure=failure if agree else max(failure, self.contradicted_risk),
            image_failure=wrong + (1 - wrong) * (counted - exact),
            camera_failure=cameras.probability_beyond(WRONG_MM) if cameras else 0.0,
            is_within_fit=bool((scaled <= self.limits).all()),
            views_agree=agree,
            is_familiar=is_familiar,
            has_tiles_in_place=vote_risk <= self.accept,
        )

    def worse_than_usual(self, features: Mapping[str, float]) -> list[str]:
        """Return the features that are worse than at nearly all correct poses, the worst first."""
        excess = (columns(features) - columns(self.usual)) / self.scale
        ranked = sorted(zip(excess, COLUMNS, strict=True), reverse=True)
        return [name for each, name in ranked if each > 0]


class BoneRiskModel(ErrorModel):
    """Model of the error of a bone."""

    def predict(self, features: BoneFeatures) -> Risk:
        """Predict the error of a bone; a feature that was not measured (NaN) gets its mean in the fit."""
        scaled = np.nan_to_num((columns(vars(features), BONE_COLUMNS) - self.centre) / self.scale)
        wrong = float(scipy.special.expit(self.intercept + scaled @ self.weights))
        logs = np.linspace(-6, 6, 1201)  # log of the error in mm
        right = self.right_error(scaled).below(logs)
        below = (1 - wrong) * right + wrong * self.wrong_error.below(logs)
        failure = max(wrong, 1 - float(np.interp(np.log(WRONG_MM), logs, below)))
        return Risk(
            typical_mm=quantile_mm(logs, below, 0.5),
            upper95_mm=quantile_mm(logs, below, 0.95),
            failure=failure,
            image_failure=failure,
            is_within_fit=bool((scaled <= self.limits).all()),
        )


def quantile_mm(log_mm: np.ndarray, cumulative: np.ndarray, probability: float) -> float:
    """Return a quantile of an error, from its cumulative distribution (N,) over logarithms (N,)."""
    return float(np.exp(np.interp(probability, cumulative, log_mm)))


def columns(features: Mapping[str, float], transforms: Columns = COLUMNS) -> np.ndarray:
    """Return the input (k,) of a model: one transformed feature for each of `transforms`."""
    return np.array([float(transform(features[name])) for name, transform in transforms.items()])


@lru_cache
def body_risk_model(kind: str = "body", without_ct: str = "") -> BodyRiskModel:
    """Return the fitted model of a whole CT ("body") or of a "structure".

    Parameters
    ----------
    without_ct
        SHA-256 of the file of a CT. If the model was fitted to it, return the model that was fitted
        to the other CTs, which shows how it does with unseen anatomy.
    """
    content = read_coefficients(kind, COLUMNS)
    return _model_of(BodyRiskModel, content["without"].get(without_ct, content))


@lru_cache
def bone_risk_model() -> BoneRiskModel:
    """Return the fitted risk model of a bone."""
    return _model_of(BoneRiskModel, read_coefficients("bone", BONE_COLUMNS))


def read_coefficients(kind: str, transforms: Columns) -> dict:
    """Return the coefficients for a kind of body.

    Raises
    ------
    ValueError
        If they were fitted to columns other than those of `transforms`.
    """
    text = Path(__file__).with_name("prediction.json").read_text(encoding="utf-8")
    content = json.loads(text)
    if content["columns"][kind] != list(transforms):
        raise ValueError(
            "The coefficients in prediction.json were fitted to other columns. Run python -m "
            "benchmarks fit_risk --write."
        )
    return content[kind]


def _model_of(kind: type[T], content: dict) -> T:
    arrays: dict[str, Any] = {}
    for part in fields(kind):  # type: ignore[arg-type]
        value = content[part.name]
        arrays[part.name] = np.array(value) if isinstance(value, list) else value
    return kind(**arrays)


def model_inputs(features: ReliabilityFeatures) -> dict[str, float]:
    """Return each feature by the name that `BodyRiskModel.predict` uses, with its largest finite value over the views."""
    names = *COLUMNS, *EXTRA_FEATURES, "vote_risk"
    values = {name: np.atleast_1d(getattr(features, name)) for name in names}
    return {
        name: float(max(value[np.isfinite(value)], default=0.0)) for name, value in values.items()
    }


def overlay_error(
    features: ReliabilityFeatures,
    points: np.ndarray,
    model: BodyRiskModel,
    inputs: Mapping[str, float],
    odds: float = 1.0,
) -> ExpectedError:
    """Return the expected error of where targets appear in the X-rays, mm, in the worst view.

    The error explained by noise is scaled to that of correct poses with these features; the error
    that the cameras leave in the image is added. Cameras and pose are solved for together, so that
    an uncertain camera displaces the bone in 3D and hardly in the image
    (`uncertainty.PoseUncertainty.in_view`).

    Parameters
    ----------
    points
        (N, 3) targets, world mm.
    inputs, odds
        Arguments of `BodyRiskModel.predict`.
    """
    exact = model.predict(inputs, odds=odds)
    explained = features.uncertainty.at(points)
    if len(features.seen) == 1:  # the model predicts the error across the beam of one view
        explained = features.uncertainty.in_view(points, *features.seen[0])
    typical = upper = LIMITS.unfamiliar_inflation
    if exact.is_familiar:
        typical = exact.typical_mm / explained.mean_mm
        upper = exact.upper95_mm / explained.bound_mm()
    from_noise, from_cameras = features.image_plane
    by_view = []
    for seen in features.seen:
        noise = from_noise.in_view(points, *seen)
        mean_mm = typical * noise.mean_mm
        bound_mm = upper * noise.bound_mm()
        if from_cameras:
            cameras = from_cameras.in_view(points, *seen)
            mean_mm = hypot(mean_mm, cameras.mean_mm)
            bound_mm = hypot(bound_mm, cameras.bound_mm())
        by_view.append((mean_mm, bound_mm))
    return ExpectedError(*map(max, zip(*by_view, strict=True)))
