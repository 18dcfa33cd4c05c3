"""A small training: it learns, it goes on where it stopped, and nothing that goes wrong costs what was learnt."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.refusals import refuses, warns
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib import Cancelled, Volume
from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.regressor import model_store, training
from MultiViewRegistrationLib.regressor.model import load_model
from MultiViewRegistrationLib.regressor.model_store import Card
from MultiViewRegistrationLib.regressor.poses import PoseRange
from MultiViewRegistrationLib.regressor.training import Training
from MultiViewRegistrationLib.rendering.devices import TORCH_CPU

pytestmark = [
    pytest.mark.usefixtures("quick_training"),
    pytest.mark.filterwarnings("ignore:Only"),  # what learns for a few steps is right too rarely
]


@pytest.fixture
def case(ct, views, anatomy):
    """What a training begins with, and is resumed with."""
    return ct, [view.camera for view in views], anatomy.corners()


@pytest.fixture
def begin(case, tmp_path):
    """A function: a training of so many steps in a new folder."""

    def make(name="model", steps=6, every=3, hardness=0.0, **how):
        ct, cameras, corners = case
        poses = PoseRange(
            cameras[0], np.eye(4), ct.centroid(), np.array([15.0, 15, 20, 15, 15, 20])
        )
        begun = Training.begin(ct, cameras, poses, corners, tmp_path / name, **how)
        begun.card = replace(begun.card, steps=steps, every=every, hardness=hardness)
        begun._images.harden(hardness)
        return begun

    return make


def stop_at(step):
    def progress(fraction, stage, error_mm):
        return f"step {step} of" not in stage

    return progress


def stopped(begun, step):
    with pytest.raises(Cancelled):
        begun.run(stop_at(step))
    return begun.folder


def same_weights(one, other):
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def interrupt(*_):
    raise KeyboardInterrupt


def constant(mm):
    return lambda count: (np.full((count, 3), mm), np.full(count, 5.0))


@pytest.mark.slow
def test_a_resumed_training_equals_an_uninterrupted_one(begin, case):
    unbroken = begin("unbroken", hardness=0.5).run()
    folder = stopped(begin("resumed", hardness=0.5), 4)
    assert Card.read(folder).done == 4 and not Card.read(folder).finished
    resumed = Training.resume(folder, *case).run()
    assert same_weights(unbroken, resumed)
    rows, again = (
        [[row[0], *row[2:]] for row in each.card.validation] for each in (unbroken, resumed)
    )
    assert rows == again and len(rows) == 2
    assert unbroken.card.losses == resumed.card.losses


@pytest.mark.slow
def test_an_interrupted_training_keeps_its_state(begin, case, monkeypatch):
    begun = begin()
    with pytest.raises(KeyboardInterrupt):
        begun.run(lambda fraction, stage, error_mm: interrupt() if "step 5 of" in stage else None)
    assert Card.read(begun.folder).done == 5
    # Amid a change: what was saved before.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(begun._optimiser._parts["rest"], "step", interrupt)
        begun.run()
    assert Card.read(begun.folder).done == 5
    # At its very end.
    again = Training.resume(begun.folder, *case)
    monkeypatch.setattr(
        again, "_validate", lambda count: interrupt() if again.card.done == 6 else None
    )
    with pytest.raises(KeyboardInterrupt):
        again.run()
    assert Card.read(begun.folder).done == 6 and not Card.read(begun.folder).finished
    assert Training.resume(begun.folder, *case).run().card.validation[-1][0] == 6


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["likelihood", "diffpose", "cui2025"])
def test_the_papers_network_and_losses(begin, views, loss):
    model = begin(steps=2, every=5, network="published", loss=loss).run()
    pose = load_model(model.folder).candidates(views)[0].world_from_ct
    assert_array_equal(pose, model.candidates(views)[0].world_from_ct)
    assert (model.card.network, model.card.loss) == ("published", loss)
    assert np.isfinite(model.card.losses[-1][1])


@pytest.mark.slow
def test_a_loss_of_nan_ends_it_with_the_last_good_state(begin, views):
    begun = begin(steps=9, every=4)
    good = begun._loss_function
    begun._loss_function = lambda *given: (
        good(*given) * (float("nan") if begun.card.done == 5 else 1.0)
    )
    said = "no number at step 6; training stopped there, and the state before is kept"
    with warns(said):
        model = begun.run()
    assert model.card.done == 5 and model.card.finished
    assert "step 6" in Card.read(model.folder).fault
    assert load_model(model.folder).candidates(views)


@pytest.mark.slow
def test_it_ends_early_when_the_error_stops_falling(begin, monkeypatch):
    begun = begin(steps=100, every=2)
    monkeypatch.setattr(begun, "_errors", constant(5.0))
    card = begun.run().card
    assert card.shortened == [12, pytest.approx(0.12)]
    assert card.steps == card.done == 14  # a fifth more than six validations


@pytest.mark.slow
def test_a_full_disk_leaves_the_state_before(begin, monkeypatch, case):
    begun = Training.resume(stopped(begin(), 2), *case)

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(model_store, "write_atomically", full)
        begun.run()
    assert Card.read(begun.folder).done == 2
    assert Training.resume(begun.folder, *case).run().card.done == 6


@pytest.mark.slow
def test_minutes_become_steps_and_hard_images(begin, monkeypatch):
    begun, each = begin(minutes=0.4), 0.01
    monkeypatch.undo()
    monkeypatch.setattr(training, "_least_seconds", lambda work, repeats: (work(), each)[1])
    begun._set_pace()
    steps, between = begun.card.steps, (begun.card.steps - 1) // begun.card.every
    validated = between * training.VALIDATED + training.LAST_VALIDATED
    assert each * (steps + validated) == pytest.approx(24, rel=0.01)
    assert begun.card.hardness == training.hardness_of(steps) > 0
    hardness = [training.hardness_of(steps) for steps in (1, 1000, 1700, 2400, 10**6)]
    assert hardness == [0, 0, 0.5, 1, 1]


def test_arguments_out_of_range_are_refused(begin, tmp_path):
    for how, said in (
        ({"network": "vote"}, '"vote" is not known, expected one of voting, published'),
        ({"loss": "l2"}, '"l2" is not known, expected one of likelihood, diffpose'),
        ({"loss": "cui2025"}, "is one of poses, which the network .voting. does not say"),
    ):
        with refuses(said):
            begin(**how)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with refuses("model: is not empty, expected a new folder"):
        begin()


@pytest.mark.slow
def test_it_begins_with_another_model_and_goes_on_as_an_unbroken_one(begin, case):
    first = begin("first").run()
    whole = begin("whole", begin_with=first).run()
    again = Training.resume(stopped(begin("part", begin_with=first), 4), *case).run()
    assert same_weights(whole, again)
    assert whole.card.validation[-1][2:] == again.card.validation[-1][2:]
    with refuses('"voting", expected "published"'):
        begin("other", network="published", loss="diffpose", begin_with=first)


@pytest.mark.slow
def test_resuming_is_refused_for_other_inputs(begin, case):
    ct, cameras, corners = case
    finished = begin(steps=1, every=5).run()
    with refuses("is at its end after 1 steps"):
        Training.resume(finished.folder, *case)
    folder = stopped(begin("stopped"), 1)
    other = CT(Volume(ct.volume.values + 1, ct.volume.ct_from_index))
    with refuses("of another CT"):
        Training.resume(folder, other, cameras, corners)
    with refuses("of other views or cameras"):
        Training.resume(folder, ct, cameras[::-1], corners)
    with refuses("stopped before it had learnt anything; resume it"):
        load_model(folder)


def gradient(begun):
    """Of its first step, of all parameters."""
    begun._learn(0)
    return torch.cat([parameter.grad.flatten().cpu() for parameter in begun._network.parameters()])


def apart(one, other):
    """Of their length."""
    return torch.linalg.vector_norm(one - other) / torch.linalg.vector_norm(other)


@pytest.fixture(params=[TORCH_CPU, *["cuda"] * torch.cuda.is_available()])
def device(request):
    """What a CUDA device does, on the processor, too."""
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [{}, {"network": "published", "loss": "cui2025"}], ids=["voting", "cui2025"]
)
def test_a_device_learns_as_the_cpu_does(begin, device, case, how):
    mine, theirs = begin("device", device=device, **how), begin("cores", **how)
    tolerance = 1e-3 if device == TORCH_CPU else 0.05  # bfloat16
    assert apart(gradient(mine), gradient(theirs)) < tolerance
    theirs, folder = theirs.run(), stopped(mine, 3)
    mine = Training.resume(folder, *case).run()
    for row, expected in zip(mine.card.losses, theirs.card.losses, strict=True):
        assert row == pytest.approx(expected, rel=0.05)
    assert Card.read(mine.folder).device.startswith(device) and theirs.card.device == "cpu"
    assert next(mine.network.parameters()).device.type == "cpu"


@pytest.mark.slow
def test_with_too_little_memory_it_continues_on_the_cpu(begin, device):
    begun = begin(steps=4, device=device)
    stopped(begun, 2)
    plenty = begun._loss_function

    def short_of_memory(*given):
        plenty(*given)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    begun._loss_function = short_of_memory
    said = "has too little free memory; the training goes on on the CPU"
    with warns(said):
        model = begun.run()
    assert model.card.done == 4 and Card.read(model.folder).device == "cpu"
    unbroken = begin("cores", steps=4).run()
    assert model.card.losses[-1] == pytest.approx(unbroken.card.losses[-1], rel=0.01)
