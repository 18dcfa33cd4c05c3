"""Folders with the tiny case."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import tiny_case


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
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


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
