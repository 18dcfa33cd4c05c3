"""Which device is taken, and why not the one that was asked for; no CUDA device is needed for it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.rendering import devices
from MultiViewRegistrationLib.rendering.devices import CPU, WARP_CPU, Place, place_of

torch = pytest.importorskip("torch")


@pytest.fixture
def two_cards(monkeypatch):
    """As if there were two CUDA devices that work."""
    pytest.importorskip("warp")
    import MultiViewRegistrationLib.rendering.warp_kernels  # noqa: F401  by the real Warp

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (8 << 30, 16 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "NVIDIA H200")
    monkeypatch.setattr(torch, "ones", lambda size, device: torch.full((size,), 1.0))
    fake = SimpleNamespace(
        init=lambda: None, get_devices=lambda: ["cpu", "cuda:0", "cuda:1"], load_module=lambda *_, **__: None
    )
    monkeypatch.setitem(sys.modules, "warp", fake)
    return fake


def failing(message: str, error: type[Exception] = RuntimeError):
    def fail(*_):
        raise error(message)

    return fail


def test_where_there_are_devices(two_cards):
    first = Place("cuda:0", "NVIDIA H200")
    assert place_of("auto") == place_of("cuda") == first
    assert place_of("cuda:1") == Place("cuda:1", "NVIDIA H200")
    assert place_of("cpu") == Place(CPU)
    assert str(first) == "cuda:0, NVIDIA H200" and str(place_of("cpu")) == "cpu"
    assert (first.torch_device, place_of(WARP_CPU).torch_device) == ("cuda:0", "cpu")


@pytest.mark.parametrize(
    "name, value, why",
    [
        (
            "init",
            failing("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
            "there is no NVIDIA driver",
        ),
        (
            "init",
            failing("The NVIDIA driver on your system is too old (found version 11040)"),
            "the NVIDIA driver is too old for this PyTorch",
        ),
        ("init", failing("Unexpected error\nfrom cudaGetDeviceCount()"), "CUDA does not start (Unexpected error)"),
        ("init", failing("", AssertionError), "CUDA does not start (AssertionError)"),
        ("device_count", lambda: 0, "there is no CUDA device"),
        (
            "mem_get_info",
            lambda number: (100 << 20, 16 << 30),
            "it has 100 MiB of free memory, and 1024 MiB are needed",
        ),
        (
            "mem_get_info",
            failing("CUDA error: no kernel image is available for execution on the device\nmore"),
            "it does not work (CUDA error: no kernel image is available for execution on the device); "
            "its driver may be too old, or its memory in use",
        ),
    ],
    ids=["no driver", "old driver", "other", "silent", "no device", "little memory", "no kernels"],
)
def test_what_is_lacking_is_told(two_cards, monkeypatch, name, value, why):
    monkeypatch.setattr(torch.cuda, name, value)
    assert place_of("cuda") == Place(CPU, lack=why)
    for card in (True, False):  # where there is no card, nobody who left it to the program need hear of it
        monkeypatch.setattr(devices, "has_card", lambda card=card: card)
        assert place_of("auto") == Place(CPU, lack=why if card else "")


def test_packages_that_are_missing(two_cards, monkeypatch):
    def without(*missing: str):
        def look(name):
            if name in missing:
                raise ModuleNotFoundError(f"No module named {name}", name=name)

        monkeypatch.setattr(devices, "import_module", look)

    without("warp")
    for asked in ("cuda", WARP_CPU):
        assert place_of(asked) == Place(
            CPU, lack='NVIDIA Warp is not installed (pip install "multiview-registration[gpu]")'
        )
    without("torch", "warp")
    assert "PyTorch is not installed" in place_of("cuda:1").lack
    assert place_of("cpu") == Place(CPU)


def test_a_pytorch_without_cuda(two_cards, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    assert place_of("cuda").lack == "this PyTorch was built without CUDA"


def test_a_device_that_warp_does_not_see_and_a_number_too_large(two_cards):
    two_cards.get_devices = lambda: ["cpu"]
    assert place_of("cuda").lack == "NVIDIA Warp does not see it: the driver may be too old for it"
    assert place_of("cuda:2").lack == "PyTorch finds 2 CUDA devices, counted from 0"


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:x", "CPU", "mps", "cuda:1234", ""])
def test_other_words_are_refused(asked):
    with pytest.raises(InputError, match=f'device: found "{asked}", expected auto, cpu, cuda or cuda:N'):
        place_of(asked)


def test_this_machine_has_a_place():
    place = place_of("auto")
    assert place.name == CPU or place.name.startswith("cuda:")
