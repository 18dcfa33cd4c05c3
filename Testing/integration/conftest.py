"""The sample as a case on disk."""

from __future__ import annotations

import shutil

import pytest

from MultiViewRegistrationLib import Case
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
