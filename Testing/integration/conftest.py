"""A case on disk with CT and X-rays of the phantom, and the program run as a person runs it."""

from __future__ import annotations

import shutil
import subprocess
import warnings

import pytest

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import SAMPLE_FOLDER, chest_ct


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Case:
    """The sample that comes with the Slicer extension. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("sample") / "chest"
    shutil.copytree(SAMPLE_FOLDER, folder)
    try:
        shutil.copy(chest_ct(), folder / "chest.nii.gz")
    except InputError as error:
        pytest.skip(str(error))
    return Case.load(folder)


@pytest.fixture
def mvreg(monkeypatch, capfd):
    """Runs `mvreg`; returns what a process of its own would: exit status and output as text.

    It runs in this process, which has read its packages already; whether `mvreg` starts and ends as
    a process is tested where that can make a difference: with signals, a terminal, packages that
    are missing, and once from beginning to end.
    """

    def run(*arguments, cwd=None) -> subprocess.CompletedProcess:
        capfd.readouterr()
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.resetwarnings()  # to what Python begins with, not pytest
            for kind in (
                DeprecationWarning,
                PendingDeprecationWarning,
                ImportWarning,
                ResourceWarning,
            ):
                warnings.simplefilter("ignore", kind)
            if cwd is not None:
                patch.chdir(cwd)
            try:
                status = main(list(map(str, arguments)))
            except SystemExit as end:  # of the parser
                status = end.code
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    return run
