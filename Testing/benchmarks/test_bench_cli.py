"""`make bench` where it cannot run: one sentence, exit status 2."""

import sys
from importlib.util import find_spec

import pytest

from benchmarks.__main__ import COMMANDS, main
from benchmarks.speed import nanodrr_peer
from MultiViewRegistrationLib.errors import InputError, install_command


def test_missing_peer_is_reported(monkeypatch):
    nanodrr_peer.modules.cache_clear()
    with monkeypatch.context() as patch, pytest.raises(InputError) as caught:
        patch.setitem(sys.modules, "torch", None)
        nanodrr_peer.modules()
    assert "package torch is missing" in str(caught.value)
    assert install_command("bench") in str(caught.value)


@pytest.mark.parametrize(
    "device, reason", [("mps", "PyTorch finds 0 such devices"), ("cuda:99", "")]
)
def test_unusable_device_is_reported(device, reason, capsys):
    assert main(["speed", "--device", device]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.strip().splitlines()) == 1
    assert printed.err.startswith(f"speed: device {device}: {reason}")
    assert "expected a device that can be used" in printed.err


def test_unknown_command_lists_all_commands(capsys):
    assert main([]) == main(["nothing"]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    for name in COMMANDS:
        assert printed.err.count(f"  {name} ") == 2 and find_spec(f"benchmarks.{name}")
