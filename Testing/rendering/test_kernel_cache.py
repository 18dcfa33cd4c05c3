"""The cache of compiled kernels, which several processes use at the same time."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers.refusals import warns

import MultiViewRegistrationLib
from MultiViewRegistrationLib.rendering import kernel_cache
from MultiViewRegistrationLib.rendering.kernel_cache import KernelCache

LIBRARY = Path(MultiViewRegistrationLib.__file__).resolve().parent

PROGRAM = f"""
import sys
import numpy as np
from numba.core import event
from {kernel_cache.__name__} import kernel

compilations = []
class Listener(event.Listener):
    def on_start(self, event): compilations.append(event)
    def on_end(self, event): pass

@kernel
def total(values):
    result = values[0]
    for value in values[1:]:
        result += value
    return result

with event.install_listener("numba:compile", Listener()):
    for dtype in sys.argv[1:]:
        assert total(np.array([1, 2, 3], dtype)) == 6, dtype
print(len(compilations))
"""
DTYPES = ["int8", "int32", "int64", "float32", "float64"]


def test_kernels_are_stored_in_a_temporary_folder_if_no_other_is_writable(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(kernel_cache.nb.config, "CACHE_DIR", str(file))
    monkeypatch.setattr(kernel_cache, "LIBRARY", file)
    monkeypatch.setenv("HOME", str(file))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with warns("stored in the temporary folder .* NUMBA_CACHE_DIR"):
        cache = kernel_cache.open_cache()
    assert cache.folder.is_relative_to(kernel_cache.private_folder())
    monkeypatch.setattr(tempfile, "tempdir", str(file))
    with warns("compiled at every start"):
        assert kernel_cache.open_cache() is None


def test_the_folder_of_somebody_else_is_not_used(tmp_path, monkeypatch):
    """numba unpickles the files there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = kernel_cache.private_folder()
    assert folder == kernel_cache.private_folder() == tmp_path / folder.name
    folder.chmod(0o777)
    assert kernel_cache.private_folder() is None
    folder.rmdir()
    (tmp_path / "other").mkdir(mode=0o700)
    for plant in (folder.touch, lambda: folder.symlink_to(tmp_path / "other")):
        plant()
        assert kernel_cache.private_folder() is None
        folder.unlink()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    assert kernel_cache.private_folder() is None


def store(cache, **files):
    """Write files of one function as numba does: its index and one data file."""
    (cache.folder / "room").mkdir(exist_ok=True)
    for function, text in files.items():
        for name in (f"{function}.1.nbc", f"{function}.nbi"):
            (cache.folder / "room" / name).unlink(missing_ok=True)
            (cache.folder / "room" / name).write_text(text)


def stored(cache):
    return {path.name: path.read_text() for path in cache.folder.rglob("*.nb[ic]")}


def test_functions_that_other_processes_publish_are_added(tmp_path):
    first, second = KernelCache(tmp_path, "v"), KernelCache(tmp_path, "v")
    store(first, f="first")
    store(second, g="second")
    first.publish()
    second.publish()
    expected = {"f.nbi": "first", "f.1.nbc": "first", "g.nbi": "second", "g.1.nbc": "second"}
    assert stored(second) == stored(KernelCache(tmp_path, "v")) == expected
    first.fetch()
    assert stored(first) == expected
    assert [path.name for path in tmp_path.glob("*-v-*")] == ["mvreg-kernels-v-2"]


def test_the_index_of_one_process_never_meets_the_data_of_another(tmp_path):
    first, second = KernelCache(tmp_path, "v"), KernelCache(tmp_path, "v")
    store(first, f="first")
    store(second, f="second")
    first.publish()
    second.publish()
    assert stored(KernelCache(tmp_path, "v")) == {"f.nbi": "first", "f.1.nbc": "first"}
    assert stored(second) == {"f.nbi": "second", "f.1.nbc": "second"}


def test_of_two_that_publish_the_same_generation_one_wins(tmp_path, monkeypatch):
    first, second = KernelCache(tmp_path, "v"), KernelCache(tmp_path, "v")
    store(first, f="first")
    store(second, f="second")
    monkeypatch.setattr(second, "_latest", lambda: 0)  # looked before the first one published
    first.publish()
    second.publish()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"mvreg-kernels-v-1", first.folder.name, second.folder.name}
    assert stored(KernelCache(tmp_path, "v"))["f.nbi"] == "first"


def test_kernels_of_another_version_are_ignored_and_then_deleted(tmp_path):
    before = KernelCache(tmp_path, "before")
    store(before, f="before")
    before.publish()
    now = KernelCache(tmp_path, "now")
    assert not stored(now)
    store(now, f="now")
    now.publish()
    assert [path.name for path in tmp_path.glob("*before*")] == []


def test_the_version_changes_with_each_source(tmp_path):
    for room in kernel_cache.KERNEL_SOURCES:
        shutil.copytree(LIBRARY / room, tmp_path / room)
    versions = {kernel_cache.source_version(), kernel_cache.source_version(tmp_path)}
    assert len(versions) == 1
    for room in kernel_cache.KERNEL_SOURCES:
        source = next((tmp_path / room).glob("*.py"))
        source.write_text(source.read_text() + "\n")
        versions.add(kernel_cache.source_version(tmp_path))
    assert len(versions) == 1 + len(kernel_cache.KERNEL_SOURCES)


def test_all_kernels_are_in_the_sources_that_make_the_version():
    rooms = {
        path.relative_to(LIBRARY).parts[0]
        for path in LIBRARY.rglob("*.py")
        if "njit(" in path.read_text() or "@kernel" in path.read_text()
    }
    assert rooms and rooms <= set(kernel_cache.KERNEL_SOURCES)


@pytest.mark.slow
def test_processes_that_start_at_once_on_an_empty_cache_do_not_mix_their_kernels(tmp_path):
    """They compile the same function for different types; each prints the number of compilations."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}

    def start(*dtypes):
        command = [sys.executable, program, *dtypes]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    for process in [start(dtype, *DTYPES) for dtype in DTYPES]:
        said = process.communicate(timeout=120)[0]
        assert process.returncode == 0 and int(said) > 0
    assert start(*DTYPES).communicate(timeout=120)[0] == "0\n"
    assert len(list((tmp_path / "kernels").iterdir())) == 1
