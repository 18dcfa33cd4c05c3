"""The sample as a case on disk."""

import shutil
from dataclasses import replace

import pytest
from helpers.program import run

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import SAMPLE_FOLDER, chest_ct


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The sample that comes with the Slicer extension. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("sample") / "chest"
    shutil.copytree(SAMPLE_FOLDER, folder)
    try:
        shutil.copy(chest_ct(), folder / "chest.nii.gz")
    except InputError as error:
        pytest.skip(str(error))
    return Case.load(folder)


@pytest.fixture(scope="session")
def registered(case_file, tmp_path_factory):
    """Output folder of `mvreg register` of `case_file`, in a process of its own, and what it printed.

    Not to be changed by a test.
    """
    out = tmp_path_factory.mktemp("registered") / case_file.parent.name
    return out, run(f"register {case_file} --start given --out {out} --json")


@pytest.fixture
def few_steps(monkeypatch):
    """Trainings of four steps."""
    from MultiViewRegistrationLib.regressor import training

    def pace(self):
        self.card = replace(self.card, steps=4, every=2)

    monkeypatch.setattr(training.Training, "_set_pace", pace)
    monkeypatch.setattr(training, "VALIDATED", 2)
    monkeypatch.setattr(training, "LAST_VALIDATED", 4)
