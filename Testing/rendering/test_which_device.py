"""Which device is taken, and why not the one that was asked for.

No CUDA device is needed for it.
"""

import sys
import warnings

import pytest
from helpers.refusals import refuses

from MultiViewRegistrationLib.finding import refinement_method
from MultiViewRegistrationLib.rendering import devices
from MultiViewRegistrationLib.rendering.devices import CPU, TORCH_CPU, ComputeDevice

torch = pytest.importorskip("torch")


@pytest.fixture
def two_cards(monkeypatch):
    """As if there were two CUDA devices that work."""
    monkeypatch.setattr(devices, "has_card", lambda: True)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (8 << 30, 16 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "NVIDIA H200")
    monkeypatch.setattr(torch, "ones", lambda size, device: torch.full((size,), 1.0))


def resolved(requested):
    """Name, card and reason, which is also a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        device = ComputeDevice(requested)
    assert [str(one.message) for one in caught] == [device.fallback_message] * bool(
        device.fallback_reason and requested != "auto"
    )
    return device.name, device.card, device.fallback_reason


def test_an_automatic_choice_learns_on_a_card_and_registers_on_the_processor(two_cards):
    assert ComputeDevice("auto", registering=True).name == CPU
    assert ComputeDevice("cuda", registering=True).name == "cuda:0"
    method = refinement_method("joint", "auto")
    assert (method.compute_device.name, method.trains_on) == (CPU, "cuda:0")


def test_where_there_are_devices(two_cards):
    first = ("cuda:0", "NVIDIA H200", "")
    assert resolved("auto") == resolved("cuda") == first
    assert resolved("cuda:1") == ("cuda:1", "NVIDIA H200", "")
    assert resolved("cpu") == (CPU, "", "")
    device = ComputeDevice("cuda")
    assert str(device) == "cuda:0, NVIDIA H200" and str(ComputeDevice()) == "cpu"
    assert (device.torch_device, ComputeDevice(TORCH_CPU).torch_device) == ("cuda:0", "cpu")
    assert device.display_name == "NVIDIA H200 (cuda:0) by PyTorch"


@pytest.mark.parametrize(
    "name, value, why",
    [
        (
            "init",
            "The NVIDIA driver on your system is too old (found version 11040)",
            "the NVIDIA driver is too old for this PyTorch",
        ),
        ("init", "Strange\nfrom cudaGetDeviceCount()", "CUDA does not start (Strange)"),
        (
            "mem_get_info",
            (100 << 20, 16 << 30),
            "it has 100 MiB of free memory, and 1024 MiB are needed",
        ),
        (
            "mem_get_info",
            "CUDA error: no kernel image\nmore",
            "it does not work (CUDA error: no kernel image); "
            "its driver may be too old, or its memory in use",
        ),
    ],
)
def test_a_fallback_says_why(two_cards, monkeypatch, name, value, why):
    """A text is what PyTorch raises."""

    def answer(*_):
        if isinstance(value, str):
            raise RuntimeError(value)
        return value

    monkeypatch.setattr(torch.cuda, name, answer)
    assert resolved("cuda") == (CPU, "", why)
    for card in (True, False):  # without a card, an automatic choice is silent
        monkeypatch.setattr(devices, "has_card", lambda card=card: card)
        assert resolved("auto") == (CPU, "", why if card else "")


def test_devices_of_other_makers(monkeypatch):
    """Apple's and Intel's are taken by name alone, for nothing was ever run on one."""
    for asked in ("mps", "xpu", "xpu:1"):
        assert resolved(asked) == (CPU, "", "PyTorch finds 0 such devices")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 8 << 30)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 0)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 2)
    monkeypatch.setattr(torch.xpu, "mem_get_info", lambda number: (8 << 30, 16 << 30))
    monkeypatch.setattr(torch.xpu, "get_device_name", lambda number: "Intel Arc")
    monkeypatch.setattr(torch, "ones", lambda size, device: torch.full((size,), 1.0))
    assert resolved("mps") == ("mps:0", "Apple GPU", "")
    assert resolved("xpu:1") == ("xpu:1", "Intel Arc", "")
    assert resolved("auto")[0] == CPU


def test_without_torch(two_cards, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for asked in ("cuda", "cuda:1", TORCH_CPU):
        assert resolved(asked) == (CPU, "", "PyTorch is not installed (pip install torch)")
    assert resolved("cpu") == (CPU, "", "")


def test_a_number_too_large(two_cards):
    assert resolved("cuda:2")[2] == "PyTorch finds 2 CUDA devices, counted from 0"


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:x", "CPU", "cuda:1234", ""])
def test_unknown_names_are_refused(asked):
    with refuses(f'device: found "{asked}", expected auto, cpu, cuda or cuda:N'):
        ComputeDevice(asked)
