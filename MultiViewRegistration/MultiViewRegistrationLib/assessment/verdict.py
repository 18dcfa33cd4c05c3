"""The verdict on a registered pose, with its reasons.

Accept needs a small failure probability, and a case of the kind that the probability was measured
on, or for other X-rays what holds for any kind (`Prediction.carried`). Any other case is at best
"check": a wrong accept is worse than a wrong reject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import Reason, Use, Verdict, bones_apart
from ..geometry import rigid
from ..imaging.xray import CALIBRATED, SharedUnknowns, View
from ..registration.cameras import uncalibrated_view_indices
from ..registration.optimizer import Refinement
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from .error_by_cause import PoseError
from .features import ReliabilityFeatures, compute_features
from .metrics import Error, Judged, in_words, targets_of
from .parts import CT_MISFIT, IN_PLACE, Elsewhere, elsewhere, rival_in_place
from .pieces import LIMITS as PIECES
from .pieces import Asked, ask, displaced, untested
from .prediction import (
    Model,
    Prediction,
    appearance,
    appears_right,
    calibrated,
    decide,
    depth_risk,
    is_likely_wrong,
    model_inputs,
)
from .uncertainty import TargetUncertainty, ViewSplit, bounds
from .verdict_reasons import (
    ALIKE,
    FEW_GREY_LEVELS,
    LIMITS,
    MISFIT_LEFT_OUT,
    ONE_STRUCTURE,
    POSE_SET,
    THIRD_VIEW_MISSING,
    camera_limits,
    camera_strain,
    condition,
    evidence_ratio,
    prediction_limits,
    risk_reasons,
    scope_of,
    slices_aside,
    suspects,
    target_limits,
    view_limits,
    weak_points,
)

if TYPE_CHECKING:
    from .cause import Cause


@dataclass(frozen=True, eq=False)
class Assessment(Judged):
    """How far a pose can be trusted.

    Attributes
    ----------
    position
        "accept", "check" or "reject" for the 3D position.
    reasons
        None for an accept of that.
    prediction, features
        None where no view shows enough of the CT.
    splits
        Error bounds of each view; those of noise and cameras alone where `Prediction.known_upper95_mm`
        is None, as the next two.
    least_certain_rotation
        95 % bound in degrees, and world axis (3,), of the rotation that the views show least.
    error_inflation
        How many times larger the errors may be than noise explains.
    cause
        The likely cause of a poor fit; None where none was searched for, or found.
    targets
        (N, 3) CT mm, to which the errors belong.
    measured
        The case is of the kind that the failure probability was measured on; nothing else is
        accepted.
    condition
        What the prediction takes for granted of the cameras, as the end of a sentence; "" without
        one.
    likely_wrong
        See `prediction.is_likely_wrong`.
    in_doubt, cameras_in_doubt
        Cameras or X-rays are not of the kind that failure probabilities were measured on, of the
        whole CT or of bones of it. And cameras are not known well enough for a 3D position.
    contradictions
        Of cameras that the X-rays contradict, also the first of the reasons.
    suspects
        Names of the views that a reason is about.
    elsewhere
        (N, 3) CT mm of the part of the bone that lies elsewhere than the pose has it.
    body
        The assessment of the body alone; None where its bones have no poses of their own.
    tested
        Names of the bones that were registered and judged, too.
    asked
        Which places were in place for sure; None where nothing else spoke for an accept.
    overlay
        As `position`, for the overlay on these X-rays.
    appearance
        How far that is known; None without features.
    relative, motion
        As `overlay` and `appearance`, for its bones relative to each other; None without such.
    """

    position: Verdict
    reasons: list[Reason]
    prediction: Prediction | None = None
    features: ReliabilityFeatures | None = field(default=None, repr=False)
    splits: list[ViewSplit] = field(default_factory=list)
    least_certain_rotation: tuple[float, np.ndarray] | None = None
    error_inflation: float = 1.0
    cause: Cause | None = None
    targets: np.ndarray | None = None
    measured: bool = False
    likely_wrong: bool = False
    in_doubt: bool = True
    cameras_in_doubt: bool = True
    condition: str = ""
    contradictions: tuple[Reason, ...] = ()
    suspects: tuple[str, ...] = ()
    elsewhere: np.ndarray = field(default_factory=lambda: np.empty((0, 3)), repr=False)
    body: Assessment | None = field(default=None, repr=False)
    tested: tuple[str, ...] = ()
    asked: Asked | None = field(default=None, repr=False)
    overlay: Verdict = "reject"
    appearance: Error | None = None
    relative: Verdict | None = None
    motion: Error | None = None

    @property
    def errors(self) -> dict[Use, Error | None]:
        """Expected error for each use."""
        predicted = self.prediction
        position = None
        if predicted and predicted.tested and predicted.elsewhere_proven is None:
            position = Error(predicted.typical_mm, predicted.known_upper95_mm)
        return {"overlay": self.appearance, "relative": self.motion, "position": position}

    @property
    def placed(self) -> bool:
        """Whether X-rays of another kind have most of their tiles in place."""
        if self.features is None or self.prediction is None or self.prediction.familiar:
            return False
        return bool(self.features.in_place.min() >= IN_PLACE)

    @property
    def accepted_use(self) -> Use | None:
        """The 3D position if it is accepted, otherwise the overlay if that is."""
        if self.position == "accept":
            return "position"
        return "overlay" if self.overlay == "accept" else None

    @property
    def scope(self) -> Reason | None:
        """What an accept of a body was tested for; None without one."""
        use = self.accepted_use
        if use is None:
            return None
        if self.asked is None:
            return scope_of(self.tested)
        every = self.targets is not None and len(self.asked.points) == len(self.targets)
        given = self.asked.given and every
        return scope_of(self.tested, self.asked.sure(use), given=given)

    @property
    def tested_points(self) -> np.ndarray:
        """(N, 3) CT mm, points at which displaced bone would be visible on the X-rays."""
        if self.asked is None:
            return np.empty((0, 3))
        return self.asked.points[self.asked.sure("overlay")]

    def view_states(self, names: Sequence[str]) -> dict[str, str]:
        """Return "good", "check" or "bad" of each view, by name: for what speaks for the pose, is in doubt, is to blame."""
        if self.verdict == "accept":
            return dict.fromkeys(names, "good")
        rejected = self.verdict == "reject" or self.likely_wrong
        about = names if rejected else self.suspects
        if self.contradictions:
            about = self.suspects or about
        if self.cause:
            about = self.cause.views or about
        state = "bad" if rejected else "check"
        return {name: state if name in about else "good" for name in names}

    @property
    def bounds_known(self) -> bool:
        """Whether bounds of the error were measured for such results."""
        return self.prediction is not None and self.prediction.known_upper95_mm is not None

    @property
    def pose_error(self) -> PoseError | None:
        """The error of the pose relative to the X-rays, by its causes; None without features."""
        if self.features is None:
            return None
        of_noise, of_cameras = self.features.appearing
        return PoseError.of(of_noise + of_cameras, max(1.0, self.error_inflation))

    @property
    def uses_in_words(self) -> str:
        """Verdict and expected error of each use as sentences, see `metrics.in_words`."""
        return in_words(self.uses)

    @property
    def summary(self) -> str:
        """Verdict of each use, the predicted error of the 3D position, and the scope of an accept, as sentences."""
        if self.prediction is None:
            return ""
        conditional = self.condition and self.prediction.elsewhere_proven is not False
        end = f", {self.condition}." if conditional else "."
        predicted = f"{str(self.prediction)[:-1]}{end}"
        if bones_apart(self.reasons):
            predicted = f"In one piece: {predicted[0].lower()}{predicted[1:]}"
        return " ".join(filter(None, [self.uses_in_words, predicted, self.scope]))

    def at_targets(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Return the expected error and its 95 % bound, mm, at each target (N, 3) in world mm.

        Empty where they are not known.
        """
        if self.features is None or not self.bounds_known:
            return []
        return [
            (self.error_inflation * one.mean_mm, self.error_inflation * one.bound_mm())
            for one in [self.features.total_uncertainty.at(point[None]) for point in points]
        ]

    def to_json(self) -> dict | None:
        """Return `uncertainty` of a result.json."""
        if self.least_certain_rotation is None or self.prediction is None or self.features is None:
            return None
        degrees, axis = self.least_certain_rotation
        return {
            "failure_probability": self.prediction.known_risk,
            "image_failure_probability": self.prediction.image_failure_probability
            if self.prediction.familiar
            else None,
            "camera_mm": self.features.camera_mm,
            "noise_mm": self.features.noise_mm,
            "views": [split._asdict() for split in self.splits] if self.bounds_known else [],
            "least_certain_rotation": {"degrees": degrees, "axis": axis},
        }


class Measured(NamedTuple):
    """What was measured of a pose, before anything is decided.

    Attributes
    ----------
    anatomy, views, found, start
        The prepared CT, the views of known geometry with corrected cameras, the pose, and the start
        (4, 4) of its refinement.
    targets, given
        (N, 3) CT mm, and whether somebody gave them.
    explained, of_cameras
        Their error that noise and cameras explain, and the cameras' share; None for exact ones.
    weak
        The features that are worse than usual.
    limits
        Why the measured failure probability does not hold for such X-rays and poses.
    contradictions, suspects
        As of `Assessment`.
    alone
        Numbers of the views of unknown geometry.
    """

    anatomy: PreparedCT
    views: list[View]
    found: Refinement
    start: np.ndarray
    targets: np.ndarray
    given: bool
    features: ReliabilityFeatures
    explained: TargetUncertainty
    of_cameras: TargetUncertainty | None
    model: Model
    weak: list[str]
    limits: list[Reason]
    contradictions: tuple[Reason, ...]
    suspects: tuple[str, ...]
    alone: list[int]

    @property
    def coarse(self) -> list[Reason]:
        """That images have few grey levels: the model takes what they lack for a wrong pose."""
        return [reason for reason in self.limits if reason.code == FEW_GREY_LEVELS]

    def told(self, asked: Asked | None = None) -> tuple[Prediction, Error, bool]:
        """Return the first three of `Tested` by the features alone, once places were asked."""
        features = self.features
        at = self.explained
        inputs = model_inputs(features)
        if asked and asked.enough("position"):
            inputs["odds"] = LIMITS.tested_odds
        position = self.model.predict(
            inputs, self.of_cameras.distribution if self.of_cameras else None
        )
        if not position.familiar:
            position = position.carried(features.carried_risk, at, features.disagreement_mm)
        views = len(self.views)
        position = position.no_less_than(at.mean_mm, at.bound_mm(), views, depth_risk(at, views))
        shown = appearance(features, at.points, self.model, inputs)
        in_each = asked is not None and asked.least_alone >= PIECES.tested_targets
        right = appears_right(
            position, self.model, shown.upper95_mm or np.inf, in_each_view=in_each
        )
        return position, shown, right


class Tested(NamedTuple):
    """What tests of a pose say.

    Attributes
    ----------
    position, shown
        Predicted error of the 3D position, and of the overlay.
    appears
        The bone appears in these X-rays where the pose has it.
    measured
        No finding but the predicted error rules out an accept of the 3D position.
    limits
        What speaks against an accept, but for bone that lies elsewhere.
    apart
        The bone that does.
    asked
        None where no places were asked.
    """

    position: Prediction
    shown: Error
    appears: bool
    measured: bool
    limits: list[Reason]
    apart: Elsewhere | None
    asked: Asked | None


def assess(
    anatomy: PreparedCT,
    views: Sequence[View],
    found: Refinement,
    start: np.ndarray,
    targets: np.ndarray | None = None,
    shared: SharedUnknowns = CALIBRATED,
    *,
    masked: bool = False,
    registered: bool = True,
    model: Model | None = None,
) -> Assessment:
    """Assess a registration, or a pose that was set.

    Parameters
    ----------
    anatomy, views
        The prepared CT, and the views as the case has them.
    found
        The pose, and the views with corrected cameras.
    start
        (4, 4) start of the refinement.
    targets
        (N, 3) CT mm; by default the bone in the fields of all views.
    shared
        What is unknown and the same in all views.
    masked
        A mask leaves out what did not fit at an earlier pose.
    registered
        The pose came from a registration.
    model
        By default the fitted one for a body, or for a structure.
    """
    alone = uncalibrated_view_indices(views, shared)
    tied = [i for i in range(len(views)) if i not in alone]
    if max(found.fit.shown[i] for i in tied) < MIN_PIXELS or not np.isfinite(found.fit.cost):
        sentence = "At this pose no X-ray shows enough of the CT to compare them."
        return Assessment("reject", [Reason("not-shown", sentence)])
    corrected = [found.views[i] for i in tied]
    chosen, limits = targets_of(anatomy, corrected, found.world_from_ct, targets)
    features = compute_features(anatomy, corrected, found, start, chosen, shared)
    strain, contradicted = camera_strain([views[i] for i in tied], corrected, shared)
    features = features.with_strain(strain / LIMITS.strain)
    limits += [ONE_STRUCTURE] * anatomy.structure
    limits += view_limits(corrected, features, shared)
    limits += [MISFIT_LEFT_OUT] * masked + [POSE_SET] * (not registered)
    points = rigid.transform_points(found.world_from_ct, chosen)
    cameras = features.camera_uncertainty
    model = model or calibrated("structure" if anatomy.structure else "body")
    weak = model.worse_than_usual(model_inputs(features))
    blamed = dict(contradicted) or suspects(weak, features, corrected)
    of = Measured(
        anatomy,
        corrected,
        found,
        start,
        chosen,
        targets is not None,
        features,
        features.total_uncertainty.at(points),
        cameras.at(points) if cameras else None,
        model,
        weak,
        limits,
        tuple(reason for _name, reason in contradicted),
        (*blamed, *(views[i].name for i in alone)),
        alone,
    )
    return _concluded(of, _tested(of))


def _tested(of: Measured) -> Tested:
    """Test a pose by its parts, its rival and, unless it is rejected, by places in its bone."""
    position, shown, right = of.told()
    familiar = position.familiar
    apart = elsewhere(of.features.parts, of.targets)
    if apart and not (apart.unlike or position.agree and familiar):
        # Views that contradict each other ask for another place of every part; and how far parts
        # of a right pose ask to go was measured on familiar X-rays.
        apart = None
    where = of.anatomy, of.views, of.found, of.start
    pose = of.found.world_from_ct
    limits = list(of.limits)
    if not of.anatomy.structure:
        if of.given:
            limits += target_limits(of.views, pose, of.targets, of.features.parts)
        limits += slices_aside(of.anatomy, of.targets)
    rival = of.features.gap is not None and of.features.gap < LIMITS.evidence_ratio
    if rival and not familiar:  # of another kind a right pose has hardly more evidence than others
        rival = rival_in_place(*where)
    sound = not (limits or of.alone or apart or rival)
    asked = None
    unlikely = is_likely_wrong(position, of.model)
    if not (of.anatomy.structure or of.contradictions or unlikely):
        asking = partial(ask, of.anatomy, of.features.uncovered(of.views), pose)
        asked = asking(of.targets, given=of.given)
        position, shown, right = of.told(asked)
        if sound and (right or decide(position, of.model, sound) == "accept"):
            if of.given:  # an X-ray that shows other bone elsewhere is no single projection
                bone, _ = targets_of(of.anatomy, of.views, pose, None)
                asked = replace(asked, bent=asking(bone).bent)
            elif not asked.elsewhere.any():  # where X-rays and CT agree least
                doubtful = asking(of.targets, doubtful=True)
                asked = doubtful if doubtful.elsewhere.any() else asked
            position, shown, right = of.told(asked)
            apart = displaced(asked)
            limits = untested(asked, [view.name for view in of.views])
            if asked.enough("overlay") and evidence_ratio(*where) < LIMITS.mirror_ratio:
                limits.append(ALIKE)
    # For the 3D position no third view tells which of two of another kind is wrong; each shows what its own
    # overlay has, if enough bone was tested.
    third = len(of.views) == 2 and not (familiar or apart)
    limits += [THIRD_VIEW_MISSING] * third
    seen = asked.enough("overlay", firmly=third) if asked else not third
    appears = sound and seen and right and ALIKE not in limits
    measured = sound and not (limits or apart)
    return Tested(position, shown, appears, measured, limits, apart, asked)


def _concluded(of: Measured, tested: Tested) -> Assessment:
    """Return the verdicts, their reasons and the errors."""
    asked = tested.asked
    apart = tested.apart
    told = tested.position
    if apart:
        told = told.elsewhere(
            proven=apart.proven and not of.features.in_place.min() > LIMITS.in_place
        )
    if asked and not asked.enough("position"):
        told = replace(told, tested=False)
    position = decide(told, of.model, tested.measured)
    overlay: Verdict = "accept" if tested.appears else "check"
    if of.coarse:
        position = overlay = "check"
    if of.contradictions:
        position = "reject"
    shown = of.anatomy.structure or asked and asked.enough("overlay")
    at = of.explained
    inflation = (told.known_upper95_mm or at.bound_mm()) / at.bound_mm()
    # How often these are wrong is not known. Nor is it of an unfamiliar kind, which is no doubt all
    # the same: bones that have moved make X-rays look so, and have a risk of their own.
    alike = ALIKE in tested.limits
    bent = np.flatnonzero(asked.bent) if asked else ()
    return Assessment(
        position,
        _reasons(of, tested, told, position) if position != "accept" else [],
        replace(told, familiar=False) if alike or of.coarse else told,
        of.features,
        **bounds(of.features.total_uncertainty, at, inflation, of.views),
        targets=of.targets,
        measured=tested.measured,
        likely_wrong=is_likely_wrong(told, of.model) and not of.coarse,
        in_doubt=bool(of.limits or alike or of.alone or of.contradictions),
        cameras_in_doubt=not told.cameras_suffice,
        contradictions=of.contradictions,
        suspects=(*of.suspects, *(of.views[i].name for i in bent)),
        condition=condition(of.views),
        elsewhere=apart.points if apart else np.empty((0, 3)),
        overlay=overlay if position != "reject" else position,
        appearance=tested.shown if shown else None,
        asked=asked,
    )


def _reasons(of: Measured, tested: Tested, told: Prediction, position: Verdict) -> list[Reason]:
    """Return why a pose is not accepted, what matters most first."""
    part = [tested.apart.reason] if tested.apart else []
    most = bool(tested.apart and tested.apart.most)
    if most and told.agree:
        part, most = [CT_MISFIT], False
    cameras: list[Reason] = []
    minor: list[Reason] = []
    if of.of_cameras and not told.cameras_suffice:
        limits = camera_limits(of.views, of.of_cameras.bound_mm(), told)
        if told.camera_failure_probability > of.model.accept:
            cameras = limits
        else:
            minor = limits
    of_images = told.image_failure_probability > of.model.accept
    return [
        *of.contradictions,
        *of.coarse,
        *([] if most else part),
        *([] if of_images else cameras),
        *([] if of.coarse else risk_reasons(told, of.model)),
        *(part if most else []),
        *(weak_points(of.weak, of.features, of.views) if told.familiar else []),
        *(cameras if of_images else []),
        *(limit for limit in tested.limits if limit not in of.coarse),
        *prediction_limits(told, of.features, by_itself=of.anatomy.structure),
        *minor,
    ]


def fits(assessment: Assessment, anatomy: PreparedCT, found: Refinement) -> bool:
    """Return whether nothing asks for a cause.

    All X-rays fit about equally well and speak for an accept, or, of another kind, have most of their
    tiles in place and hardly disagree. Nor is one asked for of one structure, for which no causes
    were measured.
    """
    prediction = assessment.prediction
    features = assessment.features
    quiet = bool(prediction and prediction.image_failure_probability <= calibrated().accept)
    if prediction and features and not prediction.familiar:
        quiet = assessment.placed and features.tension <= LIMITS.tension
    return anatomy.structure or even(found) and quiet


def even(found: Refinement) -> bool:
    """Return whether all X-rays fit about equally well."""
    return max(found.fit.similarity) - min(found.fit.similarity) <= LIMITS.uneven
