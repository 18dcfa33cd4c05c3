"""The renderer for scripts: DRRs of a CT as arrays, or as tensors with gradients.

image = render(case.ct, camera, world_from_ct)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import CT, Volume
from .devices import CARDS, CPU, ComputeDevice
from .drr import Projector, check_camera, volume_of

if TYPE_CHECKING:
    import torch


@overload
def render(ct: CT | Volume, camera: Camera, world_from_ct: torch.Tensor) -> torch.Tensor: ...


@overload
def render(ct: CT | Volume, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray: ...


def render(ct: CT | Volume, camera: Camera, world_from_ct: Any) -> Any:
    """Render a CT as an X-ray camera sees it, at one pose or at many.

    At a pose of PyTorch the image is a tensor on the pose's device, with the gradient by the pose;
    a CUDA device does the work itself. To render one CT again and again make a
    `DifferentiableRenderer`, or a `Projector`, once.

    Parameters
    ----------
    ct
        A CT, or the linear attenuation in 1/mm.
    camera
        Of a view, `case.cameras["AP"]`; `camera.pooled(4)` gives an image of a quarter of the size.
    world_from_ct
        (..., 4, 4) rigid, mm.

    Returns
    -------
    ndarray or Tensor
        (..., rows, columns), float32: line integrals, bone bright.

    Raises
    ------
    InputError
        For a pose that is not rigid, another camera or CT than these.
    """
    volume = volume_of(ct)
    check_camera(camera)
    if type(world_from_ct).__module__.split(".")[0] == "torch":
        from .autograd import DifferentiableRenderer  # PyTorch is an extra

        device = world_from_ct.device
        name = ComputeDevice(str(device)).name if device.type in CARDS else CPU
        return DifferentiableRenderer(volume, name)(camera, world_from_ct)
    poses = np.asarray(world_from_ct)
    if poses.shape[-2:] != (4, 4):
        raise InputError(
            f"world_from_ct: found the shape {poses.shape}, expected (..., 4, 4); give rigid "
            "matrices."
        )
    projector = Projector(volume, cut=np.zeros(6, bool))
    images = [
        projector.render(camera, rigid.check_rigid(pose, "world_from_ct")).image
        for pose in poses.reshape(-1, 4, 4)
    ]
    return np.reshape(images, (*poses.shape[:-2], *camera.size[::-1]))
