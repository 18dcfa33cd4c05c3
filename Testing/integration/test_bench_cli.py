"""`mvreg bench` where it cannot run: one sentence, exit status 2."""

from __future__ import annotations

import subprocess
import sys

import pytest
from program import ENVIRONMENT, MVREG


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "nanodrr"])
def test_a_missing_peer_is_named_with_the_remedy(missing):
    script = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["mvreg", "bench"]
{MVREG[2]}
"""
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"mvreg: the benchmark runs beside its peers, but the Python package {missing} is missing; run "
        'pip install "multiview-registration[bench]".\n'
    )


@pytest.mark.parametrize("device, why", [("cpu", "is no CUDA device"), ("cuda:99", "")])
def test_without_such_a_card_one_sentence_says_why(mvreg, device, why):
    done = mvreg("bench", "--device", device)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert (
        done.stderr.startswith(f"mvreg: device {device}: {why}")
        and "expected a CUDA device that can be used" in done.stderr
    )
