"""The sample that comes with the Slicer extension, its X-rays by another simulator (RTK): registered as a user's first case."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from MultiViewRegistrationLib import Case, register
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.demo.chest import chest_ct
from MultiViewRegistrationLib.errors import InputError

SAMPLE = Path(__file__).resolve().parents[2] / "MultiViewRegistration" / "Resources" / "SampleData" / "Chest"


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("sample") / "chest"
    shutil.copytree(SAMPLE, folder)
    try:
        shutil.copy(chest_ct(), folder / "chest.nii.gz")
    except InputError as error:
        pytest.skip(str(error))
    return Case.load(folder)


@pytest.mark.parametrize("start", ["given", "search"])
def test_the_sample_is_registered(case, start):
    result = register(case, start=start)
    assert result.errors.mtre_mm < 0.1
    assert result.reasons == []


def test_its_start_is_worth_correcting(case):
    assert 15 < mtre(case.world_from_ct, case.truth_world_from_ct, case.targets) < 23
