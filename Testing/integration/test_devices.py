"""Where a registration works, what its result says of that, and what happens where the device that was asked for cannot be used."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
from moving import swing, write_moving_case
from phantom import error_mm
from program import run

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.rendering.devices import ComputeDevice

torch = pytest.importorskip("torch", reason="a device needs torch: pip install torch")
warp = pytest.importorskip("warp", reason="a device needs Warp: pip install warp-lang")

DONE = "; the processor does the work."


@pytest.fixture
def built(monkeypatch):
    """A PyTorch that was built for CUDA, whatever the machine's is."""
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)

    def starts(error=None, devices=0):
        def init():
            if error:
                raise error

        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)

    return starts


def fallback_reason(requested):
    """Why the processor does the work, by the warning."""
    with pytest.warns(UserWarning) as caught:
        device = ComputeDevice(requested)
    assert (device.name, device.display_name) == ("cpu", "") and str(caught[0].message) == device.fallback_message
    return device.fallback_message


def test_warp_registers_as_numba_and_the_result_names_it(case_file):
    by_numba, by_warp = (register(Case.load(case_file), device=device) for device in ("cpu", "warp-cpu"))
    assert error_mm(by_warp.world_from_ct, by_numba.world_from_ct) < 0.02
    software = by_warp.to_json()["software"]
    assert software["device"].startswith("CPU, ")
    assert software["device"].endswith("refined on one thread of the processor by NVIDIA Warp")
    assert "fallback_reason" not in software and "Warp" not in by_numba.to_json()["software"]["device"]


@pytest.mark.parametrize(
    "error, why",
    [
        ("Found no NVIDIA driver on your system.", "there is no NVIDIA driver"),
        (
            "The NVIDIA driver on your system is too old (found version 11040).",
            "the NVIDIA driver is too old for this PyTorch",
        ),
        ("Unexpected error.\nSomething else", "CUDA does not start (Unexpected error.)"),
    ],
)
def test_a_missing_or_old_driver_is_named(built, error, why):
    built(RuntimeError(error))
    assert fallback_reason("cuda") == f"device cuda: {why}{DONE}"


def test_a_missing_device_is_named(built, monkeypatch):
    built(devices=1)
    monkeypatch.setattr(warp, "get_devices", lambda: ["cpu"])
    assert "PyTorch finds 1 CUDA device, counted from 0" in fallback_reason("cuda:1")
    assert "NVIDIA Warp does not see it" in fallback_reason("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device, which works")
def test_a_device_that_does_not_work_is_named(built, monkeypatch):
    built(devices=1)
    monkeypatch.setattr(warp, "get_devices", lambda: ["cpu", "cuda:0"])
    assert re.fullmatch(
        r"device cuda: it does not work \(.*\); its driver may be too old, or its memory in use" + DONE,
        fallback_reason("cuda"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("missing, package", [("torch", "PyTorch"), ("warp", "NVIDIA Warp")])
def test_without_torch_or_warp_the_program_registers_on_the_processor(case_file, tmp_path, missing, package):
    done = run("register", case_file, "--device", "cuda", "--out", tmp_path, without=missing)
    assert done.returncode == 0, done.stderr
    sentence = f'device cuda: {package} is not installed (pip install "multiview-registration[gpu]"){DONE}'
    assert f"mvreg: warning: {sentence}" in done.stderr
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["software"]["fallback_reason"] == sentence and saved["errors"]["mtre_mm"] < 0.2
    assert html.escape(sentence, quote=False) in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_processor_is_taken_silently_by_auto_and_with_a_reason_for_too_little_memory(
    case_file, monkeypatch, recwarn
):
    from MultiViewRegistrationLib.registration import warp_backend

    def full(pairs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    expected = register(Case.load(case_file))
    if not torch.cuda.is_available():
        result = register(Case.load(case_file), device="auto")
        np.testing.assert_array_equal(result.world_from_ct, expected.world_from_ct)
        assert "fallback_reason" not in result.to_json()["software"]
        assert not [warning for warning in recwarn if "device" in str(warning.message)]
    monkeypatch.setattr(warp_backend, "_evaluate_batch", full)
    reason = "device warp-cpu: warp-cpu has too little free memory; the processor does the work"
    with pytest.warns(UserWarning, match=reason):
        result = register(Case.load(case_file), device="warp-cpu")
    np.testing.assert_array_equal(result.world_from_ct, expected.world_from_ct)
    assert "too little free memory" in result.to_json()["software"]["fallback_reason"]


@pytest.mark.slow
def test_warp_tracks_as_numba(tmp_path):
    case, tracks = write_moving_case(tmp_path, swing(3)), []
    for device in ("cpu", "warp-cpu"):
        assert main(["track", str(case), "--pace", "quick", "--device", device, "--out", str(tmp_path / device)]) == 0
        tracks.append(json.loads((tmp_path / device / "track.json").read_text()))
    for mine, expected in zip(tracks[1]["frames"], tracks[0]["frames"], strict=True):
        assert mine["how"] == expected["how"]
        assert error_mm(np.array(mine["world_from_ct"]), np.array(expected["world_from_ct"])) < 0.02
    assert "Warp" not in tracks[0]["software"]["device"] and tracks[1]["software"]["device"].endswith("by NVIDIA Warp")


@pytest.mark.slow
def test_warp_registers_simulated_x_rays_as_numba(shared_data):
    """Cut ends, round fields, scatter and noise: a case like the demo's."""
    case = Case.load(shared_data / "sim" / "pelvis-oblique-1")
    by_numba, by_warp = (register(case, device=device) for device in ("cpu", "warp-cpu"))
    assert mtre(by_warp.world_from_ct, by_numba.world_from_ct, case.targets) < 0.02
    assert by_warp.errors.mtre_mm < 0.1 and by_warp.verdict == by_numba.verdict
