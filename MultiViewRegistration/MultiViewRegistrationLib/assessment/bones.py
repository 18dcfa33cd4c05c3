"""The verdict on bones that were registered together: how far each can be trusted, and how it lies to its neighbours.

Every feature is of the bone's own part of the images, at the finest resolution, with all other bones where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..imaging.structures import Structures
from ..imaging.xray import View
from ..registration.bones import (
    PRECISION,
    SHOWN,
    Bone,
    BonesRegistration,
    ViewComparison,
    register_bones,
    relative_motion,
)
from ..registration.objective import TILE_SIDE
from ..registration.pipeline import Progress, Refinement, pose_difference
from ..registration.prepared_ct import PreparedCT
from .prediction import WRONG_MM
from .uncertainty import cluster_correction, root_mean_square, target_jacobians

#: Of a bone of which the second view shows less than this nothing was measured.
MEASURED_SHOWN = 0.8
#: Why no bone is accepted.
UNMEASURED = "How often a single bone is misplaced is not measured yet: check its outline."
#: Of a bone whose similarity is less, and of a motion beyond so many standard deviations.
UNLIKE, UNUSUAL_SDS = 0.4, 3.5
#: Mean error and 95 % bound over what noise explains: of 138 right vertebrae of one person, bent by up to 4 degrees, the median was 3.7
#: times and the 95th percentile 7.4 times that.
MEAN_OF_NOISE, BOUND_OF_NOISE = 4.0, 8.0
#: A turn about an axis by less is not told, degrees.
LEAST_TOLD_DEG = 0.5
#: The first vertebra of each part of the spine, counted from the head.
FIRST_VERTEBRA = {"C": 1, "T": 8, "L": 20, "S": 25}
#: A turn about left, posterior and superior, either way, of an upper vertebra.
TURNS = (
    ("flexion", "extension"),
    ("bending to the left", "bending to the right"),
    ("turning to the left", "turning to the right"),
)


@dataclass(frozen=True)
class BoneFeatures:
    """What differs between bones that are right and wrong; lengths in mm at its surface, root mean square.

    Attributes
    ----------
    similarity
        Local NCC of the least similar view that shows it.
    noise_mm
        The error that noise explains.
    split_half_mm
        How far apart halves of its tiles want it.
    level_shift_mm
        How far it moved at the finest resolution.
    tension
        By how many standard deviations the view that disagrees most does, see `features.tension`.
    motion_sds
        Its motion against the neighbour against which it has moved most, in standard deviations of the prior.
    misfit
        Share of its part of the images that does not count as it does not fit.
    shown
        The second largest share of its shadow that a view compares; of one view 0.
    """

    similarity: float
    noise_mm: float
    split_half_mm: float
    level_shift_mm: float
    tension: float
    motion_sds: float
    misfit: float
    shown: float


class _Part(NamedTuple):
    """A bone in one view: gradients (T, 6) of its tiles, their columns and rows (T, 2), and the share of it that does not count."""

    gradients: np.ndarray
    places: np.ndarray
    misfit: float


def bone_features(found: BonesRegistration) -> list[BoneFeatures]:
    """The features of every bone."""
    objective, fit = found.objective, found.fit
    compared = objective.compare(found.poses)
    hessian = fit.hessian * fit.pixels
    scale = np.sqrt(np.maximum(np.diag(hessian), 1e-12))
    inverse = np.linalg.pinv(hessian / np.outer(scale, scale), rcond=1e-10, hermitian=True) / np.outer(scale, scale)
    ties = [(tie, relative_motion(tie, found.poses)) for tie in found.ties]
    features = []
    for b, (bone, pose) in enumerate(zip(found.bones, found.poses, strict=True)):
        views = [v for v in range(len(compared)) if fit.shown[b, v] >= SHOWN and b in compared[v].parts]
        parts = [_part(compared[v], b) for v in views]
        own, pivot = slice(6 * b, 6 * b + 6), rigid.transform_points(pose, bone.centroid)
        at = target_jacobians(rigid.transform_points(pose, bone.surface), pivot)
        inverse_own = inverse[own, own]
        gradients = np.concatenate([part.gradients for part in parts]) if parts else np.empty((0, 6))
        meat = gradients.T @ gradients * cluster_correction(len(gradients), 6)
        form = np.einsum("nki,nkj->ij", at, at) / len(at)
        sds = [np.sqrt(motion @ (PRECISION * motion)) for tie, motion in ties if b in (tie.one, tie.other)]
        features.append(
            BoneFeatures(
                similarity=float(min((fit.similarity[b, v] for v in views), default=0.0)),
                noise_mm=float(np.sqrt(np.trace(form @ inverse_own @ meat @ inverse_own))) if parts else np.inf,
                split_half_mm=max((_apart(parts, axis, inverse_own, at) for axis in range(3)), default=0.0),
                level_shift_mm=_distance(found.earlier[b], pose, bone.surface),
                tension=max(map(_tension, parts), default=np.inf),
                motion_sds=float(max(sds, default=0.0)),
                misfit=max((part.misfit for part in parts), default=1.0),
                shown=float(np.sort(fit.shown[b])[-2]) if fit.shown.shape[1] > 1 else 0.0,
            )
        )
    return features


def _part(compared: ViewComparison, b: int) -> _Part:
    part = compared.parts[b]
    rows, columns = (each.stop - each.start for each in part)
    gradient, weight = np.zeros((6, rows, columns)), np.zeros((rows, columns))
    for change, weights, residual in zip(compared.changes[b], compared.weights, compared.residuals, strict=True):
        gradient += np.einsum("pkrc,krc->prc", change, weights[part] * residual[:, part[0], part[1]])
        weight += weights[part] / len(compared.weights)
    mask = compared.mask[part] * (np.abs(compared.changes[b][0]).sum(axis=(0, 1)) > 0)
    side = TILE_SIDE // 2
    padded = np.pad(gradient, ((0, 0), (0, -rows % side), (0, -columns % side)))
    tiles = padded.reshape(6, padded.shape[1] // side, side, -1, side).sum(axis=(2, 4))
    used = np.abs(tiles).sum(axis=0) > 0
    return _Part(tiles[:, used].T, np.argwhere(used)[:, ::-1], 1 - float((weight * mask).sum() / max(mask.sum(), 1)))


def _apart(parts: Sequence[_Part], axis: int, inverse: np.ndarray, at: np.ndarray) -> float:
    """How far apart the halves of a bone's tiles want it: left and right, upper and lower (`axis` 0, 1), every other one (2)."""
    total = np.zeros(6)
    for part in parts:
        column, row = part.places.T
        half = (
            (column + row) % 2 == 0
            if axis == 2
            else part.places[:, axis] < np.median(part.places[:, axis], keepdims=True)
        )
        total += part.gradients[half].sum(axis=0) - part.gradients[~half].sum(axis=0)
    return root_mean_square(np.linalg.norm(at @ (-2 * inverse @ total), axis=-1))


def _tension(part: _Part) -> float:
    if len(part.gradients) <= 12:
        return 0.0
    total, spread = part.gradients.sum(axis=0), part.gradients - part.gradients.mean(axis=0)
    covariance = spread.T @ spread * cluster_correction(len(spread), 6)
    return float(np.sqrt(total @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ total / 6))


def _distance(pose: np.ndarray, other: np.ndarray, points: np.ndarray) -> float:
    apart = rigid.transform_points(pose, points) - rigid.transform_points(other, points)
    return root_mean_square(np.linalg.norm(apart, axis=-1))


class Moved(NamedTuple):
    """A motion: of the centre, mm, and about `axis` (3,), a unit vector in CT LPS, in degrees."""

    mm: float
    degrees: float
    axis: np.ndarray

    def to_json(self) -> dict:
        """`moved` of a result.json."""
        return {"mm": self.mm, "deg": self.degrees, "axis": self.axis.tolist()}


@dataclass(frozen=True)
class NeighbourMotion:
    """How a bone lies to a neighbour, against how it does in the CT.

    Attributes
    ----------
    name, against
        Of the bone and of the neighbour: of two vertebrae the upper one first.
    degrees, mm
        Of the turn, and of the shift at the joint.
    words
        The motion in a surgeon's words.
    """

    name: str
    against: str
    degrees: float
    mm: float
    words: str

    def to_json(self) -> dict:
        """An entry of `motions` of a result.json."""
        return {"name": self.name, "against": self.against, "deg": self.degrees, "mm": self.mm, "words": self.words}


@dataclass(frozen=True, eq=False)
class RegisteredBone:
    """A bone with a pose of its own, and how far that can be trusted.

    Attributes
    ----------
    world_from_ct
        (4, 4).
    verdict
        "check" or "reject": how often a bone is misplaced is not measured yet.
    reasons
        Sentences.
    noise_mm
        The error that noise explains, root mean square at its surface.
    similarity
        Local NCC in each view, NaN where one does not show it.
    moved
        Against the rest of the CT.
    displaced_mm
        How far its surface lies from where the pose of the whole CT has it, root mean square.
    """

    name: str
    world_from_ct: np.ndarray
    verdict: str
    reasons: list[str]
    noise_mm: float
    similarity: tuple[float, ...]
    moved: Moved
    displaced_mm: float
    features: BoneFeatures
    bone: Bone = field(repr=False)

    @property
    def own_reasons(self) -> str:
        """The reasons that other bones need not have, as one text."""
        return " ".join(reason for reason in self.reasons if reason != UNMEASURED)

    @property
    def predicted_tre_mm(self) -> dict[str, float] | None:
        """Mean and 95 % bound; None where no view shows it."""
        if not np.isfinite(self.noise_mm):
            return None
        return {"mean": MEAN_OF_NOISE * self.noise_mm, "upper95": BOUND_OF_NOISE * self.noise_mm}

    def to_json(self, views: Sequence[str]) -> dict:
        """An entry of `structures` of a result.json, with the similarity by these names of views."""
        similarity = {name: float(each) for name, each in zip(views, self.similarity, strict=True) if np.isfinite(each)}
        return {
            "name": self.name,
            "world_from_ct": self.world_from_ct.tolist(),
            "verdict": self.verdict,
            "reasons": self.reasons,
            "predicted_tre_mm": self.predicted_tre_mm,
            "similarity": similarity,
            "moved": self.moved.to_json(),
        }


@dataclass(frozen=True, eq=False)
class RegisteredBones:
    """The structures of a case, registered, and the motions of neighbours against each other."""

    bones: list[RegisteredBone] = field(default_factory=list)
    motions: list[NeighbourMotion] = field(default_factory=list)

    @property
    def shown(self) -> list[RegisteredBone]:
        """Those that are where the X-rays show them."""
        return [bone for bone in self.bones if bone.verdict != "reject"]

    @property
    def displaced(self) -> list[RegisteredBone]:
        """Those of them that lie elsewhere than the pose of the whole CT has them, the farthest first."""
        found = [bone for bone in self.shown if bone.displaced_mm > WRONG_MM]
        return sorted(found, key=lambda bone: -bone.displaced_mm)


def register_structures(
    structures: Structures,
    anatomy: PreparedCT,
    whole: Refinement,
    progress: Callable[[Progress], object] = lambda _: None,
) -> RegisteredBones:
    """Register the structures of a CT whose whole is registered, and assess them.

    Parameters
    ----------
    whole
        The registration of the whole CT.
    progress
        As in `pipeline.refine`.
    """
    bones = bones_of(structures, anatomy)
    found = register_bones(anatomy, bones, whole.views, whole.world_from_ct, progress)
    return assess_bones(found, whole.views)


def assess_bones(found: BonesRegistration, views: Sequence[View]) -> RegisteredBones:
    """Assess bones that were registered.

    Parameters
    ----------
    views
        From which they were.
    """
    assessed = [_assessed(n, found, features, views) for n, features in enumerate(bone_features(found))]
    return RegisteredBones(assessed, motions_of(found))


def bones_of(structures: Structures, anatomy: PreparedCT) -> list[Bone]:
    """The structures of a CT as bones."""
    attenuation, boxes = anatomy.attenuation(0), scipy.ndimage.find_objects(structures.labels, len(structures.names))
    return [
        Bone(name, attenuation, structures.labels[box] == n, [side.start for side in box])
        for n, (name, box) in enumerate(zip(structures.names, boxes, strict=True), start=1)
    ]


def _assessed(n: int, found: BonesRegistration, features: BoneFeatures, views: Sequence[View]) -> RegisteredBone:
    bone, pose = found.bones[n], found.poses[n]
    mm, _ = pose_difference(pose, found.world_from_ct, bone.centroid)
    turn = rigid.log_so3((rigid.inverse(found.world_from_ct) @ pose)[:3, :3])
    angle = float(np.linalg.norm(turn))
    moved = Moved(mm, float(np.degrees(angle)), turn / angle if angle else np.array([0.0, 0.0, 1.0]))
    displaced = _distance(pose, found.world_from_ct, bone.surface)
    similarity = tuple(float(each) for each in found.fit.similarity[n])
    verdict, reasons = _verdict(bone.name, features, found.fit.shown[n], views)
    return RegisteredBone(
        bone.name, pose, verdict, reasons, features.noise_mm, similarity, moved, displaced, features, bone
    )


def _verdict(name: str, features: BoneFeatures, shown: np.ndarray, views: Sequence[View]) -> tuple[str, list[str]]:
    showing = [view.name for view, share in zip(views, shown, strict=True) if share >= SHOWN]
    if not showing:
        return "reject", [f"No X-ray shows enough of {name} to say where it is: it is drawn where its neighbours are."]
    reasons = []
    if len(showing) == 1:
        reasons.append(f"Only {showing[0]} shows {name}: its depth along that beam is uncertain.")
    elif features.shown < MEASURED_SHOWN:
        reasons.append(f"The X-rays show only {100 * features.shown:.0f} % of {name}.")
    wrong = features.similarity < UNLIKE or features.noise_mm > WRONG_MM
    if features.similarity < UNLIKE:
        reasons.append(f"{name} does not look like the X-rays (similarity {features.similarity:.2f}).")
    if features.split_half_mm > WRONG_MM:
        reasons.append(f"Halves of the images of {name} disagree by {features.split_half_mm:.1f} mm.")
    if features.motion_sds > UNUSUAL_SDS:
        reasons.append(f"{name} has moved against a neighbour by more than is usual: it may be another one.")
    return ("reject" if wrong else "check"), [*reasons, UNMEASURED]


def motions_of(found: BonesRegistration) -> list[NeighbourMotion]:
    """The motions of all neighbours against each other."""
    motions = []
    for tie in found.ties:
        names = found.bones[tie.one].name, found.bones[tie.other].name
        one, other = map(vertebra, names)
        spine = one is not None and other is not None
        upper, lower = (tie.one, tie.other) if spine and (one or 0) < (other or 0) else (tie.other, tie.one)
        motion = rigid.inverse(found.poses[lower]) @ found.poses[upper]
        turn = np.degrees(rigid.log_so3(motion[:3, :3]))
        mm = float(np.linalg.norm(rigid.transform_points(motion, tie.joint) - tie.joint))
        degrees = float(np.linalg.norm(turn))
        words = _in_words(turn) if spine else ""
        motions.append(
            NeighbourMotion(
                found.bones[upper].name, found.bones[lower].name, degrees, mm, words or f"{degrees:.1f} degrees"
            )
        )
    return sorted(motions, key=lambda motion: vertebra(motion.name) or 0)


def vertebra(name: str) -> int | None:
    """Which vertebra a name means, counted from the head: "L1", "vertebrae_L1" is 20; None for another bone."""
    found = re.fullmatch(r"(?:vertebrae?[ _])?([CTLS])([1-9]|1[0-3])", name.strip(), re.IGNORECASE)
    return FIRST_VERTEBRA[found[1].upper()] + int(found[2]) - 1 if found else None


def _in_words(turn: np.ndarray) -> str:
    """Of a turn (3,), degrees about CT LPS axes, of an upper vertebra on a lower one."""
    told = [
        f"{abs(angle):.1f} degrees of {ways[int(angle < 0)]}"
        for angle, ways in sorted(zip(turn, TURNS, strict=True), key=lambda each: -abs(each[0]))
        if abs(angle) >= LEAST_TOLD_DEG
    ]
    return ", ".join(told)
