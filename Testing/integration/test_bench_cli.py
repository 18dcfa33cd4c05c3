"""`mvreg bench` where it cannot run: one sentence, exit status 2."""

from __future__ import annotations

import subprocess
import sys

import pytest
from program import ENVIRONMENT, MVREG


@pytest.mark.parametrize("missing", ["torch", pytest.param("nanodrr", marks=pytest.mark.slow)])
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


def test_a_word_that_names_nothing_is_refused(mvreg):
    done = mvreg("bench", "--only", "render,radiograph")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        'mvreg: --only: found "radiograph", expected render, registration, growth, memory, search, or a piece of a row\'s name.\n'
    )


@pytest.mark.parametrize("device, why", [("cpu", "is no CUDA device"), ("cuda:99", "")])
def test_without_such_a_card_one_sentence_says_why(mvreg, device, why):
    done = mvreg("bench", "--device", device)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert (
        done.stderr.startswith(f"mvreg: device {device}: {why}")
        and "expected a CUDA device that can be used" in done.stderr
    )


def test_another_file_in_place_of_the_results_is_refused(mvreg, tmp_path):
    pytest.importorskip("nanodrr", reason='needs nanodrr: pip install "multiview-registration[bench]"')
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "results.json").write_text("mine")
    done = mvreg("bench", "--only", "memory", "--page", tmp_path / "page.md")
    assert done.returncode == 2 and "results.json" in done.stderr
    assert (tmp_path / "page" / "results.json").read_text() == "mine"
