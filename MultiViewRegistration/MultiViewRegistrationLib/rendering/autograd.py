"""The fast renderers as a torch function, with gradients by the pose.

    image = DifferentiableRenderer(volume)(camera, world_from_ct)

Forwards it is one march along each ray, which gives the six derivatives by the pose beside the value (`cpu.py`, or `gpu.py` on a CUDA
device); what is kept for the way back is seven numbers a pixel, however many voxels a ray crosses.

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

import numpy as np
import torch
from torch import Tensor

from ..geometry.camera import Camera
from ..imaging.ct import Volume
from .devices import run_tasks
from .drr import Projector


class DifferentiableRenderer:
    """Line integrals of an attenuation volume (1/mm) at any number of poses, as a torch function.

    Parameters
    ----------
    device
        "cpu" for numba's kernels, a CUDA device for Warp's.
    """

    def __init__(self, volume: Volume, device: str = "cpu") -> None:
        self._projector, self._batch = Projector(volume, cut=np.zeros(6, bool)), None
        middle = 0.5 * (np.array(self._projector.grid.shape) - 1)
        self.centre = torch.from_numpy(self._projector.grid.ct_from_index @ [*middle, 1.0])
        """(4,) CT mm, of the volume."""
        if device != "cpu":
            from .gpu import BatchProjector  # Warp is an extra

            self._batch = BatchProjector(self._projector, device)

    def __call__(self, camera: Camera, world_from_ct: Tensor) -> Tensor:
        """Images (..., rows, columns), float32 on the device of the poses, at poses (..., 4, 4) of any precision.

        float64 keeps the digits of a pose far from the origin. Second derivatives do not come back.

        Raises
        ------
        InputError
            For a pose that is not finite.
        ValueError
            For another shape.
        """
        if world_from_ct.shape[-2:] != (4, 4):
            raise ValueError(f"world_from_ct: expected (..., 4, 4), not {tuple(world_from_ct.shape)}")
        images = _Projection.apply(world_from_ct.reshape(-1, 4, 4), self, camera)
        return images.reshape(*world_from_ct.shape[:-2], *images.shape[1:])

    def project(self, camera: Camera, poses: np.ndarray, pivots: np.ndarray, jacobian: bool) -> tuple[Tensor, Tensor]:
        """Images (n, rows, columns) and, or none, jacobians (6, n, rows, columns) at poses (n, 4, 4) about pivots (n, 3), float64."""
        if self._batch:
            images, jacobians = self._batch.render([camera] * len(poses), poses, jacobian=jacobian, pivot=pivots)
            return images, images.new_empty(0) if jacobians is None else jacobians
        shape = len(poses), *camera.size[::-1]
        found = np.empty(shape, np.float32), np.empty((6, *(shape if jacobian else (len(poses), 0, 0))), np.float32)
        run_tasks(
            [
                task
                for n, (pose, pivot) in enumerate(zip(poses, pivots, strict=True))
                for task in self._projector.tasks(camera, pose, found[0][n], found[1][:, n], pivot=pivot)
            ]
        )
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])


class _Projection(torch.autograd.Function):
    """Images (n, rows, columns) at poses (n, 4, 4)."""

    @staticmethod
    def forward(ctx, poses, renderer: DifferentiableRenderer, camera: Camera):
        ctx.matrices, ctx.like = poses.detach().double().cpu(), poses.new_empty(0)
        # In the middle of the volume, so that single precision has few digits to lose.
        ctx.pivots = (ctx.matrices @ renderer.centre)[:, :3]
        images, ctx.jacobians = renderer.project(
            camera, ctx.matrices.numpy(), ctx.pivots.numpy(), ctx.needs_input_grad[0]
        )
        return images.to(poses.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        gradient = gradient.to(ctx.jacobians.device)
        sums = [(part * gradient).sum(dim=(1, 2), dtype=torch.float64) for part in ctx.jacobians]
        wrench, turn = torch.stack(sums, dim=1).cpu(), ctx.matrices[:, :3, :3]
        force = wrench[:, 3:]
        torque = wrench[:, :3] - torch.linalg.cross(ctx.matrices[:, :3, 3] - ctx.pivots, force)
        by_pose = torch.zeros_like(ctx.matrices)
        by_pose[:, :3, :3] = 0.5 * torch.linalg.cross(torque[:, :, None], turn, dim=1)
        by_pose[:, :3, 3] = force
        return by_pose.to(ctx.like), None, None
