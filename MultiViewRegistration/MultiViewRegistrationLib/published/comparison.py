"""One X-ray, ready to be compared with the DRR of any pose as a preset compares them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..imaging.view import View
from .presets import Preset
from .renderer import Rays, TorchVolume, line_integrals
from .similarity import gradient_ncc, ncc, patch_ncc, standardised, whole_patches


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

    @property
    def device(self) -> torch.device:
        """Where poses are taken and similarities come from."""
        return self._valid.device

    def shows(self, world_from_ct: Tensor) -> bool:
        """Whether any ray meets the CT at this pose (4, 4)."""
        with torch.no_grad():
            return bool((self._render(self._rays, world_from_ct) > 0).any())

    def similarity(self, world_from_ct: Tensor) -> Tensor:
        """The preset's similarity of X-ray and DRR at a pose (4, 4), with its gradient; 1 for equal images."""
        return self._sparse(world_from_ct) if self._preset.patches else self._full(world_from_ct)

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

    def _sparse(self, world_from_ct: Tensor) -> Tensor:
        """Of random patches: global NCC of all their pixels, and the mean of their own."""
        preset = self._preset
        chosen = torch.randint(len(self._corners), (preset.patches,), generator=self._random)
        corners = self._corners[chosen.to(self._corners.device)]
        along = torch.arange(preset.patch, device=corners.device)
        rows, columns = corners[:, 0, None, None] + along[:, None], corners[:, 1, None, None] + along
        pixels, where = torch.unique(self._number[rows, columns].flatten(1), return_inverse=True)
        moving = standardised(self._render(self._rays[pixels], world_from_ct), preset.mean, preset.sd)
        fixed = self._fixed[pixels]
        return 0.5 * ncc(fixed, moving, preset.floor) + 0.5 * ncc(fixed[where], moving[where], preset.floor).mean()

    def _render(self, rays: Rays, world_from_ct: Tensor) -> Tensor:
        return line_integrals(self._volume, rays, world_from_ct, self._preset.step_mm)

    def _image(self, values: Tensor) -> Tensor:
        """(rows, columns) of the values of the valid pixels, 0 elsewhere."""
        return torch.zeros(self._valid.shape, device=values.device).masked_scatter(self._valid, values)
