"""The network of the papers: a ResNet-18 that says the pose itself, by a rotation and a translation head in se(3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..geometry import rigid
from ..geometry.camera import Camera
from . import se3
from .fusion import PoseEstimate
from .network import features_of, norm, stage

#: What a head's output of 1 means: rad and mm.
UNIT = (0.2, 30.0)
#: The features are averaged over so many parts of the image along either side, not over all of it: where things are is what is asked for.
POOLED = 2
#: Channels of the first stage: a quarter of ResNet-18's takes a tenth of the time, and learns more in the same minutes on a CPU.
WIDTH = 16
#: Least and largest scale of an error that a network may claim, in these units.
MIN_SCALE, MAX_SCALE = 0.003, 3.0


class Poses(NamedTuple):
    """What n images show.

    camera_from_ct: (n, 4, 4).   log_scales: (n, 6), of the error's Laplace distribution along each axis of the motion from here to the
    truth: turn about the anatomy's centroid and its shift, camera axes, in UNIT.
    """

    camera_from_ct: Tensor
    log_scales: Tensor


class PoseNetwork(nn.Module):
    """ResNet-18 (He et al., CVPR 2016) with group normalisation and two heads, as in DiffPose (Gopalakrishnan et al., CVPR 2024).

    Otherwise than there, the features of the image's quarters are kept apart. The heads say a motion (omega, v) of the CT from its nominal
    pose: camera_from_ct = exp of it, about the anatomy's centroid in the axes of the camera, after the nominal one; at first it is 0. A
    third head, which the papers' lack, says how far off that is along each axis.

    cameras: of the views.   world_from_ct: (4, 4), the nominal pose.   centroid: (3,) CT mm.
    width: channels of the first stage, 64 in ResNet-18.
    """

    AUGMENTATIONS = ()

    def __init__(
        self, cameras: Sequence[Camera], world_from_ct: np.ndarray, centroid: np.ndarray, width: int = WIDTH
    ) -> None:
        super().__init__()
        nominal = np.stack([camera.camera_from_world @ world_from_ct for camera in cameras])
        self.register_buffer("nominal", torch.tensor(nominal, dtype=torch.float32))
        self.register_buffer("centroid", torch.tensor(centroid, dtype=torch.float32))
        self.register_buffer("certainty", torch.tensor(1.0))
        self.stem = nn.Sequential(
            nn.Conv2d(2, width, 7, 2, 3, bias=False), norm(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        self.body = nn.Sequential(*(stage(width * max(1, 2**n // 2), width * 2**n, 2, min(n, 1) + 1) for n in range(4)))
        self.rotation, self.translation, self.spread = (nn.Linear(8 * width * POOLED**2, size) for size in (3, 3, 6))
        for head in (self.rotation, self.translation, self.spread):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)

    def forward(self, images: Tensor, view: Tensor) -> Poses:
        """images: (n, 2, rows, columns), standardised, and 1 where valid.   view: (n,) int64, which camera took each."""
        features = features_of(self.body, self.stem(images.contiguous(memory_format=torch.channels_last)))
        features = nn.functional.adaptive_avg_pool2d(features, POOLED).flatten(1)
        turn, shift = UNIT[0] * self.rotation(features), UNIT[1] * self.translation(features)
        nominal = self.nominal[view]
        centre = self._centre(nominal)
        R = se3.exp_so3(turn)
        t = (R @ (nominal[:, :3, 3] - centre)[..., None])[..., 0] + centre + shift
        log_scales = self.spread(features).clamp(np.log(MIN_SCALE), np.log(MAX_SCALE))
        return Poses(se3.pose(R @ nominal[:, :3, :3], t), log_scales)

    def loss(self, predicted: Poses, camera_from_ct: Tensor, view: Tensor) -> Tensor:
        """(n,) negative log-likelihood of the true poses (n, 4, 4) up to a constant, per axis: mean of |error| / scale + log scale."""
        error = self._error(predicted.camera_from_ct, camera_from_ct)
        return (error.abs() * torch.exp(-predicted.log_scales) + predicted.log_scales).mean(dim=1)

    def scale_loss(self, predicted: Poses, camera_from_ct: Tensor) -> Tensor:
        """(n,) the same as a loss of the scales alone, to go with a loss of the poses that knows of no scales, such as the papers'."""
        return self.loss(predicted._replace(camera_from_ct=predicted.camera_from_ct.detach()), camera_from_ct, None)

    def evidence(self, predicted: Poses, cameras: Sequence[Camera]) -> list[PoseEstimate]:
        """What the images say of one pose of the CT, for `fuse`: image n was taken by camera n."""
        centroid = self.centroid.double().cpu().numpy()
        unit = np.repeat(UNIT, 3)
        variances = (
            2 * (unit * np.exp(predicted.log_scales.detach().double().cpu().numpy())) ** 2 / self.certainty.item()
        )
        poses = predicted.camera_from_ct.detach().double().cpu().numpy()
        guesses = []
        for camera, pose, variance in zip(cameras, poses, variances, strict=True):
            world_from_ct = camera.world_from_camera @ rigid.check_rigid(pose, "camera_from_ct")
            axes = np.kron(np.eye(2), camera.world_from_camera[:3, :3])
            guesses.append(PoseEstimate(world_from_ct, axes * variance @ axes.T, centroid))
        return guesses

    def _centre(self, camera_from_ct: Tensor) -> Tensor:
        """(n, 3): the centroid in the camera."""
        return (camera_from_ct[:, :3, :3] @ self.centroid) + camera_from_ct[:, :3, 3]

    def _error(self, predicted: Tensor, true: Tensor) -> Tensor:
        """(n, 6) the motion from the predicted to the true pose, in UNIT."""
        turn = se3.log_so3(true[:, :3, :3] @ predicted[:, :3, :3].mT)
        return torch.cat([turn / UNIT[0], (self._centre(true) - self._centre(predicted)) / UNIT[1]], dim=1)
