"""The extension's CMake files: they configure, and they package every file that Slicer needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cmake_lists
import pytest
from configured import configure

TEXT = "set(MODULE_PYTHON_SCRIPTS\n  A.py\n  ALib/b.py\n  )\n\nset(MODULE_PYTHON_RESOURCES\n  Resources/UI/A.ui\n  )\n\nuse(A)\n"


@pytest.fixture
def module(tmp_path) -> Path:
    """A module's folder with three files to package among others that are not."""
    package = [
        "A.py",
        "MultiViewRegistrationLib/io/b.py",
        "MultiViewRegistrationLib/io/b.schema.json",
        "Resources/UI/A.ui",
    ]
    leave = [
        "CMakeLists.txt",
        "Testing/Python/ATest.py",
        "MultiViewRegistrationLib/io/__pycache__/b.pyc",
        "MultiViewRegistrationLib/studies/c.py",
        "Resources/.DS_Store",
    ]
    for name in package + leave:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_what_slicer_needs_is_packaged_and_nothing_else():
    text = cmake_lists.CMAKE_FILE.read_text(encoding="utf-8")
    assert not cmake_lists.differences(text, cmake_lists.on_disk()), "run `make cmake-lists`"


def test_what_is_packaged(module):
    assert cmake_lists.on_disk(module) == {
        cmake_lists.SCRIPTS: ["A.py", "MultiViewRegistrationLib/io/b.py"],
        cmake_lists.RESOURCES: ["MultiViewRegistrationLib/io/b.schema.json", "Resources/UI/A.ui"],
    }


@pytest.mark.parametrize(
    "scripts, told",
    [
        (["A.py", "ALib/b.py", "ALib/c.py"], ["MODULE_PYTHON_SCRIPTS lacks ALib/c.py"]),
        (["A.py"], ["MODULE_PYTHON_SCRIPTS names ALib/b.py, which is not there"]),
        (["A.py", "ALib/b.py"], []),
    ],
)
def test_a_difference_is_told_and_put_right(scripts, told):
    files = {cmake_lists.SCRIPTS: scripts, cmake_lists.RESOURCES: ["Resources/UI/A.ui"]}
    assert cmake_lists.differences(TEXT, files) == told
    right = cmake_lists.updated(TEXT, files)
    assert cmake_lists.listed(right) == files and right.endswith("\nuse(A)\n")
    assert (right == TEXT) == (not told)


def test_a_file_named_twice_is_told():
    files = {cmake_lists.SCRIPTS: ["A.py", "ALib/b.py"], cmake_lists.RESOURCES: ["Resources/UI/A.ui"]}
    twice = TEXT.replace("  A.py\n", "  A.py\n  A.py\n")
    assert cmake_lists.differences(twice, files) == ["MODULE_PYTHON_SCRIPTS names A.py twice"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, require_program) -> list[str]:
    """What CMake tells Slicer."""
    cmake = require_program("cmake", package="cmake")
    build = tmp_path_factory.mktemp("build")
    done = configure(cmake, build)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    return (build / "recorded.txt").read_text().splitlines()


def test_slicer_is_told_what_to_package(recorded):
    told = dict(line.split("=", 1) for line in recorded)
    assert told["project"] == told["NAME"] == "MultiViewRegistration"
    assert told["EXTENSION_DEPENDS"] == "PyTorch" and "EXTENSION_CATEGORY" not in told
    files = cmake_lists.on_disk()
    assert told["SCRIPTS"].split(";") == files[cmake_lists.SCRIPTS]
    assert told["RESOURCES"].split(";") == files[cmake_lists.RESOURCES]
    assert told["WITH_GENERIC_TESTS"] == "TRUE"
    assert recorded[-2:] == ["generate config=yes", "cpack=yes"]


def test_slicer_is_told_of_every_self_test(recorded):
    registered = {Path(line.partition("=")[2]) for line in recorded if line.startswith("unittest=")}
    module = cmake_lists.MODULE
    assert registered == {module / "MultiViewRegistration.py", *(module / "Testing" / "Python").glob("*.py")}


def test_what_is_packaged_works_without_the_rest(tmp_path):
    for name in cmake_lists.on_disk()[cmake_lists.SCRIPTS] + cmake_lists.on_disk()[cmake_lists.RESOURCES]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(cmake_lists.MODULE / name, tmp_path / name)
    commands = {name: _mvreg(tmp_path, name, "--help") for name in ("register", "train", "track", "case", "export")}
    assert {name: done.returncode for name, done in commands.items()} == dict.fromkeys(commands, 0), commands
    for name in ("demo", "bench", "view"):
        done = _mvreg(tmp_path, name)
        assert done.returncode == 2 and done.stderr.startswith(f"mvreg: {name}: is not part of Slicer's extension;")


def _mvreg(library: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "MultiViewRegistrationLib.cli.main", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(library)}
    return subprocess.run(command, env=environment, cwd=library, capture_output=True, text=True, timeout=120)
