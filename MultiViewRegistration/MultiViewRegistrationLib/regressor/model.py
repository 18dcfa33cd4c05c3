"""A trained network and what it is for: from X-rays to candidates for the pose, in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import chi2

from ..errors import InputError
from ..geometry.camera import Camera
from ..imaging.ct import CT
from ..imaging.view import View
from ..rendering import threads
from .fusion import Candidate, Evidence, fuse, geometry_covariance
from .model_store import Card, ct_sha256, load_checkpoint
from .network import Network
from .posehead import PoseNetwork
from .poses import PoseRange
from .test_time_augmentation import Augmentation
from .voting import VotingNetwork
from .window import Window, prepare

#: A network that expects to be farther off than this sees the X-rays again, augmented.
MAX_CERTAIN_MM = 8.0


NAMES = ("voting", "pose")
"""The first is the default: docs/regressor.md has what it was seen to do."""


class RegressorModel:
    """A network with its card.

    folder: where it was loaded from or saved to.
    """

    def __init__(self, card: Card, network: Network, folder: Path) -> None:
        self.card, self.network, self.folder = card, network, folder
        self._cameras, self._poses, self._centroid = cameras_of(card), poses_of(card), np.array(card.centroid)

    def check_ct(self, ct: CT) -> None:
        """InputError where the model is of another CT."""
        if ct_sha256(ct) != self.card.ct_sha256:
            raise InputError(
                f"{self.folder}: the model is of another CT, and knows nothing of this one; train one for this CT."
            )

    def check_views(self, views: Sequence[View], world_from_ct: np.ndarray | None = None) -> None:
        """InputError where a view sees the anatomy as none did in training; arguments as of `candidates`."""
        self._placed(views, world_from_ct)

    def candidates(self, views: Sequence[View], world_from_ct: np.ndarray | None = None) -> list[Candidate]:
        """What the network makes of X-rays, the most credible pose first; see `fusion.fuse`.

        views: any of those it was trained on, or others that see the anatomy as one of those did.
        world_from_ct: (4, 4), the case's nominal pose, if any: where cameras stand otherwise in the world than in training, it tells how.

        InputError where a view sees the anatomy as none did in training.
        """
        nominal, trained = self._placed(views, world_from_ct)
        slack = [
            geometry_covariance(view.rotation_sd_deg, view.translation_sd_mm, self._centroid, nominal) for view in views
        ]
        slack[0] = None  # the others are known against the first
        first = [said for (said,) in self._predict(views, trained, [Augmentation()])]
        found = fuse(first, self._centroid, nominal, slack)
        if self.network.AUGMENTATIONS and not (found[0].agree and found[0].expected_mm() < MAX_CERTAIN_MM):
            more = self._predict(views, trained, self.network.AUGMENTATIONS)
            found = fuse(
                [said.joined(others) for said, others in zip(first, more, strict=True)], self._centroid, nominal, slack
            )
        return found

    def _predict(
        self, views: Sequence[View], trained: Sequence[int], augmentations: Sequence[Augmentation]
    ) -> list[list[Evidence]]:
        """What the network says of each X-ray, by augmentation.   trained: which view of the training each is."""
        cameras = [
            augmentation.camera(self._cameras[n], view.camera)
            for n, view in zip(trained, views, strict=True)
            for augmentation in augmentations
        ]
        images = np.empty((len(cameras), 2, *cameras[0].size[::-1]), np.float32)
        threads.run(
            [
                partial(prepare, view.xray, view.camera, Window.whole(camera), image)
                for view, camera, image in zip(
                    (view for view in views for _ in augmentations), cameras, images, strict=True
                )
            ]
        )
        with torch.no_grad():
            predicted = self.network(
                torch.from_numpy(images), torch.tensor(trained).repeat_interleave(len(augmentations))
            )
        said = self.network.evidence(predicted, cameras)
        return [said[n : n + len(augmentations)] for n in range(0, len(said), len(augmentations))]

    def reach(self, views: Sequence[View], world_from_ct: np.ndarray | None = None) -> tuple[np.ndarray, float, float]:
        """The nominal pose (4, 4) in the world of these views, and how far from it poses were trained: degrees and mm, of a ball."""
        widths = self._poses.half_widths
        return (
            self._placed(views, world_from_ct)[0],
            min(float(np.linalg.norm(widths[:3])), 180.0),
            float(np.linalg.norm(widths[3:])),
        )

    def _placed(self, views: Sequence[View], world_from_ct: np.ndarray | None) -> tuple[np.ndarray, list[int]]:
        """The nominal pose in the world of these views, and for each the view of the training that saw the anatomy most alike.

        The world may be another than in training, or cameras may have moved by some degrees: what counts is that the nominal pose, seen
        by each camera, lies within the range of poses that were trained for one.
        """
        best = None
        for nominal in [np.array(self.card.world_from_ct)] + (
            [] if world_from_ct is None else [np.asarray(world_from_ct, float)]
        ):
            off = np.array([[self._off(view.camera, camera, nominal) for camera in self._cameras] for view in views])
            worst = off.min(axis=1).max()
            if best is None or worst < best[0]:
                best = worst, nominal, off
        worst, nominal, off = best
        if worst > 1:
            view = views[int(off.min(axis=1).argmax())]
            raise InputError(
                f'view "{view.name}": its camera sees the CT otherwise than any that the model in {self.folder} was trained '
                "for, expected a geometry within the range of its training; train a model for this case."
            )
        return nominal, off.argmin(axis=1).tolist()

    def _off(self, camera: Camera, trained: Camera, nominal: np.ndarray) -> float:
        """How far the nominal pose, seen by a camera, is from that of the training, in half-widths of the range; 0 for the very same."""
        as_trained = trained.world_from_camera @ camera.camera_from_world @ nominal
        values, widths = np.abs(self._poses.values(as_trained)), self._poses.half_widths
        return float(np.max(np.where(values > 1e-3, values / np.maximum(widths, 1e-3), 0)))


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


def cameras_of(card: Card) -> list[Camera]:
    """Of the images it is trained on."""
    return [
        Camera(np.array(c["intrinsics"], float), np.array(c["camera_from_world"], float), tuple(c["size"]))
        for c in card.cameras
    ]


def poses_of(card: Card) -> PoseRange:
    """The poses it is trained on."""
    return PoseRange(
        camera=cameras_of(card)[0],
        world_from_ct=np.array(card.world_from_ct),
        centroid=np.array(card.centroid),
        **card.half_widths,
    )


def camera_to_json(camera: Camera) -> dict:
    """A camera as case.json has it."""
    return {
        "intrinsics": camera.intrinsics.tolist(),
        "camera_from_world": camera.camera_from_world.tolist(),
        "size": list(camera.size),
    }


def load_model(folder: str | Path) -> RegressorModel:
    """The model in a folder. InputError for what is missing, damaged, changed, or not trained yet."""
    folder = Path(folder)
    card, tensors = load_checkpoint(folder)
    state = {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")}
    wrong = InputError(f"{folder}: its weights do not fit its card; train the model anew.")
    if not all(torch.isfinite(tensor).all() for tensor in state.values()) or not card.validation:
        raise (
            wrong
            if card.validation
            else InputError(f"{folder}: the training was stopped before it had learnt anything; resume it.")
        )
    try:
        landmarks = state["landmarks"].numpy() if card.network == "voting" else np.zeros((1, 3))
        network = make_network(
            card.network, cameras_of(card), np.array(card.world_from_ct), np.array(card.centroid), landmarks
        )
        network.load_state_dict(state)
    except (RuntimeError, KeyError):
        raise wrong from None
    return RegressorModel(card, network.eval(), folder)
