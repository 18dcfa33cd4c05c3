"""The verdict on a registered pose, with its reasons.

Accept needs a small failure probability, and a case of the kind that the probability was measured
on, or for other X-rays what holds for any kind (`Prediction.carried`). Any other case is at best
"check": a wrong accept is worse than a wrong reject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Reason, Use, Verdict, bones_apart, doubted
from ..geometry import rigid
from ..imaging.xray import SharedUnknowns, View
from ..registration.cameras import CALIBRATED, uncalibrated_view_indices
from ..registration.optimizer import Refinement, distance, minimise
from ..registration.pipeline import DISTINCT_MM
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from .features import ReliabilityFeatures, compute_features
from .metrics import Error, Judged, in_words, targets_of
from .parts import IN_PLACE, carried_risk, elsewhere, shares_at
from .pieces import LIMITS as PIECES
from .pieces import Asked, ask, displaced, untested
from .prediction import (
    COLUMNS,
    EXTRA_FEATURES,
    ONE_VIEW_BEYOND,
    WRONG_MM,
    ErrorModel,
    Model,
    Prediction,
    appearance,
    appears_right,
    calibrated,
)
from .uncertainty import TargetUncertainty, ViewSplit, bounds
from .verdict_reasons import (
    ALIKE,
    FEW_GREY_LEVELS,
    LEAST_RATIO,
    ONE_STRUCTURE,
    THIRD_VIEW_MISSING,
    camera_limits,
    camera_strain,
    condition,
    evidence_ratio,
    is_about_risk,
    pose_limits,
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
    from .diagnosis import CauseSearch
    from .hypotheses import Cause


@dataclass(frozen=True)
class Limits:
    """The numbers of the verdict that were chosen.

    Attributes
    ----------
    evidence_ratio
        Below this evidence ratio to the next minimum nothing is accepted: of those between it and
        `AMBIGUOUS_RATIO` with a small failure probability 59 of 59 were right
        (docs/tables/verdicts.md, seeds 1 to 4).
    camera_risk
        Nothing is accepted where the uncertainty of the cameras alone makes an error above WRONG_MM
        likelier than this: no X-ray shows it.
    uneven
        X-rays whose similarities are further apart than this may hide a fault that the features do
        not show, as angles of the wrong sign.
    tension
        X-rays of another kind whose tiles are in place, and whose tension is no larger, have no
        cause that a search would name: right sets of portal images 1.2 at most, with a camera
        turned by 3 degrees from 1.6 on.
    strain
        Corrections of cameras are expected within so many standard deviations.
    in_place
        A part proves nothing where so many tiles of each X-ray are in place: of bodies with a part
        over 2 mm elsewhere up to 0.76 of the worst X-ray's, of right ones by a CT that is cut 0.9
        and more.
    tested_odds
        The odds of a wrong answer are so many times smaller where enough places were in place for
        sure: 2 of 123 wrong ones with targets were accepted, and 50 of 89 right rigid ones
        (benchmarks/bent.py --inside --machines, seeds 96001, 97001, 98001 and 120001).
    """

    evidence_ratio: float = 1.1
    camera_risk: float = 0.001
    uneven: float = 0.25
    tension: float = 1.4
    strain: float = 2.0
    in_place: float = 0.85
    tested_odds: float = 0.1


LIMITS = Limits()
#: Steps in which the next answer is refined, where its tiles are asked.
RIVAL_STEPS = 8


@dataclass(frozen=True, eq=False)
class Assessment(Judged):
    """How far a pose can be trusted.

    Attributes
    ----------
    room
        "accept", "check" or "reject", of where the bone lies in the room.
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
    in_doubt, cameras_in_doubt
        Cameras or X-rays are not of the kind that failure probabilities were measured on, of the
        whole CT or of bones of it. And cameras are not known well enough for a place in the room.
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
        As `room`, of where the bone appears in these X-rays.
    appearance
        How far that is known; None without features.
    relative, motion
        As `overlay` and `appearance`, of how its bones lie to each other; None without such.
    use
        What the pose is for, of which `verdict` is.
    """

    room: Verdict
    reasons: list[Reason]
    prediction: Prediction | None = None
    features: ReliabilityFeatures | None = field(default=None, repr=False)
    splits: list[ViewSplit] = field(default_factory=list)
    least_certain_rotation: tuple[float, np.ndarray] | None = None
    error_inflation: float = 1.0
    cause: Cause | None = None
    targets: np.ndarray | None = None
    measured: bool = False
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
    use: Use = "room"

    @property
    def errors(self) -> dict[Use, Error | None]:
        """How far off the pose is for each use."""
        told = self.prediction
        room = None
        if told and told.tested and told.elsewhere_proven is None:
            room = Error(told.typical_mm, told.known_upper95_mm)
        return {"overlay": self.appearance, "relative": self.motion, "room": room}

    @property
    def placed(self) -> bool:
        """Whether X-rays of another kind have most of their tiles in place."""
        other = self.prediction is not None and not self.prediction.familiar
        shares = self.features.in_place if self.features and other else None
        return shares is not None and bool(shares.min() >= IN_PLACE)

    @property
    def scope(self) -> Reason | None:
        """What an accept of a body was tested for; None without one."""
        places = self.asked.sure(self.judged_use) if self.asked else None
        of_body = self.judged_use != "relative"
        return scope_of(self.tested, places) if of_body and self.verdict == "accept" else None

    def view_states(self, names: Sequence[str]) -> dict[str, str]:
        """Return "good", "check" or "bad" of each view, by name: for what speaks for the pose, is in doubt, is to blame."""
        if self.verdict == "accept":
            return dict.fromkeys(names, "good")
        blamed = (self.cause.views if self.cause else ()) or (
            self.suspects if self.contradictions else ()
        )
        if self.verdict == "reject":
            return {name: "bad" if name in (blamed or names) else "good" for name in names}
        return {name: "check" if name in (blamed or self.suspects) else "good" for name in names}

    @property
    def bounds_known(self) -> bool:
        """Whether bounds of the error were measured for such results."""
        return self.prediction is not None and self.prediction.known_upper95_mm is not None

    @property
    def uses_in_words(self) -> str:
        """The verdict of each use as sentences, see `metrics.in_words`."""
        return in_words(self.uses, self.judged_use, self.reasons)

    @property
    def summary(self) -> str:
        """The verdict of each use where they differ, the prediction for the room where that counts, and the scope of an accept."""
        if self.prediction is None:
            return ""
        of_uses = self.uses_in_words
        if of_uses and self.judged_use != "room":
            return " ".join(filter(None, [of_uses, self.scope]))
        told = self.condition and self.prediction.elsewhere_proven is not False
        end = f", {self.condition}." if told else "."
        predicted = f"{str(self.prediction)[:-1]}{end}"
        if bones_apart(self.reasons):
            predicted = f"In one piece: {predicted[0].lower()}{predicted[1:]}"
        return " ".join(filter(None, [of_uses, predicted, self.scope]))

    def at_targets(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Return the expected error and its 95 % bound, mm, at each target (N, 3) in world mm.

        Empty where they are not known.
        """
        if self.features is None or not self.bounds_known:
            return []
        each = [self.features.total_uncertainty.at(point[None]) for point in points]
        return [
            (self.error_inflation * one.mean_mm, self.error_inflation * one.bound_mm())
            for one in each
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
    contradictions = [reason for _name, reason in contradicted]
    features = features.with_strain(strain / LIMITS.strain)
    if anatomy.structure:
        limits.append(ONE_STRUCTURE)
    limits += view_limits(corrected, features, shared)
    limits += pose_limits(masked=masked, registered=registered)
    model = model or calibrated("structure" if anatomy.structure else "body")
    points = rigid.transform_points(found.world_from_ct, chosen)
    at = features.total_uncertainty.at(points)
    cameras = features.camera_uncertainty.at(points) if features.camera_uncertainty else None
    inputs = model_inputs(features)
    weak = model.worse_than_usual(inputs)

    def judged() -> tuple[Prediction, Error, bool]:
        """Return what inputs say: of the room, of where targets appear, and whether they do."""
        told = model.predict(inputs, cameras.distribution if cameras else None)
        if not told.familiar:
            told = told.carried(features.carried_risk, at, features.disagreement_mm)
        told = told.no_less_than(at.mean_mm, at.bound_mm(), len(tied), depth_risk(at, len(tied)))
        shown = appearance(features, points, model, inputs)
        in_each = asked is not None and asked.least_alone >= PIECES.tested_targets
        right = appears_right(told, model, shown.upper95_mm or np.inf, in_each_view=in_each)
        return told, shown, right

    asked = None
    prediction, shown, appears = judged()
    familiar = prediction.familiar
    apart = elsewhere(features.parts, chosen)
    if apart and not (apart.unlike or prediction.agree and prediction.familiar):
        # Views that contradict each other ask for another place of every part; and how far parts
        # of a right pose ask to go was measured on familiar X-rays.
        apart = None
    limited = bool(limits)
    if not anatomy.structure:
        if targets is not None:
            limits += target_limits(corrected, found.world_from_ct, targets, features.parts)
        limits += slices_aside(anatomy, chosen)
    ambiguous = features.gap is not None and features.gap < LIMITS.evidence_ratio
    if ambiguous and not familiar:
        ambiguous = _rival_is_in_place(anatomy, corrected, found, start)
    measured = not (limits or alone or ambiguous or apart)
    seen = measured
    given = targets is not None
    by_pose = "reject" if contradictions else decide(prediction, model, measured)
    if not anatomy.structure and by_pose != "reject":
        asking = anatomy, features.uncovered(corrected), found.world_from_ct, chosen
        asked = ask(*asking, given=given)
        if asked.enough("room"):
            inputs["odds"] = LIMITS.tested_odds
        prediction, shown, appears = judged()
        accepts = measured and (appears or decide(prediction, model, measured) == "accept")
        if accepts and not given and not asked.elsewhere.any():
            doubtful = ask(*asking, doubtful=True)
            asked = doubtful if doubtful.elsewhere.any() else asked
        if accepts:
            apart = displaced(asked)
            limits += untested(asked, [view.name for view in corrected])
        measured = measured and not (apart or limits)
        seen = seen and asked.enough("overlay")
        if accepts and seen and evidence_ratio(anatomy, corrected, found, start) < LEAST_RATIO:
            limits.append(ALIKE)
            measured = seen = False
    if not (familiar or apart) and len(tied) == 2:
        # In the room no third tells which of two is wrong; each shows what its own overlay has, if
        # enough bone was tested.
        limits.append(THIRD_VIEW_MISSING)
        measured = False
        seen = seen and asked is not None and asked.enough("overlay", firmly=True)
    if apart:
        in_place = float(features.in_place.min()) > LIMITS.in_place
        prediction = prediction.elsewhere(proven=apart.proven and not in_place)
    if asked and not asked.enough("room"):
        prediction = replace(prediction, tested=False)
    inflation = (prediction.known_upper95_mm or at.bound_mm()) / at.bound_mm()
    unsure = prediction.camera_failure_probability > LIMITS.camera_risk
    # Not by an unfamiliar kind: bones that have moved make X-rays look so, and have a risk of their own.
    in_doubt = bool(limited or ALIKE in limits or alone or contradictions)
    coarse = [reason for reason in limits if reason.code == FEW_GREY_LEVELS]
    verdict = "reject" if contradictions else decide(prediction, model, measured)
    if coarse and not contradictions:  # the model takes what such images lack for a wrong pose
        verdict = "check"
    overlay = verdict
    if verdict != "reject":
        overlay = "accept" if seen and appears and not coarse else "check"
    reasons = []
    if verdict != "accept":
        limits += prediction_limits(prediction, features, by_itself=anatomy.structure)
        known = []
        if cameras and unsure:
            known = camera_limits(corrected, cameras.bound_mm(), prediction)
        images_suffice = prediction.image_failure_probability <= model.accept
        reasons = [
            *contradictions,
            *coarse,
            *([apart.reason] if apart and not apart.most else []),
            *(known if images_suffice else []),
            *([] if coarse else risk_reasons(prediction, model, verdict)),
            *([apart.reason] if apart and apart.most else []),
            *(weak_points(weak, features, corrected) if familiar else []),
            *([] if images_suffice else known),
            *(limit for limit in limits if limit not in coarse),
        ]
    if coarse or ALIKE in limits:  # how often these are wrong is not known
        prediction = replace(prediction, familiar=False)
    return Assessment(
        verdict,
        reasons,
        prediction,
        features,
        **bounds(features.total_uncertainty, at, inflation, corrected),
        targets=chosen,
        measured=measured,
        in_doubt=in_doubt,
        cameras_in_doubt=unsure,
        contradictions=tuple(contradictions),
        suspects=(
            *(dict(contradicted) or suspects(weak, features, corrected)),
            *(views[i].name for i in alone),
        ),
        condition=condition(corrected),
        elsewhere=apart.points if apart else np.empty((0, 3)),
        overlay=overlay,
        appearance=shown if anatomy.structure or asked and asked.enough("overlay") else None,
        asked=asked,
    )


def decide(prediction: Prediction, model: ErrorModel, measured: bool) -> Verdict:
    """Return the verdict on a prediction.

    Rejected for what the X-rays show, unless their tiles are in place; accepted only if the cameras
    are known well enough, too.

    Parameters
    ----------
    measured
        As of `Assessment`.
    """
    if prediction.image_failure_probability >= model.reject and not prediction.in_place:
        return "reject"
    safe = prediction.failure_probability <= model.accept and prediction.upper95_mm <= WRONG_MM
    steady = prediction.camera_failure_probability <= LIMITS.camera_risk
    return "accept" if safe and steady and measured and prediction.known_kind else "check"


def _rival_is_in_place(
    anatomy: PreparedCT, views: list[View], found: Refinement, start: np.ndarray
) -> bool:
    """Return whether the next answer, refined, is another one that has its tiles in place, too.

    Evidence tells less of X-rays of another kind: at right poses it is hardly higher than at others.
    """
    assert found.alternative is not None
    levels = anatomy.levels(views, start)
    rival = found.alternative.world_from_ct
    for level in levels[-2:]:
        objective = anatomy.objective(views, level, rival)
        rival = minimise(objective, rival, RIVAL_STEPS, level.tolerance_mm).world_from_ct
    if distance(rival, found.world_from_ct, anatomy.centroid) <= DISTINCT_MM:
        return False
    return carried_risk(shares_at(objective, rival)) < 1


def fits(assessment: Assessment, anatomy: PreparedCT, found: Refinement) -> bool:
    """Return whether nothing asks for a cause.

    All X-rays fit about equally well and speak for an accept, or, of another kind, have most of their
    tiles in place and hardly disagree. Nor is one asked for of one structure, for which no causes
    were measured.
    """
    prediction = assessment.prediction
    features = assessment.features
    if prediction and features and not prediction.familiar:
        quiet = assessment.placed and features.tension <= LIMITS.tension
    else:
        sure = calibrated().accept
        quiet = prediction is not None and prediction.image_failure_probability <= sure
    return anatomy.structure or _even(found) and quiet


def _even(found: Refinement) -> bool:
    return max(found.fit.similarity) - min(found.fit.similarity) <= LIMITS.uneven


def find_cause(assessment: Assessment, search: CauseSearch) -> Assessment:
    """Search for the likely cause of a poor fit, and return the assessment with it as its first reason.

    Nothing is searched for where it `fits`. With a cause, the predicted error is how far correcting
    it moves the targets, and the verdict is never "accept".
    """
    if fits(assessment, search.anatomy, search.found):
        return assessment
    features = assessment.features
    pose = search.found.world_from_ct
    cause = search.cause(placed=assessment.placed and _even(search.found))
    if cause is None:
        return assessment
    if features and features.one_view_disagrees and cause.of_one_view:
        cause = replace(cause, moved_mm=features.disagreement_mm, by_disagreement=True)
    elif assessment.targets is not None:
        cause = replace(cause, moved_mm=cause.target_shift_mm(pose, assessment.targets))
    return with_cause(assessment, cause, pose)


def with_cause(assessment: Assessment, cause: Cause, pose: np.ndarray) -> Assessment:
    """Return the assessment with its likely cause.

    The cause does not say along which beam the error lies, so each view's bound is the whole.
    """
    before = assessment.prediction
    features = assessment.features
    turn = assessment.least_certain_rotation
    if before is None or features is None or turn is None or not cause.predicts:
        return replace(doubted(assessment, [cause.reason]), cause=cause, appearance=None)
    model = calibrated()
    views = len(assessment.splits)
    at = features.total_uncertainty.at(rigid.transform_points(pose, assessment.targets))
    prediction = before.moved(cause.moved_mm, precise=cause.precise).no_less_than(
        at.mean_mm, at.bound_mm(), views, depth_risk(at, views)
    )
    contradicted = assessment.contradictions
    verdict = "reject" if contradicted else decide(prediction, model, measured=False)
    inflation = (prediction.known_upper95_mm or at.bound_mm()) / at.bound_mm()
    others = [
        reason
        for reason in assessment.reasons
        if reason not in contradicted and not is_about_risk(reason)
    ]
    return replace(
        assessment,
        cause=cause,
        room=verdict,
        overlay="reject" if verdict == "reject" else "check",
        appearance=None,
        prediction=prediction,
        error_inflation=inflation,
        splits=[
            ViewSplit(split.name, prediction.upper95_mm, prediction.upper95_mm)
            for split in assessment.splits
        ],
        least_certain_rotation=(turn[0] * inflation / assessment.error_inflation, turn[1]),
        reasons=[cause.reason, *contradicted, *risk_reasons(prediction, model, verdict), *others],
    )


def depth_risk(noise: TargetUncertainty, views: int) -> float:
    """Return the depth risk of `Prediction.no_less_than`.

    0 of several views, whose depth the model knows.
    """
    return noise.distribution.probability_beyond(WRONG_MM / ONE_VIEW_BEYOND) if views == 1 else 0.0


def model_inputs(features: ReliabilityFeatures) -> dict[str, float]:
    """Return the features by the names that `prediction.Model.predict` knows.

    The worst of all views that show enough of the CT.
    """
    names = *COLUMNS, *EXTRA_FEATURES, "carried_risk"
    values = {name: np.atleast_1d(getattr(features, name)) for name in names}
    return {
        name: float(max(value[np.isfinite(value)], default=0.0)) for name, value in values.items()
    }
