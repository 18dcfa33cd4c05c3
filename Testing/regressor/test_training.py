"""A small training: it learns, it goes on where it stopped, and nothing that goes wrong costs what was learnt."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiViewRegistrationLib.errors import Cancelled, InputError
from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.imaging.volume import Volume

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from MultiViewRegistrationLib.regressor import model_store, network, training  # noqa: E402
from MultiViewRegistrationLib.regressor.model import load_model  # noqa: E402
from MultiViewRegistrationLib.regressor.model_store import CARD, Card  # noqa: E402
from MultiViewRegistrationLib.regressor.poses import PoseRange  # noqa: E402
from MultiViewRegistrationLib.regressor.training import Training, TrainingConfig  # noqa: E402
from MultiViewRegistrationLib.rendering.devices import WARP_CPU  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Only")  # what learns for a few steps is right too rarely


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small batches, validations of few poses, and a pace that is not measured."""
    monkeypatch.setattr(training, "VALIDATED", 2)
    monkeypatch.setattr(training, "LAST_VALIDATED", 4)
    monkeypatch.setattr(training, "BATCH", 12)  # six poses in two views
    monkeypatch.setattr(Training, "_set_pace", lambda self: None)


@pytest.fixture
def begin(ct, views, anatomy, tmp_path):
    """A function: a training of so many steps in a new folder."""

    def make(name: str = "model", steps: int = 6, every: int = 3, hardness: float = 0.0, **plan) -> Training:
        cameras = [view.camera for view in views]
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
        begun = Training.begin(ct, cameras, poses, anatomy.corners(), TrainingConfig(**plan), tmp_path / name)
        begun.card = replace(begun.card, steps=steps, every=every, hardness=hardness)
        begun._images.harden(hardness)
        return begun

    return make


def stop_at(step: int):
    def progress(fraction: float, stage: str, error_mm: float | None):
        return f"step {step} of" not in stage

    return progress


def weights(folder: Path) -> dict:
    return {
        name: tensor for name, tensor in model_store.load_checkpoint(folder)[1].items() if name.startswith("network.")
    }


def test_a_resumed_training_ends_as_an_unbroken_one(begin, ct, views, anatomy):
    unbroken = begin("unbroken", hardness=0.5).run()
    with pytest.raises(Cancelled):
        begin("resumed", hardness=0.5).run(stop_at(4))
    folder = unbroken.folder.parent / "resumed"
    assert Card.read(folder).done == 4 and not Card.read(folder).finished
    resumed = Training.resume(folder, ct, [view.camera for view in views], anatomy.corners()).run()
    for name, tensor in weights(unbroken.folder).items():
        assert torch.equal(tensor, weights(folder)[name]), name
    timeless = [[row[0], *row[2:]] for row in unbroken.card.validation]
    assert timeless == [[row[0], *row[2:]] for row in resumed.card.validation] and len(timeless) == 2
    assert unbroken.card.losses == resumed.card.losses


def test_a_training_that_is_interrupted_keeps_what_it_learnt(begin):
    def interrupt(fraction, stage, error_mm):
        if "step 5 of" in stage:
            raise KeyboardInterrupt

    begun = begin()
    with pytest.raises(KeyboardInterrupt):
        begun.run(interrupt)
    assert Card.read(begun.folder).done == 5


def test_an_interruption_amid_a_change_leaves_what_was_saved_before(begin, monkeypatch):
    begun = begin()
    with pytest.raises(Cancelled):
        begun.run(stop_at(3))
    monkeypatch.setattr(begun._optimiser._rest, "step", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        begun.run()
    assert Card.read(begun.folder).done == 3


def test_a_training_that_is_interrupted_at_its_very_end_is_not_finished(begin, ct, views, anatomy, monkeypatch):
    begun = begin()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            begun, "_validate", lambda count: (_ for _ in ()).throw(KeyboardInterrupt) if begun.card.done == 6 else None
        )
        begun.run()
    assert Card.read(begun.folder).done == 6 and not Card.read(begun.folder).finished
    assert (
        Training.resume(begun.folder, ct, [view.camera for view in views], anatomy.corners())
        .run()
        .card.validation[-1][0]
        == 6
    )


@pytest.mark.parametrize("network, loss", [("pose", "likelihood"), ("pose", "diffpose"), ("pose", "cui2025")])
def test_the_papers_network_and_losses(begin, views, network, loss):
    model = begin(steps=2, every=5, network=network, loss=loss).run()
    assert load_model(model.folder).candidates(views)[0].world_from_ct.shape == (4, 4)
    assert model.card.loss == loss and np.isfinite(model.card.losses[-1][1])


def test_a_loss_that_is_no_number_ends_it_with_the_last_good_state(begin, monkeypatch, views):
    begun = begin(steps=9, every=4)
    good = begun._loss_function

    def spoilt(network, images, poses):
        return good(network, images, poses) * (float("nan") if begun.card.done == 5 else 1.0)

    begun._loss_function = spoilt
    with pytest.warns(UserWarning, match="no number at step 6; training stopped there, and the state before is kept"):
        model = begun.run()
    assert model.card.done == 5 and model.card.finished and "step 6" in Card.read(model.folder).fault
    assert len(load_model(model.folder).candidates(views)) >= 1


def test_it_ends_early_when_the_error_stops_falling(begin, monkeypatch):
    begun = begin(steps=100, every=2)
    monkeypatch.setattr(begun, "_errors", lambda count: (np.full((count, 3), 5.0), np.full(count, 5.0)))
    card = begun.run().card
    assert (
        card.shortened == [12, pytest.approx(0.12)] and card.steps == card.done == 14
    )  # six validations, and a fifth of twelve steps


def test_a_falling_error_goes_on(begin, monkeypatch):
    begun = begin(steps=20, every=2)
    monkeypatch.setattr(
        begun, "_errors", lambda count: (np.full((count, 3), 50.0 / (begun.card.done + 1)), np.full(count, 5.0))
    )
    assert begun.run().card.done == 20


def test_a_full_disk_leaves_the_state_before(begin, monkeypatch, ct, views, anatomy):
    stopped = begin()
    with pytest.raises(Cancelled):
        stopped.run(stop_at(2))
    begun = Training.resume(stopped.folder, ct, [view.camera for view in views], anatomy.corners())

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(model_store, "write_atomically", full)
        begun.run()
    assert Card.read(begun.folder).done == 2
    assert Training.resume(begun.folder, ct, [view.camera for view in views], anatomy.corners()).run().card.done == 6


def test_minutes_become_steps(begin, monkeypatch):
    begun, each = begin(minutes=0.4), 0.01
    monkeypatch.undo()
    monkeypatch.setattr(training, "_least_seconds", lambda work, repeats: (work(), each)[1])
    begun._set_pace()
    validated = (begun.card.steps - 1) // begun.card.every * training.VALIDATED + training.LAST_VALIDATED
    assert each * (begun.card.steps + validated) == pytest.approx(24, rel=0.01)
    assert begun.card.hardness == training.hardness_of(begun.card.steps) > 0


def test_a_longer_training_sees_harder_images(begin):
    assert [training.hardness_of(steps) for steps in (1, 1000, 1700, 2400, 10**6)] == [0, 0, 0.5, 1, 1]


def test_plans_that_are_none(begin, tmp_path):
    with pytest.raises(InputError, match="minutes: found 0, expected more than 0"):
        begin(minutes=0)
    with pytest.raises(InputError, match='the network "vote" is not known, expected one of voting, pose'):
        begin(network="vote")
    with pytest.raises(InputError, match='the loss "l2" is not known, expected one of likelihood, diffpose'):
        begin(loss="l2")
    with pytest.raises(InputError, match='the loss "cui2025" is one of poses, which the network "voting" does not say'):
        begin(loss="cui2025")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="model: is not empty, expected a new folder"):
        begin()


def test_resuming_what_cannot_go_on(begin, ct, views, anatomy):
    cameras = [view.camera for view in views]
    finished = begin(steps=1, every=5).run()
    with pytest.raises(InputError, match="is at its end after 1 steps"):
        Training.resume(finished.folder, ct, cameras, anatomy.corners())
    with pytest.raises(Cancelled):
        begin("stopped").run(stop_at(1))
    folder = finished.folder.parent / "stopped"
    other = CT(Volume(ct.volume.values + 1, ct.volume.ct_from_index))
    with pytest.raises(InputError, match="of another CT"):
        Training.resume(folder, other, cameras, anatomy.corners())
    with pytest.raises(InputError, match="of other views or cameras"):
        Training.resume(folder, ct, cameras[::-1], anatomy.corners())
    with pytest.raises(InputError, match="stopped before it had learnt anything; resume it"):
        load_model(folder)


def test_no_card_names_a_view(begin):
    assert "view1" not in (begin(steps=1, every=5).run().folder / CARD).read_text()


def test_a_network_that_is_right_too_rarely_says_so(begin, monkeypatch):
    begun = begin(steps=1, every=5)
    monkeypatch.setattr(begun, "_errors", lambda count: (np.full((count, 3), 24.0), np.full(count, 5.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begun.run()
    begun = begin("other", steps=1, every=5)
    monkeypatch.setattr(begun, "_errors", lambda count: (np.array([[5.0] * 3, [26.0] * 3]), np.full(2, 5.0)))
    with pytest.warns(UserWarning, match="Only 50 % of the random images were found within 25 mm, .* train for longer"):
        begun.run()


def gradient(begun: Training) -> torch.Tensor:
    """Of its first step, of all parameters."""
    begun._backend.learn(begun._network, begun._loss_function, *begun._batch(0))
    return torch.cat([parameter.grad.flatten().cpu() for parameter in begun._network.parameters()])


@pytest.fixture(params=[WARP_CPU, *["cuda"] * torch.cuda.is_available()])
def device(request):
    """What a CUDA device does, on the processor, too."""
    pytest.importorskip("warp", reason="a device needs Warp: pip install warp-lang")
    return request.param


@pytest.mark.parametrize("plan", [{}, {"network": "pose", "loss": "cui2025"}], ids=["voting", "cui2025"])
def test_a_device_learns_as_the_cores_do(begin, device, plan):
    mine, theirs = begin("device", device=device, **plan), begin("cores", **plan)
    tolerance = 1e-3 if device == WARP_CPU else 0.05  # bfloat16
    expected = gradient(theirs)
    assert torch.linalg.vector_norm(gradient(mine) - expected) < tolerance * torch.linalg.vector_norm(expected)
    mine, theirs = mine.run(), theirs.run()
    for row, expected in zip(mine.card.losses, theirs.card.losses, strict=True):
        assert row == pytest.approx(expected, rel=0.01)
    assert Card.read(mine.folder).device.startswith(device) and theirs.card.device == "cpu"
    assert next(mine.network.parameters()).device.type == "cpu"


def test_a_training_on_a_device_can_be_resumed(begin, device, ct, views, anatomy):
    unbroken = begin("unbroken", device=device).run()
    with pytest.raises(Cancelled):
        begin("resumed", device=device).run(stop_at(3))
    folder = unbroken.folder.parent / "resumed"
    Training.resume(folder, ct, [view.camera for view in views], anatomy.corners()).run()
    for name, tensor in weights(unbroken.folder).items():
        assert torch.equal(tensor, weights(folder)[name]), name


def short_of_memory(begun: Training, most: int) -> list[int]:
    """Leave room for so many poses; returns how many were tried at a time, one after the other."""
    tried, plenty = [], begun._loss_function

    def loss_function(network, images, poses):
        tried.append(len(images))
        loss = plenty(network, images, poses)
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return loss

    begun._loss_function = loss_function
    return tried


def test_out_of_memory_becomes_a_smaller_batch_that_teaches_the_same(begin, device):
    expected, scarce = gradient(begin("plenty", device=device)), begin("scarce", device=device)
    tried = short_of_memory(scarce, 2)
    with pytest.warns(UserWarning, match=r"too little free memory to learn from \d poses at a time; from here on it"):
        found = gradient(scarce)
    assert tried == [6, 3, 2, 2, 2]
    tolerance = 1e-4 if device == WARP_CPU else 0.05
    assert torch.linalg.vector_norm(found - expected) < tolerance * torch.linalg.vector_norm(expected)
    tried.clear()
    gradient(scarce)
    assert tried == [2, 2, 2]  # it is remembered


@pytest.mark.filterwarnings("ignore:.*to learn from")
def test_too_little_memory_for_a_single_pose_goes_on_on_the_cores(begin, device):
    begun = begin(steps=4, device=device)
    with pytest.raises(Cancelled):
        begun.run(stop_at(2))
    short_of_memory(begun, 0)
    with pytest.warns(UserWarning, match="too little free memory for a single pose; the training goes on on the CPU"):
        model = begun.run()
    assert model.card.done == 4 and Card.read(model.folder).device == "cpu"
    unbroken = begin("cores", steps=4).run()
    assert model.card.losses[-1] == pytest.approx(unbroken.card.losses[-1], rel=0.01)


def test_half_precision_stays_in_the_body(begin, device, monkeypatch):
    """As on a CUDA device, by the processor's own bfloat16."""
    assert network.precision_on(torch.device("cpu")) is torch.float32
    begun = begin(device=device)
    whole = gradient(begun)
    inside, outside = [], []
    begun._network.body.register_forward_hook(
        lambda module, given, found: inside.append(torch.is_autocast_enabled("cpu"))
    )
    begun._network.head.register_forward_hook(
        lambda module, given, found: outside.append((torch.is_autocast_enabled("cpu"), found.dtype))
    )
    monkeypatch.setattr(network, "precision_on", lambda device: torch.bfloat16)
    half = gradient(begun)
    assert inside == [True] and outside == [(False, torch.float32)]
    off = torch.linalg.vector_norm(half - whole) / torch.linalg.vector_norm(whole)
    assert 1e-4 < off < 0.05
