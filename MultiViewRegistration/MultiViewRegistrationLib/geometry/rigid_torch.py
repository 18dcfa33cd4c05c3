"""Rigid transforms in torch: what `rigid` does in numpy under the same names, with gradients.

The conventions are those of `rigid`: a pose is a 4x4 named `target_from_source`, a twist is
`(omega, v)`, rotation vector in radians first, then mm, and poses are compared by their
left-invariant difference `inverse(a) @ b`. Poses are composed by `@`. Leading dimensions are
batches and broadcast; precision and device are those of the arguments, single precision is enough.

Gradients are those along rigid motions, finite everywhere: at the identity, where angles are 0 and
the usual formulas are 0/0, and up to turns by pi. A distance has no derivative where it is 0; there
its gradient is 0.

Formulas: Sola et al., "A micro Lie theory for state estimation in robotics" (arXiv 1812.01537),
appendices B and D, with translation first there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def hat(w: Tensor) -> Tensor:
    """Return the cross-product matrices (..., 3, 3) of w (..., 3): `hat(w) @ x == cross(w, x)`."""
    x, y, z = w.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))


def exp_se3(twist: Tensor) -> Tensor:
    """Return poses (..., 4, 4) of twists (omega, v) (..., 6).

    The exponential of [[hat(omega), v], [0, 0]].
    """
    R, V = _exp_so3_and_V(twist[..., :3])
    return from_rotation_translation(R, (V @ twist[..., 3:, None])[..., 0])


def log_so3(R: Tensor) -> Tensor:
    """Return the rotation vectors (..., 3), of length 0 to pi, of rotations R (..., 3, 3).

    By the unit quaternion, as in `rigid.log_so3`. At exactly pi w and -w are one rotation, and
    either may come back.
    """
    q = _quaternion(R)
    scalar = q[..., :1]
    vector = q[..., 1:]
    square = vector.square().sum(-1, keepdim=True)
    small = square < 1e-8
    length = torch.where(small, 1.0, square).sqrt()
    by_sine = 2 * torch.atan2(length, scalar) / length
    return vector * torch.where(small, 2 + square / 3, by_sine)  # asin(x) / x = 1 + x^2 / 6 + ...


def log_se3(T: Tensor) -> Tensor:
    """Return twists (..., 6) of poses T (..., 4, 4), for angles up to pi."""
    w = log_so3(T[..., :3, :3])
    return torch.cat([w, torch.linalg.solve(_exp_so3_and_V(w)[1], T[..., :3, 3])], -1)


def from_rotation_translation(R: Tensor, t: Tensor) -> Tensor:
    """Return poses (..., 4, 4) from rotations R (..., 3, 3) and translations t (..., 3) in mm."""
    batch = torch.broadcast_shapes(R.shape[:-2], t.shape[:-1])
    upper = torch.cat([R.expand(*batch, 3, 3), t.expand(*batch, 3)[..., None]], -1)
    last = torch.eye(4, dtype=upper.dtype, device=upper.device)[3:].expand(*batch, 1, 4)
    return torch.cat([upper, last], -2)


def inverse(T: Tensor) -> Tensor:
    """Return inverse poses (..., 4, 4), by transposing the rotation."""
    R_inverse = T[..., :3, :3].mT
    return from_rotation_translation(R_inverse, -(R_inverse @ T[..., :3, 3:])[..., 0])


def geodesic(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance (...) of poses a and b (..., 4, 4) on SE(3).

    ||log_se3(inverse(a) @ b)||, radians and mm in one norm.

    geodesic(g @ a, g @ b) is the same for every pose g. Of a @ h and b @ h it is the same if h is a
    rotation: no distance on SE(3) is invariant on both sides.
    """
    return torch.linalg.vector_norm(log_se3(inverse(a) @ b), dim=-1)


def geodesic_distance(a: Tensor, b: Tensor, radius_mm: float) -> Tensor:
    """Return sqrt((radius_mm * angle)^2 + ||t_a - t_b||^2) in mm, (...), of poses a and b (..., 4, 4).

    DiffPose (Gopalakrishnan et al., CVPR 2024) takes the distance from source to isocentre for the
    radius: then the angle counts as the path of the source.
    """
    arc = radius_mm * log_so3(a[..., :3, :3].mT @ b[..., :3, :3])
    return torch.linalg.vector_norm(torch.cat([arc, b[..., :3, 3] - a[..., :3, 3]], -1), dim=-1)


def _exp_so3_and_V(w: Tensor) -> tuple[Tensor, Tensor]:
    """Return R = exp of hat(w), and V, which takes v of a twist to the translation of its pose, (..., 3, 3) each.

    The exponential of [[hat(w), 1], [0, 0]] is [[R, V], [0, 1]]; it holds no mm, so that it loses
    no digits of R.
    """
    eye = torch.eye(3, dtype=w.dtype, device=w.device).expand(*w.shape[:-1], 3, 3)
    upper = torch.linalg.matrix_exp(functional.pad(torch.cat([hat(w), eye], -1), (0, 0, 0, 3)))[
        ..., :3, :
    ]
    return upper[..., :3], upper[..., 3:]


def _quaternion(R: Tensor) -> Tensor:
    """Return unit quaternions (..., 4), scalar first and not negative, of rotations (..., 3, 3).

    Every row of 4 q q^T is q times one of its components; the largest one loses no digits (Shepperd
    1978).
    """
    trace = R.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    skew = R - R.mT
    vector = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)[..., None, :]
    block = R + R.mT + (1 - trace) * torch.eye(3, dtype=R.dtype, device=R.device)
    outer = torch.cat([torch.cat([1 + trace, vector], -1), torch.cat([vector.mT, block], -1)], -2)
    largest = (
        outer.detach()
        .diagonal(dim1=-2, dim2=-1)
        .argmax(-1)[..., None, None]
        .expand(*R.shape[:-2], 1, 4)
    )
    q = outer.gather(-2, largest)[..., 0, :]
    return (
        q
        * torch.where(q[..., :1] < 0, -1.0, 1.0)
        / torch.linalg.vector_norm(q, dim=-1, keepdim=True)
    )
