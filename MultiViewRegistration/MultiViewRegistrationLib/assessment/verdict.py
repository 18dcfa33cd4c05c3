"""Whether a registered pose can be trusted, and why, in plain words.

Accept needs two things: a small probability of a wrong answer, and a case of the kind that the probability was measured on. Whatever else
is said, a case of another kind is at best to be checked by a person: a wrong accept is worse than a wrong reject.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import combinations

import numpy as np

from ..geometry import rigid
from ..imaging.view import SharedUnknowns, View
from ..registration.anatomy import Anatomy
from ..registration.apart import untied
from ..registration.objective import FEWEST_PIXELS
from ..registration.pipeline import Progress, Refinement, away
from ..registration.unknowns import CALIBRATED
from .diagnosis import CLEARER, Cause, OutOfTime, diagnose
from .features import Evidence, evidence
from .metrics import mtre
from .prediction import COLUMNS, WRONG_MM, Model, Prediction, calibrated
from .targets import FEWEST, default_targets, in_field
from .uncertainty import TargetUncertainty

#: Views nearer to each other in direction see the same, and little of the depth.
SAME_DIRECTION_DEG = 15.0
#: Two standard deviations and a little less hold 95 % of a normal error.
SDS_95 = 1.96
#: Below this gap to the next answer a result is ambiguous. Of the right answers measured (docs/accuracy.md) hardly any has less.
AMBIGUOUS_GAP = 1.3
#: Said where there was no time to try all that may be wrong.
LOOK_ON = (
    "What may be wrong was looked for no longer than the registration took. To look on: Assess this pose, in the panel or the page, "
    "or mvreg register --diagnose."
)


@dataclass(frozen=True, eq=False)
class ViewSplit:
    """Of one view: what the targets' errors along its beam and across it stay below in 95 of 100 results, mm."""

    name: str
    depth_mm: float
    in_plane_mm: float


@dataclass(frozen=True, eq=False)
class Assessment:
    """verdict: "accept", "check" or "reject".   reasons: for it, a sentence each; none for an accept.

    prediction, evidence: None where there was nothing to ask.
    splits: of each view.   weakest_turn: 95 % bound in degrees, and axis (3,) in the world, of the turn of which the views tell least.
    beyond: by how much more the targets may be off than noise explains.
    cause: what explains a poor fit, see `explained`; None where nothing was looked for, or found.
    causes_left: whether the time was up before all causes were tried.
    measured: whether the case is of the kind that the probability was measured on; of another kind nothing is accepted.
    """

    verdict: str
    reasons: list[str]
    prediction: Prediction | None = None
    evidence: Evidence | None = None
    splits: list[ViewSplit] = field(default_factory=list)
    weakest_turn: tuple[float, np.ndarray] | None = None
    beyond: float = 1.0
    cause: Cause | None = None
    causes_left: bool = False
    targets: np.ndarray | None = None
    measured: bool = False

    def at_targets(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Of each target (N, 3), world mm, the error to expect and what it stays below in 95 of 100 results, mm.

        What noise explains, as many times as the prediction is of it at the targets that were assessed. Nothing where nothing was assessed.
        """
        if self.evidence is None:
            return []
        each = [self.evidence.uncertainty.at(point[None]) for point in points]
        return [(self.beyond * one.mean_mm, self.beyond * one.bound_mm()) for one in each]

    def to_json(self) -> dict | None:
        """`uncertainty` of a result.json."""
        if self.weakest_turn is None:
            return None
        degrees, axis = self.weakest_turn
        return {
            "wrong_probability": self.prediction.wrong,
            "noise_mm": self.evidence.noise_mm,
            "views": [asdict(split) for split in self.splits],
            "weakest_turn": {"degrees": degrees, "axis": axis.tolist()},
        }


def assess(
    anatomy: Anatomy,
    views: Sequence[View],
    found: Refinement,
    start: np.ndarray,
    targets: np.ndarray | None = None,
    shared: SharedUnknowns = CALIBRATED,
    *,
    assumed: bool = False,
    registered: bool = True,
    model: Model | None = None,
) -> Assessment:
    """What a registration of all views deserves, or a pose that was set.

    views: as the case has them.   start: (4, 4) of the refinement.   targets: (N, 3) CT mm, by default the bone in the fields of all views.
    assumed: whether something about the views was assumed.   registered: whether the pose came of a registration.
    model: by default the one that comes with the program for a body, or for a structure.
    """
    alone = untied(views, shared)
    tied = [i for i in range(len(views)) if i not in alone]
    if max(found.fit.shown[i] for i in tied) < FEWEST_PIXELS or not np.isfinite(found.fit.cost):
        return Assessment("reject", ["No X-ray shows enough of the CT at this pose to compare them."])
    corrected = [found.views[i] for i in tied]
    chosen, lacking = _targets(anatomy, corrected, found.world_from_ct, targets)
    told = evidence(anatomy.among(found.rest_at), corrected, found, start, chosen, shared)
    limits = [*lacking, *_of_structure(anatomy, found), *_unlike_the_calibration(corrected, told, shared)]
    if assumed:
        limits.append("Something about the views is assumed: how often such results are wrong was not measured.")
    if not registered:
        limits.append("The pose was set, not registered: how often such poses are wrong was not measured.")
    model = model or calibrated("structure" if anatomy.structure else "body")
    at = told.uncertainty.at(rigid.transform_points(found.world_from_ct, chosen))
    prediction = model.predict(numbers(told)).no_less_than(at.mean_mm, at.bound_mm(), len(tied))
    beyond = prediction.upper95_mm / at.bound_mm()
    ambiguous = told.gap is not None and told.gap < AMBIGUOUS_GAP
    measured = not (limits or alone or ambiguous)
    judged = partial(
        Assessment,
        prediction=prediction,
        evidence=told,
        **_split(corrected, told, at, beyond),
        beyond=beyond,
        targets=chosen,
        measured=measured,
    )
    verdict = decided(prediction, model, measured)
    if verdict == "accept":
        return judged(verdict, [])
    if not prediction.bounded:
        limits.append("Something about this result is unlike all right results that the prediction was fitted on.")
    return judged(verdict, [*_how_probable(prediction, model, verdict), *_doubts(model, told, corrected), *limits])


def decided(prediction: Prediction, model: Model, measured: bool, moved_mm: float = 0.0) -> str:
    """The verdict on a prediction.

    measured: whether the case is of the kind that it was measured on.   moved_mm: by how much its likely cause would move the targets.
    """
    if prediction.wrong >= model.reject or moved_mm > WRONG_MM:
        return "reject"
    sure = prediction.wrong <= model.accept and prediction.upper95_mm <= WRONG_MM and prediction.bounded
    return "accept" if sure and measured else "check"


def explained(
    told: Assessment,
    anatomy: Anatomy,
    views: Sequence[View],
    found: Refinement,
    start: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
    progress: Callable[[Progress], object] = lambda _: None,
    seconds: float = np.inf,
) -> Assessment:
    """The assessment with the likely cause before its other reasons, if the fit is poor and one is found; as `diagnosis.diagnose`.

    None is looked for where the error is as improbable as for an accept, nor of one structure, of which no causes were measured. Where the
    X-rays tell clearly more under a cause, the error is how far elsewhere it would have the targets, and the verdict goes by that; it is
    never an accept.
    seconds: after these the last reason says that there was no time for all, and how to ask for it.
    """
    if anatomy.structure or told.prediction is not None and told.prediction.wrong <= calibrated().accept:
        return told
    try:
        cause = diagnose(anatomy, views, found, start, shared, progress, seconds)
    except OutOfTime:
        return replace(told, causes_left=True, reasons=[*told.reasons, LOOK_ON])
    told = replace(told, causes_left=False, reasons=[reason for reason in told.reasons if reason != LOOK_ON])
    if cause is None:
        return told
    if told.targets is not None:
        cause = replace(cause, moved_mm=mtre(found.world_from_ct, cause.world_from_ct, told.targets))
    return _blamed(told, cause, found.world_from_ct)


def _blamed(told: Assessment, cause: Cause, pose: np.ndarray) -> Assessment:
    """With its likely cause. Along which beam it is off is not said then, so that each view's bounds are that of the whole error."""
    if told.prediction is None or cause.gain < CLEARER:
        return replace(told, cause=cause, reasons=[cause.reason, *told.reasons])
    model, at = calibrated(), told.evidence.uncertainty.at(rigid.transform_points(pose, told.targets))
    prediction = told.prediction.moved(cause.moved_mm).no_less_than(at.mean_mm, at.bound_mm(), len(told.splits))
    verdict = decided(prediction, model, measured=False, moved_mm=cause.moved_mm)
    wider, (degrees, axis) = prediction.upper95_mm / told.prediction.upper95_mm, told.weakest_turn
    splits = [ViewSplit(split.name, prediction.upper95_mm, prediction.upper95_mm) for split in told.splits]
    others = told.reasons[len(_how_probable(told.prediction, model, told.verdict)) :]
    return replace(
        told,
        cause=cause,
        verdict=verdict,
        prediction=prediction,
        beyond=wider * told.beyond,
        splits=splits,
        weakest_turn=(wider * degrees, axis),
        reasons=[cause.reason, *_how_probable(prediction, model, verdict), *others],
    )


def numbers(told: Evidence) -> dict[str, float]:
    """The features by the names of `prediction.COLUMNS`; of those by view the worst, of the views that show enough to say anything."""
    values = {name: np.atleast_1d(getattr(told, name)) for name in COLUMNS}
    return {name: float(max(value[np.isfinite(value)], default=0.0)) for name, value in values.items()}


def _targets(
    anatomy: Anatomy, views: list[View], pose: np.ndarray, given: np.ndarray | None
) -> tuple[np.ndarray, list[str]]:
    """At which points the error is told, and what is wrong with them."""
    if given is not None:
        shown = in_field(views, rigid.transform_points(pose, given)).any(axis=0)
        return given, [] if shown.any() else [
            "No target lies in the field of any X-ray: nothing was compared where the error counts."
        ]
    bone = anatomy.bone_points()
    if len(bone) < FEWEST:
        return anatomy.corners(), [
            "The CT shows no bone: the error is told at the corners of the body, and soft tissue may have moved."
        ]
    default = default_targets(anatomy, views, pose)
    if len(default):
        return default, []
    return bone, ["No bone lies in the fields of all X-rays: the error is told for the bone of the whole CT."]


def _of_structure(anatomy: Anatomy, found: Refinement) -> list[str]:
    """Of one structure: why it is not accepted, and what it was compared with, a sentence each."""
    if not anatomy.structure:
        return []
    told = ["One structure of a CT was registered: it may lie on something that looks like it, so look at its outline."]
    if found.rest_at is not None:
        mm, degrees = away(found.world_from_ct, found.rest_at, anatomy.centroid)
        told.append(f"It lies {mm:.1f} mm and {degrees:.1f} degrees from where the rest of its CT has it.")
    elif anatomy.whole is not None:
        told.append("It was compared by itself, without the rest of its CT: what looks like it may have drawn it off.")
    return told


def _unlike_the_calibration(views: list[View], told: Evidence, shared: SharedUnknowns) -> list[str]:
    """Why the measured probability does not hold for these views, a sentence each."""
    limits = []
    if len(views) == 1:
        limits.append("Only one X-ray speaks for the pose: it tells little of the depth along its beam.")
    elif _widest_deg(views) < SAME_DIRECTION_DEG:
        limits.append(
            f"The X-rays look in nearly the same direction ({_widest_deg(views):.0f} degrees apart): they tell little of the "
            "depth along their beams."
        )
    limits += [
        f"{view.name} has too little to be compared to confirm the pose."
        for view, apart in zip(views, told.alone_mm, strict=False)
        if not np.isfinite(apart)
    ]
    if shared != CALIBRATED:
        limits.append(
            "What is unknown is shared by all X-rays; how often such results are wrong has not been measured yet."
        )
    return limits


def _widest_deg(views: list[View]) -> float:
    axes = [view.camera.camera_from_world[2, :3] for view in views]
    return float(np.degrees(max(np.arccos(np.clip(abs(a @ b), 0, 1)) for a, b in combinations(axes, 2))))


def _doubts(model: Model, told: Evidence, views: list[View]) -> list[str]:
    """What is worse than of nearly all right results, the worst first."""
    sentences = {
        "noise_mm": f"The images determine the pose badly: noise alone explains an error of {told.noise_mm:.2f} mm.",
        "returned_mm": f"Looked at with wider windows and refined again, the pose ends {told.returned_mm:.1f} mm away: it may be an "
        "accidental fit.",
        "alone_sds": _apart(told, views),
        "tension": _apart(told, views),
        "halves_mm": f"Halves of the images ask for poses {told.halves_mm:.1f} mm apart: something may have moved, or a distance is wrong.",
        "similarity": _least_alike(told, views),
        "wider_similarity": f"Even seen coarsely an X-ray looks little like the CT (local NCC {told.wider_similarity:.2f}).",
        "unlike": f"In {100 * told.unlike:.0f} % of what was compared, X-ray and CT differ by more than noise explains: tools, tissue that "
        "moved, or another patient.",
    }
    said = [sentences[name] for name in model.worse_than_usual(numbers(told))]
    return list(dict.fromkeys(filter(None, said)))


def _apart(told: Evidence, views: list[View]) -> str:
    if not np.isfinite(told.alone_mm).any():
        return ""
    worst = int(np.argmax(np.where(np.isfinite(told.alone_mm), told.alone_mm, -1)))
    others = "the other X-ray" if len(views) == 2 else "the others"
    return (
        f"{views[worst].name} disagrees with {others}: by itself it would move the CT by {told.alone_mm[worst]:.1f} mm across its "
        "beam. Is its geometry right, its image not mirrored, and did nothing move between the X-rays?"
    )


def _least_alike(told: Evidence, views: list[View]) -> str:
    worst = int(np.argmin(np.where(np.array(told.fit.shown) >= FEWEST_PIXELS, told.fit.similarity, 1)))
    return f"{views[worst].name} looks little like the CT (local NCC {told.fit.similarity[worst]:.2f})."


def _split(views: list[View], told: Evidence, at: TargetUncertainty, beyond: float) -> dict:
    """The bound along and across each view's rays and as a turn, in the proportions in which noise would share it out, by the names of
    `Assessment`."""
    splits = [ViewSplit(view.name, *(SDS_95 * beyond * sd for sd in at.split(view.camera))) for view in views]
    sd, axis = told.uncertainty.weakest_turn()
    return {"splits": splits, "weakest_turn": (float(np.degrees(SDS_95 * beyond * sd)), axis)}


def _how_probable(prediction: Prediction, model: Model, verdict: str) -> list[str]:
    """A sentence, where an error is likelier than an accept allows."""
    told = f"n error above {WRONG_MM:g} mm has a probability of {_percent(prediction.wrong)}"
    if verdict == "reject":
        return [f"Most likely wrong: a{told}."]
    return (
        [f"A{told}, more than the {_percent(model.accept)} up to which a result is accepted."]
        if prediction.wrong > model.accept
        else []
    )


def _percent(share: float) -> str:
    if not 0.001 <= share <= 0.99:
        return "less than 0.1 %" if share < 0.001 else "more than 99 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
