"""The refinements as a user chooses them.

By the workflow, by the program, in an evaluation, and without torch.
"""

from dataclasses import replace

import pytest
from helpers.program import result_in, run
from helpers.refusals import refuses

from MultiViewRegistrationLib import Case, register, save_result
from MultiViewRegistrationLib.errors import Cancelled, install_command
from MultiViewRegistrationLib.studies.evaluation import EvaluationSetup, evaluate
from MultiViewRegistrationLib.studies.evaluation_table import table_rows

pytestmark = pytest.mark.slow


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
    saved = result_in(tmp_path)
    assert len(reported) == 15 and saved["refinement"] == "diffpose" and len(saved["views"]) == 2
    assert saved["software"]["device"].endswith("PyTorch on cpu")
    assert 0 < saved["errors"]["mtre_mm"] < 9
    assert "diffpose" in (tmp_path / "report.html").read_text()
    with pytest.raises(Cancelled):
        register(case, refinement="diffpose", progress=lambda progress: False)
    with refuses(r'"tomorrow".*joint, diffpose, cui2025, xvr'):
        register(case, refinement="tomorrow")


def test_an_evaluation_is_by_the_refinement_that_was_asked_for(quick, case_file):
    worst_mm = {}
    for name in ("joint", "diffpose"):
        setup = EvaluationSetup(starts=2, max_start_error_mm=8, refinement=name)
        evaluation = evaluate([case_file], setup)
        assert evaluation.to_json()["refinement"] == name
        assert [row["refinement"] for row in table_rows([evaluation])] == [name, name]
        runs = evaluation.cases[0]["runs"]
        worst_mm[name] = max(run["errors"]["mtre_mm"] for run in runs)
    assert worst_mm["joint"] < 0.2 < worst_mm["diffpose"]


@pytest.mark.parametrize("command", ["register", "evaluate"])
def test_without_torch_the_package_to_install_is_named(case_file, tmp_path, command):
    out = f"--out {tmp_path}/out" if command == "register" else ""
    said = run(f"{command} {case_file} --refine xvr {out}", 2, without="torch")
    assert install_command("torch") in said.refusal and not (tmp_path / "out").exists()
