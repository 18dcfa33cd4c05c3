"""What both networks have in common: how they are called, and residual blocks.

    predicted = network(images, view)                        # images of any views and any poses, (n, 2, 64, 64)
    loss = network.loss(predicted, camera_from_ct, view)     # (n,)
    poses = fuse(network.evidence(predicted, cameras), centroid, world_from_ct)      # of images of one pose

The blocks are those of ResNet (He et al., CVPR 2016) with group normalisation (Wu and He, ECCV 2018), which does not mind small batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..geometry.camera import Camera
from .fusion import Evidence
from .test_time_augmentation import Augmentation

#: Channels that are normalised together.
GROUP = 16


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // GROUP), channels)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the second one's normalisation begins at 0, so that a new block changes nothing."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            norm(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            norm(channels),
        )
        nn.init.zeros_(self.path[-1].weight)
        shortcut = [nn.AvgPool2d(stride)] if stride > 1 else []
        if channels != channels_in:
            shortcut.append(nn.Conv2d(channels_in, channels, 1, bias=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.path(x) + self.shortcut(x), inplace=True)


def stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """Blocks of which the first one changes channels and resolution."""
    return nn.Sequential(Block(channels_in, channels, stride), *(Block(channels, channels) for _ in range(blocks - 1)))


def precision_on(device: torch.device) -> torch.dtype:
    """That of a network's body: bfloat16 on a CUDA device that has it, where it is faster; a processor only loses by it."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def features_of(body: nn.Module, x: Tensor) -> Tensor:
    """body(x) in single precision, its convolutions in that of the device: what the heads say of positions needs more than 8 bits."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision_on(x.device) is torch.bfloat16):
        return body(x).float()


class Network(Protocol):
    """A network that looks at single views. All it knows of the CT and the training's geometry is in its state_dict.

    AUGMENTATIONS: how it is shown an X-ray again that leaves doubt; its evidence can be `joined` where there are any.
    body: the part whose kernels `Optimiser` treats as matrices.
    certainty: by how much more its evidence knows than was thought before `calibrate`, as an inverse variance.
    """

    AUGMENTATIONS: Sequence[Augmentation]
    body: nn.Module
    certainty: Tensor

    def __call__(self, images: Tensor, view: Tensor) -> Any:
        """What each of n images shows.

        images: (n, 2, rows, columns) float32: standardised, and 1 where valid, else 0.   view: (n,) int64, which camera took each.
        """
        ...

    def loss(self, predicted: Any, camera_from_ct: Tensor, view: Tensor) -> Tensor:
        """(n,) negative log-likelihood, up to a constant, of the true poses (n, 4, 4)."""
        ...

    def evidence(self, predicted: Any, cameras: Sequence[Camera]) -> list[Evidence]:
        """What images of one pose of the CT say of it: image n was taken by camera n."""
        ...
