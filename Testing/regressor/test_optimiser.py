"""A step of learning on CUDA is one on the processor."""

import numpy as np
import pytest
import torch
from phantom import TRUE_POSE, off

from MultiViewRegistrationLib.regressor import optimiser
from MultiViewRegistrationLib.regressor.images import TrainingImages
from MultiViewRegistrationLib.regressor.loss import in_cameras, likelihood
from MultiViewRegistrationLib.regressor.network import choose_landmarks, make_network
from MultiViewRegistrationLib.regressor.optimiser import Optimiser


def poses(count):
    rng = np.random.default_rng(2)
    return np.stack(
        [off(TRUE_POSE, rng.uniform(-20, 20, 3), rng.uniform(-15, 15, 3)) for _ in range(count)]
    )


class _Replayed:
    """What `Recorded` does: the same work for other inputs, its results always at one place."""

    def __init__(self, work, inputs, device, rehearsals=1):
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


@pytest.mark.quick_variants("another")
@pytest.mark.parametrize("name", ["likelihood", "another"])
def test_learning_on_cuda_takes_the_steps_of_the_processor(ct, views, windows, monkeypatch, name):
    """By a stand-in for CUDA: a graph cannot be recorded here."""
    monkeypatch.setattr(optimiser, "Recorded", _Replayed)
    cameras = [window.camera for window in windows]
    given = poses(4)
    batch = (
        torch.from_numpy(
            TrainingImages(ct, 1.75, variants=1).batch(given, windows, np.random.default_rng(1))
        ),
        in_cameras(cameras, torch.from_numpy(given)).float(),
    )
    loss = likelihood if name == "likelihood" else lambda *each: likelihood(*each)
    ends = []
    for cuda in (False, True):
        network = make_network(
            "voting", cameras, TRUE_POSE, ct.centroid(), choose_landmarks(ct, ct.centroid())
        )
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
