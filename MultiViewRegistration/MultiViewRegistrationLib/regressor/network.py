"""The networks that look at single views.

The image cells of one vote for landmarks; the other one predicts the pose itself, with the papers'
regression head as it was published.

    network = make_network("voting", cameras, world_from_ct, centroid, landmarks)
    predicted = network(images, view)                        # images of any views and any poses, (n, 2, 64, 64)
    loss = network.loss(predicted, camera_from_ct, view)     # (n,)
    poses = fuse(network.evidence(predicted, cameras), centroid, world_from_ct)      # of images of one pose

Their blocks are those of ResNet (He et al., CVPR 2016) with group normalisation (Wu and He, ECCV
2018), which does not mind small batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor, nn

from ..errors import InputError
from ..extensions import find
from ..geometry import rigid, rigid_torch
from ..geometry.camera import Camera
from ..imaging.ct import BONE_HU, BONE_SHARE_OF_LARGEST, CT, attenuation, voxels_in
from .fusion import Evidence, LandmarkVotes, PoseEstimate

#: The default: docs/tables/regressor.md has what it was seen to do.
VOTING = "voting"
#: Channels that are normalised together.
GROUP = 16

LANDMARKS = 24
#: Landmarks lie within this distance of the anatomy's centroid, in mm: what an image of it shows,
#: or nearly.
REACH_MM = 130.0
#: About the distance in mm of the voxels among which landmarks are chosen.
COARSE_MM = 4.0
#: Least and largest scale that a vote may claim, and that at first, in widths of the image.
MIN_VOTE_SCALE = 0.003
MAX_VOTE_SCALE = 2.7
FIRST_VOTE_SCALE = 0.3
#: How many independent votes an image's votes are worth, as measured.
WORTH = 3.0
#: Kept before the source so far, in mm.
MIN_DEPTH_MM = 10.0

#: Units of a pose's error: rad and mm.
UNIT = (0.2, 30.0)


class Augmentation(NamedTuple):
    """A slightly transformed image.

    Shifted by shares of its width and height, scaled and, but for a slot scan, turned about the
    beam.
    """

    right: float = 0.0
    down: float = 0.0
    roll_deg: float = 0.0
    scale: float = 1.0

    def camera(self, window: Camera, camera: Camera) -> Camera:
        """Whose image that is: of a detector behind the source of `camera`, like that of `window` but for the augmentation."""
        intrinsics = np.diag([self.scale, self.scale, 1.0]) @ window.intrinsics
        intrinsics[:2, 2] = (
            window.intrinsics[:2, 2] + np.array([self.right, self.down]) * window.size
        )
        roll_deg = 0.0 if camera.is_slot_scan else self.roll_deg
        roll = rigid.turn_and_shift(np.radians([0, 0, roll_deg]), np.zeros(3))
        return replace(
            camera,
            intrinsics=intrinsics,
            camera_from_world=roll @ camera.camera_from_world,
            size=window.size,
        )


#: Towards each corner.
CORNER_AUGMENTATIONS = (
    Augmentation(0.06, 0.06, 12.0, 1.05),
    Augmentation(-0.06, 0.06, -12.0, 0.95),
    Augmentation(0.06, -0.06, -6.0, 0.95),
    Augmentation(-0.06, -0.06, 6.0, 1.05),
)


class Network(nn.Module):
    """A network that looks at single views.

    All it knows of the CT and the training's geometry is in its state_dict. AUGMENTATIONS:
    transformations of an X-ray whose prediction is uncertain.

    Parameters
    ----------
    constants
        Kept there in single precision.

    Attributes
    ----------
    stem, body
        Its first layers; the convolutions of the body learn by `Muon`.
    certainty
        By how much more its evidence knows than was thought before `calibrate`, as an inverse
        variance.
    """

    AUGMENTATIONS: Sequence[Augmentation] = ()
    stem: nn.Module
    body: nn.Module
    certainty: Tensor

    def __init__(self, **constants: np.ndarray) -> None:
        super().__init__()
        for name, values in {**constants, "certainty": 1.0}.items():
            self.register_buffer(name, torch.tensor(np.asarray(values), dtype=torch.float32))

    def features(self, images: Tensor) -> Tensor:
        """Return the prediction; the body in the device's precision, the heads in single precision, as positions need more than 8 bits."""
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        with torch.autocast(
            x.device.type, torch.bfloat16, enabled=precision_on(x.device) is torch.bfloat16
        ):
            return self.body(x).float()

    def take_weights(self, other: Network) -> None:
        """Take what another CT's network has learned; what it knows of CT and cameras stays.

        Raises
        ------
        RuntimeError
            It has other layers.
        """
        own = dict(self.named_buffers())
        self.load_state_dict(
            {name: own.get(name, tensor) for name, tensor in other.state_dict().items()}
        )

    def known_landmarks(self, otherwise: np.ndarray) -> np.ndarray:
        """Return the points (K, 3), CT mm, at which errors are measured: those that it votes for, if any."""
        return otherwise

    def loss(self, predicted: Any, camera_from_ct: Tensor, view: Tensor) -> Tensor:
        """(n,) negative log-likelihood, up to a constant, of the true poses (n, 4, 4) of images that view (n,) int64 took."""
        raise NotImplementedError

    def evidence(self, predicted: Any, cameras: Sequence[Camera]) -> list[Evidence]:
        """Return the evidence of images of one pose of the CT.

        Image n was taken by camera n, of the image's size in pixels.
        """
        raise NotImplementedError

    def calibrate(self, squared_errors: np.ndarray) -> None:
        """Make the evidence as certain as it was right.

        Parameters
        ----------
        squared_errors
            (n,) of fused poses, see `Candidate.squared_error`. By their median, not to follow a few
            misses.
        """
        self.certainty *= chi2.median(6) / max(float(np.median(squared_errors)), 1e-6)


def precision_on(device: torch.device) -> torch.dtype:
    """Return the precision of a network's body.

    Bfloat16 on a CUDA device that has it, where it is faster; a processor only loses by it.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // GROUP), channels)


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    The second one's normalisation begins at 0, so that a new block adds nothing to its shortcut.
    """

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        last = _norm(channels)
        nn.init.zeros_(last.weight)
        self.path = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            _norm(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            last,
        )
        shortcut: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        if channels != channels_in:
            shortcut.append(nn.Conv2d(channels_in, channels, 1, bias=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.path(x) + self.shortcut(x), inplace=True)


def _stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    """Return two blocks; the first one changes channels and resolution."""
    return nn.Sequential(_Block(channels_in, channels, stride), _Block(channels, channels))


class CellVotes(NamedTuple):
    """The predictions for n images, in widths (heights) of the image from its middle.

    Attributes
    ----------
    positions
        (n, 2, K, cells), of each landmark as each cell has it.
    log_scales
        (n, K, cells), of its Laplace distribution.
    """

    positions: Tensor
    log_scales: Tensor


class VotingNetwork(Network):
    """Each cell, 8 pixels wide, sees the whole image and votes where fixed points of the CT are in it, and how sure it is.

    Every part of an image has its own word on the pose, so tools, shutters and what lies beyond the
    CT take some votes and leave the others; points outside the image are voted for like those
    within. The pose is then that of the camera by which the points fall where they are given
    (`fuse`), of one view or of several together, and the cameras need not be those of the training.
    After Peng et al., "PVNet" (CVPR 2019), where pixels vote for directions, with the scales of
    Kendall and Gal (NeurIPS 2017).

    Parameters
    ----------
    cameras
        Of the views as they are trained, of one size.
    landmarks
        (K, 3) CT mm.
    centroid
        (3,) CT mm, of the anatomy.
    width
        Channels of the finest features; the time goes with its square.
    """

    AUGMENTATIONS = CORNER_AUGMENTATIONS
    widths_from_camera: Tensor
    slot_scans: Tensor
    landmarks: Tensor
    centroid: Tensor

    def __init__(
        self,
        cameras: Sequence[Camera],
        landmarks: np.ndarray,
        centroid: np.ndarray,
        width: int = 16,
    ) -> None:
        size = np.array(cameras[0].size)
        widths_from_pixels = np.diag([*1 / size, 1.0])
        widths_from_pixels[:2, 2] = 0.5 / size - 0.5
        widths_from_camera = np.stack(
            [widths_from_pixels @ camera.intrinsics for camera in cameras]
        )
        super().__init__(
            widths_from_camera=widths_from_camera, landmarks=landmarks, centroid=centroid
        )
        self.register_buffer(
            "slot_scans",
            torch.tensor([camera.is_slot_scan for camera in cameras]),
            persistent=False,
        )
        self.stem = nn.Sequential(
            nn.Conv2d(2, width, 5, 2, 2, bias=False), _norm(width), nn.ReLU(inplace=True)
        )
        self.body = _TwoScales(width)
        self.head = nn.Conv2d(8 * width, 3 * len(landmarks), 1)
        nn.init.normal_(self.head.weight, std=0.01)
        first = np.repeat([0, 0, math.log(FIRST_VOTE_SCALE)], len(landmarks))
        self.head.bias = nn.Parameter(torch.from_numpy(first).float())

    def take_weights(self, other: Network) -> None:
        """As of `Network`, and vote for the same points about the anatomy's middle, which are nothing to be recognised."""
        super().take_weights(other)
        with torch.no_grad():
            theirs = dict(other.named_buffers())
            self.landmarks.copy_(theirs["landmarks"] - theirs["centroid"] + self.centroid)

    def known_landmarks(self, otherwise: np.ndarray) -> np.ndarray:
        """Return the points that it votes for."""
        return _numpy(self.landmarks)

    def forward(self, images: Tensor, view: Tensor) -> CellVotes:
        """Predict the votes of the cells of images.

        Parameters
        ----------
        images
            (n, 2, rows, columns), multiples of 16: standardised, and 1 where valid.
        view
            (n,) int64; not used.
        """
        output = self.head(self.features(images))
        n, _, rows, columns = output.shape
        output = output.reshape(n, 3, -1, rows * columns)
        middles = [
            (torch.arange(size, device=output.device) + 0.5) / size - 0.5
            for size in (rows, columns)
        ]
        cells = torch.stack(torch.meshgrid(*middles, indexing="ij")[::-1]).flatten(1)
        log_scales = output[:, 2].clamp(math.log(MIN_VOTE_SCALE), math.log(MAX_VOTE_SCALE))
        return CellVotes(output[:, :2] + cells[:, None], log_scales)

    def loss(self, predicted: CellVotes, camera_from_ct: Tensor, view: Tensor) -> Tensor:
        """Return a vote's mean of distance / scale + 2 log scale."""
        off = self.project(camera_from_ct, view)[..., None] - predicted.positions
        distance = (off.square().sum(dim=1) + 1e-8).sqrt()
        return (distance * torch.exp(-predicted.log_scales) + 2 * predicted.log_scales).mean(
            dim=(1, 2)
        )

    def project(self, camera_from_ct: Tensor, view: Tensor) -> Tensor:
        """(n, 2, K): where poses (n, 4, 4) put the landmarks, in widths of the image from its middle."""
        x, y, z = (camera_from_ct[:, :3, :3] @ self.landmarks.T + camera_from_ct[:, :3, 3:]).unbind(
            1
        )
        depth = z.clamp(min=MIN_DEPTH_MM)
        along = torch.where(
            self.slot_scans[view, None], y, y / depth
        )  # rows of a slot scan are parallel
        return (
            self.widths_from_camera[view]
            @ torch.stack([x / depth, along, torch.ones_like(z)], dim=1)
        )[:, :2]

    def evidence(self, predicted: CellVotes, cameras: Sequence[Camera]) -> list[Evidence]:
        """Return the evidence of what the network predicted, a view each."""
        landmarks = _numpy(self.landmarks)
        centroid = _numpy(self.centroid)
        worth = WORTH * self.certainty.item()
        votes: list[Evidence] = []
        for camera, where, scale in zip(
            cameras, _numpy(predicted.positions), np.exp(_numpy(predicted.log_scales)), strict=True
        ):
            size = np.array(camera.size)[:, None, None]
            scale_px = scale * math.sqrt(size.prod())
            votes.append(
                LandmarkVotes(
                    camera, landmarks, centroid, (where + 0.5) * size - 0.5, scale_px, worth
                )
            )
        return votes


class _TwoScales(nn.Module):
    """Features (n, 8 width, rows / 8, columns / 8) from the stem's (n, width, rows / 2, columns / 2).

    Three stages; the last one's features, at half the resolution, see the whole image and are added
    to those of the second.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Sequential(_stage(width, 2 * width, 2), _stage(2 * width, 4 * width, 2))
        self.far = _stage(4 * width, 8 * width, 2)
        self.across = nn.Conv2d(4 * width, 8 * width, 1, bias=False)
        self.after = nn.Sequential(_norm(8 * width), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        near = self.near(x)
        return self.after(
            self.across(near)
            + nn.functional.interpolate(self.far(near), scale_factor=2, mode="nearest")
        )


class Poses(NamedTuple):
    """The predictions for n images.

    Attributes
    ----------
    camera_from_ct
        (n, 4, 4).
    """

    camera_from_ct: Tensor


class PoseNetwork(Network):
    """ResNet-18 with the regression head of DiffPose as published, taken over by Cui and others.

    The features are averaged over the whole image; two linear layers, one for rad and one for mm,
    give a twist, and its exponential on SE(3) moves the C-arm from its nominal place, in the axes
    of the CT: ct_from_camera = exp(twist) @ the nominal one. It predicts no error: the scale
    along each axis of the motion to the truth is UNIT, which `calibrate` multiplies by one number. Otherwise than there (Gopalakrishnan et
    al., CVPR 2024), the twist is one about the anatomy's centroid and not about a corner of the CT.

    A custom network is a subclass with a `name`, whose `__init__` sets another `stem` and `body`.
    `body(stem(images))` turns images (n, 2, 64, 64), which hold each X-ray around the CT and its
    validity, into features (n, 8 * width, rows, columns) of any size. At least one layer of `body`
    is a convolution.

    Parameters
    ----------
    cameras
        Of the views.
    world_from_ct
        (4, 4), the nominal pose.
    centroid
        (3,) CT mm.
    width
        Channels of the first stage, 64 in ResNet-18: a quarter takes a tenth of the time, and
        learns more in the same minutes on a CPU.
    """

    nominal: Tensor
    centroid: Tensor

    def __init__(
        self,
        cameras: Sequence[Camera],
        world_from_ct: np.ndarray,
        centroid: np.ndarray,
        width: int = 16,
    ) -> None:
        nominal = np.stack([camera.camera_from_world @ world_from_ct for camera in cameras])
        super().__init__(nominal=nominal, centroid=centroid)
        self.stem = nn.Sequential(
            nn.Conv2d(2, width, 7, 2, 3, bias=False),
            _norm(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        self.body = nn.Sequential(
            *(_stage(width * max(1, 2**n // 2), width * 2**n, min(n, 1) + 1) for n in range(4))
        )
        self.rotation = nn.Linear(8 * width, 3)
        self.translation = nn.Linear(8 * width, 3)

    def forward(self, images: Tensor, view: Tensor) -> Poses:
        """Predict the poses of images.

        Parameters
        ----------
        images
            (n, 2, rows, columns), standardised, and 1 where valid.
        view
            (n,) int64, which camera took each.
        """
        features = self.features(images).mean(dim=(2, 3))
        twist = torch.cat([self.rotation(features), self.translation(features)], dim=1)
        return Poses(self.moved(twist, view))

    def moved(self, twist: Tensor, view: Tensor) -> Tensor:
        """camera_from_ct (n, 4, 4): exp(-twist), (n, 6) in rad and mm, about the centroid, and then the nominal pose of each view (n,)."""
        back = rigid_torch.exp_se3(-twist)
        R = back[:, :3, :3]
        t = back[:, :3, 3]
        return self.nominal[view] @ rigid_torch.from_rotation_translation(
            R, t + self.centroid - R @ self.centroid
        )

    def loss(self, predicted: Poses, camera_from_ct: Tensor, view: Tensor | None = None) -> Tensor:
        """Return the mean over the axes of |error| / UNIT."""
        there = predicted.camera_from_ct
        true = camera_from_ct
        turn = rigid_torch.log_so3(true[:, :3, :3] @ there[:, :3, :3].mT)
        shift = self._centre(true) - self._centre(there)
        return torch.cat([turn / UNIT[0], shift / UNIT[1]], dim=1).abs().mean(dim=1)

    def evidence(self, predicted: Poses, cameras: Sequence[Camera]) -> list[Evidence]:
        """Return the evidence of what the network predicted, a view each."""
        centroid = _numpy(self.centroid)
        poses = _numpy(predicted.camera_from_ct)
        sd = np.repeat(UNIT, 3) * math.sqrt(2 / self.certainty.item())
        guesses: list[Evidence] = []
        for camera, pose in zip(cameras, poses, strict=True):
            world_from_ct = camera.world_from_camera @ rigid.check_rigid(pose, "camera_from_ct")
            axes = np.kron(np.eye(2), camera.world_from_camera[:3, :3])
            guesses.append(PoseEstimate(world_from_ct, axes * sd**2 @ axes.T, centroid))
        return guesses

    def _centre(self, camera_from_ct: Tensor) -> Tensor:
        """(n, 3): the centroid in the camera."""
        return (camera_from_ct[:, :3, :3] @ self.centroid) + camera_from_ct[:, :3, 3]


#: By the name in a model's card: each makes a network of cameras, landmarks or a nominal pose, and
#: the centroid.
NETWORKS: dict[str, Callable[..., Network]] = {
    VOTING: VotingNetwork,
    "published": PoseNetwork,
}


def _check_custom(network: Network, name: str, cameras: Sequence[Camera]) -> None:
    """Raise an InputError if a custom network cannot learn poses from images of these cameras."""
    columns, rows = cameras[0].size
    remedy = (
        f"Let __init__ set `stem` and `body`, which turn images (n, 2, {rows}, {columns}) into "
        "features (n, 8 * width, rows, columns), and override nothing else."
    )
    names, parameters = zip(*network.named_parameters(), strict=True)
    try:
        kernels = [each for each in network.body.parameters() if each.ndim == 4]
        images = torch.zeros(len(cameras), 2, rows, columns)
        poses = network(images, torch.arange(len(cameras))).camera_from_ct
        gradients = torch.autograd.grad(poses.sum(), parameters, allow_unused=True)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f'The network "{name}" predicts no pose ({error}). {remedy}') from error
    unused = [each for each, gradient in zip(names, gradients, strict=True) if gradient is None]
    if unused or not kernels:
        fault = f"does not use {unused[0]}" if unused else "has no convolution in its body"
        raise InputError(f'The network "{name}" {fault}. {remedy}')


def make_network(
    name: str,
    cameras: Sequence[Camera],
    world_from_ct: np.ndarray,
    centroid: np.ndarray,
    landmarks: np.ndarray,
    seed: int = 0,
) -> Network:
    """Return a network with random weights, the same for the same seed.

    Parameters
    ----------
    name : of NETWORKS, or one that a package registers, else InputError.
    cameras : of the windows, one a view.
    world_from_ct : (4, 4), the nominal pose.
    centroid, landmarks : (3,), (K, 3) CT mm, see `choose_landmarks`.
    """
    maker = NETWORKS.get(name) or find("network", name, NETWORKS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = maker(cameras, landmarks if name == VOTING else world_from_ct, centroid)
        if name not in NETWORKS:
            _check_custom(network, name, cameras)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()


def choose_landmarks(
    ct: CT, centroid: np.ndarray, count: int = LANDMARKS, reach_mm: float = REACH_MM
) -> np.ndarray:
    """Points (count, 3) in CT mm on the bone about the anatomy's centroid (3,), far from each other.

    Each is the one farthest from those before it (Gonzalez, Theor. Comput. Sci. 38, 1985). What
    counts is that they are spread: they are nothing that has to be recognised. Where there is no
    bone within reach all tissue serves.
    """
    values = ct.volume.values
    bone = values > (BONE_HU if ct.unit == "hu" else BONE_SHARE_OF_LARGEST * values.max())
    step = voxels_in(COARSE_MM, ct.volume.spacing_mm)
    for selected in (bone, attenuation(ct).values > 0):
        index = np.argwhere(selected[:: step[2], :: step[1], :: step[0]])[:, ::-1] * step
        points = rigid.transform_points(ct.volume.ct_from_index, index)
        points = points[np.linalg.norm(points - centroid, axis=1) <= reach_mm]
        if len(points) >= count:
            break
    first = np.argmax(np.linalg.norm(points - centroid, axis=1))
    return rigid.spread(np.concatenate([points[first : first + 1], points]), count)
