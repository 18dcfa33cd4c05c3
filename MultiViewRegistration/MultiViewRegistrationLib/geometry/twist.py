"""Poses by six numbers, for an optimiser of one's own: NumPy in, NumPy out; PyTorch in, gradients out."""

from __future__ import annotations

import sys
from typing import Any

from . import rigid


def exp_se3(twist: Any) -> Any:
    """Return the poses of twists, the exponential map of SE(3).

    A step x from a pose T is `exp_se3(x) @ T`, a turn about the origin of the space that T leads to;
    `T @ exp_se3(x)` turns about the origin of the space that T comes from.

    Parameters
    ----------
    twist
        (..., 6): rotation vector in radians, then mm.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        (..., 4, 4), rigid; a tensor with gradients for a tensor.
    """
    return _module_for(twist).exp_se3(twist)


def log_se3(pose: Any) -> Any:
    """Return the twists (..., 6) of poses (..., 4, 4): the inverse of `exp_se3` for turns up to pi.

    Between poses A and B, `log_se3(inverse(A) @ B)` is how far and about what B is turned and moved.
    """
    return _module_for(pose).log_se3(pose)


def _module_for(value: Any) -> Any:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        from . import rigid_torch

        return rigid_torch
    return rigid
