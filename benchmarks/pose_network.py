"""The network and the losses that the papers' method is taken apart with.

"pose", and DiffPose's losses with either cross-view term.

Importing this makes them known by their names, as those of the library.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from MultiViewRegistrationLib.geometry import rigid_torch
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.regressor.loss import PRESETS
from MultiViewRegistrationLib.regressor.network import NETWORKS, UNIT, Poses, PublishedPoseNetwork

#: The features are averaged over so many parts of the image along either side, not over all of it,
#: to keep where things are.
POOLED = 2
#: Least and largest scale of a pose's error that the network may claim, in UNIT.
MIN_SCALE, MAX_SCALE = 0.003, 3.0


class PoseNetwork(PublishedPoseNetwork):
    """The papers' network with heads of our own.

    The features of the image's quarters are kept apart. The heads predict a rotation vector and a
    shift of the CT from its nominal pose, in UNIT and the axes of the camera: the CT turns about
    the anatomy's centroid by the exponential of the one, and is moved by the other as it is; both
    are nearly 0 at first. A third head, not in the papers, predicts the error along each axis.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        world_from_ct: np.ndarray,
        centroid: np.ndarray,
        width: int = 16,
    ) -> None:
        super().__init__(cameras, world_from_ct, centroid, width)
        self.rotation, self.translation, self.spread = (
            nn.Linear(8 * width * POOLED**2, size) for size in (3, 3, 6)
        )
        for head in (self.rotation, self.translation, self.spread):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)

    def forward(self, images: Tensor, view: Tensor) -> Poses:
        """Predict the poses of images (n, 2, rows, columns) that view (n,) took."""
        features = nn.functional.adaptive_avg_pool2d(self.features(images), POOLED).flatten(1)
        turn, shift = UNIT[0] * self.rotation(features), UNIT[1] * self.translation(features)
        nominal = self.nominal[view]
        centre = self._centre(nominal)
        R = torch.linalg.matrix_exp(rigid_torch.hat(turn))
        t = (R @ (nominal[:, :3, 3] - centre)[..., None])[..., 0] + centre + shift
        log_scales = self.spread(features).clamp(np.log(MIN_SCALE), np.log(MAX_SCALE))
        return Poses(rigid_torch.from_rotation_translation(R @ nominal[:, :3, :3], t), log_scales)


NETWORKS["pose"] = PoseNetwork
PRESETS["diffpose+cross-pose"] = {"pose": 0.005, "image": 1.0, "cross_pose": 0.005}
PRESETS["diffpose+cross-image"] = {"pose": 0.01, "image": 0.5, "cross_image": 0.5}
