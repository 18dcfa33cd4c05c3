"""Single bones cut out of a CT, and X-rays in which a bone has moved against its neighbours."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    distance_transform_edt,
    gaussian_filter,
    label,
)

from ..geometry.camera import Camera
from ..imaging.volume import Volume
from .body import base_materials
from .projector import Joseph, MaterialProjector

BONE_HU = 250.0
SOFT_HU = 40.0
#: Voxel size at which bones are told apart; how much narrower than the bones a joint must be to divide them, and what is thinner than
#: twice the last is no part of a bone (ribs at the spine, noise).
COARSE_MM, NECK_MM, THIN_MM = 2.0, 3.0, 3.5
#: Smaller pieces are hands and fragments.
LEAST_ML = 100.0
#: A tenth of a bone is marrow and less dense than this; contrast agent fills heart and vessels evenly.
MARROW_HU = 230.0


def single_bones(ct: Volume, most: int = 2) -> list[np.ndarray]:
    """Masks, bool (k, j, i) each, of the largest bones in a CT in Hounsfield units; [] where there is none.

    A joint whose space the CT does not show stays whole. Thresholded, closed, and divided at the necks by the watershed of the distance to
    the surface (Beucher and Lantuéjoul 1979).
    """
    factors = np.maximum(1, np.rint(COARSE_MM / ct.spacing_mm)).astype(int)
    coarse = ct.pooled(tuple(factors))
    spacing = coarse.spacing_mm[::-1]
    bone = np.stack([binary_fill_holes(each) for each in binary_closing(coarse.values > BONE_HU)])
    # The body goes on above and below, but not beside the CT.
    deep = distance_transform_edt(np.pad(bone, ((0, 0), (1, 1), (1, 1))), sampling=spacing)[:, 1:-1, 1:-1]
    hills = sitk.GetImageFromArray(-gaussian_filter(deep, 1).astype(np.float32))
    pieces = sitk.GetArrayFromImage(sitk.MorphologicalWatershed(hills, NECK_MM, markWatershedLine=False)) * bone
    ml = np.prod(coarse.spacing_mm) / 1000
    sizes = np.bincount(pieces.ravel()) * ml
    sizes[0] = 0
    found = [_thick(pieces == piece, spacing) for piece in np.flatnonzero(sizes >= LEAST_ML)]
    found = [
        each for each in found if each.sum() * ml >= LEAST_ML and np.percentile(coarse.values[each], 10) < MARROW_HU
    ]
    return [_finer(each, factors, ct.values.shape) for each in sorted(found, key=np.sum, reverse=True)[:most]]


def _thick(piece: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The largest part of a piece without what is thin."""
    core = distance_transform_edt(piece, sampling=spacing) > THIN_MM
    if not core.any():
        return core
    parts, _ = label(piece & (distance_transform_edt(~core, sampling=spacing) <= THIN_MM + 1))
    return parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


def _finer(mask: np.ndarray, factors: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mask on the grid from which it was pooled."""
    for axis, factor in enumerate(factors[::-1]):
        mask = mask.repeat(factor, axis=axis)
    return np.ascontiguousarray(mask[: shape[0], : shape[1], : shape[2]])


class MovedBone:
    """Projects a body in which one bone has moved: used as a `Projector`, with the pose of the bone; all else stays behind by `rest`."""

    def __init__(self, whole: MaterialProjector, ct: Volume, mask: np.ndarray) -> None:
        """whole: of the CT's body.   mask: bool (k, j, i), of the bone. Where it was there is soft tissue."""
        box = tuple(
            slice(max(low - 1, 0), high + 2) for low, high in ((each.min(), each.max()) for each in np.nonzero(mask))
        )
        hu = ct.values[box]
        with_bone, without = base_materials(hu), base_materials(np.where(mask[box], np.float32(SOFT_HU), hu))
        placed = ct.ct_from_index.copy()
        placed[:3, 3] += placed[:3, :3] @ [each.start for each in box[::-1]]
        self._whole = whole
        self._bone = Joseph(tuple(a - b for a, b in zip(with_bone, without)), placed)
        self.rest_from_bone = np.eye(4)

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """As `Projector.project`: the bone at this pose, all else at `world_from_ct @ rest_from_bone`."""
        rest = world_from_ct @ self.rest_from_bone
        moved = self._bone.project(camera, world_from_ct) - self._bone.project(camera, rest)
        return np.maximum(self._whole.project(camera, rest) + moved / 10, 0)  # mm g/cm^3 to g/cm^2
