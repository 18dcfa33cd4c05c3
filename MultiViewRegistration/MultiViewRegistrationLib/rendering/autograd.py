"""A CT's DRRs as a function of PyTorch, with derivatives by pose, camera and attenuation.

    image = DifferentiableRenderer(case.ct)(camera, world_from_ct)

The rays follow from poses and cameras by ordinary functions of PyTorch, the image from the rays by
`drr_operator.project`: what is kept for the way back are seven numbers a pixel, however many voxels
a ray crosses.

The inverse of a pose is taken by transposing its rotation. So its gradient is exact along all rigid
motions, and any parametrisation that yields rigid matrices (matrix_exp of a twist, Euler angles,
quaternions, a product of poses) gets its true gradient; across them, for scaling and shearing, it
means nothing: do not optimise the 16 numbers as if they were free.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from ..errors import InputError
from ..geometry.camera import Camera
from ..imaging.ct import CT, Volume
from .devices import CPU, TORCH_CPU, torch_device
from .drr import Grid, check_camera, volume_of
from .drr_operator import Projection, is_rigid, line_integrals
from .torch_drr import real_of, stored_twice


class DifferentiableRenderer:
    """Render a CT at any number of poses, with derivatives by pose, camera and attenuation.

    Works under `torch.func` and `torch.compile`. First derivatives by pose and camera cost little
    beside the image; second ones, and forward-mode ones, go through all samples one by one.

    Parameters
    ----------
    ct
        A CT, or the linear attenuation in 1/mm.
    device
        "cpu": by numba's kernels; "cuda", "cuda:N", "mps", "xpu": by PyTorch there; "torch-cpu": by
        PyTorch on the processor. Poses may be on any device.
    labels
        (nk, nj, ni) whole numbers, the structure of each voxel. Each label gets an image and a pose
        of its own.
    dtype
        torch.float32 or torch.float64, of samples and images. Rays are always computed in float64.

    Attributes
    ----------
    labels : list of int
        That occur, in order; 0, too. Empty without labels.

    Raises
    ------
    InputError
        For what is no CT, labels that do not fit, another dtype, and a device that cannot be used.
    MemoryError
        For more voxels than a device can count.

    Notes
    -----
    Samples are interpolated linearly, so an image's gradient by pose and camera jumps wherever one
    passes a border between voxels. Second derivatives are exact between these jumps and leave them
    out: of the mean square difference of two images of noise by shifts they were 1.1 to 2.4 times
    as large as what the gradient changed by over 0.01 to 1 mm.
    """

    def __init__(
        self,
        ct: CT | Volume,
        device: str = CPU,
        *,
        labels: np.ndarray | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        volume = volume_of(ct)
        if dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"dtype: found {dtype}, expected torch.float32 or torch.float64; choose one of "
                "them."
            )
        self._device = torch.device(torch_device(device))
        self._dtype = dtype
        if dtype == torch.float64 != real_of(self._device):
            raise InputError(
                f"dtype: found {dtype}, but the device {device} has no float64; leave dtype out."
            )
        self._twice = device == TORCH_CPU or self._device.type != CPU
        self._grid = volume.ct_from_index
        self._size = volume.values.shape
        values = torch.from_numpy(volume.values).to(dtype)
        structures = None if labels is None else _check_labels(labels, self._size)
        self.labels = [] if structures is None else structures.unique().tolist()
        self._masks = [structures == label for label in self.labels]
        parts = [values * mask for mask in self._masks] or [values]
        self._volumes = [self._trimmed(part.numpy()) for part in parts]

    def __call__(
        self,
        camera: Camera,
        world_from_ct: Tensor,
        *,
        intrinsics: Tensor | None = None,
        camera_from_world: Tensor | None = None,
        attenuation: Tensor | None = None,
    ) -> Tensor:
        """Render images (..., rows, columns), on the device of the poses.

        With labels (..., labels, rows, columns).

        Parameters
        ----------
        camera
            Of the images.
        world_from_ct
            (..., 4, 4) rigid, mm, of any precision; float64 keeps the digits of a pose far from the
            origin. With labels (..., labels, 4, 4), or (..., 1, 4, 4) for all of them.
        intrinsics, camera_from_world
            (..., 3, 3) and (..., 4, 4), instead of the camera's, for derivatives by them.
        attenuation
            (nk, nj, ni) 1/mm, instead of the CT's, for derivatives by it; on the renderer's device,
            in its precision.

        Raises
        ------
        InputError
            For poses that are no tensor of this shape, not finite or not rigid; for what is no
            camera; for an attenuation of another shape, precision or device. In forward mode a pose
            that is not rigid gives an image of NaN.
        """
        check_camera(camera)
        poses = _matrices(world_from_ct, "world_from_ct", 4)
        if intrinsics is None:
            intrinsics = torch.from_numpy(camera.intrinsics.copy())
        if camera_from_world is None:
            camera_from_world = torch.from_numpy(camera.camera_from_world.copy())
        matrices = _matrices(intrinsics, "intrinsics", 3)
        places = _matrices(camera_from_world, "camera_from_world", 4)
        volumes = self._volumes if attenuation is None else self._with_attenuation(attenuation)
        view = partial(_render, slot_scan=camera.is_slot_scan, size=camera.size)
        if not self.labels:
            return view(volumes[0], matrices, places @ poses).to(world_from_ct.device)
        if poses.ndim < 3 or poses.shape[-3] not in (1, len(volumes)):
            raise InputError(
                f"world_from_ct: found the shape {tuple(poses.shape)}, expected (..., "
                f"{len(volumes)}, 4, 4), a pose for each label, or (..., 1, 4, 4), one for all of "
                "them; give such poses."
            )
        by_label = poses.expand(*poses.shape[:-3], len(volumes), 4, 4).unbind(-3)
        images = [
            view(volume, matrices, places @ each)
            for volume, each in zip(volumes, by_label, strict=True)
        ]
        return torch.stack(images, -3).to(world_from_ct.device)

    def _with_attenuation(self, attenuation: Tensor) -> list[_Prepared]:
        if not isinstance(attenuation, Tensor) or attenuation.shape != self._size:
            found = (
                f"the shape {tuple(attenuation.shape)}"
                if isinstance(attenuation, Tensor)
                else type(attenuation).__name__
            )
            raise InputError(
                f"attenuation: found {found}, expected a tensor {tuple(self._size)}, as the CT; "
                "give one."
            )
        if attenuation.dtype != self._dtype:
            raise InputError(
                f"attenuation: found {attenuation.dtype}, but the renderer has {self._dtype}; "
                "convert it, or give the renderer another dtype."
            )
        if attenuation.device.type != self._device.type:
            raise InputError(
                f"attenuation: is on the device {attenuation.device}, but the renderer on "
                f"{self._device}; move it there."
            )
        parts = [attenuation * mask.to(attenuation.device) for mask in self._masks] or [attenuation]
        shift = torch.eye(4, dtype=torch.float64)
        shift[:3, 3] = -1
        place = torch.from_numpy(self._grid) @ shift
        shape = tuple(size + 2 for size in self._size[::-1])
        return [self._prepared(F.pad(part, (1, 1, 1, 1, 1, 3)), place, shape) for part in parts]

    def _trimmed(self, values: np.ndarray) -> _Prepared:
        grid = Grid.of(values, self._grid)
        stored = torch.from_numpy(grid.values).view(-1, *grid.stored[1::-1]).to(self._device)
        return self._prepared(stored, torch.from_numpy(grid.ct_from_index), grid.stored)

    def _prepared(self, stored: Tensor, place: Tensor, shape: tuple[int, ...]) -> _Prepared:
        return _Prepared(stored_twice(stored) if self._twice else stored.reshape(-1), place, shape)


class _Prepared(NamedTuple):
    """A volume as `drr_operator.project` takes it."""

    values: Tensor
    ct_from_index: Tensor
    shape: tuple[int, ...]


def _render(
    volume: _Prepared,
    intrinsics: Tensor,
    camera_from_ct: Tensor,
    slot_scan: bool,
    size: tuple[int, int],
) -> Tensor:
    """Return images (..., rows, columns) by intrinsics (..., 3, 3) at poses (..., 4, 4)."""
    batch = torch.broadcast_shapes(intrinsics.shape[:-2], camera_from_ct.shape[:-2])
    rays = _rays(intrinsics, camera_from_ct, slot_scan).expand(*batch, 5, 3).reshape(-1, 5, 3)
    poses = camera_from_ct.detach().expand(*batch, 4, 4).reshape(-1, 4, 4)
    if forward_ad._current_level >= 0:  # which a Function that is compiled cannot have
        images = line_integrals(volume.values, rays, volume.ct_from_index, volume.shape, size)
        images = torch.where(is_rigid(poses)[:, None, None].to(images.device), images, torch.nan)
    else:
        of_poses = rays, poses, volume.ct_from_index
        images, _ = Projection.apply(
            volume.values, *of_poses, volume.shape, size, rays.requires_grad
        )
    return images.reshape(*batch, *images.shape[1:])


def _rays(intrinsics: Tensor, camera_from_ct: Tensor, slot_scan: bool) -> Tensor:
    """Return (..., 5, 3) in CT mm, see `drr_operator.project`."""
    zero = torch.zeros_like(intrinsics[..., 0])
    if slot_scan:  # see `machines.SlotScanCamera`
        fx = intrinsics[..., 0, 0]
        fy = intrinsics[..., 1, 1]
        cx = intrinsics[..., 0, 2]
        cy = intrinsics[..., 1, 2]
        none = torch.zeros_like(fx)
        source = torch.stack([none, -cy / fy, none], -1)
        step = torch.stack([none, 1 / fy, none], -1)
        directions = [
            torch.stack([1 / fx, none, none], -1),
            zero,
            torch.stack([-cx / fx, none, none + 1], -1),
        ]
    else:
        source = step = zero
        directions = torch.linalg.inv_ex(intrinsics).inverse.unbind(-1)
    turn = camera_from_ct[..., :3, :3]
    shift = camera_from_ct[..., None, :3, 3]
    return torch.cat(
        [(source[..., None, :] - shift) @ turn, torch.stack([step, *directions], -2) @ turn], -2
    )


def _matrices(matrices: Tensor, name: str, side: int) -> Tensor:
    """Return matrices in float64 on the processor."""
    shape = f"(..., {side}, {side})"
    if not isinstance(matrices, Tensor) or matrices.shape[-2:] != (side, side):
        found = (
            f"the shape {tuple(matrices.shape)}"
            if isinstance(matrices, Tensor)
            else type(matrices).__name__
        )
        raise InputError(f"{name}: found {found}, expected a tensor {shape}; give such matrices.")
    if matrices.device.type == "meta":
        raise InputError(
            f"{name}: is a tensor on the device meta, which has no values, expected numbers; move "
            "it to a device."
        )
    return matrices.cpu().double()


def _check_labels(labels: np.ndarray, size: tuple[int, ...]) -> Tensor:
    labels = np.asarray(labels)
    if labels.shape != size or labels.dtype.kind not in "iub":
        raise InputError(
            f"labels: found {labels.dtype} of the shape {labels.shape}, expected whole numbers of "
            f"the CT's shape {tuple(size)}; give the structure of each voxel."
        )
    return torch.from_numpy(labels.astype(np.int64))
