"""What the two networks have in common, and which there are.

predicted = network(images, view)                        # images of any views and any poses, (n, 2, 64, 64)
loss = network.loss(predicted, camera_from_ct, view)     # (n,)
poses = fuse(network.evidence(predicted, cameras), centroid, world_from_ct)      # of images of one pose
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor, nn

from ..errors import InputError
from ..geometry.camera import Camera
from .evidence import Evidence
from .looks import Look
from .posehead import PoseNetwork
from .voting import VotingNetwork

NAMES = ("voting", "pose")
"""The first is the default: docs/regressor.md has what it was seen to do."""


class Network(Protocol):
    """A network that looks at single views. All it knows of the CT and the training's geometry is in its state_dict.

    MORE_LOOKS: how it is shown an X-ray again that leaves doubt; its evidence can be `joined` where there are any.
    body: the part whose kernels `Optimiser` treats as matrices.
    certainty: by how much more its evidence knows than was thought before `calibrate`, as an inverse variance.
    """

    MORE_LOOKS: Sequence[Look]
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


def calibrate(network: Network, squared_errors: np.ndarray) -> None:
    """Makes the network's evidence as certain as it was right.

    squared_errors: (n,) of fused poses whose truth is known, see `Candidate.squared_error`. By their median, not to follow a few misses.
    """
    network.certainty *= chi2.median(6) / max(float(np.median(squared_errors)), 1e-6)


def make_network(
    name: str,
    cameras: Sequence[Camera],
    world_from_ct: np.ndarray,
    centroid: np.ndarray,
    landmarks: np.ndarray,
    seed: int = 0,
) -> Network:
    """A network with random weights, the same for the same seed.

    cameras: of the windows, one a view.   world_from_ct: (4, 4), the nominal pose.   centroid: (3,) CT mm.
    landmarks: (K, 3) CT mm, see `choose_landmarks`.

    InputError for a name that is none of NAMES.
    """
    if name not in NAMES:
        raise InputError(f'the network "{name}" is not known, expected one of {", ".join(NAMES)}; correct its name.')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = (
            VotingNetwork(cameras, landmarks, centroid)
            if name == "voting"
            else PoseNetwork(cameras, world_from_ct, centroid)
        )
    return network.to(memory_format=torch.channels_last)
