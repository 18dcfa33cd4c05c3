"""Where a registration works, what its result says of that, and what happens where the device that was asked for cannot be used."""

import html
from unittest.mock import Mock

import pytest
from helpers.bent_spine import write_case
from helpers.phantom import error_mm
from helpers.program import result_in, run
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment import features
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.io.case import Case

torch = pytest.importorskip("torch", reason="a device needs torch: pip install torch")

from MultiViewRegistrationLib.registration.torch_backend import TorchObjective  # noqa: E402
from MultiViewRegistrationLib.registration.torch_bones import TorchBonesObjective  # noqa: E402

pytestmark = pytest.mark.slow

DONE = "; the processor does the work."


def test_torch_registers_as_numba_and_the_result_names_it(case_file):
    by_numba, by_torch = (
        register(Case.load(case_file), device=device) for device in ("cpu", "torch-cpu")
    )
    assert error_mm(by_torch.world_from_ct, by_numba.world_from_ct) < 0.02
    here, there = (each.to_json()["software"] for each in (by_numba, by_torch))
    assert there["device"].startswith("CPU, ") and "fallback_reason" not in there
    assert there["device"].endswith("refined on the processor by PyTorch")
    assert "PyTorch" not in here["device"]


@pytest.mark.slow
def test_without_torch_the_program_registers_on_the_processor(case_file, tmp_path):
    said = run(f"register {case_file} --device cuda --out {tmp_path}", without="torch")
    sentence = f"device cuda: PyTorch is not installed (pip install torch){DONE}"
    assert f"mvreg: warning: {sentence}" in said.err
    saved = result_in(tmp_path)
    assert saved["software"]["fallback_reason"] == sentence and saved["errors"]["mtre_mm"] < 0.2
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.escape(sentence, quote=False) in page


def test_the_processor_is_taken_silently_by_auto_and_with_a_reason_for_too_little_memory(
    case_file, monkeypatch, recwarn
):
    from MultiViewRegistrationLib.registration import torch_backend

    def full(pairs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    expected = register(Case.load(case_file))
    if not torch.cuda.is_available():
        result = register(Case.load(case_file), device="auto")
        assert_array_equal(result.world_from_ct, expected.world_from_ct)
        assert "fallback_reason" not in result.to_json()["software"]
        assert not [warning for warning in recwarn if "device" in str(warning.message)]
    monkeypatch.setattr(torch_backend, "_evaluate_batch", full)
    reason = "device torch-cpu: torch-cpu has too little free memory; the processor does the work"
    with pytest.warns(UserWarning, match=reason):
        result = register(Case.load(case_file), device="torch-cpu")
    assert_array_equal(result.world_from_ct, expected.world_from_ct)
    assert "too little free memory" in result.to_json()["software"]["fallback_reason"]


@pytest.mark.slow
def test_torch_registers_several_bones_as_numba(tmp_path, monkeypatch):
    """The bones and what judges them."""
    path = write_case(tmp_path) and tmp_path / "case.json"
    compared = []
    real = TorchBonesObjective.evaluate
    counted = lambda self, point: compared.append(1) or real(self, point)  # noqa: E731
    monkeypatch.setattr(TorchBonesObjective, "evaluate", counted)
    by_numba, by_torch = (register(Case.load(path), device=each) for each in ("cpu", "torch-cpu"))
    assert len(compared) > 20
    pairs = zip(by_torch.together.bodies, by_numba.together.bodies, strict=True)
    for mine, theirs in pairs:
        assert mine.bone.apart(mine.world_from_ct, theirs.world_from_ct) < 0.02
        assert mine.verdict == theirs.verdict


@pytest.mark.slow
def test_torch_registers_and_judges_simulated_x_rays_as_numba(shared_data, monkeypatch):
    """Cut ends, round fields, scatter and noise: a case like the demo's."""
    noted = Mock(wraps=features.minimise)
    monkeypatch.setattr(features, "minimise", noted)
    case = Case.load(shared_data / "sim" / "pelvis-oblique-1")
    by_numba, by_torch = (register(case, device=device) for device in ("cpu", "torch-cpu"))
    assert mtre(by_torch.world_from_ct, by_numba.world_from_ct, case.targets) < 0.02
    assert by_torch.errors.mtre_mm < 0.1 and by_torch.verdict == by_numba.verdict
    assert by_torch.reasons == by_numba.reasons
    assert any(isinstance(call.args[0], TorchObjective) for call in noted.call_args_list)
