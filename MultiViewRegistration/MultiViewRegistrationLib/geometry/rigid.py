"""Rigid transforms: SO(3) and SE(3).

Everything is numpy float64 and batched: leading dimensions broadcast. A pose is a 4x4 named
`target_from_source`; a rotation is a 3x3 with determinant +1. A twist is `(omega, v)`, rotation
vector in radians first, then mm. Functions that compare poses use the left-invariant difference
`inverse(a) @ b`.

Formulas: Sola et al., "A micro Lie theory for state estimation in robotics" (arXiv 1812.01537),
appendices B and D, with translation first there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError

RIGID_TOLERANCE = 1e-4
"""Largest relative stretch that is taken for rounding; six printed digits or float32 stay far
below."""


def hat(w: ArrayLike) -> np.ndarray:
    """Return the cross-product matrices (..., 3, 3) of w (..., 3): `hat(w) @ x == cross(w, x)`."""
    w = np.asarray(w, float)
    matrix = np.zeros((*w.shape, 3))
    matrix[..., (2, 0, 1), (1, 2, 0)] = w
    matrix[..., (1, 2, 0), (2, 0, 1)] = -w
    return matrix


def exp_so3(w: ArrayLike) -> np.ndarray:
    """Return the rotation matrices (..., 3, 3) of rotation vectors w (..., 3) in radians.

    Rodrigues: I + sin(a)/a W + (1 - cos a)/a^2 W^2 with a = |w|; both factors are written as sinc.
    """
    angle = _angle(w)
    W = hat(w)
    return np.eye(3) + np.sinc(angle / np.pi) * W + _versine(angle) * (W @ W)


def log_so3(R: ArrayLike) -> np.ndarray:
    """Return the rotation vectors (..., 3), of length 0 to pi, of rotations R (..., 3, 3).

    At exactly pi w and -w are one rotation and either may come back.
    """
    from scipy.spatial.transform import Rotation  # slow to import

    R = np.asarray(R, float)
    return Rotation.from_matrix(R.reshape(-1, 3, 3)).as_rotvec().reshape(R.shape[:-1])


def exp_se3(twist: ArrayLike) -> np.ndarray:
    """Return poses (..., 4, 4) of twists (..., 6): rotation exp_so3(omega), translation V v.

    V = I + (1 - cos a)/a^2 W + (a - sin a)/a^3 W^2, a = |omega|.
    """
    twist = np.asarray(twist, float)
    w = twist[..., :3]
    v = twist[..., 3:]
    return turn_and_shift(w, rotate(left_jacobian(w), v))


def left_jacobian(w: ArrayLike) -> np.ndarray:
    """Return V (..., 3, 3) of `exp_se3`: exp_so3(w + dw) is exp_so3(V dw) @ exp_so3(w) for a small dw."""
    angle = _angle(w)
    W = hat(w)
    return np.eye(3) + _versine(angle) * W + _exp_curvature(angle) * (W @ W)


def log_se3(T: ArrayLike) -> np.ndarray:
    """Return twists (..., 6) of poses T (..., 4, 4), the inverse of exp_se3 for angles up to pi.

    v = V^-1 t with V^-1 = I - W/2 + (1 - a/2 cot(a/2))/a^2 W^2.
    """
    T = np.asarray(T, float)
    w = log_so3(T[..., :3, :3])
    v = np.linalg.solve(left_jacobian(w), T[..., :3, 3:])
    return np.concatenate([w, v[..., 0]], -1)


def adjoint(T: ArrayLike) -> np.ndarray:
    """Return matrices (..., 6, 6) that carry a twist through T.

    `T @ exp(x) @ inverse(T) == exp(adjoint(T) @ x)`.

    [[R, 0], [hat(t) R, R]] for rotation-first twists.
    """
    T = np.asarray(T, float)
    R = T[..., :3, :3]
    result = np.zeros(T.shape[:-2] + (6, 6))
    result[..., :3, :3] = result[..., 3:, 3:] = R
    result[..., 3:, :3] = hat(T[..., :3, 3]) @ R
    return result


def from_rotation_translation(R: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Return poses (..., 4, 4) from rotations R (..., 3, 3) and translations t (..., 3) in mm."""
    R = np.asarray(R, float)
    t = np.asarray(t, float)
    T = np.zeros(np.broadcast_shapes(R.shape[:-2], t.shape[:-1]) + (4, 4))
    T[..., :3, :3] = R
    T[..., :3, 3] = t
    T[..., 3, 3] = 1
    return T


def turn_and_shift(w: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Return poses (..., 4, 4) that turn by rotation vectors w (..., 3), then shift by t (..., 3) in mm."""
    return from_rotation_translation(exp_so3(w), t)


def translation(t: ArrayLike) -> np.ndarray:
    """Return poses (..., 4, 4) that shift by t (..., 3) in mm."""
    return from_rotation_translation(np.eye(3), t)


def about(pivot: ArrayLike, T: ArrayLike) -> np.ndarray:
    """Return the pose T (..., 4, 4) done about a pivot (..., 3) in mm.

    translate(pivot) @ T @ translate(-pivot).
    """
    T = np.asarray(T, float)
    pivot = np.asarray(pivot, float)
    return from_rotation_translation(T[..., :3, :3], T[..., :3, 3] + pivot - rotate(T, pivot))


def moved(T: ArrayLike, twist: np.ndarray, pivot: ArrayLike) -> np.ndarray:
    """Return poses T (..., 4, 4) after a twist (..., 6).

    It turns by twist[..., :3] (rad) about `pivot` (..., 3), mm, and moves by twist[..., 3:].
    """
    return about(pivot, turn_and_shift(twist[..., :3], twist[..., 3:])) @ T


def motion(T: np.ndarray, other: np.ndarray, point: ArrayLike) -> np.ndarray:
    """Return the twists (..., 6) from poses T (..., 4, 4) to others (..., 4, 4).

    The rotation vector, and the shift of a point (..., 3) of the space that they come from, as
    `moved` takes them about where T has that point.
    """
    turn = other[..., :3, :3] @ np.swapaxes(T[..., :3, :3], -1, -2)
    shift = transform_points(other, point) - transform_points(T, point)
    return np.concatenate([log_so3(turn), shift], axis=-1)


def inverse(T: ArrayLike) -> np.ndarray:
    """Return inverse poses (..., 4, 4), by transposing the rotation."""
    T = np.asarray(T, float)
    inverted = np.zeros_like(T)
    inverted[..., :3, :3] = np.swapaxes(T[..., :3, :3], -1, -2)
    inverted[..., :3, 3] = -np.einsum("...ji,...j->...i", T[..., :3, :3], T[..., :3, 3])
    inverted[..., 3, 3] = 1
    return inverted


def rotate(T: ArrayLike, vectors: ArrayLike) -> np.ndarray:
    """Return vectors (..., 3) turned, not moved, by T (..., 4, 4) or (..., 3, 3).

    Leading dims broadcast.
    """
    return np.einsum(
        "...ij,...j->...i", np.asarray(T, float)[..., :3, :3], np.asarray(vectors, float)
    )


def transform_points(T: ArrayLike, points: Any) -> np.ndarray:
    """Return points (..., 3) carried by poses T (..., 4, 4).

    Leading dims broadcast, T[:, None] for two lists.
    """
    T = np.asarray(T, float)
    return np.einsum("...ij,...j->...i", T[..., :3, :3], np.asarray(points, float)) + T[..., :3, 3]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (..., n) of length 1 that point where these do."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def steps(world_from_index: np.ndarray) -> np.ndarray:
    """Return how far apart neighbours on a grid (4, 4) are along each of its axes (3,), mm."""
    return np.linalg.norm(world_from_index[:3, :3], axis=0)


def some_of(points: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of points (N, ...), spread evenly over their order."""
    return points[np.linspace(0, len(points) - 1, min(most, len(points))).astype(int)]


def spread(points: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of points (N, 3), each the farthest from those before.

    Gonzalez, Theor. Comput. Sci. 38, 1985: none of all is further from one of these than twice what
    it has to be.
    """
    if len(points) <= most:
        return points
    chosen = [points[0]]
    away = np.inf
    while len(chosen) < most:
        away = np.minimum(away, np.linalg.norm(points - chosen[-1], axis=1))
        chosen.append(points[away.argmax()])
    return np.array(chosen)


def grid_points(*along: ArrayLike) -> np.ndarray:
    """Return the points (N, axes) of a grid, which has these places along each axis, the last one fastest."""
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, len(along))


def rotation_angle(R: ArrayLike) -> np.ndarray:
    """Return angles (...) in radians, 0 to pi, of rotations R (..., 3, 3) or poses (..., 4, 4).

    atan2(sin, cos) from the antisymmetric part and the trace: unlike arccos, accurate at both ends.
    """
    R = np.asarray(R, float)[..., :3, :3]
    doubled_sine = R[..., (2, 0, 1), (1, 2, 0)] - R[..., (1, 2, 0), (2, 0, 1)]
    return np.arctan2(np.linalg.norm(doubled_sine, axis=-1), np.trace(R, axis1=-2, axis2=-1) - 1)


def rotation_distance(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return angles (...) in radians of the rotation between poses a and b (..., 4, 4)."""
    a = np.asarray(a, float)
    b = np.asarray(b, float)
    return rotation_angle(np.swapaxes(a[..., :3, :3], -1, -2) @ b[..., :3, :3])


def pose_difference(
    pose: np.ndarray, other: np.ndarray, centroid: np.ndarray
) -> tuple[float, float]:
    """Return the distance between the centres of the anatomy (mm) and rotation about it (degrees) between two poses (4, 4)."""
    here, there = (transform_points(each, centroid) for each in (pose, other))
    return float(np.linalg.norm(here - there)), float(np.degrees(rotation_distance(pose, other)))


def translation_distance(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return distances (...) in mm between the translations of poses a and b (..., 4, 4)."""
    return np.linalg.norm(
        np.asarray(b, float)[..., :3, 3] - np.asarray(a, float)[..., :3, 3], axis=-1
    )


def geodesic_distance(a: ArrayLike, b: ArrayLike, radius_mm: float) -> np.ndarray:
    """Return the double geodesic (...) in mm between poses a and b.

    sqrt((radius_mm * angle)^2 + |t_a - t_b|^2).

    DiffPose (Gopalakrishnan et al., CVPR 2024) takes half the source-to-detector distance for the
    radius.
    """
    return np.hypot(radius_mm * rotation_distance(a, b), translation_distance(a, b))


def mean(poses: ArrayLike) -> np.ndarray:
    """Return the mean (4, 4) of poses (N, 4, 4): chordal L2 mean of the rotations, arithmetic mean of the translations.

    The former is the rotation nearest to the average matrix (Moakher 2002, Hartley et al. 2013),
    unique while all rotations lie within 90 degrees of it.
    """
    average = np.asarray(poses, float).mean(axis=0)
    return from_rotation_translation(nearest_rotation(average[:3, :3]), average[:3, 3])


#: Median distances, or mm, within which a pose agrees with the mean: 3 keep 96 % of normal errors
#: along one direction and nearly all along six.
AGREE_MEDIANS = 3.0
AGREE_MM = 1e-3
ROUNDS = 20


def robust_mean(poses: ArrayLike, radius_mm: float) -> np.ndarray:
    """Return the mean (4, 4) of the poses (N, 4, 4) that agree.

    Starts at the pose with the least median distance to all (least median of squares, Rousseeuw
    1984: holds while more than half agree), then alternates between the poses that agree with the
    mean and the mean of these. Makes N^2 distances, see `geodesic_distance`.
    """
    poses = np.asarray(poses, float)
    to_each_other = geodesic_distance(poses[:, None], poses[None], radius_mm)
    centre = poses[np.median(to_each_other, axis=1).argmin()]
    for _ in range(ROUNDS):
        distance = geodesic_distance(poses, centre, radius_mm)
        limit = max(AGREE_MEDIANS * float(np.median(distance)), AGREE_MM)
        centre = mean(poses[distance <= limit])
    return centre


def kind_of(value: Any) -> str:
    """Return what a value is, for a message: "a numpy.ndarray of shape (2, 3)"."""
    if value is None:
        return "nothing"
    kind = type(value)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__.split('.')[0]}.{kind.__qualname__}"
    )
    shape = (
        f" of shape {tuple(value.shape)}"
        if hasattr(value, "shape") and np.ndim(value.shape) == 1
        else ""
    )
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}{shape}"


def array_of(name: str, value: Any) -> np.ndarray:
    """Convert a NumPy array, a PyTorch tensor on any device, or nested lists of numbers to a NumPy array.

    Raises
    ------
    InputError
        Beginning with `name`, for anything else, and for a tensor without values.
    """
    expected = "expected numbers: a NumPy array or a PyTorch tensor"
    try:
        if type(value).__module__.split(".")[0] == "torch":
            tensor = value.detach().cpu()
            half = (
                tensor.is_floating_point() and tensor.element_size() < 4
            )  # of which NumPy knows only one kind
            array = (tensor.float() if half else tensor).numpy()
        else:
            array = np.asarray(value)
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        where = f" on the device {value.device}" if hasattr(value, "device") else ""
        raise InputError(
            f"{name}: found {kind_of(value)}{where} that NumPy cannot read, {expected}; convert "
            "it, with .cpu() from a device."
        ) from None
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{name}: found {kind_of(value)} with values of type {array.dtype}, {expected}; "
            "convert it."
        )
    return array


def check_numbers(values: ArrayLike, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return a float64 copy of `values`.

    Raises
    ------
    InputError
        Naming `name`, if they are not finite numbers of this shape.
    """
    expected = "x".join(map(str, shape)) + " numbers" if shape else "one number"
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name}: rows differ in length, expected {expected}.") from None
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name}: found something that is not a number, expected {expected}.")
    if array.shape != shape:
        found = "x".join(map(str, array.shape)) + " numbers" if array.shape else "one number"
        raise InputError(f"{name}: found {found}, expected {expected}.")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: found NaN or infinity, expected finite numbers.")
    return array.astype(float)


def check_rigid(matrix: ArrayLike, name: str) -> np.ndarray:
    """Return `matrix` as a pose (4, 4), its rotation made exactly orthonormal (nearest one).

    Raises
    ------
    InputError
        Naming `name` and the fault, if it is not a rigid transform within RIGID_TOLERANCE.
    """
    T = check_numbers(matrix, (4, 4), name)
    if not np.allclose(T[3], (0, 0, 0, 1), rtol=0, atol=RIGID_TOLERANCE):
        raise InputError(
            f"{name}: last row is {_text(T[3])}, expected 0, 0, 0, 1; is the matrix transposed?"
        )
    M = T[:3, :3]
    if np.linalg.det(M) < 0:
        raise InputError(
            f"{name}: mirrors space (negative determinant), expected a rotation; undo the flip of "
            "an axis."
        )
    if np.abs(np.linalg.svd(M, compute_uv=False) - 1).max() > RIGID_TOLERANCE:
        raise InputError(
            f"{name}: {_deformation(M)}, expected a rigid transform in mm; "
            "take out what is not rotation or translation."
        )
    return from_rotation_translation(nearest_rotation(M), T[:3, 3])


def _deformation(M: np.ndarray) -> str:
    """Return the scale or shear of a 3x3 matrix beside its rotation, in words."""
    size = np.linalg.norm(M, 2) or 1.0
    M = M / size  # no square overflows, and its longest axis is 1
    for gram in (M.T @ M, M @ M.T):
        lengths = np.sqrt(np.diag(gram))
        if np.abs(gram - np.diag(lengths**2)).max() <= RIGID_TOLERANCE:
            if np.ptp(lengths) <= RIGID_TOLERANCE:
                return f"scales by {size * lengths.mean():.6g}"
            return f"scales its axes by {_text(size * lengths)}"
    return f"shears, stretching by {_text(size * np.linalg.svd(M, compute_uv=False))}"


def _text(numbers: np.ndarray) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)


def _angle(w: ArrayLike) -> np.ndarray:
    return np.linalg.norm(w, axis=-1)[..., None, None]


def _versine(angle: np.ndarray) -> np.ndarray:
    """Return (1 - cos a) / a^2."""
    return np.sinc(angle / (2 * np.pi)) ** 2 / 2


def _exp_curvature(angle: np.ndarray) -> np.ndarray:
    """Return (a - sin a) / a^3, by its series where the difference cancels."""
    small = angle < 0.1
    series = (1 / 6, -1 / 120, 1 / 5040, -1 / 362880)
    near = np.polynomial.polynomial.polyval(angle**2 * small, series)
    away = np.maximum(angle, 0.1)
    return np.where(small, near, (away - np.sin(away)) / away**3)


def nearest_rotation(M: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) nearest to M in the Frobenius norm (Kabsch 1976)."""
    U, _, V = np.linalg.svd(M)
    return U * (1, 1, np.sign(np.linalg.det(U @ V))) @ V
