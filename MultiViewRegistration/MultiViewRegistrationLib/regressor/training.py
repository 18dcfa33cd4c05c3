"""Training a network for one CT and one geometry, in as many minutes as one has.

    training = Training.begin(ct, cameras, poses, corners, folder, minutes=2)
    model = training.run()                                      # cancelled, it goes on later, from Training.resume(folder, ...)

Minutes become a number of steps once, by the pace of this machine, and all random numbers of a step
follow from the seed and the step's number: a training that was cancelled and resumed ends as an
unbroken one.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from .. import __version__
from ..errors import InputError, go_on, warn
from ..extensions import name_of
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import CT
from ..rendering.devices import CPU, ComputeDevice
from .fusion import fuse
from .images import TrainingImages, Window
from .loss import LIKELIHOOD, PRESETS, in_cameras, make_loss
from .model import RegressorModel, load_weights, poses_of
from .model_store import NEAR_MM, Card, ct_sha256, load_checkpoint, save_checkpoint
from .network import NETWORKS, VOTING, choose_landmarks, make_network
from .optimiser import Optimiser
from .poses import AXES, PoseRange

#: Images in a step.
BATCH = 32
#: Poses of a validation on the way, and of the last one.
VALIDATED = 32
LAST_VALIDATED = 100
#: Share of the time that validations may take, and how many there are at least and at most.
_VALIDATING = 0.06
_MIN_VALIDATIONS = 3
_MAX_VALIDATIONS = 12
#: The error has stopped falling where the mean of its logarithm over so many validations fell by
#: less than this share.
_STALLED_OVER = 3
_STALLED = 0.03
#: Then the rest of the schedule takes this share of the steps done.
_SHORTENED = 0.2
#: A network is of use where it is right within NEAR_MM for at least this share of the images.
_ENOUGH = 0.9
#: Steps of trainings whose images are as hard as a short training's (0), and as hard as they get
#: (1), see `randomise.hardened_body`.
_EASY = 1000
_HARD = 2400
_SAVE_SECONDS = 20.0
_PACED_STEPS = 6
_CURVE_POINTS = 100
#: Poses by which a window is made that shows the anatomy at all of them.
_CORNER_POSES = 200
#: Seeds of the random numbers, beside the training's: of steps, of validations.
_STEPS = 0
_VALIDATION = 1

T = TypeVar("T")
Batch = tuple[Callable[[], np.ndarray], torch.Tensor]


class Training:
    """A network being trained. Its state is in its folder when `run` has ended, and while it runs at least every 20 seconds."""

    def __init__(
        self,
        ct: CT,
        windows: Sequence[Window],
        card: Card,
        folder: Path,
        tensors: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.card = card
        self.folder = folder
        self._ct = ct
        self._windows = tuple(windows)
        self._cameras = tuple(window.camera for window in windows)
        self._poses = poses_of(card)
        self._chosen = choose_landmarks(ct, self._poses.centroid)
        self._network = make_network(
            card.network,
            self._cameras,
            self._poses.world_from_ct,
            self._poses.centroid,
            self._chosen,
            card.seed,
        )
        self._device = ComputeDevice(card.device.partition(",")[0])
        pixels_mm = [window.pixel_mm_at(self._poses.centre) for window in windows]
        self._images = TrainingImages(ct, float(np.mean(pixels_mm)), seed=card.seed)
        self._images.harden(card.hardness)
        self._use_device()
        if tensors is not None:
            load_weights(self._network, tensors, folder)
            self._optimiser.load_tensors(tensors)
        self._begun: dict[int, Batch] = {}  # by step
        self._losses: list[float] = []  # since the learning curve's last point
        self._saved = time.monotonic()
        self._whole = True

    def _use_device(self) -> None:
        """Move what learns to the device."""
        card = self.card
        torch_device = self._device.torch_device
        self._loss_function = make_loss(
            card.loss,
            card.network,
            self._ct,
            self._cameras,
            self._poses.centre,
            torch_device,
        )
        self._network.to(torch_device)
        self._optimiser = Optimiser(self._network)
        self.card = replace(card, device=str(self._device))

    @classmethod
    def begin(
        cls,
        ct: CT,
        cameras: Sequence[Camera],
        poses: PoseRange,
        corners: np.ndarray,
        folder: Path,
        *,
        minutes: float = 2.0,
        steps: int | None = None,
        network: str | type = VOTING,
        loss: str | type = LIKELIHOOD,
        seed: int = 0,
        device: str = CPU,
        begin_with: RegressorModel | None = None,
    ) -> Training:
        """Return a new training.

        Parameters
        ----------
        cameras : of the X-rays, one a view.
        corners : (8, 3) CT mm, of the box around all that attenuates.
        folder : of the model, new or empty.
        minutes, steps, network, loss, seed, device : see `training.train`.
        begin_with : a model of another CT whose weights it begins with, instead of random ones.

        Raises
        ------
        InputError
            An argument cannot be, the folder holds a model, or `begin_with` is another network.
        """
        if folder.exists() and any(folder.iterdir()):
            raise InputError(
                f"{folder}: is not empty, expected a new folder for the model; choose another one, "
                "or resume its training."
            )
        windows = _windows(cameras, poses, corners)
        card = Card(
            ct_sha256=ct_sha256(ct),
            cameras=_cameras_json(windows),
            world_from_ct=np.asarray(poses.world_from_ct).tolist(),
            centroid=np.asarray(poses.centroid).tolist(),
            half_widths=dict(zip(AXES, poses.half_widths.tolist(), strict=True)),
            steps=1,
            every=1,
            minutes=minutes,
            network=name_of("network", network, NETWORKS),
            loss=name_of("loss", loss, [LIKELIHOOD, *PRESETS]),
            seed=seed,
            device=device,
            created=datetime.now().isoformat(timespec="seconds"),
            versions={"multiview-registration": __version__, "torch": torch.__version__},
        )
        training = cls(ct, windows, card, folder)
        if begin_with is not None:
            training._take_weights(begin_with)
        if steps is None:
            training._with_cpu_fallback(training._set_pace)
        else:
            training._plan(steps, _MAX_VALIDATIONS)
        return training

    @classmethod
    def resume(
        cls, folder: Path, ct: CT, cameras: Sequence[Camera], corners: np.ndarray
    ) -> Training:
        """Return the training in a folder, to go on where it stopped.

        Ct, cameras and corners as it began with.

        InputError where there is none, it is at its end, or it began with another CT or geometry.
        """
        card, tensors = load_checkpoint(folder)
        if card.finished:
            raise InputError(
                f"{folder}: this training is at its end after {card.done} steps, expected one that "
                "was stopped before; train a new model for longer instead."
            )
        if ct_sha256(ct) != card.ct_sha256:
            raise InputError(
                f"{folder}: this training is of another CT; expected the case that it began with."
            )
        windows = _windows(cameras, poses_of(card), corners)
        if _cameras_json(windows) != card.cameras:
            raise InputError(
                f"{folder}: this training is of other views or cameras; expected the case that it "
                "began with."
            )
        return cls(ct, windows, card, folder, tensors)

    def _take_weights(self, model: RegressorModel) -> None:
        """Begin with the weights of another CT's model."""
        if model.card.network != self.card.network:
            raise InputError(
                f'{model.folder}: found the network "{model.card.network}", expected '
                f'"{self.card.network}" to begin with; name another model, or the same network.'
            )
        try:
            self._network.take_weights(model.network)
        except RuntimeError:
            raise InputError(
                f"{model.folder}: its network has other layers, expected those of this version; "
                "train that model again."
            ) from None

    def run(
        self, progress: Callable[[float, str, float | None], object] = lambda *_: None
    ) -> RegressorModel:
        """Train to the end, or until the error has stopped falling.

        Warns, and ends with the last good state, where the loss is no number any more.

        Parameters
        ----------
        progress : called with the fraction of the training that is done, what it does, and the
        error so far in mm, None before the first
            validation.

        Raises
        ------
        Cancelled
            `progress` returned False; what was reached is in the folder.
        OSError
            The state cannot be saved.
        """
        with _torch_settings():
            try:
                while self.card.done < self.card.steps and not self.card.fault:
                    if self.card.done % self.card.every == 0 and not self.card.validated:
                        self._report(progress, "measuring the error")
                        self._with_cpu_fallback(partial(self._validate, VALIDATED))
                        self._shorten_if_stalled()
                    self._step()
                    self._report(progress)
                    if time.monotonic() - self._saved > _SAVE_SECONDS:
                        self._save()
                self._with_cpu_fallback(partial(self._validate, LAST_VALIDATED))
            except BaseException as error:
                if self._whole and not isinstance(error, OSError):
                    self._save()
                raise
            self._save()
        if self.card.fault:
            warn(f"{self.card.fault}; training stopped there, and the state before is kept.")
        within = self.card.expected[2]
        if within < _ENOUGH:
            warn(
                f"Only {100 * within:.0f} % of the random images were found within {NEAR_MM:g} mm, "
                "where a refinement begins; train for longer."
            )
        return RegressorModel(self.card, self._network.cpu().eval(), self.folder)

    def _report(self, progress: Callable, what: str = "") -> None:
        card = self.card
        error = self.card.error_mm
        so_far = f"{error:.1f} mm" if error is not None else "learning"
        stage = f"{what or f'training, {so_far}'}, step {card.done} of {card.steps}"
        go_on(progress(card.done / card.steps, stage, error))

    def _begin(self, step: int) -> Batch:
        """Begin the images (n, views, 2, rows, columns) of a step; and their camera_from_ct (n, views, 4, 4)."""
        rng = np.random.default_rng([self.card.seed, _STEPS, step])
        world_from_ct = self._poses.sample(rng, max(2, BATCH // len(self._windows)))
        camera_from_ct = in_cameras(self._cameras, torch.from_numpy(world_from_ct)).float()
        return self._images.begin(world_from_ct, self._windows, rng), camera_from_ct

    def _with_cpu_fallback(self, work: Callable[[], T]) -> T:
        """Return the result of `work`.

        On the CPU, from then on, where the device runs out of memory.
        """
        try:
            return work()
        except torch.OutOfMemoryError:
            warn(
                f"{self._device.name} has too little free memory; the training goes on on the CPU."
            )
        self._device = ComputeDevice()
        tensors = {name: tensor.cpu() for name, tensor in self._optimiser.tensors().items()}
        self._use_device()
        if tensors:
            self._optimiser.load_tensors(tensors)
        return work()

    def _step(self) -> None:
        began = time.perf_counter()
        loss = self._with_cpu_fallback(lambda: self._learn(self.card.done))
        self._whole = False  # network and card do not fit together: an interruption leaves the state as it was saved last
        if math.isfinite(loss) and math.isfinite(self._optimiser.step(self._progress())):
            self.card = replace(self.card, done=self.card.done + 1)
        else:
            self.card = replace(
                self.card, fault=f"The loss was no number at step {self.card.done + 1}"
            )
        self._whole = True
        card = self.card
        losses = list(self.card.losses)
        if card.fault:
            return
        self._losses.append(loss)
        if card.done % max(1, card.steps // _CURVE_POINTS) == 0:
            losses.append([card.done, sum(self._losses) / len(self._losses)])
            self._losses.clear()
        self.card = replace(card, losses=losses, seconds=card.seconds + time.perf_counter() - began)

    def _learn(self, step: int, optimiser: Optimiser | None = None) -> float:
        """Compute loss and gradients of the batch of a step; a card learns while the processor begins the next."""
        begun = self._begun.pop(step) if step in self._begun else self._begin(step)
        finish, camera_from_ct = begun
        images = torch.from_numpy(finish())
        if self._device.name != CPU:
            self._begun[step + 1] = self._begin(step + 1)
        on_device = [each.to(self._device.torch_device) for each in (images, camera_from_ct)]
        return (optimiser or self._optimiser).learn(self._loss_function, *on_device)

    def _progress(self) -> float:
        """0 to 1: where the schedule of the learning rates stands."""
        step, before = self.card.shortened or (0, 0.0)
        return before + (1 - before) * (self.card.done - step) / (self.card.steps - step)

    def _validate(self, count: int) -> None:
        """Find the errors of always the same images, and with them how certain the network may be."""
        began = time.perf_counter()
        errors, squared = self._errors(count)
        together = errors[:, 0]
        row = [
            self.card.done,
            self.card.seconds,
            *(float(np.exp(np.log(e).mean())) for e in errors.T),
        ]
        expected = [
            float(np.percentile(together, 50)),
            float(np.percentile(together, 95)),
            float(np.mean(together < NEAR_MM)),
        ]
        seconds = self.card.seconds + time.perf_counter() - began
        self._whole = False
        self._network.calibrate(squared)
        self.card = replace(
            self.card, validation=[*self.card.validation, row], expected=expected, seconds=seconds
        )
        self._whole = True

    def _errors(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, 1 + views) mTRE in mm at the landmarks, of all views together and of each.

        (count,) squared errors of the former.
        """
        rng = np.random.default_rng([self.card.seed, _VALIDATION])
        truth = self._poses.sample(rng, count)
        images = torch.from_numpy(self._images.batch(truth, self._windows, rng))
        device = self._device.torch_device
        nominal = self._poses.world_from_ct
        centroid = self._poses.centroid
        landmarks = self._network.known_landmarks(self._chosen)
        view = torch.arange(len(self._windows), device=device).repeat(count)
        with torch.no_grad():
            predicted = self._network(images.to(device).flatten(0, 1), view)
        of_poses = [each.unflatten(0, images.shape[:2]) for each in predicted]
        errors = []
        squared = []
        for n, true in enumerate(truth):
            of_views = type(predicted)(*(each[n] for each in of_poses))
            predictions = self._network.evidence(of_views, self._cameras)
            found = [
                fuse(views, centroid, nominal)[0]
                for views in (predictions, *([one] for one in predictions))
            ]
            poses = np.stack([true] + [each.world_from_ct for each in found])
            points = rigid.transform_points(poses[:, None], landmarks)
            errors.append(np.linalg.norm(points[1:] - points[0], axis=-1).mean(axis=1))
            squared.append(found[0].squared_error(true, centroid))
        return np.array(errors), np.array(squared)

    def _shorten_if_stalled(self) -> None:
        """End the training soon, with the learning rates falling to 0, where the error has stopped falling."""
        card = self.card
        n = _STALLED_OVER
        if card.shortened or len(card.validation) < 2 * n:
            return
        errors = np.log([row[2] for row in card.validation[-2 * n :]])
        if errors[:n].mean() - errors[n:].mean() < _STALLED:
            steps = card.done + max(1, round(_SHORTENED * card.done))
            if steps < card.steps:
                self.card = replace(card, shortened=[card.done, self._progress()], steps=steps)

    def _set_pace(self) -> None:
        """Minutes become steps, by some steps of a copy."""
        with _torch_settings():
            optimiser = Optimiser(copy.deepcopy(self._network))
            numbers = itertools.count()

            def step() -> None:
                self._learn(next(numbers), optimiser)
                optimiser.step(1.0)

            for _ in range(2):  # compiles, and finds its memory
                step()
                self._errors(1)
            seconds = _least_seconds(step, _PACED_STEPS)
            validation = VALIDATED * _least_seconds(lambda: self._errors(1), 2)
        budget = 60 * self.card.minutes
        count = int(np.clip(_VALIDATING * budget / validation, _MIN_VALIDATIONS, _MAX_VALIDATIONS))
        left = max(budget / 2, budget - (count - 1 + LAST_VALIDATED / VALIDATED) * validation)
        self._plan(max(2, round(left / seconds)), count)

    def _plan(self, steps: int, count: int) -> None:
        """Set how many steps there are, and validations on the way."""
        self.card = replace(
            self.card,
            steps=steps,
            every=max(1, math.ceil(steps / count)),
            hardness=hardness_of(steps),
        )
        self._images.harden(self.card.hardness)
        self._begun.clear()

    def _save(self) -> None:
        tensors = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        if not self.card.finished:
            tensors |= self._optimiser.tensors()
        self.card = save_checkpoint(self.folder, self.card, tensors)
        self._saved = time.monotonic()


def hardness_of(steps: int) -> float:
    """Return the difficulty of the images of a training of so many steps, 0 to 1.

    A long one can use harder images.
    """
    return float(np.clip((steps - _EASY) / (_HARD - _EASY), 0, 1))


def _windows(cameras: Sequence[Camera], poses: PoseRange, corners: np.ndarray) -> list[Window]:
    """Return the window of each camera that shows the CT at all poses of the range.

    The whole image where that is less.
    """
    ends = poses.poses(
        poses.half_widths * np.sign(np.random.default_rng(0).uniform(-1, 1, (_CORNER_POSES, 6)))
    )
    points = rigid.transform_points(ends[:, None], corners).reshape(-1, 3)
    return [Window.of(camera, points) for camera in cameras]


def _cameras_json(windows: Sequence[Window]) -> list[dict]:
    """Return the cameras as in `model_store.Card`."""
    cameras = []
    for window in windows:
        kind = {"slot_scan": True} if window.camera.is_slot_scan else {}
        cameras.append({**window.camera.to_json(), **kind})
    return cameras


@contextmanager
def _torch_settings() -> Iterator[None]:
    """One thread: what is worth several goes through `devices.run_tasks`.

    On a CUDA device the same bits every time.
    """
    before = torch.get_num_threads()
    cudnn = torch.backends.cudnn
    torch.set_num_threads(1)
    try:
        with cudnn.flags(
            enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=True
        ):
            yield
    finally:
        torch.set_num_threads(before)


def _least_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least of some repeats.

    Others who use the machine only ever take time away, and often just now.
    """
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
