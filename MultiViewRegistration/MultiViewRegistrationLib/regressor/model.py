"""A trained network and what it is for: from X-rays to candidates for the pose, in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.machines import SlotScanCamera
from ..imaging.ct import CT
from ..imaging.xray import View
from ..rendering.devices import run_tasks
from .fusion import Candidate, fuse, geometry_covariance
from .images import prepare
from .model_store import Card, ct_sha256, load_checkpoint
from .network import LANDMARKS, Augmentation, Network, make_network
from .poses import PoseRange

#: A network that expects to be farther off than this sees the X-rays again, augmented.
MAX_CERTAIN_MM = 8.0


class RegressorModel:
    """A network with its card.

    Parameters
    ----------
    folder
        Where it was loaded from or saved to.
    """

    def __init__(self, card: Card, network: Network, folder: Path | None) -> None:
        self.card = card
        self.network = network
        self.folder = folder
        self._cameras = cameras_of(card)
        self._poses = poses_of(card)
        self._centroid = np.array(card.centroid)

    def check_ct(self, ct: CT) -> None:
        """Refuse a CT of which the model is not.

        Raises
        ------
        InputError
            Where the model is of another CT.
        """
        if ct_sha256(ct) != self.card.ct_sha256:
            raise InputError(
                f"{self.folder}: the model is of another CT, and knows nothing of this one; train "
                "one for this CT."
            )

    def candidates(
        self, views: Sequence[View], world_from_ct: np.ndarray | None = None
    ) -> list[Candidate]:
        """Return the network's predictions for X-rays, the most credible pose first.

        See `fusion.fuse`.

        Parameters
        ----------
        views
            Any of those it was trained on, or others that see the anatomy as one of those did.
        world_from_ct
            (4, 4), the case's nominal pose, if any: it places cameras that stand otherwise in the
            world than in training.

        Raises
        ------
        InputError
            A view sees the anatomy as none did in training.
        """
        nominal, trained = self._placed(views, world_from_ct)
        slack = [
            geometry_covariance(
                view.rotation_sd_deg, view.translation_sd_mm, self._centroid, nominal
            )
            for view in views
        ]
        slack[0] = None  # the others are known against the first
        first = [evidence for (evidence,) in self._predict(views, trained, [Augmentation()])]
        found = fuse(first, self._centroid, nominal, slack)
        if self.network.AUGMENTATIONS and not (
            found[0].agree and found[0].expected_mm() < MAX_CERTAIN_MM
        ):
            more = self._predict(views, trained, self.network.AUGMENTATIONS)
            together = [
                evidence.joined(others) for evidence, others in zip(first, more, strict=True)
            ]
            found = fuse(together, self._centroid, nominal, slack)
        return found

    def _predict(
        self, views: Sequence[View], trained: Sequence[int], augmentations: Sequence[Augmentation]
    ) -> list[list[Any]]:
        """Return the evidence of each X-ray, by augmentation.

        Parameters
        ----------
        trained
            Which view of the training each is.
        """
        seen = zip(views, trained, strict=True)
        shown = [(*each, augmentation) for each, augmentation in product(seen, augmentations)]
        cameras = [
            augmentation.camera(self._cameras[n], view.camera) for view, n, augmentation in shown
        ]
        images = np.empty((len(cameras), 2, *cameras[0].size[::-1]), np.float32)
        run_tasks(
            [
                partial(prepare, view.xray, view.camera, camera, image)
                for (view, _, _), camera, image in zip(shown, cameras, images, strict=True)
            ]
        )
        with torch.no_grad():
            predicted = self.network(
                torch.from_numpy(images), torch.tensor([n for _, n, _ in shown])
            )
        evidence = self.network.evidence(predicted, cameras)
        count = len(augmentations)
        return [evidence[n : n + count] for n in range(0, len(evidence), count)]

    def reach(
        self, views: Sequence[View], world_from_ct: np.ndarray | None = None
    ) -> tuple[np.ndarray, float, float]:
        """Return the nominal pose (4, 4) in the world of these views, and how far from it poses were trained: degrees and mm, of a ball.

        Parameters and errors as of `candidates`.
        """
        degrees, mm = np.linalg.norm(self._poses.half_widths.reshape(2, 3), axis=1).tolist()
        return self._placed(views, world_from_ct)[0], min(degrees, 180.0), mm

    def _placed(
        self, views: Sequence[View], world_from_ct: np.ndarray | None
    ) -> tuple[np.ndarray, list[int]]:
        """Return the nominal pose in the world of these views, and for each the view of the training that saw the anatomy most alike.

        The world may be another than in training, or cameras may have moved by some degrees: what
        counts is that the nominal pose, seen by each camera, lies within the range of poses that
        were trained for one.
        """
        nominals = [np.array(self.card.world_from_ct)]
        if world_from_ct is not None:
            nominals.append(np.asarray(world_from_ct, float))
        offs = [
            np.array(
                [
                    [self._off(view.camera, camera, nominal) for camera in self._cameras]
                    for view in views
                ]
            )
            for nominal in nominals
        ]
        nominal, off = min(
            zip(nominals, offs, strict=True), key=lambda pair: pair[1].min(axis=1).max()
        )
        nearest = off.min(axis=1)
        if nearest.max() > 1:
            raise InputError(
                f'view "{views[int(nearest.argmax())].name}": its camera sees the CT otherwise than any that the model in '
                f"{self.folder} was trained for, expected a geometry within the range of its "
                "training; train a model for this case."
            )
        return nominal, off.argmin(axis=1).tolist()

    def _off(self, camera: Camera, trained: Camera, nominal: np.ndarray) -> float:
        """Return the distance of the nominal pose, seen by a camera, from that of the training, in half-widths of the range.

        0 for the same, inf for an image of another kind.
        """
        as_trained = trained.world_from_camera @ camera.camera_from_world @ nominal
        values = np.abs(self._poses.values(as_trained))
        widths = self._poses.half_widths
        if camera.fan_axes != trained.fan_axes:
            return math.inf
        return float(np.max(np.where(values > 1e-3, values / np.maximum(widths, 1e-3), 0)))


def cameras_of(card: Card) -> list[Camera]:
    """Return the cameras of the training images."""
    cameras: list[Camera] = []
    for c in card.cameras:
        kind = SlotScanCamera if c.get("slot_scan") else Camera
        intrinsics = np.array(c["intrinsics"], float)
        pose = np.array(c["camera_from_world"], float)
        cameras.append(kind(intrinsics, pose, tuple(c["size"])))
    return cameras


def poses_of(card: Card) -> PoseRange:
    """Return the poses it is trained on."""
    half_widths = np.array(list(card.half_widths.values()), float)
    return PoseRange(
        cameras_of(card)[0], np.array(card.world_from_ct), np.array(card.centroid), half_widths
    )


def load_weights(network: Network, tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Load the weights of a checkpoint.

    Raises
    ------
    InputError
        Where they do not fit, or are not finite.
    """
    state = {
        name.removeprefix("network."): tensor
        for name, tensor in tensors.items()
        if name.startswith("network.")
    }
    try:
        network.load_state_dict(state)
    except RuntimeError:
        state = {"": torch.tensor(torch.nan)}
    if not all(torch.isfinite(tensor).all() for tensor in state.values()):
        raise InputError(f"{folder}: its weights do not fit its card; train the model again.")


def load_model(folder: str | Path) -> RegressorModel:
    """Return the model in a folder.

    Raises
    ------
    InputError
        If it is missing, damaged, changed, or not trained yet.
    """
    folder = Path(folder)
    card, tensors = load_checkpoint(folder)
    if not card.validation:
        raise InputError(
            f"{folder}: the training was stopped before it had learnt anything; resume it."
        )
    poses = poses_of(card)
    network = make_network(
        card.network,
        cameras_of(card),
        poses.world_from_ct,
        poses.centroid,
        np.zeros((LANDMARKS, 3)),
    )
    load_weights(network, tensors, folder)
    return RegressorModel(card, network.eval(), folder)
