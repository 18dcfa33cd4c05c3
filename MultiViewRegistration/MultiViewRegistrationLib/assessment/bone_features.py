"""Reliability features of a bone that was registered together with others.

They are measured in the bone's part of the images, at the finest resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from .uncertainty import (
    TargetUncertainty,
    gradient_covariance,
    inverted,
    rms_length,
    target_jacobians,
)

#: Larger ratios are cut to this.
MAX_RATIO = 3.0
#: Thickness of the layers inside and outside the surface of a mask, and the attenuation above which a
#: voxel is bone (150 HU), 1/mm.
EDGE_MM = 2.0
BONE_PER_MM = 1.15 * WATER


@dataclass(frozen=True)
class BoneFeatures:
    """Reliability features of a bone; lengths in mm at its surface, root mean square.

    Attributes
    ----------
    similarity
        Local NCC of the least similar view that shows it.
    noise_mm
        Error that noise explains; infinite if no view shows the bone.
    split_half_mm
        Largest distance between the poses of halves of its tiles.
    motion_sds
        Its largest motion against a neighbour, in standard deviations of the prior.
    shown
        Second largest fraction of its silhouette that a view compares; 0 for one view.
    level_ratio
        Factor by which it is less similar one level up or down (`registration.register_bones`),
        MAX_RATIO at most.
    left_out
        Bone within EDGE_MM outside its mask, in no other structure, relative to that within EDGE_MM
        inside.
    soft
        Fraction of the voxels within EDGE_MM inside its mask that are not bone.
    again_mm, all_again_mm
        Distance from this pose at which registrations from displaced starts end
        (`registration.register_bones`), and that of the worst bone of the case; NaN if not measured.
    turned_deg
        Rotation against the whole CT.
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


class _Part(NamedTuple):
    """A bone in one view: gradients (T, 6) of its tiles, and their columns and rows (T, 2)."""

    gradients: np.ndarray
    places: np.ndarray


class BoneNoise(NamedTuple):
    """Effect of image noise on the pose of a bone.

    Attributes
    ----------
    views
        Indices of the views that show it.
    parts
        The bone in each of these views.
    inverse_hessian
        (6, 6) inverse of the Hessian of half the total cost with respect to the pose of the bone.
    surface_jacobians
        (N, 3, 6) `target_jacobians` at points of its surface.
    """

    views: list[int]
    parts: list[_Part]
    inverse_hessian: np.ndarray
    surface_jacobians: np.ndarray

    @property
    def gradient_covariance(self) -> np.ndarray:
        """(6, 6) covariance of the gradient of the cost with respect to the pose; 0 if no view shows the bone."""
        gradients = np.concatenate([np.zeros((0, 6)), *(part.gradients for part in self.parts)])
        return gradient_covariance(gradients, 6)

    @property
    def covariance(self) -> np.ndarray:
        """(6, 6) covariance of the error of its pose, see `PoseUncertainty`."""
        return self.inverse_hessian @ self.gradient_covariance @ self.inverse_hessian


class MaskEdge(NamedTuple):
    """Agreement of a mask with the bone in its CT, see `BoneFeatures`."""

    left_out: float
    soft: float


def mask_edges(structures: Structures, attenuation: Volume) -> list[MaskEdge]:
    """Measure the agreement of the mask of every structure with the attenuation of the CT, 1/mm."""
    reach = np.maximum(np.round(EDGE_MM / attenuation.spacing_mm[::-1]), 1).astype(int)
    edges = []
    for n, box in enumerate(structures.boxes, start=1):
        wider = widened(box, reach)
        labels = structures.labels[wider]
        mask = labels == n
        bone = np.maximum(attenuation.values[wider] - np.float32(BONE_PER_MM), 0)
        outside = _grown(mask, reach) & (labels == 0)
        inside = mask & _grown(~mask, reach)
        within = float(bone[inside].sum())
        edges.append(
            MaskEdge(
                float(bone[outside].sum()) / max(within, 1e-9), float((bone[inside] == 0).mean())
            )
        )
    return edges


def _grown(mask: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return a mask (nk, nj, ni) dilated by this many voxels (3,) along each axis."""
    return scipy.ndimage.maximum_filter(mask, 2 * reach + 1, mode="constant", cval=0)


def bone_noises(registration: BonesRegistration) -> list[BoneNoise]:
    """Return the effect of image noise on the pose of every bone."""
    fit = registration.fit
    compared = registration.objectives[-1].compare(registration.poses)
    inverse, _ = inverted(fit.hessian * sum(fit.pixels))
    noises = []
    for b, (bone, pose) in enumerate(zip(registration.bones, registration.poses, strict=True)):
        views = [
            v for v in range(len(compared)) if fit.shown[b, v] >= SHOWN and b in compared[v].parts
        ]
        own = slice(6 * b, 6 * b + 6)
        pivot = rigid.transform_points(pose, bone.centroid)
        at = target_jacobians(rigid.transform_points(pose, bone.surface), pivot)
        parts = [_gradient_by_tile(compared[v], b) for v in views]
        noises.append(BoneNoise(views, parts, inverse[own, own], at))
    return noises


def bone_features(
    registration: BonesRegistration,
    edges: Sequence[MaskEdge],
    noises: Sequence[BoneNoise],
    others: Sequence[np.ndarray],
    again_mm: np.ndarray | None,
) -> list[BoneFeatures]:
    """Compute the features of every bone.

    Parameters
    ----------
    edges
        Agreement of its mask, by bone.
    noises
        `bone_noises`.
    others
        Similarity ratios of the bones one level up and down, by bone.
    again_mm
        `found_again_mm`, by bone; None if not measured.
    """
    fit = registration.fit
    again = np.full(len(registration.bones), np.nan) if again_mm is None else again_mm
    ties = list(
        zip(registration.ties, relative_motions(registration.ties, registration.poses), strict=True)
    )
    features = []
    for b, (noise, pose) in enumerate(zip(noises, registration.poses, strict=True)):
        views = noise.views
        jacobians = noise.surface_jacobians
        sds = [
            np.sqrt(motion @ (PRECISION * motion))
            for tie, motion in ties
            if b in (tie.one, tie.other)
        ]
        features.append(
            BoneFeatures(
                similarity=float(min((fit.similarity[b, v] for v in views), default=0.0)),
                noise_mm=TargetUncertainty(np.empty(0), jacobians, noise.covariance).rms_mm
                if noise.parts
                else np.inf,
                split_half_mm=max(
                    _half_distance_mm(noise.parts, axis, noise.inverse_hessian, jacobians)
                    for axis in range(3)
                ),
                motion_sds=float(max(sds, default=0.0)),
                shown=float(np.sort(fit.shown[b])[-2]) if fit.shown.shape[1] > 1 else 0.0,
                level_ratio=min([MAX_RATIO, *(float(other[b]) for other in others)]),
                left_out=min(edges[b].left_out, MAX_RATIO),
                soft=edges[b].soft,
                again_mm=float(again[b]),
                all_again_mm=float(again.max()),
                turned_deg=float(
                    np.degrees(
                        np.linalg.norm(
                            rigid.log_so3(pose[:3, :3] @ registration.world_from_ct[:3, :3].T)
                        )
                    )
                ),
            )
        )
    return features


def _gradient_by_tile(compared: ViewComparison, bone_index: int) -> _Part:
    """Sum the gradient with respect to the pose of a bone over tiles of TILE_SIDE // 2 pixels."""
    region = compared.parts[bone_index]
    enclosing_region = compared.around[bone_index]
    rows, columns = (axis.stop - axis.start for axis in region)
    gradient = np.zeros((6, rows, columns))
    for derivative, weights, residual in zip(
        compared.changes[bone_index], compared.weights, compared.residuals, strict=True
    ):
        gradient += np.einsum(
            "pkrc,krc->prc", derivative, weights[region] * residual[:, region[0], region[1]]
        )
    side = TILE_SIDE // 2
    offsets = [
        axis.start - enclosing.start
        for axis, enclosing in zip(region, enclosing_region, strict=True)
    ]
    padding = [
        (offset, -(offset + size) % side)
        for offset, size in zip(offsets, (rows, columns), strict=True)
    ]
    padded = np.pad(gradient, ((0, 0), *padding))
    tiles = padded.reshape(6, padded.shape[1] // side, side, -1, side).sum(axis=(2, 4))
    used = np.abs(tiles).sum(axis=0) > 0
    return _Part(tiles[:, used].T, np.argwhere(used)[:, ::-1])


def _half_distance_mm(
    parts: Sequence[_Part], axis: int, inverse: np.ndarray, at: np.ndarray
) -> float:
    """Return the distance between the poses of two halves of a bone's tiles.

    The halves are left and right (`axis` 0), upper and lower (1), or alternate tiles (2).
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
