"""A case of an older version is read as one of today's."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_case import START, minimal, refusal

from MultiViewRegistrationLib.io import case_file, migrations
from MultiViewRegistrationLib.io.case_file import CaseFile


@pytest.fixture
def two_versions_later(monkeypatch):
    """As if the start pose had been called "start" in version 1, and "pose" in version 2."""
    monkeypatch.setattr(case_file, "VERSION", 3)
    monkeypatch.setitem(migrations.MIGRATIONS, 1, lambda case: {"pose": case.pop("start"), **case})
    monkeypatch.setitem(migrations.MIGRATIONS, 2, lambda case: {"world_from_ct": case.pop("pose"), **case})


@pytest.mark.parametrize(("version", "key"), [(1, "start"), (2, "pose"), (3, "world_from_ct")])
def test_every_older_version_is_brought_up_to_date(case_folder, two_versions_later, version, key):
    content = minimal()
    content[key] = content.pop("world_from_ct")
    content["version"] = version
    before = dict(content)
    case = CaseFile.from_json(case_folder / "case.json", content)
    np.testing.assert_allclose(case.world_from_ct, START)
    assert content == before


def test_a_newer_version_is_refused(case_folder, two_versions_later):
    assert "update this program" in refusal(CaseFile.from_json, case_folder / "case.json", {**minimal(), "version": 4})


def test_there_is_a_migration_from_every_older_version():
    assert set(migrations.MIGRATIONS) == set(range(1, case_file.VERSION))
