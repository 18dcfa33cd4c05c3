"""One training on two processes, by gloo, and on one that believes it is many."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file
if not torch.distributed.is_available():
    pytest.skip("needs a PyTorch with torch.distributed", allow_module_level=True)

import ranks_example  # noqa: E402

from MultiViewRegistrationLib.regressor import ranks, training  # noqa: E402
from MultiViewRegistrationLib.regressor.card import Card  # noqa: E402
from MultiViewRegistrationLib.regressor.training import Training  # noqa: E402
from MultiViewRegistrationLib.rendering.threads import available_threads  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Only")  # what learns for a few steps is right too rarely


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Validations of few poses, and a pace that is not measured."""
    monkeypatch.setattr(training, "VALIDATED", 2)
    monkeypatch.setattr(training, "LAST_VALIDATED", 4)
    monkeypatch.setattr(Training, "_set_pace", lambda self: None)


@pytest.fixture
def launched(monkeypatch):
    """A function: the environment that torchrun gives to the first of so many ranks on this machine, set here too."""

    def launch(count: int) -> dict[str, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        given = {
            "TORCHELASTIC_RUN_ID": "test",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "RANK": 0,
            "LOCAL_RANK": 0,
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
        }
        for name, value in given.items():
            monkeypatch.setenv(name, str(value))
        return dict(os.environ)

    return launch


def test_two_ranks_train_one_network(launched, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    library = Path(training.__file__).parents[2]
    environment = {**launched(2), "RANK": "1", "LOCAL_RANK": "1", "PYTHONPATH": str(library)}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert available_threads() == max(1, cores // 2)
    with subprocess.Popen([sys.executable, ranks_example.__file__, str(folder)], env=environment) as second:
        try:
            mine = ranks_example.go_through(folder)
            assert second.wait(60) == 0
        finally:
            second.kill()
    other = load_file(f"{folder}.second")
    for name, tensor in mine.items():
        assert torch.equal(tensor, other[name]), name
    assert mine["stopped"] == ranks_example.STOPPED_AT and Card.read(folder).finished
    begun, alone = ranks_example.begin(tmp_path / "alone"), []
    for rank in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        alone.append(ranks_example.gradient(begun, None))
    assert not torch.allclose(*alone, rtol=0.1)  # each draws its own images
    torch.testing.assert_close(
        mine["gradient"], (alone[0] + alone[1]) / 2, rtol=1e-4, atol=1e-6 * float(mine["gradient"].abs().max())
    )


def test_one_rank_is_the_plain_training_bit_by_bit(launched, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "BATCH", 10)  # 5 poses, which are not halved evenly
    plain = ranks_example.begin(tmp_path / "plain").run()
    launched(1)
    with ranks.joined():
        assert ranks.together()
        one = ranks_example.begin(tmp_path / "one").run()
    assert not ranks.together()
    assert torch.equal(ranks_example.weights(plain.network), ranks_example.weights(one.network))
    assert plain.card.losses == one.card.losses and len(plain.card.losses) == ranks_example.STEPS


def test_the_end_of_another_rank_is_a_sentence_and_that_of_all_an_interruption(launched):
    launched(1)
    with pytest.raises(OSError, match="another process of this training ended; go on with --resume"), ranks.joined():
        raise RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection reset by peer")
    with pytest.raises(RuntimeError, match="shape"), ranks.joined():
        raise RuntimeError("a shape that does not fit")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ranks.joined():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before and not ranks.together()
