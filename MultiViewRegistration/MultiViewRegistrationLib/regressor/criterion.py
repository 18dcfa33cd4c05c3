"""What a network is trained for: the likelihood of the truth under its own uncertainty, or the losses of the papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import CT, attenuation
from .losses import PRESETS, Losses
from .network import Network

LIKELIHOOD = "likelihood"
NAMES = (LIKELIHOOD, *PRESETS)
#: Size of a voxel in pixels for the images that a loss compares.
_VOXEL = 1.25

Criterion = Callable[[Network, Tensor, Tensor], Tensor]
"""(network, images (n, views, 2, rows, columns), camera_from_ct (n, views, 4, 4)) -> the loss, a number."""


def make_criterion(
    name: str,
    network: str,
    ct: CT,
    cameras: Sequence[Camera],
    world_from_ct: np.ndarray,
    device: str = "cpu",
) -> Criterion:
    """The loss of that name: "likelihood", each view by itself, or a preset of `losses.PRESETS`.

    network: its name.   cameras: of the images.   world_from_ct: (4, 4), the nominal pose.
    device: on which DRRs are made for it.

    InputError for a name that is not known, and for a loss of poses with a network that says none.
    """
    if name not in NAMES:
        raise InputError(f'the loss "{name}" is not known, expected one of {", ".join(NAMES)}; correct its name.')
    if name == LIKELIHOOD:
        return likelihood
    if network != "pose":
        raise InputError(
            f'the loss "{name}" is one of poses, which the network "{network}" does not say; use the network "pose", or the '
            f'loss "{LIKELIHOOD}".'
        )
    return _Published(name, ct, cameras, world_from_ct, device)


def likelihood(network: Network, images: Tensor, camera_from_ct: Tensor) -> Tensor:
    """Mean negative log-likelihood of the truth, of all views alike."""
    predicted, view = _predicted(network, images)
    return network.loss(predicted, camera_from_ct.flatten(0, 1), view).mean()


class _Published:
    """A preset of `losses`, and beside it a loss of the scales alone, which the papers' networks lack and fusion needs.

    Predictions are compared with the image at the true pose as a DRR shows it: what was drawn at random for the network's image no
    prediction can show.
    """

    def __init__(self, name: str, ct: CT, cameras: Sequence[Camera], world_from_ct: np.ndarray, device: str) -> None:
        centre = rigid.transform_points(world_from_ct, ct.centroid())
        depths = [float(camera.depth(centre)) for camera in cameras]
        pixel_mm = float(
            np.mean([d / np.abs(np.diag(c.intrinsics)[:2]).mean() for d, c in zip(depths, cameras, strict=True)])
        )
        volume = attenuation(ct)
        volume = volume.pooled(tuple(np.maximum(1, np.rint(_VOXEL * pixel_mm / volume.spacing_mm)).astype(int)))
        self._losses = Losses(cameras, depths, volume, PRESETS[name], device)

    def __call__(self, network: Network, images: Tensor, camera_from_ct: Tensor) -> Tensor:
        predicted, view = _predicted(network, images)
        poses = predicted.camera_from_ct.unflatten(0, images.shape[:2])
        if not torch.isfinite(poses).all():
            return poses.sum()
        with torch.no_grad():
            xrays = torch.stack(
                [self._losses.drr(view, camera_from_ct[:, view]) for view in range(images.shape[1])], dim=1
            )
        scales = network.scale_loss(predicted, camera_from_ct.flatten(0, 1))
        return self._losses(poses, camera_from_ct, xrays).mean() + scales.mean()


def _predicted(network: Network, images: Tensor):
    n, views = images.shape[:2]
    view = torch.arange(views, device=images.device).repeat(n)
    return network(images.flatten(0, 1), view), view
