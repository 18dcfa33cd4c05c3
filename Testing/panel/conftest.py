"""Fixtures of the tests that run a panel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import SimpleITK as sitk
from hosts import IN_SLICER

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import chest_ct

#: What the host imports, and where it comes from.
NEEDED = {
    "PySide6.QtWidgets": (
        'pip install "PySide6-Essentials>=6.8"; Debian: apt install libdbus-1-3 libegl1 libfontconfig1 libgl1 libxkbcommon0'
    ),
    "trame_slicer.core": 'pip install "trame-slicer[standalone]>=2.0"; Debian: apt install libegl1 libgl1',
}


def missing(module: str) -> str | None:
    try:
        import_module(module)
    except ImportError as error:
        return f"needs {module.partition('.')[0]} ({error}): {NEEDED[module]}"
    return None


@pytest.fixture
def host() -> Iterator:
    """Slicer, or its stand-in, with an empty scene and no messages.

    An unexpected failure in a slot fails the test.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    needed = () if IN_SLICER else NEEDED
    reason = next(filter(None, map(missing, needed)), None)
    if reason is not None:
        if os.environ.get("MVREG_REQUIRE_PACKAGES") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    from slicer_host import Host

    host = Host()
    yield host
    host.close()


@pytest.fixture(scope="session")
def coarse_chest(tmp_path_factory) -> Path:
    """The sample's CT with a 32nd of its voxels, which is read and registered in a second."""
    path = tmp_path_factory.mktemp("chest") / "chest.nii.gz"
    try:
        sitk.WriteImage(sitk.BinShrink(sitk.ReadImage(str(chest_ct())), [4, 4, 2]), str(path))
    except InputError as error:
        pytest.skip(str(error))
    return path


@pytest.fixture
def sample(host, coarse_chest, tmp_path, monkeypatch) -> None:
    """The user's cache is empty, and the sample's CT, once it is downloaded, the coarse one."""
    from MultiViewRegistrationLib.io.datasets import chest

    monkeypatch.setattr(chest, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(chest, "chest_ct", lambda: coarse_chest)
