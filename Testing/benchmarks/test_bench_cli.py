"""`make bench` where it cannot run: one sentence, exit status 2."""

import sys
from importlib.util import find_spec

import pytest

from benchmarks.__main__ import COMMANDS, main
from benchmarks.speed import nanodrr_peer
from MultiViewRegistrationLib.errors import InputError, install_command


@pytest.mark.parametrize("missing", ["torch", "nanodrr"])
def test_a_missing_peer_is_named_with_the_remedy(missing, monkeypatch):
    nanodrr_peer.modules.cache_clear()
    with monkeypatch.context() as patch, pytest.raises(InputError) as caught:
        patch.setitem(sys.modules, missing, None)
        nanodrr_peer.modules()
    assert str(caught.value) == (
        f"the benchmark runs beside its peers, but the Python package {missing} is missing; run "
        f"{install_command('bench')}."
    )


@pytest.mark.parametrize(
    "device, reason", [("mps", "PyTorch finds 0 such devices"), ("cuda:99", "")]
)
def test_an_unusable_device_is_named(device, reason, capsys):
    assert main(["speed", "--device", device]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.strip().splitlines()) == 1
    assert printed.err.startswith(f"speed: device {device}: {reason}")
    assert "expected a device that can be used" in printed.err


def test_without_a_command_all_are_listed_and_each_is_there(capsys):
    assert main([]) == main(["nothing"]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    for name in COMMANDS:
        assert printed.err.count(f"  {name} ") == 2 and find_spec(f"benchmarks.{name}")
