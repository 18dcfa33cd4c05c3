"""Where a registration works, what its result says of that, and what happens where the device that was asked for cannot be used."""

import html

import pytest
from helpers.phantom import error_mm
from helpers.program import result_in, run
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.io.case import Case

torch = pytest.importorskip("torch", reason="a device needs torch: pip install torch")


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
