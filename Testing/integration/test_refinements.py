"""The refinements as a user chooses them.

By the workflow, by the program, in an evaluation, and without torch.
"""

from dataclasses import replace

import pytest
from file_io import read_json
from numpy.testing import assert_array_equal
from program import run
from refusals import refuses

from MultiViewRegistrationLib import Case, register, save_result
from MultiViewRegistrationLib.errors import Cancelled, install_command
from MultiViewRegistrationLib.published import NAMES
from MultiViewRegistrationLib.studies.evaluation import EvaluationSetup, evaluate
from MultiViewRegistrationLib.studies.evaluation_page import page


@pytest.fixture
def quick(monkeypatch):
    """DiffPose's preset, a few iterations at low resolution."""
    pytest.importorskip("torch", reason="the published refinements need torch: pip install torch")
    from MultiViewRegistrationLib.published.refine import DIFFPOSE, PRESETS, Stage

    monkeypatch.setitem(
        PRESETS, "diffpose", replace(DIFFPOSE, stages=(Stage(32, 1, 15),), patch=7, patches=20)
    )


def test_a_published_refinement_registers_and_the_result_names_it(quick, case_file, tmp_path):
    reported, case = [], Case.load(case_file)
    save_result(register(case, refinement="diffpose", progress=reported.append), tmp_path)
    saved = read_json(tmp_path / "result.json")
    assert len(reported) == 15 and saved["refinement"] == "diffpose" and len(saved["views"]) == 2
    assert (
        saved["software"]["device"].endswith("PyTorch on cpu")
        and 0 < saved["errors"]["mtre_mm"] < 9
    )
    assert "diffpose" in (tmp_path / "report.html").read_text()
    with pytest.raises(Cancelled):
        register(case, refinement="diffpose", progress=lambda progress: False)
    with refuses(r'"tomorrow".*joint, diffpose, cui2025, xvr'):
        register(case, refinement="tomorrow")
    default, joint = register(case), register(case, refinement="joint", device="cpu")
    assert (
        default.to_json()["refinement"] == "joint"
        and "PyTorch" not in default.to_json()["software"]["device"]
    )
    assert_array_equal(default.world_from_ct, joint.world_from_ct)
    assert NAMES == ("joint", "diffpose", "cui2025", "xvr")


@pytest.mark.slow
def test_an_evaluation_is_by_the_refinement_that_was_asked_for(quick, case_file):
    mtre_mm = {}
    for name in ("joint", "diffpose"):
        evaluation = evaluate(
            [case_file], EvaluationSetup(starts=2, max_start_error_mm=8, refinement=name)
        )
        assert evaluation.to_json()["refinement"] == name and f"Refinement: `{name}`" in page(
            evaluation
        )
        mtre_mm[name] = [run["errors"]["mtre_mm"] for run in evaluation.cases[0]["runs"]]
    assert max(mtre_mm["joint"]) < 0.2 < max(mtre_mm["diffpose"])


@pytest.mark.slow
@pytest.mark.parametrize("command", ["register", "evaluate"])
def test_without_torch_the_package_to_install_is_named(case_file, tmp_path, command):
    out = ["--out", tmp_path / "out"] if command == "register" else []
    done = run(command, case_file, "--refine", "xvr", *out, without="torch")
    assert done.returncode == 2 and install_command("torch") in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists()
