"""What to type where a package is missing. Testing/test_install.py types it."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from MultiViewRegistrationLib import errors

ROOT = Path(__file__).resolve().parents[1]


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


def test_extras_are_quoted_and_named_in_one_place():
    """Some shells take bare brackets for a pattern of file names."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb"), ROOT / "Makefile",
             *ROOT.glob(".ci/*"), *ROOT.glob(".github/**/*.yml")]  # fmt: skip
    bare = re.compile(r"pip install (?:-e )?\.\[.*")
    assert not [
        f"{path.name}: {found}"
        for path in files
        for found in bare.findall(path.read_text(encoding="utf-8"))
    ]
    library = ROOT / "MultiViewRegistration" / "MultiViewRegistrationLib"
    naming = {
        path.name
        for path in library.rglob("*.py")
        if "pip install" in path.read_text(encoding="utf-8")
    }
    assert naming <= {
        "devices.py"
    }  # which goes into results, where no path of this computer may stand
