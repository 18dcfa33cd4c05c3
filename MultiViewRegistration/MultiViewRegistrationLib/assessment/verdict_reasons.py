"""Why a pose is not accepted, in sentences: what limits it, what is in doubt, and its risk.

A CT is in doubt, too, with slices that lie aside, or with a mirror image that X-rays do not tell
from it. From slice to slice a body drifts, but slowly: slices that were taken while the patient
coughed are entered by a jump, and left by its opposite. A CT of a person whose left and right are
alike fits about as well once it is mirrored.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations, compress

import numpy as np
import scipy

from ..errors import Reason, code_of
from ..geometry import rigid
from ..geometry.fields import C_ARM_PRINCIPAL_POINT_SD_MM, UNCERTAINTY, describe_uncertainty
from ..imaging.ct import BONE_PER_MM, WATER, Volume
from ..imaging.xray import CALIBRATED, MIRROR, SharedUnknowns, View
from ..registration.objective import EvaluationPoint
from ..registration.optimizer import AlternativeSolution, Refinement, minimise
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from .features import ReliabilityFeatures
from .metrics import in_field
from .parts import PART_MM, Part
from .prediction import LIMITS as PREDICTION
from .prediction import WRONG_MM, ErrorModel, Prediction, is_likely_wrong, percent
from .uncertainty import SDS_95


@dataclass(frozen=True)
class Limits:
    """The numbers of the verdict that were chosen.

    Attributes
    ----------
    evidence_ratio
        Below this evidence ratio to the next minimum nothing is accepted: of those between it and
        `ambiguous_ratio` with a small failure probability 59 of 59 were right
        (docs/tables/verdicts.md, seeds 1 to 4).
    ambiguous_ratio
        Below this one a result is called ambiguous.
    mirror_ratio
        So many times the evidence of its mirror image a CT has at least. Of people made symmetric
        (seed 1) mirrored CTs that were accepted had up to 1.000, right ones from 1.045 on; real
        people from 1.6 on.
    clear_mirror_ratio
        With so many times at the second resolution already, the finest is not asked: of people made
        symmetric (seed 5) mirrored CTs had up to 1.00 there, real ones from 3.5 on.
    same_direction_deg
        Views whose directions differ by less show little of the depth.
    grey_levels
        Of fewer the risk was not measured: dark bone lies in one or two of 16, and 4 of 12 right
        answers were called most likely wrong, with 64 none of 12. Real ones of 8 bits have 150 and
        more.
    uneven
        X-rays whose similarities are further apart than this may hide a fault that the features do
        not show, as angles of the wrong sign.
    tension
        X-rays of another kind whose tiles are in place, and whose tension is no larger, have no
        cause that a search would name: right sets of portal images 1.2 at most, with a camera
        turned by 3 degrees from 1.6 on.
    strain, contradiction
        Corrections of cameras are expected within so many standard deviations; beyond the second
        number they contradict what is said of the cameras.
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
    ambiguous_ratio: float = 1.3
    mirror_ratio: float = 1.02
    clear_mirror_ratio: float = 1.5
    same_direction_deg: float = 15.0
    grey_levels: int = 50
    uneven: float = 0.25
    tension: float = 1.4
    strain: float = 2.0
    contradiction: float = 4.0
    in_place: float = 0.85
    tested_odds: float = 0.1


LIMITS = Limits()
#: Size of voxels in which slices are compared, and by how many of them each slice is blurred.
VOXEL_MM = 3.0
BLUR = 1.0
#: What is less dense than this share of water, as lung and couch, counts as air, and all bone as
#: its least dense.
LEAST_DENSE = 0.7
#: A jump is over within so much; drift is what is usual within so much; and so long is what lies
#: aside, at most: longer motions are seen by `parts`.
JUMP_MM = 10.0
DRIFT_MM = 60.0
LONGEST_MM = 45.0
#: Both jumps are so opposite, by the cosine, and so large. In seven people's CTs as they are both are
#: 2.97 mm at most, in six 1.04.
OPPOSITE = -0.7
LEAST_MM = 3.1
#: Slices with a smaller share of the usual contrast show too little to tell.
LEAST_CONTRAST = 0.02


def drift(volume: Volume) -> np.ndarray:
    """Return how far the content moves from each slice to the next, (slices - 1, 2) mm by columns and rows.

    Lucas and Kanade, An iterative image registration technique, IJCAI 1981: one step, least squares.
    """
    images = np.clip(volume.values, np.float32(LEAST_DENSE * WATER), np.float32(BONE_PER_MM))
    images = scipy.ndimage.gaussian_filter(images, (0, BLUR, BLUR))
    rows, columns = np.gradient((images[1:] + images[:-1]) / 2, axis=(1, 2))
    across = np.stack([columns, rows], axis=1).reshape(len(images) - 1, 2, -1)
    change = np.diff(images, axis=0).reshape(len(images) - 1, -1, 1)
    normal = across @ across.swapaxes(1, 2)
    least = LEAST_CONTRAST * np.median(np.trace(normal, axis1=1, axis2=2)) + 1e-12
    moved = np.linalg.solve(normal + least * np.eye(2), -across @ change)
    return moved[..., 0] * volume.spacing_mm[:2]


def aside_mm(volume: Volume) -> np.ndarray:
    """Return how far each slice (N,) lies aside of those below and above, mm; 0 where not by LEAST_MM."""
    found = np.zeros(len(volume.values))
    jump, usual, longest = (
        max(1, round(mm / float(volume.spacing_mm[2]))) for mm in (JUMP_MM, DRIFT_MM, LONGEST_MM)
    )
    if len(found) <= 2 * jump:
        return found
    moved = drift(volume)
    moved -= scipy.ndimage.median_filter(moved, (usual | 1, 1), mode="nearest")
    total = np.cumsum(np.vstack([np.zeros((1, 2)), moved]), axis=0)
    jumps = total[jump:] - total[:-jump]
    sizes = np.linalg.norm(jumps, axis=1)
    for length in range(jump, min(jump + longest, len(jumps))):
        there = sizes[:-length]
        back = sizes[length:]
        cosines = np.sum(jumps[:-length] * jumps[length:], axis=1) / (there * back + 1e-12)
        both = np.where(cosines < OPPOSITE, np.minimum(there, back), 0)
        for first in np.flatnonzero(both >= LEAST_MM):
            within = slice(first + jump // 2, first + length + jump // 2 + 1)
            found[within] = np.maximum(found[within], both[first])
    return found


def slices_aside(anatomy: PreparedCT, targets: np.ndarray) -> list[Reason]:
    """Return that the CT's slices at a target (N, 3), CT mm, lie aside; nothing where they do not."""
    volume = anatomy.attenuation(anatomy.level(VOXEL_MM))
    aside = aside_mm(volume)
    at = np.rint(rigid.transform_points(volume.index_from_ct, targets)[:, 2]).astype(int)
    within = (at >= 0) & (at < len(aside))
    mm = aside[at[within]]
    if not mm.any():
        return []
    heights = targets[within][mm > 0][:, 2]
    sentence = (
        "The patient moved while the CT was taken\n: slices of it between "
        f"z = {heights.min():.0f} and {heights.max():.0f} mm lie {mm.max():.0f} mm aside of those "
        "below and above. Take another CT."
    )
    return [Reason("ct-slices-aside", sentence)]


#: Points of bone that are mirrored, those upon which they fall, and how often the nearest share of
#: them moves the mirror (Chetverikov et al., Image Vis. Comput. 23, 2005).
POINTS = 1000
BONE_POINTS = 20000
ROUNDS = 30
NEAREST = 0.8
#: Steps at each resolution.
STEPS = 8
ALIKE = Reason(
    "mirror-alike",
    "Left and right of this CT are so alike that the X-rays fit its mirror image about as well\n. Check "
    "by an organ or by a mark that left and right of the CT are not exchanged.",
)


def mirror_of(points: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Return the reflection (4, 4) that brings points (N, 3) nearest to all points (M, 3) of the bone, CT mm."""
    tree = scipy.spatial.cKDTree(every)
    points = rigid.some_of(points, POINTS)
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = 2 * np.median(points[:, 0])
    for _ in range(ROUNDS):
        there = rigid.transform_points(mirror, points)
        apart, nearest = tree.query(there)
        near = apart <= np.quantile(apart, NEAREST)
        source = there[near]
        target = every[nearest[near]]
        centre = source.mean(axis=0)
        to = target.mean(axis=0)
        turn, _ = scipy.spatial.transform.Rotation.align_vectors(target - to, source - centre)
        R = turn.as_matrix()
        mirror = rigid.from_rotation_translation(R, to - R @ centre) @ mirror
    return mirror


def evidence_ratio(
    anatomy: PreparedCT, views: Sequence[View], found: Refinement, start: np.ndarray
) -> float:
    """Return how many times the evidence of the mirrored CT, where that fits best, the CT has.

    Parameters
    ----------
    views
        With corrected cameras.
    found, start
        The pose, and the start (4, 4) of its refinement.
    """
    every = anatomy.bone_points(BONE_POINTS)
    shown = every[in_field(views, rigid.transform_points(found.world_from_ct, every)).all(axis=0)]
    mirror = mirror_of(shown if len(shown) else every, every)
    mirrored = [view.mirrored() for view in views]
    pose = MIRROR @ found.world_from_ct @ mirror
    levels = anatomy.levels(mirrored, start)
    for level in levels:
        objective = anatomy.objective(mirrored, level, pose)
        descent = minimise(objective, pose, STEPS, level.tolerance_mm)
        pose = descent.world_from_ct
        own = anatomy.objective(list(views), level, found.world_from_ct)
        fit = own.evaluate(EvaluationPoint([found.world_from_ct])).linearise()
        ratio = fit.evidence / max(descent.fit.evidence, 1e-9)
        if level is not levels[0] and ratio >= LIMITS.clear_mirror_ratio:
            break
    return ratio


EVERY_PIXEL = 7
FEW_GREY_LEVELS = "few-grey-levels"
#: What the assessment of a whole CT says of cameras and X-rays, by codes.
OF_XRAYS = (
    "one-view",
    "same-direction",
    "too-little-shown",
    "shared-unknown",
    "misfit-left-out",
    "camera-contradicted",
    "image-cropped",
    "principal-point-unstated",
    "cameras-uncertain",
    FEW_GREY_LEVELS,
)
#: So many targets a reason names.
MOST_NUMBERED = 6
EXACT_CAMERAS = "if the cameras are right to 0.5 px"
THIRD_VIEW_MISSING = Reason(
    "third-view-missing",
    "The 3D position of two X-rays of such a kind is never accepted\n: a third would tell whether they agree.",
)
ONE_STRUCTURE = Reason(
    "one-structure", "A structure by itself may lie on a similar one\n. Check its outline."
)
ONE_VIEW = Reason(
    "one-view", "Only one X-ray determines the pose\n: the depth along its beam is uncertain."
)
SHARED_UNKNOWN = Reason(
    "shared-unknown",
    "All X-rays share an unknown\n: the failure probability was not measured for such cases.",
)
UNFAMILIAR_IMAGES = Reason(
    "unfamiliar-images",
    "The X-rays are of another kind than those on which the risk was measured, so that it is not "
    "known; most of their parts fit best where this pose has them.",
)
UNLIKE_KNOWN = Reason(
    "unlike-known", "This result differs from all correct results to which the risk was fitted."
)
MISFIT_LEFT_OUT = Reason(
    "misfit-left-out",
    "What did not fit at an earlier pose was left out\n: a wrong pose would look right, too.",
)
POSE_SET = Reason(
    "pose-set",
    "The pose was set, not registered\n: the failure probability was not measured for such poses.",
)


def view_limits(
    views: list[View], features: ReliabilityFeatures, shared: SharedUnknowns
) -> list[Reason]:
    """Return why the measured failure probability does not hold for these views."""
    limits = []
    if len(views) == 1:
        limits.append(ONE_VIEW)
    elif (apart_deg := _widest_deg(views)) < LIMITS.same_direction_deg:
        sentence = (
            f"The X-rays look in nearly the same direction ({apart_deg:.0f} degrees apart)\n: the "
            "depth along their beams is uncertain."
        )
        limits.append(Reason("same-direction", sentence))
    limits += [
        Reason("too-little-shown", f"{view.name} shows too little of the CT to confirm the pose.")
        for view, shift in zip(views, features.single_view_shift_mm, strict=False)
        if not np.isfinite(shift)
    ]
    for view in views:
        levels = len(np.unique(view.xray.line_integrals[view.xray.valid][::EVERY_PIXEL]))
        if 1 < levels < LIMITS.grey_levels:  # one of a blank image
            sentence = (
                f"{view.name} has only {levels} grey levels\n: dark bone is lost in them. Export it "
                "with 256 or more."
            )
            limits.append(Reason(FEW_GREY_LEVELS, sentence))
    return limits + [SHARED_UNKNOWN] * (shared != CALIBRATED)


def _widest_deg(views: list[View]) -> float:
    axes = [view.camera.camera_from_world[2, :3] for view in views]
    return float(
        np.degrees(max(np.arccos(np.clip(abs(a @ b), 0, 1)) for a, b in combinations(axes, 2)))
    )


def camera_strain(
    given: list[View], corrected: list[View], shared: SharedUnknowns
) -> tuple[float, list[tuple[str, Reason]]]:
    """Return the largest correction of a camera, in its standard deviations, and what contradicts.

    By view: the reason where a correction contradicts what is said of its camera.
    """
    largest = 0.0
    contradicted = []
    for before, after in zip(given, corrected, strict=True) if shared == CALIBRATED else ():
        motion = before.camera.world_from_camera @ after.camera.camera_from_world
        shift = after.camera.principal_point - before.camera.principal_point
        scale = after.camera.focal_px / before.camera.focal_px - 1
        turn_deg = np.degrees(rigid.log_so3(motion[:3, :3]))
        for what, correction, sd, unit in (
            ("angles", turn_deg, before.rotation_sd_deg, "degrees"),
            ("place", motion[:3, 3], before.translation_sd_mm, "mm"),
            ("principal point", shift, before.principal_point_sd_px, "px"),
            ("distance to the detector", 100 * scale, before.distance_sd_percent, "%"),
        ):
            off = np.abs(correction).max()
            strain = float(off / sd) if sd else 0.0
            largest = max(largest, strain)
            if strain > LIMITS.contradiction:
                sentence = (
                    f"The X-rays contradict the {what} of {before.name}\n: {off:.1f} {unit} off, "
                    f"though known to {sd:.2g} {unit}. Check its geometry."
                )
                contradicted.append((before.name, Reason("camera-contradicted", sentence)))
    return largest, contradicted


def condition(views: list[View]) -> str:
    """Return what a prediction takes for granted of the cameras."""
    exact = all(_is_exact(view, i == 0) for i, view in enumerate(views))
    return EXACT_CAMERAS if exact else f"with cameras known to {_least_known(views)}"


def _is_exact(view: View, first: bool) -> bool:
    """Return whether nothing of a camera is uncertain; the first view's place is the world's."""
    place = 0 if first else (view.rotation_sd_deg, view.translation_sd_mm) != (0, 0)
    return not (place or view.presumed.principal_point_sd_px or view.distance_sd_percent)


def _least_known(views: list[View]) -> str:
    known = [view.presumed for view in views]
    return describe_uncertainty(
        {key: max((getattr(view, key) or 0.0) for view in known) for key in UNCERTAINTY}
    )


def camera_limits(views: list[View], bound_mm: float, prediction: Prediction) -> list[Reason]:
    """Return how well the cameras are known, and what it makes of the pose.

    First why images may not be those that the cameras are for.
    """
    limits = []
    for view in views:
        if view.doubt:
            columns, rows = view.camera.size
            sentence = (
                f"{view.doubt}\n Use the image that was calibrated. If it is this one, state its size: "
                f'View(size=({columns}, {rows})) in Python, "size": [{columns}, {rows}] in a case.json.'
            )
            limits.append(Reason("image-cropped", sentence))
    risk = percent(prediction.camera_failure_probability)
    misplaced = (
        f"misplace the bone by up to {bound_mm:.1f} mm ({risk} risk of more than {WRONG_MM:g} mm), "
        "and no X-ray shows it."
    )
    beads = "beads in the X-rays (calibrate_from_beads in Python, mvreg calibrate)"
    third = "add a third X-ray between the two, tilted to head or feet, " * (len(views) == 2)
    unstated = [
        view.name for view in views if view.presumed_principal_point_sd_px and not view.doubt
    ]
    if unstated:
        code = "principal-point-unstated"
        px = max(view.presumed_principal_point_sd_px for view in views)
        sentence = (
            f"The case does not say how well the principal point of {' and '.join(unstated)} is "
            f"known\n: off by {C_ARM_PRINCIPAL_POINT_SD_MM:g} mm on the detector, as far as a C-arm "
            f"bends, it may {misplaced} If the camera was measured where the X-ray was taken, state "
            f"principal_point_sd_px 0.5 (in Python in the uncertainty of its View); else state how "
            f"far off it may be ({px:.1f}), so that it is solved for, {third}or show {beads}."
        )
    else:
        code = "cameras-uncertain"
        advice = f"Show {beads}, {third}or check the result by other means."
        if all(view.camera.is_slot_scan for view in views):  # which are not calibrated by beads
            advice = "Check the result by other means."
        sentence = f"The cameras are known only to {_least_known(views)}\n: that alone may {misplaced} {advice}"
    return [*limits, Reason(code, sentence)]


def weak_points(
    weak: Sequence[str], features: ReliabilityFeatures, views: list[View]
) -> list[Reason]:
    """Return what is worse than in nearly all correct results, the worst first.

    Parameters
    ----------
    weak
        As `prediction.Model.worse_than_usual` returns it.
    """
    halves = (
        f"The halves of the images disagree by {features.split_half_mm:.1f} mm\n: something may have "
        "moved, or a distance is wrong."
    )
    coarse = (
        "One X-ray differs from the DRR even at a coarse resolution "
        f"(local NCC {features.wider_similarity:.2f})."
    )
    outliers = (
        f"X-ray and CT differ by more than noise in {100 * features.outlier_fraction:.0f} % of the "
        "compared area\n: tools, tissue that moved, or another patient."
    )
    sentences = {
        "noise_mm": ("noise", _noise(features)),
        "single_view_shift_sds": ("view-disagrees", _disagreement(features, views)),
        "split_half_mm": ("halves-disagree", halves),
        "similarity": ("not-like-ct", _least_similar(features, views)),
        "wider_similarity": ("not-like-ct", coarse),
        "outlier_fraction": ("outliers", outliers),
    }
    return list(dict.fromkeys(filter(None, (Reason(*sentences[name]) for name in weak))))


def _noise(features: ReliabilityFeatures) -> str:
    """Return a sentence where noise may misplace the bone by more than WRONG_MM.

    Less is unusual, and no trouble.
    """
    mm = features.noise_mm
    if SDS_95 * mm <= WRONG_MM:
        return ""
    return f"The images determine the pose poorly\n: noise alone explains an error of {mm:.1f} mm."


def _disagreement(features: ReliabilityFeatures, views: list[View]) -> str:
    shifts = features.single_view_shift_mm
    if not np.isfinite(shifts).any():
        return ""
    worst = _most_shifted(shifts)
    others = "the other X-ray" if len(views) == 2 else "the others"
    return (
        f"{views[worst].name} disagrees with {others}\n: alone it moves the CT by "
        f"{shifts[worst]:.1f} mm across its beam. Check its geometry, whether the patient's right "
        "is on the left of its image, and whether anything moved between the X-rays."
    )


def _least_similar(features: ReliabilityFeatures, views: list[View]) -> str:
    worst = _least_similar_view(features)
    ncc = features.fit.similarity[worst]
    return (
        f"{views[worst].name} differs from the DRR (local NCC {ncc:.2f})\n: the image may be "
        "edge-enhanced, saturated or noisy, or show other anatomy."
    )


def suspects(weak: Sequence[str], features: ReliabilityFeatures, views: list[View]) -> list[str]:
    """Return the names of the views that a weak point is about; `weak` as of `weak_points`."""
    shifts = features.single_view_shift_mm
    known = np.isfinite(shifts)
    found = [view.name for view, each in zip(views, known, strict=False) if not each]
    if "single_view_shift_sds" in weak and known.any():
        found.append(views[_most_shifted(shifts)].name)
    if "similarity" in weak:
        found.append(views[_least_similar_view(features)].name)
    return found


def _most_shifted(shifts_mm: np.ndarray) -> int:
    return int(np.argmax(np.where(np.isfinite(shifts_mm), shifts_mm, -1)))


def _least_similar_view(features: ReliabilityFeatures) -> int:
    fit = features.fit
    return int(np.argmin(np.where(np.array(fit.shown) >= MIN_PIXELS, fit.similarity, 1)))


def prediction_limits(
    prediction: Prediction, features: ReliabilityFeatures, *, by_itself: bool
) -> list[Reason]:
    """Return that the X-rays disagree, or that the result looks unlike those that are known.

    Parameters
    ----------
    by_itself
        A structure was compared without the rest of its CT: the X-rays show more than it.
    """
    limits = []
    if not prediction.agree:
        code = "views-disagree"
        told = "a camera may be known less well."
        if features.disagreement > PREDICTION.disagree:
            told = (
                "if an angle, a distance or the CT's scale is wrong, or the patient moved between "
                f"them, the CT is off by about {features.disagreement_mm:.1f} mm."
            )
        elif by_itself:
            code = "surroundings-unknown"
            told = "what lies about the bone may be why."
        sentence = (
            "The X-rays disagree by more than noise and the cameras' stated uncertainty explain"
        )
        limits.append(Reason(code, f"{sentence}\n: {told}"))
    return limits + [UNLIKE_KNOWN] * (not prediction.bounded)


def risk_reasons(prediction: Prediction, model: ErrorModel) -> list[Reason]:
    """Return a sentence, where the failure probability is too high for an accept."""
    risk = percent(prediction.failure_probability)
    limit = percent(model.accept)
    if is_likely_wrong(prediction, model):
        sentence = (
            f"{risk} risk of an error above {WRONG_MM:g} mm\n, if these X-rays are like the simulated ones "
            "to which the risk was fitted. Compare edges and bone in every overlay."
        )
        return [Reason("most-likely-wrong", sentence[0].upper() + sentence[1:])]
    if not prediction.familiar:
        return [UNFAMILIAR_IMAGES]
    if prediction.known_risk is None or prediction.known_risk <= model.accept:
        return []
    risk = f"slightly more than {limit}" if risk == limit else risk
    sentence = f"The risk of an error above {WRONG_MM:g} mm is {risk}; up to {limit} is accepted."
    return [Reason("risk", sentence)]


def is_about_risk(reason: str) -> bool:
    """Return whether a reason says how likely the pose is wrong, and not why."""
    return code_of(reason) in ("most-likely-wrong", "risk", "unfamiliar-images")


def ambiguity(rival: AlternativeSolution | None) -> list[Reason]:
    """Return the reason not to trust a pose where another one fits nearly as well."""
    if rival is None or rival.evidence_ratio >= LIMITS.ambiguous_ratio:
        return []
    sentence = (
        f"Ambiguous\n: another pose, {rival.distance_mm:.1f} mm and {rival.rotation_deg:.1f} degrees "
        f"away, fits nearly as well (evidence ratio {rival.evidence_ratio:.2f})."
    )
    return [Reason("ambiguous", sentence)]


def scope_of(
    tested: Collection[str], sure: np.ndarray | None = None, *, given: bool = False
) -> Reason:
    """Return what an accept was tested for.

    Parameters
    ----------
    tested
        Names of bones that were registered and judged, too.
    sure
        (N,) bool, which places were in place for sure; None where none was asked.
    given
        They are all targets of the case.
    """
    bones = f"of its bones {', '.join(tested)} were tested, each by itself; " if tested else ""
    told = (
        "other bones and pieces were not." if tested else "single bones and pieces were not tested."
    )
    if sure is not None:
        where = f"{sure.sum()} of {len(sure)} places, and not at the rest"
        if given:
            where = f"{sure.sum()} of {len(sure)} targets"
            where += "" if sure.all() else f", and not at {numbered(~sure)}"
        told = f"bone that lies {WRONG_MM:g} mm elsewhere would have been seen at {where}."
    return Reason(
        "bones-tested" if tested else "one-piece", f"Accepted as one piece; {bones}{told}"
    )


def numbered(chosen: np.ndarray) -> str:
    """Return which targets (N,) bool are chosen, by their numbers in the case."""
    numbers = [str(number) for number in np.flatnonzero(chosen) + 1]
    more = f" and {len(numbers) - MOST_NUMBERED} more" if len(numbers) > MOST_NUMBERED else ""
    which = "target" if len(numbers) == 1 else "targets"
    return f"{which} {', '.join(numbers[:MOST_NUMBERED])}{more}"


def target_limits(
    views: list[View], pose: np.ndarray, targets: np.ndarray, parts: Sequence[Part]
) -> list[Reason]:
    """Return which of the given targets (N, 3), CT mm, no X-ray shows, and about which no bone was compared."""
    showing = in_field(views, rigid.transform_points(pose, targets)).sum(axis=0)
    bone = np.concatenate([np.empty((0, 3)), *(part.points for part in parts)])
    apart_mm, _ = scipy.spatial.cKDTree(bone).query(targets)
    untested = (showing > 0) & (apart_mm > PART_MM)
    twice = f"Two X-rays or more show {np.sum(showing > 1)} of {len(targets)}."
    unshown = f"No X-ray shows {numbered(showing == 0)}\n: nothing was compared there. {twice}"
    far = f"No bone was compared within {PART_MM:g} mm of {numbered(untested)}. {twice}"
    found = Reason("targets-not-shown", unshown), Reason("targets-not-tested", far)
    return list(compress(found, (not showing.all(), untested.any())))
