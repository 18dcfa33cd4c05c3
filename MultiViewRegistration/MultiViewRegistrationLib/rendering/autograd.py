"""The fast renderers as a torch function, with gradients by the pose.

    image = DifferentiableRenderer(case.ct)(camera, world_from_ct)

Forwards it is one march along each ray, which gives the six derivatives by the pose beside the value (`cpu.py`, or `torch_drr.py` on a CUDA
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

from ..errors import InputError
from ..geometry.camera import Camera
from ..imaging.ct import CT, Volume
from .devices import cuda_device, run_tasks
from .drr import NOT_FINITE, Projector, check_camera, volume_of

#: How far the columns of a pose's rotation may be from orthonormal, as float32 and optimisers leave them.
RIGID_TOLERANCE = 1e-3


class DifferentiableRenderer:
    """Line integrals of a CT at any number of poses, as a torch function with the gradient by the pose.

    Parameters
    ----------
    ct
        A CT, or the linear attenuation in 1/mm.
    device
        Which does the work: "cpu" by numba's kernels, a CUDA device by PyTorch's. Poses may be on any device.

    Raises
    ------
    InputError
        For what is no CT, and for a device that cannot be used.
    """

    def __init__(self, ct: CT | Volume, device: str = "cpu") -> None:
        self._projector, self._batch = Projector(volume_of(ct), cut=np.zeros(6, bool)), None
        middle = 0.5 * (np.array(self._projector.grid.shape) - 1)
        self.centre = torch.from_numpy(self._projector.grid.ct_from_index @ [*middle, 1.0])
        """(4,) CT mm, of the volume."""
        if device != "cpu":
            from .torch_drr import TorchProjector

            self._batch = TorchProjector(self._projector, cuda_device(device))

    def __call__(self, camera: Camera, world_from_ct: Tensor) -> Tensor:
        """Images (..., rows, columns), float32 on the device of the poses, at poses (..., 4, 4) of any precision.

        float64 keeps the digits of a pose far from the origin.

        Raises
        ------
        InputError
            For poses that are no tensor of this shape, not finite or not rigid, and for what is no camera; backwards, where
            the gradient is to be differentiated once more (`create_graph`).
        """
        check_camera(camera)
        if not isinstance(world_from_ct, Tensor) or world_from_ct.shape[-2:] != (4, 4):
            found = (
                f"the shape {tuple(world_from_ct.shape)}"
                if isinstance(world_from_ct, Tensor)
                else type(world_from_ct).__name__
            )
            raise InputError(f"world_from_ct: found {found}, expected a tensor (..., 4, 4); give rigid matrices.")
        if world_from_ct.device.type == "meta":
            raise InputError(
                "world_from_ct: is a tensor on the device meta, which has no values, expected numbers; move it to a device."
            )
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
        ctx.matrices, ctx.like = poses.detach().cpu().double(), poses.new_empty(0)
        _check_rigid(ctx.matrices)
        # In the middle of the volume, so that single precision has few digits to lose.
        ctx.pivots = (ctx.matrices @ renderer.centre)[:, :3]
        images, ctx.jacobians = renderer.project(
            camera, ctx.matrices.numpy(), ctx.pivots.numpy(), ctx.needs_input_grad[0]
        )
        return images.to(poses.device)

    @staticmethod
    def backward(ctx, gradient):
        if torch.is_grad_enabled():  # once_differentiable would leave the images out of a second derivative, silently
            raise InputError(
                "DifferentiableRenderer: found create_graph=True, as for a Hessian, but it has first derivatives only; "
                "leave create_graph out, or detach the images where the graph is made."
            )
        gradient = gradient.to(ctx.jacobians.device)
        sums = [(part * gradient).sum(dim=(1, 2), dtype=torch.float64) for part in ctx.jacobians]
        wrench, turn = torch.stack(sums, dim=1).cpu(), ctx.matrices[:, :3, :3]
        force = wrench[:, 3:]
        torque = wrench[:, :3] - torch.linalg.cross(ctx.matrices[:, :3, 3] - ctx.pivots, force)
        by_pose = torch.zeros_like(ctx.matrices)
        by_pose[:, :3, :3] = 0.5 * torch.linalg.cross(torque[:, :, None], turn, dim=1)
        by_pose[:, :3, 3] = force
        return by_pose.to(ctx.like), None, None


def _check_rigid(matrices: Tensor) -> None:
    if not torch.isfinite(matrices).all():
        raise InputError(NOT_FINITE)
    turn = matrices[:, :3, :3]
    off = (turn.mT @ turn - torch.eye(3, dtype=turn.dtype)).abs().amax() if len(turn) else 0.0
    if off > RIGID_TOLERANCE:
        raise InputError(
            "world_from_ct: is not rigid, it scales or shears, expected a rotation and a translation; make it of six parameters, for one "
            "with torch.linalg.matrix_exp, and do not optimise its sixteen numbers."
        )
