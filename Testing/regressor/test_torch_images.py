"""Training images by PyTorch are those of numba, and a step of learning on CUDA is one on the processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantom import TRUE_POSE, off

from MultiViewRegistrationLib.regressor import images, optimiser
from MultiViewRegistrationLib.regressor.fast_drr import project
from MultiViewRegistrationLib.regressor.images import TrainingImages, Window
from MultiViewRegistrationLib.regressor.loss import in_cameras, likelihood
from MultiViewRegistrationLib.regressor.network import choose_landmarks, make_network
from MultiViewRegistrationLib.regressor.optimiser import Optimiser
from MultiViewRegistrationLib.regressor.randomise import BODY, BONE
from MultiViewRegistrationLib.regressor.rng import key_of
from MultiViewRegistrationLib.regressor.torch_images import TorchTrainingImages

#: Every nuisance in most images.
EVERYTHING = BODY._replace(
    metal_share=0.8,
    bones_share=0.8,
    tissue_share=0.8,
    ghost_share=0.8,
    straight_share=0.6,
    round_share=0.5,
    text_share=0.5,
    border_share=0.4,
    saturation_share=0.5,
    darkest_share=0.5,
    machine_share=0.8,
)


@pytest.fixture(scope="module")
def windows(views):
    return [Window.of(view.camera) for view in views]


def poses(count: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    return np.stack(
        [off(TRUE_POSE, rng.uniform(-20, 20, 3), rng.uniform(-15, 15, 3)) for _ in range(count)]
    )


class _SameRays(TorchTrainingImages):
    """It takes its line integrals from numba."""

    def _ready(self, bases):
        return [_Lane(images.Stacks.of(bases), lane) for lane in range(3)]


class _Lane:
    def __init__(self, stacks, lane: int) -> None:
        self.stacks, self.lane = stacks, lane

    def render(self, cameras, world_from_ct):
        out = np.empty((len(cameras), 3, *cameras[0].size[::-1]), np.float32)
        for camera, pose, image in zip(cameras, world_from_ct, out):
            project(tuple(self.stacks), tuple(self.stacks.rays(camera, pose[None])), 0, image)
        return torch.from_numpy(out[:, self.lane]), None


NO_MACHINES = [how._replace(machine_share=0.0) for how in (BODY, BONE, EVERYTHING)]


@pytest.mark.parametrize("how", [*NO_MACHINES, BODY, BONE, EVERYTHING])
def test_of_the_same_line_integrals_they_are_numbas_images(ct, windows, how):
    ours = _SameRays(ct, 1.75, "cpu", how, variants=1)
    theirs = TrainingImages(ct, 1.75, how, variants=1)
    made = ours.batch(poses(12), windows, key_of(7)).numpy()
    expected = theirs.batch(poses(12), windows, key_of(7))
    np.testing.assert_array_equal(made[:, :, 1], expected[:, :, 1])
    differences = np.abs(made[:, :, 0] - expected[:, :, 0])
    assert np.quantile(differences, 0.999) < 2e-3
    # A pixel of a machine's may have the next grey level.
    far = np.quantile(differences, 0.9999) if how.machine_share else differences.max()
    assert far < 0.1


def test_with_rays_of_their_own_they_hardly_differ(ct, windows):
    """A structure among neighbours that move; numba's rays take fewer and coarser steps."""
    upper = np.indices(ct.volume.values.shape)[0] > 26
    half = type(ct)(ct.volume, ct.unit, upper)
    made = TorchTrainingImages(half, 1.75, "cpu", variants=1).batch(poses(6), windows, key_of(3))
    expected = TrainingImages(half, 1.75, variants=1).batch(poses(6), windows, key_of(3))
    pairs = zip(made[:, :, 0].flatten(0, 1).numpy(), expected[:, :, 0].reshape(12, 64, 64))
    assert min(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] for ours, theirs in pairs) > 0.995


class _Replayed:
    """What `Recorded` does: the same work for other inputs, its results always at one place."""

    def __init__(self, work, inputs, device, rehearsals=1) -> None:
        self.work, self.results = work, None

    def __call__(self, *inputs):
        results = self.work(*inputs)
        if results is not None:
            loss, gradients = results
            self.results = self.results or (loss.clone(), [each.clone() for each in gradients])
            self.results[0].copy_(loss)
            for place, each in zip(self.results[1], gradients):
                place.copy_(each)
        return self.results


@pytest.mark.parametrize("name", ["likelihood", "another"])
def test_learning_on_cuda_takes_the_steps_of_the_processor(ct, views, windows, monkeypatch, name):
    """By a stand-in for CUDA: a graph cannot be recorded here."""
    monkeypatch.setattr(optimiser, "Recorded", _Replayed)
    cameras = [window.camera for window in windows]
    given = poses(4)
    batch = (
        torch.from_numpy(TrainingImages(ct, 1.75, variants=1).batch(given, windows, key_of(1))),
        in_cameras(cameras, torch.from_numpy(given)).float(),
    )
    loss = likelihood if name == "likelihood" else lambda *each: likelihood(*each)
    ends = []
    for cuda in (False, True):
        network = make_network("voting", cameras, TRUE_POSE, ct.centroid(), choose_landmarks(ct))
        learning = Optimiser(network)
        learning._cuda = cuda
        if cuda:
            for part in learning._parts.values():
                part.param_groups[0]["lr"] = torch.tensor(0.0)
        for step in range(4):
            learning.learn(loss, *batch)
            learning.step(0.2 + 0.1 * step)
        ends.append([parameter.detach().clone() for parameter in network.parameters()])
        assert bool(learning._recorded_update) is cuda
    for ours, theirs in zip(*ends):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)
