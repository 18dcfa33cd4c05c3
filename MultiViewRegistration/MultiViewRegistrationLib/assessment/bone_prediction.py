"""A bone's error, predicted from its features by a small model that benchmarks/bones_fit.py fits.

A bone that is registered wrongly differs by its features, each of its own part of the images, at the
finest resolution. As in `prediction`: a logistic function that grows with each feature is the
probability that the bone lies elsewhere; the error is log-normal where it does not, about a linear
function of the features, and where it does. bone_prediction.json holds the numbers. Below that,
where the errors of bones point, by the curvature of their cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy

from ..geometry import rigid
from ..imaging.body import Structures
from ..imaging.ct import WATER, Volume
from ..imaging.field import widened
from ..registration.bones import SHOWN, ViewComparison
from ..registration.problem import PRECISION, relative_motions
from ..registration.register_bones import BonesRegistration
from ..registration.tiles import TILE_SIDE
from .prediction import WRONG_MM, ErrorModel, Prediction, columns, model_of, read_numbers, summary
from .uncertainty import (
    TargetUncertainty,
    gradient_covariance,
    inverted,
    rms_length,
    target_jacobians,
)

#: No ratio counts beyond this.
MOST_RATIO = 3.0
#: How far from its surface a mask is looked at, and what attenuates more than this is bone (150
#: HU), 1/mm.
EDGE_MM = 2.0
BONE = 1.15 * WATER


@dataclass(frozen=True)
class BoneFeatures:
    """Reliability features of a bone; lengths in mm at its surface, root mean square.

    Attributes
    ----------
    similarity
        Local NCC of the least similar view that shows it.
    noise_mm
        The error that noise explains.
    split_half_mm
        How far apart halves of its tiles want it.
    motion_sds
        Its motion against the neighbour against which it has moved most, in standard deviations of
        the prior.
    shown
        The second largest share of its shadow that a view compares; of one view 0.
    level_ratio
        How many times less like the X-rays it is one level up or down, see `registration.register_bones`;
        MOST_RATIO at most.
    left_out
        The bone within EDGE_MM outside its mask, in no other structure, over that within EDGE_MM
        inside.
    soft
        The share of what lies within EDGE_MM inside its mask that is no bone.
    again_mm, all_again_mm
        How far from here it is found from a little off, see `registration.register_bones`, and that of
        the case's worst bone; NaN where that was not looked for.
    turned_deg
        How far it has turned against the whole CT.
    """

    similarity: float
    noise_mm: float
    split_half_mm: float
    motion_sds: float
    shown: float
    level_ratio: float
    left_out: float
    soft: float
    again_mm: float
    all_again_mm: float
    turned_deg: float

    @property
    def faults(self) -> list[BoneFault]:
        """The rows of the features that are beyond their limits; none that was not measured, NaN."""
        return [
            row
            for name, row in FAULTS.items()
            if row.sign * getattr(self, name) > row.sign * row.limit
        ]


class BoneFault(NamedTuple):
    """What is a fault of a bone: a row of FAULTS.

    Attributes
    ----------
    limit
        Beyond this the feature is one.
    code, sentence
        Of the reason.
    sign
        -1 where less is worse.
    tells_why
        It only says why: the risk has it already.
    """

    limit: float
    code: str
    sentence: str
    sign: int = 1
    tells_why: bool = False


#: By the feature. These limits and the risk to accept were chosen on seed 71 of benchmarks/bones.py; there
#: the risk was right beyond them, too: they guard against what was not simulated. Two views at least must
#: show so much of a bone.
FAULTS = {
    "shown": BoneFault(
        0.6,
        "partly-shown",
        "The X-rays show only {percent_shown:.0f} % of {name}.",
        sign=-1,
    ),
    "left_out": BoneFault(
        0.8, "mask-too-small", "Bone goes on outside the mask of {name}\n: correct the mask."
    ),
    "soft": BoneFault(
        0.5, "mask-too-large", "Much of the mask of {name} is no bone\n: correct the mask."
    ),
    "level_ratio": BoneFault(
        1.15, "other-level", "{name} fits about as well {elsewhere}.", sign=-1
    ),
    "similarity": BoneFault(
        0.4,
        "not-like-ct",
        "{name} does not look like the X-rays (similarity {similarity:.2f}).",
        sign=-1,
        tells_why=True,
    ),
    "split_half_mm": BoneFault(
        WRONG_MM,
        "halves-disagree",
        "Halves of the images of {name} disagree by {split_half_mm:.1f} mm.",
    ),
    "again_mm": BoneFault(
        WRONG_MM,
        "not-found-again",
        "Begun a little off, {name} ends up to {again_mm:.1f} mm from here\n: the X-rays leave its "
        "place open.",
    ),
    "motion_sds": BoneFault(
        2.5,
        "unusual-motion",
        "{name} has moved against a neighbour by more than is usual\n: it may be another one.",
    ),
}


class _Part(NamedTuple):
    """A bone in one view: gradients (T, 6) of its tiles, and their columns and rows (T, 2)."""

    gradients: np.ndarray
    places: np.ndarray


class BoneNoise(NamedTuple):
    """What noise leaves open of a bone.

    Attributes
    ----------
    views
        Numbers of those that show it.
    parts
        The bone in each of these.
    inverse
        (6, 6), of the Hessian of half the cost, that of a sum, by its pose.
    at
        (N, 3, 6), `target_jacobians` of its surface.
    """

    views: list[int]
    parts: list[_Part]
    inverse: np.ndarray
    at: np.ndarray

    @property
    def meat(self) -> np.ndarray:
        """(6, 6), the covariance of the gradient by its pose; none of a bone that no view shows."""
        gradients = np.concatenate([np.zeros((0, 6)), *(part.gradients for part in self.parts)])
        return gradient_covariance(gradients, 6)

    @property
    def covariance(self) -> np.ndarray:
        """(6, 6), of its pose's error, as of a `PoseUncertainty`; of one that a view shows."""
        return self.inverse @ self.meat @ self.inverse


class MaskEdge(NamedTuple):
    """How a mask fits the bone in its CT, see `BoneFeatures`."""

    left_out: float
    soft: float


def mask_edges(structures: Structures, attenuation: Volume) -> list[MaskEdge]:
    """Measure how the mask of every structure fits its bone, by the attenuation of the CT, 1/mm."""
    reach = np.maximum(np.round(EDGE_MM / attenuation.spacing_mm[::-1]), 1).astype(int)
    found = []
    for n, box in enumerate(structures.boxes, start=1):
        wider = widened(box, reach)
        labels = structures.labels[wider]
        mask = labels == n
        bone = np.maximum(attenuation.values[wider] - np.float32(BONE), 0)
        outside = _grown(mask, reach) & (labels == 0)
        inside = mask & _grown(~mask, reach)
        within = float(bone[inside].sum())
        found.append(
            MaskEdge(
                float(bone[outside].sum()) / max(within, 1e-9), float((bone[inside] == 0).mean())
            )
        )
    return found


def _grown(mask: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return a mask (nk, nj, ni) with all that lies up to so many voxels (3,) from it along each axis."""
    for axis, steps in enumerate(reach):
        narrow = np.moveaxis(mask, axis, 0)
        mask = mask.copy()
        wide = np.moveaxis(mask, axis, 0)
        for step in range(1, min(int(steps), len(wide) - 1) + 1):
            wide[step:] |= narrow[:-step]
            wide[:-step] |= narrow[step:]
    return mask


def bone_noises(found: BonesRegistration) -> list[BoneNoise]:
    """Return what noise leaves open of every bone."""
    fit = found.fit
    compared = found.objectives[-1].compare(found.poses)
    inverse, _ = inverted(fit.hessian * sum(fit.pixels))
    noises = []
    for b, (bone, pose) in enumerate(zip(found.bones, found.poses, strict=True)):
        views = [
            v for v in range(len(compared)) if fit.shown[b, v] >= SHOWN and b in compared[v].parts
        ]
        own = slice(6 * b, 6 * b + 6)
        pivot = rigid.transform_points(pose, bone.centroid)
        at = target_jacobians(rigid.transform_points(pose, bone.surface), pivot)
        parts = [_part(compared[v], b) for v in views]
        noises.append(BoneNoise(views, parts, inverse[own, own], at))
    return noises


def bone_features(
    found: BonesRegistration,
    edges: Sequence[MaskEdge],
    noises: Sequence[BoneNoise],
    others: Sequence[np.ndarray],
    again_mm: np.ndarray | None,
) -> list[BoneFeatures]:
    """Compute the features of every bone.

    Parameters
    ----------
    noises
        Of `bone_noises`.
    edges
        Of its mask.
    others
        The bones one level up and down.
    again_mm
        Of `found_again_mm`, None where that was not looked for.
    """
    fit = found.fit
    again = np.full(len(found.bones), np.nan) if again_mm is None else again_mm
    ties = list(zip(found.ties, relative_motions(found.ties, found.poses), strict=True))
    features = []
    for b, (noise, pose) in enumerate(zip(noises, found.poses, strict=True)):
        views = noise.views
        at = noise.at
        sds = [
            np.sqrt(motion @ (PRECISION * motion))
            for tie, motion in ties
            if b in (tie.one, tie.other)
        ]
        features.append(
            BoneFeatures(
                similarity=float(min((fit.similarity[b, v] for v in views), default=0.0)),
                noise_mm=TargetUncertainty(np.empty(0), at, noise.covariance).rms_mm
                if noise.parts
                else np.inf,
                split_half_mm=max(
                    _apart(noise.parts, axis, noise.inverse, at) for axis in range(3)
                ),
                motion_sds=float(max(sds, default=0.0)),
                shown=float(np.sort(fit.shown[b])[-2]) if fit.shown.shape[1] > 1 else 0.0,
                level_ratio=min([MOST_RATIO, *(float(other[b]) for other in others)]),
                left_out=min(edges[b].left_out, MOST_RATIO),
                soft=edges[b].soft,
                again_mm=float(again[b]),
                all_again_mm=float(again.max()),
                turned_deg=float(
                    np.degrees(
                        np.linalg.norm(rigid.log_so3(pose[:3, :3] @ found.world_from_ct[:3, :3].T))
                    )
                ),
            )
        )
    return features


def _part(compared: ViewComparison, b: int) -> _Part:
    part = compared.parts[b]
    around = compared.around[b]
    rows, columns = (each.stop - each.start for each in part)
    gradient = np.zeros((6, rows, columns))
    for change, weights, residual in zip(
        compared.changes[b], compared.weights, compared.residuals, strict=True
    ):
        gradient += np.einsum(
            "pkrc,krc->prc", change, weights[part] * residual[:, part[0], part[1]]
        )
    side = TILE_SIDE // 2
    before = [own.start - all_.start for own, all_ in zip(part, around, strict=True)]
    more = [
        (first, -(first + size) % side) for first, size in zip(before, (rows, columns), strict=True)
    ]
    padded = np.pad(gradient, ((0, 0), *more))
    tiles = padded.reshape(6, padded.shape[1] // side, side, -1, side).sum(axis=(2, 4))
    used = np.abs(tiles).sum(axis=0) > 0
    return _Part(tiles[:, used].T, np.argwhere(used)[:, ::-1])


def _apart(parts: Sequence[_Part], axis: int, inverse: np.ndarray, at: np.ndarray) -> float:
    """Return how far apart the halves of a bone's tiles want it.

    Left and right, upper and lower (`axis` 0, 1), every other one (2).
    """
    total = np.zeros(6)
    for part in parts:
        column, row = part.places.T
        half = (
            (column + row) % 2 == 0
            if axis == 2
            else part.places[:, axis] < np.median(part.places[:, axis], keepdims=True)
        )
        total += part.gradients[half].sum(axis=0) - part.gradients[~half].sum(axis=0)
    return rms_length(at @ (-2 * inverse @ total))


#: How each feature enters the model: more is worse; lengths as logarithms, padded by a negligible
#: length.
COLUMNS = {
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


class BoneModel(ErrorModel):
    """The model of a bone's error."""

    def predict(self, features: BoneFeatures) -> Prediction:
        """Predict the error of a bone.

        A feature that is NaN, as it was not measured, counts as usual.
        """
        scaled = np.nan_to_num((columns(vars(features), COLUMNS) - self.centre) / self.scale)
        wrong = float(scipy.special.expit(self.intercept + scaled @ self.weights))
        logs = np.linspace(-6, 6, 1201)  # of mm
        right = self.right_error(scaled).below(logs)
        below = (1 - wrong) * right + wrong * self.wrong_error.below(logs)
        median, mean, bound = summary(logs, below)
        risk = max(wrong, 1 - float(np.interp(np.log(WRONG_MM), logs, below)))
        return Prediction(
            mean_mm=mean,
            upper95_mm=bound,
            failure_probability=risk,
            image_failure_probability=risk,
            bounded=bool((scaled <= self.limits).all()),
            typical_mm=median,
        )


@lru_cache
def fitted() -> BoneModel:
    """Return the model that comes with the program."""
    return model_of(BoneModel, read_numbers("bone_prediction.json", COLUMNS, "bones_fit")["model"])
