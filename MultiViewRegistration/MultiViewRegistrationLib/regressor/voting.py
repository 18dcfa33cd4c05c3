"""Landmark voting: each cell of a coarse grid over the image says where fixed points of the CT are in the image, and how sure it is.

Every part of an image has its own word on the pose, so tools, shutters and what lies beyond the CT take some votes and leave the others;
points outside the image are voted for like those within. The pose is then that of the camera by which the points fall where they are said
to be (`fuse`), of one view or of several together, and the cameras need not be those of the training. After Peng et al., "PVNet" (CVPR
2019), where pixels vote for directions, with the scales of Kendall and Gal (NeurIPS 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import BONE_HU, BONE_SHARE_OF_LARGEST, CT, attenuation
from .fusion import LandmarkVotes
from .network import features_of, norm, stage
from .test_time_augmentation import CORNER_AUGMENTATIONS

LANDMARKS = 24
#: Landmarks lie within this distance of the anatomy's centroid, in mm: what an image of it shows, or nearly.
REACH_MM = 130.0
#: About the distance in mm of the voxels among which landmarks are chosen.
COARSE_MM = 4.0
#: Least and largest scale that a vote may claim, and that at first, in widths of the image.
MIN_SCALE, MAX_SCALE, FIRST_SCALE = 0.003, 2.7, 0.3
#: How many independent votes an image's votes are worth, as measured.
WORTH = 3.0
#: Kept before the source so far, in mm.
MIN_DEPTH_MM = 10.0


class CellVotes(NamedTuple):
    """What n images show, in widths (heights) of the image from its middle.

    positions: (n, 2, K, cells), of each landmark as each cell has it.   log_scales: (n, K, cells), of its Laplace distribution.
    """

    positions: Tensor
    log_scales: Tensor


class VotingNetwork(nn.Module):
    """A small residual network whose cells, 8 pixels wide, see the whole image and vote.

    cameras: of the views as they are trained, of one size.   landmarks: (K, 3) CT mm.   centroid: (3,) CT mm, of the anatomy.
    width: channels of the finest features; the time goes with its square.
    """

    AUGMENTATIONS = CORNER_AUGMENTATIONS

    def __init__(self, cameras: Sequence[Camera], landmarks: np.ndarray, centroid: np.ndarray, width: int = 16) -> None:
        super().__init__()
        size = np.diag([*1 / np.array(cameras[0].size), 1.0])
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        middle = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        self.register_buffer(
            "widths_from_camera",
            torch.tensor(np.stack([middle @ size @ shift @ c.intrinsics for c in cameras])).float(),
        )
        self.register_buffer("landmarks", torch.tensor(landmarks, dtype=torch.float32))
        self.register_buffer("centroid", torch.tensor(centroid, dtype=torch.float32))
        self.register_buffer("certainty", torch.tensor(1.0))
        self.stem = nn.Sequential(nn.Conv2d(2, width, 5, 2, 2, bias=False), norm(width), nn.ReLU(inplace=True))
        self.body = _Body(width)
        self.head = nn.Conv2d(8 * width, 3 * len(landmarks), 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.head.bias[2 * len(landmarks) :], math.log(FIRST_SCALE))

    def forward(self, images: Tensor, view: Tensor) -> CellVotes:
        """images: (n, 2, rows, columns), multiples of 16: standardised, and 1 where valid.   view: (n,) int64; not used."""
        said = self.head(features_of(self.body, self.stem(images.contiguous(memory_format=torch.channels_last))))
        n, _, rows, columns = said.shape
        said = said.reshape(n, 3, -1, rows * columns)
        middles = [(torch.arange(size, device=said.device) + 0.5) / size - 0.5 for size in (rows, columns)]
        cells = torch.stack(torch.meshgrid(*middles, indexing="ij")[::-1]).flatten(1)
        return CellVotes(said[:, :2] + cells[:, None], said[:, 2].clamp(math.log(MIN_SCALE), math.log(MAX_SCALE)))

    def loss(self, predicted: CellVotes, camera_from_ct: Tensor, view: Tensor) -> Tensor:
        """(n,) negative log-likelihood of the true poses (n, 4, 4), a vote's mean of distance / scale + 2 log scale."""
        off = self.project(camera_from_ct, view)[..., None] - predicted.positions
        distance = (off.square().sum(dim=1) + 1e-8).sqrt()
        return (distance * torch.exp(-predicted.log_scales) + 2 * predicted.log_scales).mean(dim=(1, 2))

    def project(self, camera_from_ct: Tensor, view: Tensor) -> Tensor:
        """(n, 2, K): where poses (n, 4, 4) put the landmarks, in widths of the image from its middle."""
        x = self.widths_from_camera[view] @ (camera_from_ct[:, :3, :3] @ self.landmarks.T + camera_from_ct[:, :3, 3:])
        return x[:, :2] / x[:, 2:].clamp(min=MIN_DEPTH_MM)

    def evidence(self, predicted: CellVotes, cameras: Sequence[Camera]) -> list[LandmarkVotes]:
        """What the images say of one pose of the CT, for `fuse`: image n was taken by camera n, of the image's size in pixels."""
        landmarks, centroid = self.landmarks.double().cpu().numpy(), self.centroid.double().cpu().numpy()
        positions = predicted.positions.detach().double().permute(0, 2, 3, 1).cpu().numpy()
        scales = predicted.log_scales.detach().double().exp().cpu().numpy()
        worth = WORTH * self.certainty.item()
        return [
            LandmarkVotes(
                camera,
                landmarks,
                centroid,
                (p + 0.5) * camera.size - 0.5,
                s * math.sqrt(camera.size[0] * camera.size[1]),
                worth,
            )
            for camera, p, s in zip(cameras, positions, scales, strict=True)
        ]


class _Body(nn.Module):
    """Features (n, 8 width, rows / 8, columns / 8) from the stem's (n, width, rows / 2, columns / 2).

    Three stages; the last one's features, at half the resolution, see the whole image and are added to those of the second.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Sequential(stage(width, 2 * width, 2, 2), stage(2 * width, 4 * width, 2, 2))
        self.far = stage(4 * width, 8 * width, 2, 2)
        self.across = nn.Conv2d(4 * width, 8 * width, 1, bias=False)
        self.after = nn.Sequential(norm(8 * width), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        near = self.near(x)
        return self.after(self.across(near) + nn.functional.interpolate(self.far(near), scale_factor=2, mode="nearest"))


def choose_landmarks(ct: CT, count: int = LANDMARKS, reach_mm: float = REACH_MM) -> np.ndarray:
    """Points (count, 3) in CT mm on the bone about the anatomy's centroid (on the structure, if there is a mask), far from each other.

    Each is the one farthest from those before it (Gonzalez, Theor. Comput. Sci. 38, 1985). What counts is that they are spread: they are
    nothing that has to be recognised. Where there is no bone within reach all tissue serves.
    """
    centroid = ct.centroid()
    for selected in (_bone(ct), attenuation(ct).values > 0):
        points = _centres(ct, selected)
        points = points[np.linalg.norm(points - centroid, axis=1) <= reach_mm]
        if len(points) >= count:
            break
    chosen = [int(np.argmax(np.linalg.norm(points - centroid, axis=1)))]
    apart = np.full(len(points), np.inf)
    while len(chosen) < count:
        apart = np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(apart)))
    return points[chosen]


def _bone(ct: CT) -> np.ndarray:
    if ct.mask is not None:
        return ct.mask
    values = ct.volume.values
    return values > (BONE_HU if ct.unit == "hu" else BONE_SHARE_OF_LARGEST * values.max())


def _centres(ct: CT, selected: np.ndarray) -> np.ndarray:
    """(n, 3) CT mm: every so many of the selected voxels."""
    step = tuple(max(1, round(COARSE_MM / mm)) for mm in ct.volume.spacing_mm)
    index = np.argwhere(selected[:: step[2], :: step[1], :: step[0]])[:, ::-1] * step
    return rigid.transform_points(ct.volume.ct_from_index, index)
