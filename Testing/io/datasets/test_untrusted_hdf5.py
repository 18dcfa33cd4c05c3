"""HDF5 that is damaged or means harm is refused in a sentence that names the path in it."""

import random
import sys

import h5py
import numpy as np
import pytest
from dataset_layouts import SPECIMEN, write_ljubljana
from helpers.refusals import refusal, result_or_refusal, tells

from MultiViewRegistrationLib.errors import install_command
from MultiViewRegistrationLib.imaging import image_source
from MultiViewRegistrationLib.io import hdf5
from MultiViewRegistrationLib.io.datasets.deepfluoro import read_deepfluoro, read_ljubljana
from MultiViewRegistrationLib.io.hdf5 import opened


def written(path, how):
    with h5py.File(path, "w") as file:
        how(file)
    return path


def pixels(path):
    with opened(path, "a test") as file:
        return file.pixels("group/pixels", 2, "rows x columns")


def external_link(file):
    file["group/pixels"] = h5py.ExternalLink("/etc/passwd", "/pixels")


def loop(file):
    file["group"] = h5py.SoftLink("/group")


def external_storage(file):
    file.create_dataset("group/pixels", (4, 4), np.uint8, external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4, 4), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/other.h5", "pixels", (4, 4))
    file.create_virtual_dataset("group/pixels", layout)


def huge(file):
    file.create_dataset(
        "group/pixels", (100_000, 100_000), np.uint8, chunks=(100, 100), compression="gzip"
    )


def empty(file):
    file["group/pixels"] = h5py.Empty(np.float32)


@pytest.mark.parametrize(
    "how, parts",
    [
        (external_link, "group/pixels is a link"),
        (loop, "group is a link"),
        (external_storage, "another file"),
        (virtual, "another file"),
        (huge, "claims 10000000000 bytes, but 0"),
        (empty, "group/pixels is empty"),
        (lambda file: file.create_group("group/pixels"), "group/pixels is a group"),
        (
            lambda file: file.create_dataset("group/pixels", data=np.zeros((2, 2), complex)),
            "type complex",
        ),
    ],
)
def test_what_is_not_plain_data_in_the_file_is_refused(tmp_path, how, parts):
    message = refusal(pixels, written(tmp_path / "file.h5", how))
    assert tells(message, parts), message


def ring(file):
    group = file.create_group("group")
    group["group"] = group


def test_a_file_without_end_is_refused(tmp_path):
    path = written(tmp_path / "file.h5", ring)
    assert "has parts without end" in refusal(hdf5.refuse_other_files, path, "a test")


@pytest.mark.parametrize("parts", ["a/b/c/d", "a/b/c e f"])
def test_no_more_parts_than_are_allowed_are_checked(tmp_path, monkeypatch, parts):
    monkeypatch.setattr(hdf5, "MAX_OBJECTS", 4)
    monkeypatch.setattr(hdf5, "MAX_DEPTH", 2)
    path = written(tmp_path / "file.h5", lambda file: file.create_dataset("a/b/c", data=1.0))
    hdf5.check_all(path, "a test")
    written(path, lambda file: [file.create_group(part) for part in parts.split()])
    assert "has parts without end" in refusal(hdf5.check_all, path, "a test")


def test_values_that_memory_cannot_hold_and_long_texts_are_refused(tmp_path, monkeypatch):
    path = written(
        tmp_path / "file.h5",
        lambda file: file.create_dataset("group/pixels", data=np.zeros((1000, 1000))),
    )
    monkeypatch.setattr(image_source, "free_bytes", lambda: 1 << 20)
    assert "8000000 bytes, which take" in refusal(pixels, path)
    path = written(
        tmp_path / "text.h5",
        lambda file: file.create_dataset("text", data="x" * (hdf5.MAX_TEXT_LENGTH + 1)),
    )
    with opened(path, "a test") as file:
        assert "is no short text" in refusal(file.text, "text", "a name")


def test_what_is_no_hdf5_is_refused(tmp_path):
    path = tmp_path / "file.h5"
    assert "does not exist" in refusal(pixels, path)
    assert "not a file" in refusal(pixels, tmp_path)
    path.write_bytes(b"PK\3\4" + bytes(1000))
    assert "cannot be read as HDF5" in refusal(pixels, path)
    written(path, lambda file: file.create_dataset("group/pixels", data=np.zeros((200, 200))))
    path.write_bytes(path.read_bytes()[:5000])
    assert "cut short" in refusal(pixels, path)


def test_names_that_are_no_text_are_passed_over(tmp_path):
    path = written(tmp_path / "file.h5", lambda file: file.create_group("known-name"))
    path.write_bytes(path.read_bytes().replace(b"known-name", b"known\xffname"))
    with opened(path, "a test") as file:
        assert file.names("") == []
    assert "has no group" in refusal(read_ljubljana, path, 1, ["ap"])


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = refusal(read_deepfluoro, tmp_path / "any.h5", SPECIMEN, [0])
    assert "h5py" in message and install_command("hdf5") in message


VALUES = [0, -1, 1e300, np.nan, "text", b"x", h5py.SoftLink("/subject03"), h5py.Empty("f"),
          h5py.ExternalLink("other.h5", "/"), np.zeros((0, 3)), np.eye(4), -np.eye(4), np.eye(3),
          np.full((3, 3), np.inf), np.zeros((4, 4, 4)), np.ones(3), np.zeros((5, 3), bool)]  # fmt: skip


@pytest.mark.slow
def test_replaced_data_sets_are_read_or_refused(tmp_path):
    path, rng, names = tmp_path / "file.h5", random.Random(1), []
    whole = write_ljubljana(path).path.read_bytes()
    with h5py.File(path) as file:
        file.visit(names.append)
    for _ in range(100):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            for name in rng.sample(names, 2):
                if name in file:
                    del file[name]
                    if rng.random() < 0.7:
                        file[name] = rng.choice(VALUES)
        result_or_refusal(read_ljubljana, path, 3, ["ap", "lat"])
