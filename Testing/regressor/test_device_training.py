"""A training through the images and gradients of a device, on Warp's and PyTorch's CPU, against that on the cores."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from phantom import make_ct, make_views

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("warp", reason="the kernels need Warp: pip install warp-lang")

from MultiViewRegistrationLib.errors import Cancelled  # noqa: E402
from MultiViewRegistrationLib.registration.anatomy import Anatomy  # noqa: E402
from MultiViewRegistrationLib.regressor import device_images, device_motions, resnet, training  # noqa: E402
from MultiViewRegistrationLib.regressor.card import Card  # noqa: E402
from MultiViewRegistrationLib.regressor.gradients import OnDevice  # noqa: E402
from MultiViewRegistrationLib.regressor.poses import PoseRange  # noqa: E402
from MultiViewRegistrationLib.regressor.training import Plan, Training  # noqa: E402
from MultiViewRegistrationLib.rendering import autograd, gpu  # noqa: E402
from MultiViewRegistrationLib.rendering.devices import WARP_CPU, place_of  # noqa: E402
from MultiViewRegistrationLib.rendering.drr import Grid  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Only")  # what learns for a few steps is right too rarely
DEVICES = [WARP_CPU, *["cuda"] * torch.cuda.is_available()]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Validations of few poses, and a pace that is not measured."""
    monkeypatch.setattr(training, "VALIDATED", 2)
    monkeypatch.setattr(training, "LAST_VALIDATED", 4)
    monkeypatch.setattr(training, "BATCH", 12)
    monkeypatch.setattr(Training, "_set_pace", lambda self: None)


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(scope="module")
def ct():
    return make_ct()


@pytest.fixture(scope="module")
def cameras(ct):
    return [view.camera for view in make_views(ct)]


@pytest.fixture
def begin(ct, cameras, tmp_path):
    """A function: a training of some steps in a new folder."""

    def make(device, name: str = "model", steps: int = 4, **plan) -> Training:
        poses = PoseRange(
            camera=cameras[0],
            world_from_ct=np.eye(4),
            centroid=ct.centroid(),
            orbital_deg=15,
            tilt_deg=15,
            roll_deg=20,
            columns_mm=15,
            rows_mm=15,
            beam_mm=20,
        )
        begun = Training.begin(ct, cameras, poses, Anatomy(ct).corners(), Plan(device=device, **plan), tmp_path / name)
        begun.card = replace(begun.card, steps=steps, every=2)
        return begun

    return make


def gradient(begun: Training) -> torch.Tensor:
    begun._learn(begun._network, 0)
    return torch.cat([parameter.grad.flatten().cpu() for parameter in begun._network.parameters()])


def weights(model) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in model.network.state_dict().values()])


@pytest.mark.parametrize("plan", [{}, {"network": "pose", "loss": "cui2025"}], ids=["voting", "cui2025"])
def test_a_step_has_the_gradient_of_that_on_the_cores(begin, device, plan):
    mine, theirs = gradient(begin(device, "device", **plan)), gradient(begin("cpu", "cores", **plan))
    tolerance = 1e-3 if device == WARP_CPU else 0.05  # bfloat16
    assert torch.linalg.vector_norm(mine - theirs) < tolerance * torch.linalg.vector_norm(theirs)


def test_it_learns_as_on_the_cores_and_its_card_says_where(begin, device):
    mine, theirs = begin(device, "device").run(), begin("cpu", "cores").run()
    for row, expected in zip(mine.card.losses, theirs.card.losses, strict=True):
        assert row == pytest.approx(expected, rel=0.01)
    assert mine.card.device.startswith(device) and theirs.card.device == "cpu"
    assert Card.read(mine.folder).device == mine.card.device
    assert next(mine.network.parameters()).device.type == "cpu"


def test_a_resumed_training_ends_as_an_unbroken_one(begin, device, ct, cameras):
    unbroken = begin(device, "unbroken").run()
    with pytest.raises(Cancelled):
        begin(device, "resumed").run(lambda fraction, stage, error_mm: "step 3 of" not in stage)
    folder = unbroken.folder.parent / "resumed"
    resumed = Training.resume(folder, ct, cameras, Anatomy(ct).corners()).run()
    assert torch.equal(weights(unbroken), weights(resumed))
    assert unbroken.card.losses == resumed.card.losses


class Sent(torch.utils._python_dispatch.TorchDispatchMode):
    """Tensors that go to PyTorch's device "meta", which has no memory, as there is no way to one that has: any mixture with it is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.by, self.operations = [], 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        devices = {
            each.device.type
            for each in torch.utils._pytree.tree_leaves((args, kwargs, made))
            if isinstance(each, torch.Tensor)
        }
        self.operations += "meta" in devices
        if len(devices) > 1:
            self.by.append(str(operation))
        return made


@pytest.mark.parametrize(
    "network, loss, numbers", [("voting", "likelihood", 2), ("pose", "likelihood", 2), ("pose", "cui2025", 9)]
)  # also: whether poses are finite, once a DRR
def test_a_step_sends_nothing_to_the_device_and_waits_for_few_numbers(network, loss, numbers, begin, monkeypatch, ct):
    """Poses, images, targets, loss, gradients and the change of the weights: only what takes part in one is there."""
    launched, awaited = [], []

    def launch(kernel, threads, device, arguments) -> None:
        assert {argument.device.type for argument in arguments if isinstance(argument, torch.Tensor)} == {"meta"}
        launched.append(kernel.key)

    for module in (device_images, device_motions, gpu):
        monkeypatch.setattr(module, "launch", launch)
        monkeypatch.setattr(module, "known_device", lambda device: device)
    monkeypatch.setattr(
        autograd, "_grid", lambda volume, place: Grid.of(np.full(volume.shape, 0.01, np.float32), place)
    )
    for name, value in (("item", 1.0), ("__float__", 1.0), ("__bool__", True)):
        monkeypatch.setattr(torch.Tensor, name, lambda tensor, value=value: awaited.append(tensor.device.type) or value)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # has no such device

    begun = begin("cpu", network=network, loss=loss)
    begun._ct = replace(ct, mask=np.indices(ct.volume.values.shape)[0] > 26)  # that has neighbours
    work = OnDevice(place_of(WARP_CPU))
    work.device = "meta"
    begun._put(work)
    begun._step()  # what it sends once

    awaited.clear()
    launched.clear()
    with Sent() as sent:
        begun._step()
    assert not sent.by and sent.operations > 500
    assert awaited.count("meta") == numbers
    kernels = {"draw_sixes", "draw_images", "aim", "march_rays", "attenuate", "detect"} | (
        {"project_rays"} if loss == "cui2025" else set()
    )
    assert kernels == {name.rpartition(".")[2] for name in launched}
    with Sent() as sent:
        torch.ones(2).to("meta")
    assert sent.by


def short_of_memory(begun: Training, most: int) -> list[int]:
    """From here on there is room for so many poses; returns how many were tried to be learnt from, one after the other."""
    tried, plenty = [], begun._criterion

    def criterion(network, images, poses):
        tried.append(len(images))
        loss = plenty(network, images, poses)
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return loss

    begun._criterion = criterion
    return tried


def test_out_of_memory_becomes_a_smaller_batch_that_teaches_the_same(begin, device):
    plenty, scarce = begin(device, "plenty"), begin(device, "scarce")
    tried = short_of_memory(scarce, 2)
    with pytest.warns(
        UserWarning,
        match=r"too little free memory to learn from \d poses at a time; from here on it takes \d at a time",
    ):
        found = gradient(scarce)
    assert tried == [6, 3, 2, 2, 2]  # six poses in two views
    expected = gradient(plenty)
    tolerance = 1e-4 if device == WARP_CPU else 0.05
    assert torch.linalg.vector_norm(found - expected) < tolerance * torch.linalg.vector_norm(expected)
    tried.clear()
    gradient(scarce)
    assert tried == [2, 2, 2]  # it is remembered


@pytest.mark.filterwarnings("ignore:.*to learn from")
def test_too_little_memory_for_a_single_pose_goes_on_on_the_cores(begin, device):
    begun = begin(device)
    with pytest.raises(Cancelled):
        begun.run(lambda fraction, stage, error_mm: "step 2 of" not in stage)
    short_of_memory(begun, 0)
    with pytest.warns(UserWarning, match="too little free memory for a single pose; the training goes on on the CPU"):
        model = begun.run()
    assert model.card.done == 4 and Card.read(model.folder).device == "cpu"
    unbroken = begin("cpu", "cores").run()
    assert model.card.losses[-1] == pytest.approx(unbroken.card.losses[-1], rel=0.01)


def test_half_precision_stays_in_the_body(begin, monkeypatch):
    """As on a CUDA device, by the processor's own bfloat16."""
    begun = begin(WARP_CPU)
    whole = gradient(begun)
    inside, outside = [], []
    begun._network.body.register_forward_hook(
        lambda module, given, found: inside.append(torch.is_autocast_enabled("cpu"))
    )
    begun._network.head.register_forward_hook(
        lambda module, given, found: outside.append((torch.is_autocast_enabled("cpu"), found.dtype))
    )
    monkeypatch.setattr(resnet, "precision_on", lambda device: torch.bfloat16)
    half = gradient(begun)
    assert inside == [True] and outside == [(False, torch.float32)]
    off = torch.linalg.vector_norm(half - whole) / torch.linalg.vector_norm(whole)
    assert 1e-4 < off < 0.05


def test_the_processor_stays_in_single_precision():
    assert resnet.precision_on(torch.device("cpu")) is torch.float32
