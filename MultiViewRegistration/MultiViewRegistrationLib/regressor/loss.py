"""The four losses of Cui et al., on those of DiffPose.

Cui et al.: "Robust and accurate multi-view 2D/3D image registration with differentiable X-ray
rendering and dual cross-view constraints" (ICRA 2025, arXiv 2506.22191). DiffPose: Gopalakrishnan
et al., CVPR 2024.

Frames. A network predicts where the CT lies in the frame of the camera, `camera_from_ct`: T_a of
view a, and ^T_a its prediction. The views hang together by their known cameras C_a =
camera_from_world. View b's prediction, seen from view a, is

    ^T_ab = C_a C_b^-1 ^T_b,    ^T_aa = ^T_a,

and ^T_ab = T_a if b's prediction is perfect and the cameras are exact. Poses are compared as they
stand in DiffPose: as the place of the C-arm about the CT, X_a = ct_from_isocentre = T_a^-1
(translation by r_a along the beam), which is the frame of the camera moved from its source to its
isocentre, r_a further on. With theta the angle between two poses and t their translations, i.e. the
isocentre in CT mm, view a through view b has

    pose    ||log(^X_ab^-1 X_a)|| + sqrt((r_a theta)^2 + ||^t_ab - t_a||^2)      geodesic and double geodesic
    image   1 - NCC(X-ray of a, DRR in camera a at ^T_ab)

The losses "pose" and "image" are the means of these over the views, a = b; "cross_pose" and
"cross_image" the means over all ordered pairs of views, a != b. All are 0 at the perfect answer.

What a cross-view loss can teach. The images of other views show what one view cannot see of its own
error, its depth: "cross_image" has a gradient where "image" has none. "cross_pose" has little to
add. Its distances do not depend on the frame that the CT is in, nor, if the views turn about one
isocentre, on which of them it is seen from: then ||log(^X_ab^-1 X_a)|| = ||log(^X_bb^-1 X_b)||, and
"cross_pose" is "pose" counted once more. It differs where isocentres lie apart, or where `true` has
cameras other than the known ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..extensions import find
from ..geometry import rigid_torch
from ..geometry.camera import Camera
from ..imaging.ct import CT, Volume, attenuation, voxels_in
from ..published.refine import ncc
from ..rendering.autograd import DifferentiableRenderer
from .network import VOTING, Network

#: What each loss counts, by its name. diffpose: (1 - NCC) + 0.01 (geodesic + double geodesic),
#: experiments/deepfluoro/train.py of github.com/eigenvivek/DiffPose. cui2025: for two views A and B
#: a quarter of the sum of the same over A, B, A through B, B through A; the two quarters for own
#: views are half of their mean.
PRESETS = {
    "diffpose": {"pose": 0.01, "image": 1.0},
    "cui2025": {"pose": 0.005, "image": 0.5, "cross_pose": 0.005, "cross_image": 0.5},
}
LIKELIHOOD = "likelihood"
#: Size of a voxel in pixels for the images that a loss compares.
_VOXEL = 1.25

LossFunction = Callable[[Network, Tensor, Tensor], Tensor]
"""(network, images (n, views, 2, rows, columns), camera_from_ct (n, views, 4, 4)) -> the loss, a
number."""


class PoseLoss(Protocol):
    """An own loss of predicted poses.

    Attributes
    ----------
    name
        By which it is chosen, and which the model's card has.
    """

    name: str

    def loss(self, predicted: Tensor, true: Tensor) -> Tensor:
        """Return a number with a gradient, least for the truth.

        Parameters
        ----------
        predicted, true
            camera_from_ct (n, views, 4, 4), mm.
        """
        ...


class PoseAndImageLoss:
    """The losses of a CT's predicted poses in a number of views.

    Parameters
    ----------
    cameras
        Of the views, with the size and intrinsics of the images that are compared, e.g. 64 x 64
        pixels.
    source_to_isocentre_mm
        For each view, along the beam; without a known isocentre, to the anatomy at the nominal
        pose.
    volume
        Attenuation, 1/mm, of a resolution that fits these images.
    weights
        A row of PRESETS. What counts nothing is not computed.
    device
        On which the DRRs are made.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        source_to_isocentre_mm: Sequence[float],
        volume: Volume,
        weights: Mapping[str, float],
        device: str = "cpu",
    ) -> None:
        self._cameras = tuple(cameras)
        self._weights = weights
        self._radius_mm = source_to_isocentre_mm
        camera_from_world = np.stack([camera.camera_from_world for camera in cameras])
        self._camera_from_world = torch.from_numpy(camera_from_world).to(device)
        self._world_from_camera = rigid_torch.inverse(self._camera_from_world)
        self._renderer = DifferentiableRenderer(volume, device)

    def terms(self, predicted: Tensor, true: Tensor, xrays: Tensor | None) -> dict[str, Tensor]:
        """Return each loss with a weight, (n,), by its name.

        Those across views only where there are several.

        Parameters
        ----------
        predicted, true
            camera_from_ct (n, views, 4, 4), mm.
        xrays
            (n, views, rows, columns), any scale and offset, bone bright; may be missing where no
            image counts.

        Raises
        ------
        InputError
            A pose is not finite, where an image counts.
        """
        poses = through(predicted, self._camera_from_world)
        views = range(len(self._cameras))
        pairs = {
            "": [(a, a) for a in views],
            "cross_": list(permutations(views, 2)),
        }
        found = {}
        for prefix, of in pairs.items():
            if of and prefix + "pose" in self._weights:
                each = [pose_loss(poses[:, a, b], true[:, a], self._radius_mm[a]) for a, b in of]
                found[prefix + "pose"] = torch.stack(each).mean(0)
            if of and prefix + "image" in self._weights and xrays is not None:
                each = [image_loss(xrays[:, a], self.drr(a, poses[:, a, b])) for a, b in of]
                found[prefix + "image"] = torch.stack(each).mean(0)
        return found

    def __call__(self, predicted: Tensor, true: Tensor, xrays: Tensor | None = None) -> Tensor:
        """Return (n,), the weighted sum of `terms`."""
        terms = self.terms(predicted, true, xrays)
        return torch.stack([self._weights[name] * term for name, term in terms.items()]).sum(0)

    def drr(self, view: int, camera_from_ct: Tensor) -> Tensor:
        """Return (n, rows, columns) of a view, by its number, at camera_from_ct (n, 4, 4)."""
        world_from_ct = self._world_from_camera[view].to(camera_from_ct) @ camera_from_ct
        return self._renderer(self._cameras[view], world_from_ct)


def in_cameras(cameras: Sequence[Camera], world_from_ct: Tensor) -> Tensor:
    """Return camera_from_ct (..., views, 4, 4) of poses (..., 4, 4)."""
    camera_from_world = torch.from_numpy(
        np.stack([camera.camera_from_world for camera in cameras])
    ).to(world_from_ct)
    return camera_from_world @ world_from_ct[..., None, :, :]


def through(predicted: Tensor, camera_from_world: Tensor) -> Tensor:
    """Return the pose in view a as view b's prediction has it, C_a C_b^-1 ^T_b, (..., a, b, 4, 4).

    Parameters
    ----------
    predicted
        camera_from_ct (..., views, 4, 4).
    camera_from_world
        (views, 4, 4).
    """
    a_from_b = camera_from_world[:, None] @ rigid_torch.inverse(camera_from_world)
    return a_from_b.to(predicted) @ predicted[..., None, :, :, :]


def pose_loss(predicted: Tensor, true: Tensor, radius_mm: float) -> Tensor:
    """Return geodesic + double geodesic (...) of camera_from_ct (..., 4, 4), as places of the C-arm about the CT; see the module.

    Parameters
    ----------
    radius_mm
        From the source to the isocentre.
    """

    def ct_from_isocentre(camera_from_ct: Tensor) -> Tensor:
        ct_from_camera = rigid_torch.inverse(camera_from_ct)
        R = ct_from_camera[..., :3, :3]
        return rigid_torch.from_rotation_translation(
            R, ct_from_camera[..., :3, 3] + radius_mm * R[..., 2]
        )

    a = ct_from_isocentre(predicted)
    b = ct_from_isocentre(true)
    return rigid_torch.geodesic(a, b) + rigid_torch.geodesic_distance(a, b, radius_mm)


def image_loss(xray: Tensor, image: Tensor) -> Tensor:
    """Return 1 - NCC (...) of images (..., rows, columns), NCC being the correlation coefficient of the pixels' values.

    It is 0 for images that are one up to scale and offset, 1 where one of them is empty.
    """
    return 1 - ncc(
        xray.to(image).flatten(-2), image.flatten(-2), torch.finfo(image.dtype).tiny ** 0.25
    )


def make_loss(
    name: str,
    network: str,
    ct: CT,
    cameras: Sequence[Camera],
    centre: np.ndarray,
    device: str,
) -> LossFunction:
    """Return the loss of that name: "likelihood", each view by itself, a row of PRESETS, or one that a package registers.

    Parameters
    ----------
    network
        Its name.
    cameras
        Of the images.
    centre
        (3,) world mm, of the anatomy at the nominal pose.
    device
        On which DRRs are made for it.

    Raises
    ------
    InputError
        An unknown name, or a loss of poses with a network that predicts none.
    """
    if name == LIKELIHOOD:
        return likelihood
    own = None if name in PRESETS else find("loss", name, [LIKELIHOOD, *PRESETS])
    if network == VOTING:
        raise InputError(
            f'the loss "{name}" is one of poses, which the network "{network}" does not say; use the network "published", or '
            f'the loss "{LIKELIHOOD}".'
        )
    if own:
        of_poses = own().loss
        return lambda network, images, true: of_poses(_poses(network, images), true)
    depths = [float(camera.depth(centre)) for camera in cameras]
    volume = attenuation(ct)
    pixel_mm = np.mean([camera.pixel_mm(centre) for camera in cameras])
    volume = volume.pooled(tuple(voxels_in(_VOXEL * pixel_mm, volume.spacing_mm)))
    losses = PoseAndImageLoss(cameras, depths, volume, PRESETS[name], device)

    def published(network: Network, images: Tensor, camera_from_ct: Tensor) -> Tensor:
        """Return the preset.

        Predictions are compared with the image at the true pose as a DRR shows it: no prediction
        can show the random nuisances of the network's image.
        """
        poses = _poses(network, images)
        if not torch.isfinite(poses).all():
            return poses.sum()
        with torch.no_grad():
            xrays = torch.stack(
                [losses.drr(n, camera_from_ct[:, n]) for n in range(len(cameras))], dim=1
            )
        return losses(poses, camera_from_ct, xrays).mean()

    return published


def likelihood(network: Network, images: Tensor, camera_from_ct: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the truth, of all views alike."""
    predicted, view = _predicted(network, images)
    return network.loss(predicted, camera_from_ct.flatten(0, 1), view).mean()


def _poses(network: Network, images: Tensor) -> Tensor:
    """Return camera_from_ct (n, views, 4, 4) as the network predicts it."""
    predicted, _ = _predicted(network, images)
    return predicted.camera_from_ct.unflatten(0, images.shape[:2])


def _predicted(network: Network, images: Tensor):
    n, views = images.shape[:2]
    view = torch.arange(views, device=images.device).repeat(n)
    return network(images.flatten(0, 1), view), view
