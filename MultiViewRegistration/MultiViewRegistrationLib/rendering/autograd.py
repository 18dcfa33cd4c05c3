"""The fast renderers as a torch function, with gradients by the pose and by the volume.

    image = drr(volume, ct_from_index, camera, world_from_ct)

Forwards it is one march along each ray, which gives the six derivatives by the pose beside the value (`cpu.py`, or `gpu.py` where the
volume is on a CUDA device); what is kept for the way back is seven numbers a pixel, however many voxels a ray crosses. Backwards, the
gradient by the volume is the back projection of the gradient by the image (`back_project`, or that of `gpu.py`).

The gradient by the 4x4 matrix. The kernel gives, for a gradient g of the loss by the image, a force f = sum g dI/dv and a torque
m = sum g dI/domega about a pivot c, of the motion x -> c + exp(omega) (x - c) + v. A rigid change of the matrix [R | t] is
dR = [omega]x R, dt = omega x (t - c) + v, and

    G_t = f,    G_R = 1/2 [m - (t - c) x f]x R

gives <G_R, dR> + <G_t, dt> = m . omega + f . v for every omega and v, because <1/2 [m]x R, [omega]x R> = m . omega. So the gradient is
exact along all rigid motions, and any parametrisation by torch operations that yields rigid matrices (matrix_exp of a twist, Euler
angles, quaternions, a product of poses) gets its true gradient. Across them, for scaling and shearing, G is 0 where the image does
change: do not optimise the 16 numbers as if they were free.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..geometry.camera import Camera
from . import cpu, threads
from .drr import Grid


def drr(volume: Tensor, ct_from_index, camera: Camera, world_from_ct: Tensor) -> Tensor:
    """Line integrals of an attenuation volume at any number of poses, as a torch function.

    The work is done on the volume's device where that is CUDA and the precision single, on the CPU otherwise.
    Gradients come back for `volume`
    on its own grid and for `world_from_ct` as the module says; second derivatives do not. A volume that needs no
    gradient is made ready once,
    and kept so while its tensor lives and is not written to.

    Parameters
    ----------
    volume : (nk, nj, ni), 1/mm, float32 or float64, which is the precision of the rendering and of its result.
    ct_from_index : (4, 4), mm, as in `Volume`.
    world_from_ct : (..., 4, 4) rigid, mm, of any precision; float64 keeps the digits of a pose far from the origin.

    Returns
    -------
    (..., rows, columns) on the device of the poses.

    Raises
    ------
    InputError
        For a pose that is not finite.
    ValueError
        For other shapes and precisions.
    """
    if volume.ndim != 3 or volume.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"volume: expected (nk, nj, ni) in float32 or float64, not {tuple(volume.shape)} in {volume.dtype}"
        )
    if world_from_ct.shape[-2:] != (4, 4):
        raise ValueError(f"world_from_ct: expected (..., 4, 4), not {tuple(world_from_ct.shape)}")
    ct_from_index = np.asarray(ct_from_index, float)
    kernels = _kernels(volume, ct_from_index)
    poses = world_from_ct.to(kernels.device).reshape(-1, 4, 4)
    images = _Projection.apply(volume, poses, kernels, camera)
    return images.reshape(*world_from_ct.shape[:-2], *images.shape[1:]).to(world_from_ct.device)


class _CpuProjector:
    """A volume's projections and back projections by numba.   centre: (4,) CT mm, on `device`, of the volume's middle."""

    def __init__(self, volume: Tensor, ct_from_index: np.ndarray) -> None:
        self._shape, self._ct_from_index, self.device = tuple(volume.shape), ct_from_index, torch.device("cpu")
        self._grid = _grid(volume, ct_from_index)
        self.centre = _centre(self._grid)

    def project(self, camera: Camera, poses: Tensor, pivots: Tensor, with_jacobian: bool) -> tuple[Tensor, Tensor]:
        """Images (n, rows, columns) and, or none, jacobians (6, n, rows, columns) at poses (n, 4, 4) about pivots (n, 3), float64."""
        grid, (columns, rows) = self._grid, camera.size
        poses, pivots = poses.numpy(), pivots.numpy()
        images = np.empty((len(poses), rows, columns), grid.values.dtype)
        jacobians = np.empty((6, len(poses), rows, columns) if with_jacobian else (6, len(poses), 0, 0), images.dtype)
        nothing, samples = np.empty((0, 0), np.uint8), rows * columns * max(grid.shape)
        tasks = []
        for n, (pose, pivot) in enumerate(zip(poses, pivots, strict=True)):
            rays = grid.rays(camera, pose)
            tasks += [
                partial(
                    cpu.project_rows,
                    grid.values,
                    grid.stored,
                    rays.source,
                    rays.directions,
                    rays.world_from_index,
                    camera.source - pivot,
                    block,
                    nothing,
                    images[n],
                    jacobians[:, n],
                )
                for block in threads.row_blocks(rows, samples)
            ]
        threads.run(tasks)
        return torch.from_numpy(images), torch.from_numpy(jacobians)

    def adjoint(self, camera: Camera, poses: Tensor) -> Callable[[Tensor], Tensor]:
        """What takes a gradient by images (n, rows, columns) to that by the volume (nk, nj, ni); the volume itself it does not hold."""
        place = self._shape, self._ct_from_index

        def by_volume(gradient: Tensor) -> Tensor:
            return torch.from_numpy(
                back_project(np.ascontiguousarray(gradient.numpy()), [camera] * len(poses), poses.numpy(), *place)
            )

        return by_volume


class _CudaProjector:
    """The same by Warp, for a volume on a device."""

    def __init__(self, volume: Tensor, ct_from_index: np.ndarray) -> None:
        from . import gpu  # Warp is an extra

        self._shape, self._ct_from_index, self._back_project = tuple(volume.shape), ct_from_index, gpu.back_project
        self._renderer, self.device = gpu.BatchRenderer(_grid(volume, ct_from_index), str(volume.device)), volume.device
        self.centre = _centre(self._renderer.grid).to(self.device)

    def project(self, camera: Camera, poses: Tensor, pivots: Tensor, with_jacobian: bool) -> tuple[Tensor, Tensor]:
        """See `_CpuProjector`."""
        images, jacobians = self._renderer.render_there(camera, poses, pivots, jacobian=with_jacobian)
        return images, images.new_empty((6, len(poses), 0, 0)) if jacobians is None else jacobians

    def adjoint(self, camera: Camera, poses: Tensor) -> Callable[[Tensor], Tensor]:
        """See `_CpuProjector`; the poses go to the CPU."""
        back_project, place = self._back_project, (self._shape, self._ct_from_index)
        return lambda gradient: back_project(gradient, [camera] * len(poses), poses.cpu().numpy(), *place)


class _Projection(torch.autograd.Function):
    """Images (n, rows, columns) of a volume (nk, nj, ni) at poses (n, 4, 4)."""

    @staticmethod
    def forward(ctx, volume, poses, kernels: _CpuProjector | _CudaProjector, camera: Camera):
        matrices = poses.detach().double()
        pivots = (matrices @ kernels.centre)[
            :, :3
        ]  # in the middle of the volume, so that single precision has few digits to lose
        images, ctx.jacobians = kernels.project(camera, matrices, pivots, ctx.needs_input_grad[1])
        ctx.by_volume = kernels.adjoint(camera, matrices)
        ctx.matrices, ctx.pivots, ctx.pose_dtype = matrices, pivots, poses.dtype
        return images

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        by_volume = by_pose = None
        if ctx.needs_input_grad[0]:
            by_volume = ctx.by_volume(gradient)
        if ctx.needs_input_grad[1]:
            wrench = torch.stack(
                [(part * gradient).sum(dim=(1, 2), dtype=torch.float64) for part in ctx.jacobians], dim=1
            )
            by_pose = _gradient_by_matrix(ctx.matrices, ctx.pivots, wrench).to(ctx.pose_dtype)
        return by_volume, by_pose, None, None


def _gradient_by_matrix(poses: Tensor, pivots: Tensor, wrench: Tensor) -> Tensor:
    """(n, 4, 4) from poses (n, 4, 4) and the torques about pivots (n, 3) and forces, (n, 6); see the module."""
    force = wrench[:, 3:]
    torque = wrench[:, :3] - torch.linalg.cross(poses[:, :3, 3] - pivots, force)
    gradient = torch.zeros_like(poses)
    gradient[:, :3, :3] = 0.5 * torch.linalg.cross(torque[:, :, None], poses[:, :3, :3], dim=1)
    gradient[:, :3, 3] = force
    return gradient


_ready = WeakTensorKeyDictionary()


def _kernels(volume: Tensor, ct_from_index: np.ndarray) -> _CpuProjector | _CudaProjector:
    """For the volume; made anew where the tensor is new, is being optimised, or was written to or laid elsewhere since."""
    make = _CudaProjector if volume.device.type != "cpu" and volume.dtype == torch.float32 else _CpuProjector
    if volume.requires_grad:
        return make(volume, ct_from_index)
    version, place, kernels = _ready.get(volume, (None, None, None))
    if version != volume._version or not np.array_equal(place, ct_from_index):
        kernels = make(volume, ct_from_index)
        _ready[volume] = volume._version, ct_from_index, kernels
    return kernels


def back_project(
    gradient: np.ndarray, cameras: list[Camera], poses: np.ndarray, shape, ct_from_index: np.ndarray
) -> np.ndarray:
    """A^T g, summed over the images: the gradient by the volume of a gradient by images, with exactly the weights of `cpu.project_rows`.

    Parameters
    ----------
    gradient : (n, rows, columns), whose precision is that of the computation and of the result.
    cameras : n.
    poses : (n, 4, 4) world_from_ct, mm.
    shape : (nk, nj, ni) of the volume.
    ct_from_index : (4, 4), mm, of the volume.

    Returns
    -------
    (nk, nj, ni), float32 or float64 as `gradient` is.

    Raises
    ------
    InputError
        For a pose that is not finite.
    """
    nk, nj, ni = (size + 2 for size in shape)
    into_air = np.eye(4)
    into_air[:3, 3] = -1
    grid = Grid(np.zeros((nk + 2) * nj * ni, gradient.dtype), (ni, nj, nk), ct_from_index @ into_air, (ni, nj, nk))
    rays = [grid.rays(camera, pose) for camera, pose in zip(cameras, poses, strict=True)]
    samples = gradient.size * max(grid.shape)

    def add(slices: tuple[int, int]) -> None:
        for image, through in zip(gradient, rays, strict=True):
            cpu.back_project_slices(
                grid.values, grid.shape, through.source, through.directions, through.world_from_index, slices, image
            )

    threads.run([partial(add, slices) for slices in threads.row_blocks(nk, samples)])
    return np.ascontiguousarray(grid.padded[1:-1, 1:-1, 1:-1])


def _centre(grid: Grid) -> Tensor:
    return torch.from_numpy(grid.ct_from_index @ [*(0.5 * (np.array(grid.shape) - 1)), 1.0])


def _grid(volume: Tensor, ct_from_index: np.ndarray) -> Grid:
    return Grid.of(volume.detach().cpu().numpy(), ct_from_index)
