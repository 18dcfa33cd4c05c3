"""The package as pip installs it.

Built from a tag as the release workflow does, into new environments that have nothing else.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from cmake_lists import MODULE, configure
from helpers.file_io import read_json
from helpers.phantom import write_phantom_case

pytestmark = pytest.mark.slow

ROOT = MODULE.parent
LIBRARY = "MultiViewRegistrationLib"
VERSION = "7.8.9"
SOON = 600  # seconds: the downloads of a slow network
#: An extra that is small enough to be installed here, and what it brings. The others are resolved.
SMALL, BROUGHT = "navigation", "pyigtl"
EXTRAS = "bench cohort dev docs hdf5 navigation torch viewer".split()


def run(*command, **more):
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONPYCACHEPREFIX", "MVREG_DATA")
    }
    environment = {**clean, **more.pop("env", {})}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=SOON,
        env=environment,
        **more,
    )


def succeeded(done):
    assert done.returncode == 0, f"{' '.join(done.args)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(python, *words):
    return succeeded(run(python, "-m", "pip", *words))


def git(folder, *arguments):
    who = "-c user.name=test -c user.email=test@localhost -c commit.gpgsign=false".split()
    succeeded(run("git", *who, *arguments, cwd=folder))


@pytest.fixture(scope="module")
def source(tmp_path_factory, require_program):
    """A copy of this checkout, in a repository of its own with the tag of a release."""
    require_program("git", package="git")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT)
    if listed.returncode:
        pytest.skip("needs a checkout by git")
    folder = tmp_path_factory.mktemp("source") / "repository"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    changelog = folder / "CHANGELOG.md"
    heading = "## [Unreleased]"
    text = changelog.read_text(encoding="utf-8").replace(heading, f"{heading}\n\n## [{VERSION}]", 1)
    changelog.write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All")
    git(folder, "tag", f"v{VERSION}")
    return folder


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """Paths of the wheel and of the source distribution from which it was built, as `make release` makes and tries them."""
    for name in ("build", "twine"):
        pytest.importorskip(name, reason=f'needs {name}: pip install -e ".[dev]"')
    folder = tmp_path_factory.mktemp("dist")
    words = f"-m pip download --quiet --no-deps --dest {folder}/probe setuptools-scm"
    probe = run(sys.executable, *words.split())
    if probe.returncode:
        pytest.skip(f"needs a package index: {probe.stderr.strip().splitlines()[-1]}")
    succeeded(run(source / ".ci" / "release", env={"PYTHON": sys.executable}))
    (wheel,), (archive,) = (list((source / "dist").glob(f"*{end}")) for end in (".whl", ".tar.gz"))
    return wheel, archive


def environment(folder):
    """Its Python; the environment has pip and nothing else."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    """Of an environment in which the wheel was installed, without an extra."""
    python = environment(tmp_path_factory.mktemp("environment"))
    pip(python, "install", "--quiet", built[0])
    return python


def files_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_has_the_library_and_nothing_else(source, built):
    names, information = files_of(built[0]), f"multiview_registration-{VERSION}.dist-info"
    inside = [name.removeprefix(f"{LIBRARY}/") for name in names if name.startswith(f"{LIBRARY}/")]
    library = source / MODULE.name / LIBRARY
    listed = subprocess.check_output(["git", "ls-files"], cwd=library, text=True).splitlines()
    assert sorted(inside) == sorted([*listed, "_version.py"])
    others = {name for name in names if not name.startswith(f"{LIBRARY}/")}
    assert {Path(name).parts[0] for name in others} == {information, "mvreg"}
    assert f"{information}/licenses/LICENSE.txt" in others and built[0].stat().st_size < 3e6


def test_source_distribution_is_small_and_has_no_other_files(built):
    """The wheel was built from it, see `built`."""
    _, archive = built
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()} - {""}
    top = {Path(name).parts[0] for name in names}
    assert top <= {MODULE.name, "CHANGELOG.md", "CITATION.cff", "LICENSE.txt", "MANIFEST.in", "PKG-INFO", "README.md",
                   "pyproject.toml", "setup.cfg"}  # fmt: skip
    assert archive.stat().st_size < 3e6


def test_what_is_installed_registers_a_case(python, tmp_path):
    mvreg = python.with_name("mvreg")
    assert succeeded(run(mvreg, "--version")) == f"mvreg {VERSION}\n"
    assert {"register", "view"} <= set(
        re.findall(r"^    (\w+) ", succeeded(run(mvreg, "--help")), re.MULTILINE)
    )
    assert "--no-browser" in succeeded(run(mvreg, "view", "--help"))
    refused = run(mvreg, "view")
    assert refused.returncode == 2 and '"trame-slicer[standalone]>=2.0"' in refused.stderr
    write_phantom_case(tmp_path)
    code = f"""
from importlib.util import find_spec
import {LIBRARY} as m
m.save_result(m.register("case.json"), "result")
assert find_spec("torch") is None and find_spec("phantom") is None
"""
    succeeded(run(python, "-c", code, cwd=tmp_path))
    saved = read_json(tmp_path / "result" / "result.json")
    assert saved["software"]["version"] == VERSION and saved["errors"]["mtre_mm"] < 1


def test_what_is_missing_is_named_with_a_command_that_installs_it(python, tmp_path):
    told = f"from {LIBRARY}.errors import install_command; print(install_command('{SMALL}'))"
    *_, command = succeeded(run(python, "-c", told)).strip().partition(" install ")
    pip(python, "install", "--quiet", *shlex.split(command))
    succeeded(run(python, "-c", f"import {BROUGHT}"))


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_can_be_had(built, extra):
    pytest.importorskip("uv", reason='needs uv: pip install -e ".[dev]"')
    command = [sys.executable, "-m", "uv", "--no-progress", "pip", "compile", "--quiet", "-"]
    asked = f"multiview-registration[{extra}] @ {built[0].as_uri()}"
    assert "numba==" in succeeded(run(*command, input=asked, cwd=built[0].parent))


def test_these_are_all_extras(built):
    with zipfile.ZipFile(built[0]) as archive:
        metadata = archive.read(f"multiview_registration-{VERSION}.dist-info/METADATA").decode()
    assert sorted(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE)) == EXTRAS


def test_slicers_build_has_the_version_of_the_tag(source, tmp_path, require_program):
    cmake, copy = require_program("cmake", package="cmake"), tmp_path / "copy"
    git(source, "clone", "--quiet", source, copy)
    for name, expected in (
        ("at the tag", re.escape(VERSION)),
        ("later", r"7\.8\.10\.dev1\+g[0-9a-f]+"),
    ):
        assert configure(cmake, tmp_path / name, copy).returncode == 0
        written = (tmp_path / name / MODULE.name / LIBRARY / "_version.py").read_text(
            encoding="utf-8"
        )
        assert re.fullmatch(f'__version__ = "{expected}"\n', written)
        git(copy, "commit", "--quiet", "--allow-empty", "--message", name)
