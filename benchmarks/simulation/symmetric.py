"""People whose left and right are alike."""

from __future__ import annotations

import numpy as np
import scipy

from MultiViewRegistrationLib.assessment.mirror_image import mirror_of
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import Volume

from .body import bone_points

#: Over how many mm the shape of one side differs from that of the other.
SMOOTH_MM = 30.0


def symmetric(rng: np.random.Generator, body: Volume, apart_mm: float) -> Volume:
    """A body of the left half of this one and its mirror image, but that the sides are `apart_mm` apart.

    Root mean square; the middle is that of the grid, whose columns run across the body.
    """
    half = _aligned(body, _middle_plane(body))
    values = half.values.copy()
    count = values.shape[2] // 2
    if half.ct_from_index[0, 0] > 0:  # left is at the higher columns
        values[:, :, :count] = values[:, :, : -count - 1 : -1]
    else:
        values[:, :, -count:] = values[:, :, count - 1 :: -1]
    if apart_mm:
        values = _warped(rng, values, half.spacing_mm, apart_mm)
    return Volume(values, half.ct_from_index)


def mirrored(volume: Volume) -> Volume:
    """A volume whose columns run the other way, in the same place."""
    return Volume(np.ascontiguousarray(volume.values[:, :, ::-1]), volume.ct_from_index)


def _middle_plane(body: Volume) -> tuple[np.ndarray, np.ndarray]:
    """A point of the best plane of symmetry of the bone, and its normal, CT mm."""
    every = bone_points(body)
    flip = mirror_of(every, every)
    values, vectors = np.linalg.eig(flip[:3, :3])
    normal = np.real(vectors[:, np.argmin(np.real(values))])
    middle = every.mean(axis=0)
    return (middle + rigid.transform_points(flip, middle)) / 2, normal * np.sign(normal[0])


def _aligned(body: Volume, plane: tuple[np.ndarray, np.ndarray]) -> Volume:
    """The body turned and moved so that the plane is the middle of its grid."""
    point, normal = plane
    middle = rigid.transform_points(body.ct_from_index, (np.array(body.values.shape[::-1]) - 1) / 2)
    axis = np.cross(normal, [1.0, 0, 0])
    angle = np.arcsin(np.clip(np.linalg.norm(axis), 0, 1))
    turn = rigid.exp_so3(axis / max(np.linalg.norm(axis), 1e-9) * angle)
    shift = np.zeros(3)
    shift[0] = (turn @ (middle - point))[0]
    move = rigid.about(middle, rigid.from_rotation_translation(turn, shift))
    k, j, i = np.indices(body.values.shape).reshape(3, -1)
    there = rigid.transform_points(body.ct_from_index, np.stack([i, j, k], -1).astype(float))
    index = rigid.transform_points(body.index_from_ct @ rigid.inverse(move), there)
    values = scipy.ndimage.map_coordinates(
        body.values, index[:, ::-1].T, order=1, mode="constant", cval=-1000
    )
    return Volume(values.reshape(body.values.shape), body.ct_from_index)


def _warped(
    rng: np.random.Generator, values: np.ndarray, spacing_mm: np.ndarray, apart_mm: float
) -> np.ndarray:
    """The values moved by a smooth field of which the two sides differ by `apart_mm`."""
    field = rng.normal(size=(3, *values.shape)).astype(np.float32)
    smooth = SMOOTH_MM / spacing_mm[::-1]
    for each in field:
        each[:] = scipy.ndimage.gaussian_filter(each, smooth)
        each /= each.std() * np.sqrt(6) / apart_mm  # two sides, three directions
    at = np.indices(values.shape) + field / spacing_mm[::-1, None, None, None]
    return scipy.ndimage.map_coordinates(values, at, order=1, mode="nearest")
