"""Rigid transforms in torch: what `geometry.rigid` does in numpy, with gradients.

The conventions are those of `geometry.rigid`: a pose is a 4x4 named `target_from_source`, a twist is `(omega, v)`, rotation vector in
radians first, then mm, and poses are compared by their left-invariant difference `inverse(a) @ b`. Poses are composed by `@`. Leading
dimensions are batches and broadcast; precision and device are those of the arguments, single precision is enough.

Gradients are those along rigid motions, finite everywhere: at the identity, where angles are 0 and the usual formulas are 0/0, and up
to turns by pi. A distance has no derivative where it is 0; there its gradient is 0.

Formulas: Sola et al., "A micro Lie theory for state estimation in robotics" (arXiv 1812.01537), appendices B and D, with translation
first there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Where a closed formula would cancel or divide by 0, for angles a < 1, its power series in a^2 gives double precision.
_EXP_CURVATURE = tuple((-1) ** n / math.factorial(2 * n + 3) for n in range(9))
_LOG_CURVATURE = (
    1 / 12,
    1 / 720,
    1 / 30240,
    1 / 1209600,
    1 / 47900160,
    691 / 1307674368000,
    1 / 74724249600,
    3617 / 10670622842880000,
    43867 / 5109094217170944000,
    174611 / 802857662698291200000,
)


def hat(w: Tensor) -> Tensor:
    """Cross-product matrices (..., 3, 3) of w (..., 3): `hat(w) @ x == cross(w, x)`."""
    x, y, z = w.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))


def exp_so3(w: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of rotation vectors w (..., 3) in radians, by Rodrigues' formula I + sin(a)/a W + (1 - cos a)/a^2 W^2."""
    W, square = hat(w), _square(w)
    return torch.eye(3, dtype=w.dtype, device=w.device) + _sinc(square) * W + _versine(square) * (W @ W)


def exp(twist: Tensor) -> Tensor:
    """Poses (..., 4, 4) of twists (..., 6): rotation exp_so3(omega), translation V v.

    V = I + (1 - cos a)/a^2 W + (a - sin a)/a^3 W^2, a = |omega|.
    """
    w, v = twist.split(3, dim=-1)
    W, square = hat(w), _square(w)
    V = torch.eye(3, dtype=w.dtype, device=w.device) + _versine(square) * W + _exp_curvature(square) * (W @ W)
    return pose(exp_so3(w), (V @ v[..., None])[..., 0])


def log_so3(R: Tensor) -> Tensor:
    """Rotation vectors (..., 3), of length 0 to pi, of rotations R (..., 3, 3).

    By the unit quaternion, as in `rigid.log_so3`. At exactly pi w and -w are one rotation, and either may come back.
    """
    q = _quaternion(R)
    scalar, vector = q[..., :1], q[..., 1:]
    square = vector.square().sum(-1, keepdim=True)
    small = square < 1e-8
    length = torch.where(small, 1.0, square).sqrt()
    return vector * torch.where(
        small, 2 + square / 3, 2 * torch.atan2(length, scalar) / length
    )  # asin(x) / x = 1 + x^2 / 6 + ...


def log(T: Tensor) -> Tensor:
    """Twists (..., 6) of poses T (..., 4, 4), the inverse of `exp` for angles up to pi.

    v = V^-1 t with V^-1 = I - W/2 + (1 - a/2 cot(a/2))/a^2 W^2.
    """
    w = log_so3(T[..., :3, :3])
    W = hat(w)
    V_inverse = torch.eye(3, dtype=w.dtype, device=w.device) - W / 2 + _log_curvature(_square(w)) * (W @ W)
    return torch.cat([w, (V_inverse @ T[..., :3, 3:])[..., 0]], -1)


def pose(R: Tensor, t: Tensor) -> Tensor:
    """Poses (..., 4, 4) from rotations R (..., 3, 3) and translations t (..., 3) in mm."""
    batch = torch.broadcast_shapes(R.shape[:-2], t.shape[:-1])
    upper = torch.cat([R.expand(*batch, 3, 3), t.expand(*batch, 3)[..., None]], -1)
    last = torch.eye(4, dtype=upper.dtype, device=upper.device)[3:].expand(*batch, 1, 4)
    return torch.cat([upper, last], -2)


def inverse(T: Tensor) -> Tensor:
    """Inverse poses (..., 4, 4), by transposing the rotation."""
    R_inverse = T[..., :3, :3].mT
    return pose(R_inverse, -(R_inverse @ T[..., :3, 3:])[..., 0])


def rotation_angle(T: Tensor) -> Tensor:
    """Angles (...) in radians, 0 to pi, of rotations (..., 3, 3) or poses (..., 4, 4); see `rigid.rotation_angle`."""
    R = T[..., :3, :3]
    doubled_sine = torch.stack(
        [R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1
    )
    trace = R.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(torch.linalg.vector_norm(doubled_sine, dim=-1), trace - 1)


def geodesic(a: Tensor, b: Tensor) -> Tensor:
    """Distance (...) of poses a and b (..., 4, 4) on SE(3): ||log(inverse(a) @ b)||, radians and mm in one norm.

    geodesic(g @ a, g @ b) is the same for every pose g. Of a @ h and b @ h it is the same if h is a rotation: no distance on SE(3) is
    invariant on both sides.
    """
    return torch.linalg.vector_norm(log(inverse(a) @ b), dim=-1)


def double_geodesic(a: Tensor, b: Tensor, radius_mm: Tensor | float) -> Tensor:
    """sqrt((radius_mm * angle)^2 + ||t_a - t_b||^2) in mm, (...), of poses a and b (..., 4, 4).

    DiffPose (Gopalakrishnan et al., CVPR 2024) takes the distance from source to isocentre for the radius: then the angle counts as
    the path of the source. radius_mm: (...) or a number.
    """
    arc = radius_mm * rotation_angle(a[..., :3, :3].mT @ b[..., :3, :3])
    return torch.linalg.vector_norm(torch.cat([arc[..., None], b[..., :3, 3] - a[..., :3, 3]], -1), dim=-1)


def _square(w: Tensor) -> Tensor:
    """a^2 (..., 1, 1) of rotation vectors (..., 3)."""
    return w.square().sum(-1)[..., None, None]


def _angle(square: Tensor) -> tuple[Tensor, Tensor]:
    """Where the angle is below 1, and the angle where it is not. Elsewhere 1: the formula not chosen must not spoil the gradient."""
    small = square < 1
    return small, torch.where(small, 1.0, square).sqrt()


def _series(coefficients: tuple[float, ...], square: Tensor) -> Tensor:
    total = torch.zeros_like(square)
    for coefficient in reversed(coefficients):
        total = total * square + coefficient
    return total


def _sinc(square: Tensor) -> Tensor:
    """sin(a) / a."""
    small, a = _angle(square)
    return torch.where(small, 1 - square * _series(_EXP_CURVATURE, square), a.sin() / a)


def _versine(square: Tensor) -> Tensor:
    """(1 - cos a) / a^2."""
    return _sinc(square / 4).square() / 2


def _exp_curvature(square: Tensor) -> Tensor:
    """(a - sin a) / a^3."""
    small, a = _angle(square)
    return torch.where(small, _series(_EXP_CURVATURE, square), (a - a.sin()) / a**3)


def _log_curvature(square: Tensor) -> Tensor:
    """(1 - a/2 cot(a/2)) / a^2."""
    small, a = _angle(square)
    return torch.where(small, _series(_LOG_CURVATURE, square), (1 - a / 2 / (a / 2).tan()) / a**2)


def _quaternion(R: Tensor) -> Tensor:
    """Unit quaternions (..., 4), scalar first and not negative, of rotations (..., 3, 3).

    Every row of 4 q q^T is q times one of its components; the largest one loses no digits (Shepperd 1978).
    """
    a, b, c, d, e, f, g, h, i = R.flatten(-2).unbind(-1)
    outer = torch.stack(
        [
            1 + a + e + i,
            h - f,
            c - g,
            d - b,
            h - f,
            1 + a - e - i,
            b + d,
            c + g,
            c - g,
            b + d,
            1 - a + e - i,
            f + h,
            d - b,
            c + g,
            f + h,
            1 - a - e + i,
        ],
        -1,
    ).unflatten(-1, (4, 4))
    largest = outer.detach().diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None].expand(*R.shape[:-2], 1, 4)
    q = outer.gather(-2, largest)[..., 0, :]
    return q * torch.where(q[..., :1] < 0, -1.0, 1.0) / torch.linalg.vector_norm(q, dim=-1, keepdim=True)
