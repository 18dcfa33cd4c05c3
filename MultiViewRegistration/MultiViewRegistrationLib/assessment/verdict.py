"""The verdict on a registered pose, with its reasons.

Accept needs a small failure probability, and a case of the kind that the probability was measured
on, or for other X-rays what holds for any kind (`Prediction.carried`). Any other case is at best
"check": a wrong accept is worse than a wrong reject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations

import numpy as np

from ..geometry import rigid
from ..geometry.fields import (
    C_ARM_PRINCIPAL_POINT_SD_MM,
    UNCERTAINTY,
    describe_uncertainty,
)
from ..imaging.xray import SharedUnknowns, View
from ..reasons import Reason, Verdict
from ..registration.cameras import CALIBRATED, uncalibrated_view_indices
from ..registration.objective import tiles
from ..registration.optimizer import distance, minimise
from ..registration.pipeline import (
    DISTINCT_MM,
    AlternativeSolution,
    Refinement,
    pose_difference,
)
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from .bones import RegisteredBone, RegisteredBones
from .cause import OF_ONE_VIEW, Cause
from .diagnosis import CauseSearch
from .features import ReliabilityFeatures, compute_features
from .metrics import MIN_TARGETS, default_targets, in_field
from .parts import elsewhere
from .places import carried_risk, tiles_in_place, view_sums
from .prediction import (
    COLUMNS,
    DISAGREE,
    EXTRA_FEATURES,
    ONE_VIEW_BEYOND,
    WRONG_MM,
    Model,
    Prediction,
    calibrated,
    percent,
)
from .spine import spine_elsewhere
from .uncertainty import TargetUncertainty

#: Views whose directions differ by less show little of the depth.
SAME_DIRECTION_DEG = 15.0
#: Standard deviations that hold 95 % of a normal error.
SDS_95 = 1.96
#: Below this evidence ratio to the next minimum a result is called ambiguous, and below the second
#: number never accepted: of those between the two with a small failure probability 59 of 59 were
#: right (docs/tables/verdicts.md, seeds 1 to 4).
AMBIGUOUS_RATIO, MIN_EVIDENCE_RATIO = 1.3, 1.1
#: Nothing is accepted where the uncertainty of the cameras alone makes an error above WRONG_MM
#: likelier than this: no X-ray shows it.
MAX_CAMERA_RISK = 0.001
#: X-rays whose similarities are further apart than this may hide a fault that the features do not
#: show, as angles of the wrong sign.
UNEVEN = 0.25
#: X-rays of another kind whose tiles are in place, and whose tension is no larger, have no cause that
#: a search would name: right sets of portal images 1.2 at most, with a camera turned by 3 degrees
#: from 1.6 on.
DOUBTED_TENSION = 1.4
#: Corrections of cameras are expected within so many standard deviations; beyond the second number
#: they contradict what is said of them.
EXPECTED_STRAIN, CONTRADICTION = 2.0, 4.0
EXACT_CAMERAS = "if the cameras are right to 0.5 px"
#: Beginning of the reason not to accept X-rays that the model does not know.
UNFAMILIAR = "The X-rays are of another kind than those"
#: Fewer of them are never accepted: no third tells which of two is wrong, and whether.
MIN_UNFAMILIAR_VIEWS = 3
#: Steps in which the next answer is refined, where its tiles are asked.
RIVAL_STEPS = 8


@dataclass(frozen=True, eq=False)
class ViewSplit:
    """95 % bounds of the targets' errors along one view's beam and across it, mm."""

    name: str
    depth_mm: float
    in_plane_mm: float


@dataclass(frozen=True, eq=False)
class Assessment:
    """How far a pose can be trusted.

    Attributes
    ----------
    verdict
        "accept", "check" or "reject".
    reasons
        None for an accept.
    prediction, features
        None where no view shows enough of the CT.
    splits
        Error bounds of each view.
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
    in_doubt
        Cameras or X-rays are not of the kind that failure probabilities were measured on, of the
        whole CT or of bones of it.
    contradictions
        Of cameras that the X-rays contradict, also the first of the reasons.
    suspects
        Names of the views that a reason is about.
    elsewhere
        (N, 3) CT mm of the part of the bone that lies elsewhere than the pose has it.
    body
        The assessment of the body alone; None where its bones have no poses of their own.
    """

    verdict: Verdict
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
    condition: str = ""
    contradictions: tuple[Reason, ...] = ()
    suspects: tuple[str, ...] = ()
    elsewhere: np.ndarray = field(default_factory=lambda: np.empty((0, 3)), repr=False)
    body: Assessment | None = field(default=None, repr=False)

    def view_states(self, names: Sequence[str]) -> dict[str, str]:
        """Return "good", "check" or "bad" of each view, by name.

        What speaks for the pose, is in doubt, or is to blame.
        """
        if self.verdict == "accept":
            return dict.fromkeys(names, "good")
        blamed = (self.cause.views if self.cause else ()) or (
            self.suspects if self.contradictions else ()
        )
        if self.verdict == "reject":
            return {name: "bad" if name in (blamed or names) else "good" for name in names}
        return {name: "check" if name in (blamed or self.suspects) else "good" for name in names}

    @property
    def summary(self) -> str:
        """The prediction as a sentence; "" without one."""
        if self.prediction is None:
            return ""
        return (
            f"{str(self.prediction)[:-1]}, {self.condition}."
            if self.condition
            else str(self.prediction)
        )

    def at_targets(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Return the expected error and its 95 % bound, mm, at each target (N, 3) in world mm.

        Empty without features.
        """
        if self.features is None:
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
            "views": [asdict(split) for split in self.splits],
            "least_certain_rotation": {"degrees": degrees, "axis": axis.tolist()},
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
        return Assessment(
            "reject",
            [Reason("not-shown", "At this pose no X-ray shows enough of the CT to compare them.")],
        )
    corrected = [found.views[i] for i in tied]
    chosen, limits = _targets(anatomy, corrected, found.world_from_ct, targets)
    features = compute_features(
        anatomy.with_background(found.world_from_background),
        corrected,
        found,
        start,
        chosen,
        shared,
    )
    strain, contradicted = _camera_strain([views[i] for i in tied], corrected, shared)
    contradictions = [reason for _name, reason in contradicted]
    if features.camera_uncertainty and strain > EXPECTED_STRAIN:
        covariance = features.camera_uncertainty.covariance * (strain / EXPECTED_STRAIN) ** 2
        features = replace(
            features, camera_uncertainty=replace(features.camera_uncertainty, covariance=covariance)
        )
    limits += [*_structure_limits(anatomy, found), *_view_limits(corrected, features, shared)]
    if masked:
        limits.append(
            Reason(
                "misfit-left-out",
                "What did not fit at an earlier pose was left out: a wrong pose would look right, "
                "too.",
            )
        )
    if not registered:
        limits.append(
            Reason(
                "pose-set",
                "The pose was set, not registered: the failure probability was not measured for "
                "such poses.",
            )
        )
    model = model or calibrated("structure" if anatomy.structure else "body")
    points = rigid.transform_points(found.world_from_ct, chosen)
    at = features.total_uncertainty.at(points)
    cameras = features.camera_uncertainty.at(points) if features.camera_uncertainty else None
    prediction = model.predict(
        model_inputs(features), cameras.distribution if cameras else None
    ).no_less_than(at.mean_mm, at.bound_mm(), len(tied), depth_risk(at, len(tied)))
    familiar = prediction.familiar
    if not familiar:
        prediction = prediction.carried(features.carried_risk, at, features.disagreement_mm)
    apart = elsewhere(features.parts, chosen)
    if apart and not (apart.unlike or prediction.agree and prediction.familiar):
        # Views that contradict each other ask for another place of every part; and how far parts
        # of a right pose ask to go was measured on familiar X-rays.
        apart = None
    limited = bool(limits)
    if not (familiar or apart) and 1 < len(tied) < MIN_UNFAMILIAR_VIEWS:
        limits.append(
            Reason(
                "third-view-missing",
                "Two X-rays of such a kind are never accepted: a third would tell whether they "
                "agree.",
            )
        )
    ambiguous = features.gap is not None and features.gap < MIN_EVIDENCE_RATIO
    if ambiguous and not familiar:
        ambiguous = _rival_is_in_place(anatomy, corrected, found, start)
    measured = not (limits or alone or ambiguous or apart)
    if (
        not (anatomy.structure or contradictions)
        and decide(prediction, model, measured) == "accept"
    ):
        uncovered = features.uncovered(corrected)
        apart = spine_elsewhere(anatomy, corrected, uncovered, found.world_from_ct, chosen)
        measured = not apart
    if apart:
        prediction = prediction.elsewhere(proven=apart.proven)
    inflation = prediction.upper95_mm / at.bound_mm()
    unsure = prediction.camera_failure_probability > MAX_CAMERA_RISK
    # Not by an unfamiliar kind: bones that have moved make X-rays look so, and have a risk of their own.
    in_doubt = bool(limited or alone or contradictions or unsure)
    verdict, reasons = "reject" if contradictions else decide(prediction, model, measured), []
    if verdict != "accept":
        if not prediction.agree:
            by_itself = anatomy.structure and found.world_from_background is None
            limits.append(_contradiction_of_views(features, by_itself=by_itself))
        if not prediction.bounded:
            limits.append(
                Reason("unlike-known", "This result looks unlike every correct result we know.")
            )
        known = (
            [
                *_doubts(corrected),
                _camera_limit(corrected, cameras.bound_mm(), prediction),
            ]
            if cameras and unsure
            else []
        )
        images_suffice = prediction.image_failure_probability <= model.accept
        reasons = [
            *contradictions,
            *([apart.reason] if apart and not apart.most else []),
            *(known if images_suffice else []),
            *_risk(prediction, model, verdict),
            *([apart.reason] if apart and apart.most else []),
            *(_weak_points(model, features, corrected) if prediction.familiar else []),
            *([] if images_suffice else known),
            *limits,
        ]
    sd, axis = features.total_uncertainty.least_certain_rotation()
    return Assessment(
        verdict,
        reasons,
        prediction,
        features,
        [
            ViewSplit(view.name, *(SDS_95 * inflation * sd for sd in at.split(view.camera)))
            for view in corrected
        ],
        least_certain_rotation=(float(np.degrees(SDS_95 * inflation * sd)), axis),
        error_inflation=inflation,
        targets=chosen,
        measured=measured,
        in_doubt=in_doubt,
        contradictions=tuple(contradictions),
        suspects=(
            *_suspects(model, features, corrected, contradicted),
            *(views[i].name for i in alone),
        ),
        condition=_condition(corrected),
        elsewhere=apart.points if apart else np.empty((0, 3)),
    )


def decide(prediction: Prediction, model: Model, measured: bool) -> Verdict:
    """Return the verdict on a prediction.

    Rejected for what the X-rays show, accepted only if the cameras are known well enough, too.

    Parameters
    ----------
    measured
        As of `Assessment`.
    """
    if prediction.image_failure_probability >= model.reject:
        return "reject"
    safe = prediction.failure_probability <= model.accept and prediction.upper95_mm <= WRONG_MM
    steady = prediction.camera_failure_probability <= MAX_CAMERA_RISK
    known = measured and prediction.bounded and prediction.agree
    known = known and (prediction.familiar or prediction.carries)
    return "accept" if safe and known and steady else "check"


def _rival_is_in_place(
    anatomy: PreparedCT, views: list[View], found: Refinement, start: np.ndarray
) -> bool:
    """Return whether the next answer, refined, is another one that has its tiles in place, too.

    Evidence tells less of X-rays of another kind: at right poses it is hardly higher than at others.
    """
    assert found.alternative is not None
    levels, rival = anatomy.levels(views, start), found.alternative.world_from_ct
    for level in levels[-2:]:
        objective = anatomy.objective(views, level, rival)
        rival = minimise(objective, rival, RIVAL_STEPS, level.tolerance_mm).world_from_ct
    if distance(rival, found.world_from_ct, anatomy.centroid) <= DISTINCT_MM:
        return False
    projections = objective.project(rival, intrinsics=True)
    objective.linearise(projections)
    split = tiles(objective, projections)
    in_place = tiles_in_place(view_sums(objective, projections), split)
    return carried_risk(in_place) < 1


def find_cause(assessment: Assessment, search: CauseSearch) -> Assessment:
    """Search for the likely cause of a poor fit, and return the assessment with it as its first reason.

    Nothing is searched for where the X-rays speak for an accept and fit about equally well, nor where
    X-rays of another kind have their tiles in place and hardly disagree, nor for one structure, for
    which no causes were measured. With a cause, the predicted error is how far correcting it moves the
    targets, and the verdict is never "accept".
    """
    prediction, pose, similarity = (
        assessment.prediction,
        search.found.world_from_ct,
        search.found.fit.similarity,
    )
    features = assessment.features
    carried = prediction is not None and not prediction.familiar
    fits = prediction is not None and (
        features is not None and features.tension <= DOUBTED_TENSION
        if carried
        else prediction.image_failure_probability <= calibrated().accept
        and max(similarity) - min(similarity) <= UNEVEN
    )
    if search.anatomy.structure or fits:
        return assessment
    cause = search.cause(placed=carried)
    if cause is None:
        return assessment
    if features and features.one_view_disagrees and cause.cause in OF_ONE_VIEW:
        cause = replace(cause, moved_mm=features.disagreement_mm, by_disagreement=True)
    elif assessment.targets is not None:
        cause = replace(cause, moved_mm=cause.target_shift_mm(pose, assessment.targets))
    return with_cause(assessment, cause, pose)


def with_cause(assessment: Assessment, cause: Cause, pose: np.ndarray) -> Assessment:
    """Return the assessment with its likely cause.

    The cause does not say along which beam the error lies, so each view's bound is the whole.
    """
    before, features, rotation = (
        assessment.prediction,
        assessment.features,
        assessment.least_certain_rotation,
    )
    verdict: Verdict
    if before is None or features is None or rotation is None or not cause.predicts:
        verdict = "check" if assessment.verdict == "accept" else assessment.verdict
        return replace(
            assessment, cause=cause, verdict=verdict, reasons=[cause.reason, *assessment.reasons]
        )
    model, at = (
        calibrated(),
        features.total_uncertainty.at(rigid.transform_points(pose, assessment.targets)),
    )
    views = len(assessment.splits)
    prediction = before.moved(cause.moved_mm, precise=cause.precise).no_less_than(
        at.mean_mm, at.bound_mm(), views, depth_risk(at, views)
    )
    contradicted = assessment.contradictions
    verdict = "reject" if contradicted else decide(prediction, model, measured=False)
    wider, (degrees, axis) = prediction.upper95_mm / before.upper95_mm, rotation
    others = [
        reason
        for reason in assessment.reasons
        if reason not in contradicted and not is_about_risk(reason)
    ]
    return replace(
        assessment,
        cause=cause,
        verdict=verdict,
        prediction=prediction,
        error_inflation=wider * assessment.error_inflation,
        splits=[
            ViewSplit(split.name, prediction.upper95_mm, prediction.upper95_mm)
            for split in assessment.splits
        ],
        least_certain_rotation=(wider * degrees, axis),
        reasons=[cause.reason, *contradicted, *_risk(prediction, model, verdict), *others],
    )


def with_identity(assessment: Assessment, reasons: Sequence[Reason]) -> Assessment:
    """Return the assessment of a case whose images' headers contradict each other.

    These reasons come first, and it is never "accept".
    """
    if not reasons:
        return assessment
    verdict = "check" if assessment.verdict == "accept" else assessment.verdict
    return replace(assessment, verdict=verdict, reasons=[*reasons, *assessment.reasons])


def with_bones(assessment: Assessment, bones: RegisteredBones) -> Assessment:
    """Return the assessment of a body with that of its bones.

    It is never "accept" where one lies elsewhere, or is not found or not shown.
    """
    displaced, lost, unseen = bones.displaced, bones.lost, bones.unseen
    if not (displaced or lost or unseen):
        return replace(assessment, body=assessment)
    reasons = []
    if lost:
        sentence = f"{_names(lost)} may lie elsewhere than this pose has it."
        reasons.append(Reason("bone-lost", sentence))
    if unseen:
        sentence = (
            f"No X-ray shows {_names(unseen)}: whether this pose holds there is unknown. Leave out "
            "what no X-ray shows."
        )
        reasons.append(Reason("not-shown", sentence))
    prediction, besides = assessment.prediction, assessment.reasons
    if displaced:
        others = (
            f", {len(displaced) - 1} more by over {WRONG_MM:g} mm" if len(displaced) > 1 else ""
        )
        sentence = (
            f"{displaced[0].name} lies {displaced[0].displaced_mm:.1f} mm from where this pose has "
            f"it{others}: use each bone's own pose."
        )
        reasons.insert(0, Reason("bone-displaced", sentence))
    if prediction is not None and displaced:
        mm = [bone.displaced_mm for bone in bones.shown]
        prediction = replace(
            prediction,
            mean_mm=max(prediction.mean_mm, float(np.mean(mm))),
            typical_mm=max(prediction.typical_mm, float(np.mean(mm))),
            upper95_mm=max(prediction.upper95_mm, max(mm)),
            failure_probability=max(prediction.failure_probability, len(displaced) / len(mm)),
            familiar=True,  # it is known why the X-rays looked unfamiliar
        )
    verdict = "check" if assessment.verdict == "accept" else assessment.verdict
    if prediction is not None and displaced:
        reasons += _risk(prediction, calibrated(), verdict)
        besides = [
            reason
            for reason in besides
            if not (is_about_risk(reason) or reason.code == "third-view-missing")
        ]
    return replace(
        assessment,
        verdict=verdict,
        prediction=prediction,
        reasons=[*reasons, *besides],
        body=assessment,
    )


def _names(bones: Sequence[RegisteredBone]) -> str:
    return ", ".join(bone.name for bone in bones)


def with_bone_cts(assessment: Assessment, verdicts: Mapping[str, str]) -> Assessment:
    """Return the assessment of the first of bones that have a CT each.

    Never better than the worst of them.

    Parameters
    ----------
    verdicts
        Of all, by name, the first one first.
    """
    first = Reason(
        "pose-of-one-bone", f"This is the pose of {next(iter(verdicts))}: use each bone's own."
    )
    rejected = [name for name, verdict in verdicts.items() if verdict == "reject"]
    if not rejected:
        return replace(assessment, reasons=[*assessment.reasons, first])
    why = Reason("bone-rejected", f"{', '.join(rejected)}: rejected, see the reasons of each bone.")
    return replace(assessment, verdict="reject", reasons=[why, *assessment.reasons, first])


def ambiguity(rival: AlternativeSolution | None) -> list[Reason]:
    """Return the reason not to trust a pose where another one fits nearly as well.

    None where there is no such.
    """
    if rival is None or rival.evidence_ratio >= AMBIGUOUS_RATIO:
        return []
    sentence = (
        f"Ambiguous: another pose, {rival.distance_mm:.1f} mm and {rival.rotation_deg:.1f} degrees "
        f"away, fits nearly as well (evidence ratio {rival.evidence_ratio:.2f})."
    )
    return [Reason("ambiguous", sentence)]


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


def _targets(
    anatomy: PreparedCT, views: list[View], pose: np.ndarray, given: np.ndarray | None
) -> tuple[np.ndarray, list[Reason]]:
    """Return the points to which the errors belong, and what is wrong with them."""
    if given is not None:
        shown = in_field(views, rigid.transform_points(pose, given)).any(axis=0)
        sentence = "No X-ray shows a target: nothing was compared where the error counts."
        return given, [] if shown.any() else [Reason("targets-not-shown", sentence)]
    bone = anatomy.bone_points()
    if len(bone) < MIN_TARGETS:
        sentence = (
            "The CT shows no bone: the error is given at the corners of the body, and soft tissue "
            "may have moved."
        )
        return anatomy.corners(), [Reason("no-bone", sentence)]
    default = default_targets(anatomy, views, pose)
    if len(default):
        return default, []
    sentence = (
        "No bone lies in the fields of all X-rays: the error is given for all bone of the CT."
    )
    return bone, [Reason("no-shared-bone", sentence)]


def _structure_limits(anatomy: PreparedCT, found: Refinement) -> list[Reason]:
    """Return why one structure is never accepted, and what it was compared with."""
    if not anatomy.structure:
        return []
    sentence = "A structure by itself may lie on a similar one. Check its outline."
    limits = [Reason("one-structure", sentence)]
    if found.world_from_background is not None:
        mm, degrees = pose_difference(
            found.world_from_ct, found.world_from_background, anatomy.centroid
        )
        sentence = (
            f"It lies {mm:.1f} mm and {degrees:.1f} degrees from its place in the rest of the CT."
        )
        limits.append(Reason("rest-displaced", sentence))
    elif anatomy.full_ct is not None:
        sentence = (
            "It was compared without the rest of its CT: a similar structure may have attracted it."
        )
        limits.append(Reason("no-surroundings", sentence))
    return limits


def _view_limits(
    views: list[View], features: ReliabilityFeatures, shared: SharedUnknowns
) -> list[Reason]:
    """Return why the measured failure probability does not hold for these views."""
    limits = []
    if len(views) == 1:
        sentence = "Only one X-ray determines the pose: the depth along its beam is uncertain."
        limits.append(Reason("one-view", sentence))
    elif _widest_deg(views) < SAME_DIRECTION_DEG:
        sentence = (
            f"The X-rays look in nearly the same direction ({_widest_deg(views):.0f} degrees "
            "apart): the depth along their beams is uncertain."
        )
        limits.append(Reason("same-direction", sentence))
    limits += [
        Reason("too-little-shown", f"{view.name} shows too little of the CT to confirm the pose.")
        for view, shift in zip(views, features.single_view_shift_mm, strict=False)
        if not np.isfinite(shift)
    ]
    if shared != CALIBRATED:
        sentence = (
            "All X-rays share an unknown: the failure probability was not measured for such cases."
        )
        limits.append(Reason("shared-unknown", sentence))
    return limits


def _is_exact(view: View, first: bool) -> bool:
    """Return whether nothing of a camera is said to be uncertain.

    The first view's place is the world's.
    """
    place = 0 if first else (view.rotation_sd_deg, view.translation_sd_mm) != (0, 0)
    return not (place or view.presumed.principal_point_sd_px or view.distance_sd_percent)


def _camera_strain(
    given: list[View], corrected: list[View], shared: SharedUnknowns
) -> tuple[float, list[tuple[str, Reason]]]:
    """Return the largest correction of a camera in its standard deviations.

    View and reason where it contradicts what is said of it.
    """
    largest, contradicted = 0.0, []
    for before, after in zip(given, corrected, strict=True) if shared == CALIBRATED else ():
        motion = before.camera.world_from_camera @ after.camera.camera_from_world
        shift = (after.camera.principal_point - before.camera.principal_point).tolist()
        scale = after.camera.focal_px / before.camera.focal_px - 1
        corrections = {
            "angles": (
                np.degrees(rigid.log_so3(motion[:3, :3])),
                before.rotation_sd_deg,
                "degrees",
            ),
            "place": (motion[:3, 3], before.translation_sd_mm, "mm"),
            "principal point": (np.array(shift), before.principal_point_sd_px, "px"),
            "distance to the detector": (np.array([100 * scale]), before.distance_sd_percent, "%"),
        }
        for what, (correction, sd, unit) in corrections.items():
            strain = float(np.abs(correction).max() / sd) if sd else 0.0
            largest = max(largest, strain)
            if strain > CONTRADICTION:
                sentence = (
                    f"The X-rays contradict the {what} of {before.name}: "
                    f"{np.abs(correction).max():.1f} {unit} off, though known to {sd:.2g} {unit}. "
                    "Check its geometry."
                )
                contradicted.append((before.name, Reason("camera-contradicted", sentence)))
    return largest, contradicted


def _condition(views: list[View]) -> str:
    """Return what a prediction takes for granted of the cameras."""
    exact = all(_is_exact(view, i == 0) for i, view in enumerate(views))
    return EXACT_CAMERAS if exact else f"with cameras known to {_least_known(views)}"


def _least_known(views: list[View]) -> str:
    known = [view.presumed for view in views]
    return describe_uncertainty(
        {key: max((getattr(view, key) or 0.0) for view in known) for key in UNCERTAINTY}
    )


def _doubts(views: list[View]) -> list[Reason]:
    """Return why images may not be those that the cameras are for."""
    advice = "Give the image that was calibrated, or the size that its matrix is for."
    return [Reason("image-cropped", f"{view.doubt} {advice}") for view in views if view.doubt]


def _camera_limit(views: list[View], bound_mm: float, prediction: Prediction) -> Reason:
    """Return how well the cameras are known, and what it makes of the pose."""
    risk = percent(prediction.camera_failure_probability)
    third = "add a third X-ray between the two, tilted to head or feet, or "
    third = third if len(views) == 2 else ""
    if unstated := [view.name for view in views if view.presumed_principal_point_sd_px]:
        sentence = (
            f"The case does not say how well the principal point of {' and '.join(unstated)} is "
            f"known: off by {C_ARM_PRINCIPAL_POINT_SD_MM:g} mm on the detector, as far as a C-arm "
            f"bends, it may misplace the bone by up to {bound_mm:.1f} mm ({risk} risk of more than "
            f"{WRONG_MM:g} mm), and no X-ray shows it. If the camera was measured where the X-ray "
            f"was taken, say so (principal_point_sd_px 0.5); else {third}show beads in the X-rays "
            "(mvreg calibrate)."
        )
        return Reason("principal-point-unstated", sentence)
    remedy = f"Show beads in them (mvreg calibrate), {third}check the result by other means."
    sentence = (
        f"The cameras are known only to {_least_known(views)}: that alone may misplace the bone by "
        f"up to {bound_mm:.1f} mm ({risk} risk of more than {WRONG_MM:g} mm), and no X-ray shows "
        f"it. {remedy}"
    )
    return Reason("cameras-uncertain", sentence)


def _widest_deg(views: list[View]) -> float:
    axes = [view.camera.camera_from_world[2, :3] for view in views]
    return float(
        np.degrees(max(np.arccos(np.clip(abs(a @ b), 0, 1)) for a, b in combinations(axes, 2)))
    )


def _weak_points(model: Model, features: ReliabilityFeatures, views: list[View]) -> list[Reason]:
    """Return the features that are worse than in nearly all correct results, the worst first."""
    disagreement = _disagreement(features, views)
    sentences = {
        "noise_mm": ("noise", _noise(features)),
        "single_view_shift_sds": ("view-disagrees", disagreement),
        "split_half_mm": (
            "halves-disagree",
            f"The halves of the images disagree by {features.split_half_mm:.1f} mm: something may have moved, or a distance "
            "is wrong.",
        ),
        "similarity": ("not-like-ct", _least_similar(features, views)),
        "wider_similarity": (
            "not-like-ct",
            f"One X-ray hardly resembles the CT even at a coarse resolution (local NCC {features.wider_similarity:.2f}).",
        ),
        "outlier_fraction": (
            "outliers",
            f"X-ray and CT differ by more than noise in {100 * features.outlier_fraction:.0f} % of the compared area: "
            "tools, tissue that moved, or another patient.",
        ),
    }
    weak = [Reason(*sentences[name]) for name in model.worse_than_usual(model_inputs(features))]
    return list(dict.fromkeys(filter(None, weak)))


def _noise(features: ReliabilityFeatures) -> str:
    """Return a sentence where noise may misplace the bone by more than WRONG_MM.

    Less is unusual, and no trouble.
    """
    if SDS_95 * features.noise_mm <= WRONG_MM:
        return ""
    return f"The images determine the pose poorly: noise alone explains an error of {features.noise_mm:.1f} mm."


def _disagreement(features: ReliabilityFeatures, views: list[View]) -> str:
    shifts = features.single_view_shift_mm
    if not np.isfinite(shifts).any():
        return ""
    worst = _most_shifted(shifts)
    others = "the other X-ray" if len(views) == 2 else "the others"
    return (
        f"{views[worst].name} disagrees with {others}: alone it moves the CT by "
        f"{shifts[worst]:.1f} mm across its beam. Check its geometry, whether the patient's right "
        "is on the left of its image, and whether anything moved between the X-rays."
    )


def _suspects(
    model: Model,
    features: ReliabilityFeatures,
    views: list[View],
    contradicted: list[tuple[str, Reason]],
) -> list[str]:
    """Return the names of the views that contradict their cameras.

    Without any, of those that a weak point is about.
    """
    if contradicted:
        return list(dict(contradicted))
    names = [view.name for view in views]
    shifts, weak = features.single_view_shift_mm, model.worse_than_usual(model_inputs(features))
    found = [name for name, shift in zip(names, shifts, strict=False) if not np.isfinite(shift)]
    if "single_view_shift_sds" in weak and np.isfinite(shifts).any():
        found.append(names[_most_shifted(shifts)])
    if "similarity" in weak:
        found.append(names[_least_similar_view(features)])
    return found


def _contradiction_of_views(features: ReliabilityFeatures, *, by_itself: bool) -> Reason:
    """Return that the X-rays disagree; of a structure `by_itself` they show more than it."""
    sentence = "The X-rays disagree by more than noise and the cameras' stated uncertainty explain"
    if features.disagreement <= DISAGREE and by_itself:
        return Reason("surroundings-unknown", f"{sentence}: what lies about the bone may be why.")
    if features.disagreement <= DISAGREE:
        return Reason("views-disagree", f"{sentence}: a camera may be known less well.")
    return Reason(
        "views-disagree",
        f"{sentence}: if an angle, a distance or the CT's scale is wrong, or the patient moved "
        f"between them, the CT is off by about {features.disagreement_mm:.1f} mm.",
    )


def _least_similar(features: ReliabilityFeatures, views: list[View]) -> str:
    worst = _least_similar_view(features)
    return f"{views[worst].name} hardly resembles the CT (local NCC {features.fit.similarity[worst]:.2f})."


def _most_shifted(shifts_mm: np.ndarray) -> int:
    return int(np.argmax(np.where(np.isfinite(shifts_mm), shifts_mm, -1)))


def _least_similar_view(features: ReliabilityFeatures) -> int:
    fit = features.fit
    return int(np.argmin(np.where(np.array(fit.shown) >= MIN_PIXELS, fit.similarity, 1)))


def is_about_risk(reason: str) -> bool:
    """Return whether a reason says how likely the pose is wrong, and not why."""
    beginnings = "Most likely wrong: ", f"The risk of an error above {WRONG_MM:g} mm", UNFAMILIAR
    return reason.startswith(beginnings)


def _risk(prediction: Prediction, model: Model, verdict: str) -> list[Reason]:
    """Return a sentence, where the failure probability is too high for an accept."""
    risk, limit = percent(prediction.failure_probability), percent(model.accept)
    if verdict == "reject" and prediction.failure_probability >= model.reject:
        sentence = f"Most likely wrong: {risk} risk of an error above {WRONG_MM:g} mm."
        return [Reason("most-likely-wrong", sentence)]
    if not prediction.familiar:
        up_to = f", but it may be {prediction.upper95_mm:.1f} mm off"
        beyond = up_to if prediction.upper95_mm > WRONG_MM else ""
        sentence = (
            f"{UNFAMILIAR} on which the risk was measured, so that it is not known; most of their "
            f"parts fit best where this pose has them{beyond}."
        )
        return [Reason("unfamiliar-images", sentence)]
    if prediction.failure_probability <= model.accept:
        return []
    risk = f"slightly more than {limit}" if risk == limit else risk
    sentence = f"The risk of an error above {WRONG_MM:g} mm is {risk}; up to {limit} is accepted."
    return [Reason("risk", sentence)]
