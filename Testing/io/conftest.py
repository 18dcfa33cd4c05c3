"""Folders with the tiny case."""

import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import tiny_case
from helpers.file_io import write_json

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.cli.main import main


@pytest.fixture(scope="session")
def case_folder(tmp_path_factory):
    """Folder with the tiny case's files, without a case.json. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("case")
    tiny_case.write_files(folder)
    return folder


@pytest.fixture
def write_case(case_folder, tmp_path):
    """A function that writes a case.json (parsed JSON or bytes) beside a copy of the files."""
    shutil.copytree(case_folder, tmp_path, dirs_exist_ok=True)

    def write(content):
        path = tmp_path / "case.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_json(path, content)
        return path

    return write


@pytest.fixture
def load(write_case):
    """A function: the case of this content, which loads without a warning."""

    def load(content, **more):
        with warnings.catch_warnings(action="error"):
            return Case.load(write_case(content), **more)

    return load


@pytest.fixture
def refused(capsys):
    """A function: `mvreg` refuses these words in a sentence with these parts, and writes no folder "new"."""

    def run(words, *parts):
        capsys.readouterr()
        assert main(words if isinstance(words, list) else words.split()) == 2
        reported = capsys.readouterr()
        *before, error = reported.err.strip().splitlines()
        assert not reported.out and all(part in error for part in parts), reported.err
        assert all("warning: " in line or "by the DICOM header" in line for line in before), before
        assert not Path("new").exists()

    return run


@pytest.fixture
def slicer_storage():
    """A function: a node of slicer-core of this kind, and the storage node of its file."""
    pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
    import slicer

    scene = slicer.vtkMRMLScene()

    def nodes(kind, storage, path):
        made = [getattr(slicer, f"vtkMRML{each}Node")() for each in (kind, f"{storage}Storage")]
        for each in made:
            scene.AddNode(each)
        made[1].SetFileName(str(path))
        return made

    return nodes


@pytest.fixture
def dciodvfy(require_program):
    """A function: what dciodvfy says of a file that is of a kind, but that it may not know whose it is, nor of which side."""

    def errors(path, kind):
        command = [require_program("dciodvfy", package="dicom3tools"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        said = (done.stdout + done.stderr).splitlines()
        assert kind in said
        unknown = ("needed to build DICOMDIR - Patient ID", "attribute <Laterality>")
        return [
            line
            for line in said
            if line.startswith(("Error", "Warning")) and not line.endswith(unknown)
        ]

    return errors
