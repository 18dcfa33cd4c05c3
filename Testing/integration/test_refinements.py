"""The refinements as a user chooses them: by the workflow, by the program, in an evaluation, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from program import ENVIRONMENT, WITHOUT

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.errors import Cancelled, InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.published import methods as refinements
from MultiViewRegistrationLib.published.presets import DIFFPOSE, PRESETS, Stage
from MultiViewRegistrationLib.report.result_page import save_result
from MultiViewRegistrationLib.studies.evaluation import EvaluationSetup, evaluate
from MultiViewRegistrationLib.studies.evaluation_page import page


@pytest.fixture
def quick(monkeypatch):
    """DiffPose's preset, a few iterations at low resolution."""
    pytest.importorskip("torch", reason="the published refinements need torch: pip install torch")
    monkeypatch.setitem(PRESETS, "diffpose", replace(DIFFPOSE, stages=(Stage(32, 1, 15),), patch=7, patches=20))


def test_a_published_refinement_registers_and_the_result_says_so(quick, case_file, tmp_path):
    told = []
    result = register(Case.load(case_file), refinement="diffpose", progress=told.append)
    assert len(told) == 15
    save_result(result, tmp_path)
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["refinement"] == "diffpose" and saved["software"]["device"].endswith("PyTorch on cpu")
    assert 0 < saved["errors"]["mtre_mm"] < 9 and len(saved["views"]) == 2
    assert "diffpose" in (tmp_path / "report.html").read_text()
    with pytest.raises(Cancelled):
        register(Case.load(case_file), refinement="diffpose", progress=lambda progress: False)


def test_the_default_is_joint(case_file):
    case = Case.load(case_file)
    default, joint = register(case), register(case, refinement="joint", device="cpu")
    assert default.to_json()["refinement"] == "joint" and "PyTorch" not in default.to_json()["software"]["device"]
    np.testing.assert_array_equal(default.world_from_ct, joint.world_from_ct)


def test_an_evaluation_is_by_the_refinement_that_was_asked_for(quick, case_file):
    by_whom = {}
    for name in ("joint", "diffpose"):
        evaluation = evaluate([case_file], EvaluationSetup(starts=2, max_start_error_mm=8, refinement=name))
        assert evaluation.to_json()["refinement"] == name
        assert f"Refinement: `{name}`" in page(evaluation)
        by_whom[name] = [run["errors"]["mtre_mm"] for run in evaluation.cases[0]["runs"]]
    assert max(by_whom["joint"]) < 0.2 < max(by_whom["diffpose"])


def test_another_name_is_refused(case_file):
    with pytest.raises(InputError, match=r'"tomorrow".*joint, diffpose, cui2025, xvr'):
        register(Case.load(case_file), refinement="tomorrow")
    assert refinements.NAMES == ("joint", "diffpose", "cui2025", "xvr")


@pytest.mark.parametrize("command", ["register", "evaluate"])
def test_without_torch_one_sentence_says_what_to_install(case_file, tmp_path, command):
    out = ["--out", str(tmp_path / "out")] if command == "register" else []
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format("torch"), command, str(case_file), "--refine", "xvr", *out],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and 'pip install "multiview-registration[torch]"' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--refine", "xvr", "--device", "abacus"], '"abacus" cannot be used'),
        (["--refine", "tomorrow"], "tomorrow"),
    ],
)
def test_wrong_choices_are_exit_2(mvreg, case_file, tmp_path, arguments, words):
    pytest.importorskip("torch", reason="the published refinements need torch: pip install torch")
    done = mvreg("register", case_file, *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
