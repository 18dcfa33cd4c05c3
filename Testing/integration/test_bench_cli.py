"""`mvreg bench` where it cannot run: one sentence, exit status 2."""

from __future__ import annotations

import pytest
from program import run

from MultiViewRegistrationLib.errors import install_command


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "nanodrr"])
def test_a_missing_peer_is_named_with_the_remedy(missing):
    done = run("bench", without=missing)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"mvreg: the benchmark runs beside its peers, but the Python package {missing} is missing; run "
        f"{install_command('bench')}.\n"
    )


@pytest.mark.parametrize("device, reason", [("cpu", "is no CUDA device"), ("cuda:99", "")])
def test_an_unusable_device_is_named(mvreg, device, reason):
    done = mvreg("bench", "--device", device)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith(f"mvreg: device {device}: {reason}")
    assert "expected a CUDA device that can be used" in done.stderr
