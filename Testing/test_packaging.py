"""What is packaged: all that Slicer needs and its index reads; and the command that installs a missing package."""

import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import cmake_lists
import pytest
from cmake_lists import MODULE, configure
from helpers.file_io import read_json

from MultiViewRegistrationLib import errors
from MultiViewRegistrationLib._archive import archived_version

ROOT = MODULE.parent
NOTES = ROOT / ".github" / "release_notes.py"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ARCHIVAL = ".git_archival.txt"
#: In bytes.
LARGEST_TREE = 13_500_000
VERSION_FILE = "MultiViewRegistrationLib/_version.py"
#: Packages in Slicer 5.12.0, the oldest supported: SuperBuild/External_python-*.cmake of its tag.
SLICER_5_12 = {
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "simpleitk": "2.5.5",
    "pydicom": "3.0.2",
    "pillow": "12.2.0",
}


def test_the_lists_name_every_file():
    text = cmake_lists.CMAKE_FILE.read_text(encoding="utf-8")
    assert not cmake_lists.differences(text, cmake_lists.on_disk()), "run `make cmake-lists`"


def index_entry():
    """The entry for Slicer's index of extensions, and what CMakeLists.txt sets of the extension."""
    entry = read_json(ROOT / "Resources" / f"{MODULE.name}.json")
    return entry, dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"]*)"\)', CMAKE, re.MULTILINE))


def test_the_entry_of_slicers_index_is_what_its_schema_allows():
    jsonschema = pytest.importorskip(
        "jsonschema", reason="needs jsonschema: pip install jsonschema"
    )
    entry = index_entry()[0]
    schema = (
        ROOT / "Testing" / "slicer_stand_in" / Path(entry["$schema"].rstrip("#")).name
    )  # a copy of Slicer's
    jsonschema.validate(entry, read_json(schema))
    xrays = re.findall(r"'(\w+)'", entry["dicom_support_rule"])
    assert xrays == ["XA", "RF", "CR", "DX", "RTIMAGE"]


def test_the_entry_of_slicers_index_agrees_with_cmake():
    entry, found = index_entry()
    assert f"project({MODULE.name})" in CMAKE and found["CONTRIBUTORS"]
    assert (
        found["HOMEPAGE"] == entry["scm_url"]
        and found["DEPENDS"] == "NA"
        and entry["build_dependencies"] == []
    )
    assert (
        "CATEGORY" not in found and entry["category"] == "Registration"
    )  # in CMake it would be ignored
    for address in f"{found['ICONURL']} {found['SCREENSHOTURLS']}".split():
        assert address.startswith("https://raw.githubusercontent.com/") and address.endswith(".png")
        assert (ROOT / address.partition(f"/{entry['scm_revision']}/")[2]).is_file()


def test_the_working_tree_is_small(require_program):
    """Slicer's index refuses a clone of 100 MB. `.ci/clone_size` measures the history, which each Git packs anew."""
    git = require_program("git", package="git")
    listed = subprocess.run(
        [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    if not files:
        pytest.skip("needs a clone of the repository")
    assert sum(file.stat().st_size for file in files if file.is_file()) < LARGEST_TREE


VERSIONS = {
    "CHANGELOG.md": r"(?m)^## \[(\d[^]]*)\]",
    "CITATION.cff": r"(?m)^version: (.+)$",
    "conda/meta.yaml": r'set version = "(.+?)"',
    "pyproject.toml": r'(?m)^fallback_version = "(.+?)"',
    f"{MODULE.name}/MultiViewRegistrationLib/__init__.py": r'(?m)^    __version__ = .* or "(.+?)"',
}


def versions(root):
    """The versions that stand in the files of a checkout."""
    texts = {name: (root / name).read_text(encoding="utf-8") for name in VERSIONS}
    return {re.search(VERSIONS[name], texts[name])[1] for name in VERSIONS}


def test_without_git_the_version_is_that_of_the_last_release():
    assert len(versions(ROOT)) == 1


def test_one_command_writes_the_next_version_wherever_it_stands(tmp_path, require_program):
    bash = require_program("bash", package="bash")
    for name in (*VERSIONS, ".ci/version"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    command = [bash, tmp_path / ".ci" / "version", "77.0.1"]
    subprocess.run(command, check=True)
    assert versions(tmp_path) == {"77.0.1"}
    assert subprocess.run(command, stderr=subprocess.PIPE).returncode == 1


def test_a_zip_of_the_source_has_the_version_of_its_tag(tmp_path, require_program):
    def git(*arguments):
        who = "-c user.name=test -c user.email=test@localhost -c commit.gpgsign=false".split()
        command = [require_program("git", package="git"), *who, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout

    def version():
        with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as archive:
            file = tmp_path / "of archive"
            file.write_bytes(archive.extractfile(ARCHIVAL).read())
        return archived_version(file)

    for name in (ARCHIVAL, ".gitattributes"):
        shutil.copy(ROOT / name, tmp_path)
    git("init", "--quiet")
    git("add", ARCHIVAL, ".gitattributes")
    git("commit", "--quiet", "--message", "first")
    assert version() is None
    git("tag", "v1.2.3")
    assert version() == "1.2.3"
    git("commit", "--quiet", "--allow-empty", "--message", "later")
    assert re.fullmatch(r"1\.2\.4\.dev1\+g[0-9a-f]+", version())
    assert archived_version(ROOT / ARCHIVAL) is None  # of a checkout


def test_the_notes_of_a_release_are_its_part_of_the_changelog():
    changelog = "# Changes\n\n## [Unreleased]\n- new\n\n## [1.2.0] - today\n\n### Added\n- one\n  thing\n- two\n\n## [1.1.0]\n- old\n"
    assert (
        runpy.run_path(str(NOTES))["notes"](changelog, "1.2.0") == "### Added\n- one thing\n- two"
    )
    for version, status in (("0.1.0", 0), ("0.1", 1), ("Unreleased]", 1)):
        done = subprocess.run(
            [sys.executable, str(NOTES), version], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == status and bool(done.stdout) != bool(done.stderr)
        assert "Traceback" not in done.stderr


def project():
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml needs Python 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def bounds(requirements):
    """Least version by name; fails where a requirement says anything else."""
    matches = [re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in requirements]
    return {match[1].lower(): [int(part) for part in match[2].split(".")] for match in matches}


def test_slicer_is_asked_for_what_it_lacks_and_brings_the_rest_new_enough():
    needed, there = (
        bounds(project()["dependencies"]),
        bounds([f"{n}>={v}" for n, v in SLICER_5_12.items()]),
    )
    files = [MODULE / "Resources" / name for name in ("requirements.txt", "requirements_yaml.txt")]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    asked = bounds([line for line in lines if line and not line.startswith("#")])
    assert asked == {name: bound for name, bound in needed.items() if name not in there}
    assert not [name for name, version in there.items() if version < needed[name]]


def test_conda_is_asked_for_what_pip_is():
    recipe = (ROOT / "conda" / "meta.yaml").read_text(encoding="utf-8").partition("  run:\n")[2]
    asked = re.findall(r"- (\S+) (>=\S+)", recipe.partition("\ntest:")[0])
    needed = ["python" + project()["requires-python"], *project()["dependencies"]]
    asked = [(name.removesuffix("-base"), bound) for name, bound in asked]  # matplotlib without Qt
    assert bounds(["".join(each) for each in asked]) == bounds(needed)


@pytest.mark.slow
def test_cmake_tells_slicer_what_to_package(tmp_path, require_program):
    done = configure(require_program("cmake", package="cmake"), tmp_path)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    recorded = (tmp_path / "recorded.txt").read_text().splitlines()
    told, files = dict(line.split("=", 1) for line in recorded), cmake_lists.on_disk()
    assert (
        told["project"] == told["NAME"] == "MultiViewRegistration"
        and told["EXTENSION_RECOMMENDS"] == "PyTorch"
    )
    scripts = told["SCRIPTS"].split(";")
    assert scripts[: len(files[cmake_lists.SCRIPTS])] == files[cmake_lists.SCRIPTS]
    assert scripts[len(files[cmake_lists.SCRIPTS]) :] in (
        [],
        [str(tmp_path / MODULE.name / VERSION_FILE)],
    )  # a tag
    assert told["RESOURCES"].split(";") == files[cmake_lists.RESOURCES]
    tests = {Path(line.partition("=")[2]) for line in recorded if line.startswith("unittest=")}
    assert tests == {
        MODULE / "MultiViewRegistration.py",
        ROOT / "Testing" / "slicer_tests" / "MultiViewRegistrationModuleTest.py",
    }
    assert recorded[-2:] == ["generate config=yes", "cpack=yes"]


@pytest.mark.slow
def test_what_is_packaged_works_without_the_rest(tmp_path):
    for name in [name for names in cmake_lists.on_disk().values() for name in names]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MODULE / name, tmp_path / name)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for arguments, status in (
        (["register", "--help"], 0),
        (["export", "--help"], 0),
        (["demo"], 2),
        (["view"], 2),
    ):
        command = [sys.executable, "-m", "mvreg", *arguments]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == status and (
            "is not part of Slicer's extension" in done.stderr
        ) == bool(status)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """As by pip into an environment whose pip the shell finds."""
    monkeypatch.delenv("SLICER_HOME", raising=False)
    requires = ['torch>=2.5; extra == "torch"', "safetensors; extra == 'torch'", "numpy>=1"]
    monkeypatch.setattr(errors, "distribution", lambda name: SimpleNamespace(requires=requires))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(errors.shutil, "which", lambda name: str(tmp_path / "bin" / "pip"))


def missing(name):
    raise errors.PackageNotFoundError(name)


def test_the_command_is_that_of_the_installation(installed, monkeypatch, tmp_path):
    assert errors.install_command("torch") == 'pip install "torch>=2.5" "safetensors"'
    monkeypatch.setattr(errors, "distribution", missing)
    assert errors.install_command("torch") == f'pip install -e "{ROOT}[torch]"'
    monkeypatch.setenv("SLICER_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    command = 'slicer.util.pip_install("safetensors torch") in Slicer\'s Python console'
    assert errors.install_command("torch") == command


def test_the_pip_of_another_python_is_not_named(installed, monkeypatch, tmp_path):
    monkeypatch.setattr(errors.shutil, "which", lambda name: "/usr/bin/pip")
    assert errors.install_command("torch").startswith(
        f"{tmp_path / 'bin' / 'python'} -m pip install "
    )
    monkeypatch.setattr(sys, "executable", "/my files/python")
    assert errors.install_command("torch").startswith('"/my files/python" -m pip install ')


def test_slicer_is_told_the_packages_of_the_extras():
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml needs Python 3.11")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    for extra, packages in errors.SLICER_PACKAGES.items():
        assert packages.split() == [
            re.match(r"[\w-]+", requirement)[0] for requirement in extras[extra]
        ]


def test_nothing_tells_anybody_to_install_a_name_that_has_no_release():
    """Anybody may take it. A line that goes on with a backslash is one line."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    by_name = re.compile(r"install\b(?:[^\n]|\\\n)*\bmultiview[-_.]registration\b(?! ?@)", re.I)
    told = []
    for file in filter(None, listed):
        text = (ROOT / file).read_bytes().decode("utf-8", "ignore")
        told += [f"{file}: {found[0]}" for found in by_name.finditer(text)]
    assert not told
