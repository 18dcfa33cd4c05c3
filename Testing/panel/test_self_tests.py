"""Slicer's own tests of the module, those that ctest runs, on Slicer's stand-in."""

import importlib.util
import shutil
import unittest
from pathlib import Path

import pytest

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import chest_ct

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"


@pytest.fixture
def cache(host, tmp_path) -> Path:
    """Slicer's cache, into which the sample's CT has been downloaded."""
    manager = host.scene.GetCacheManager()
    before = manager.GetRemoteCacheDirectory()
    manager.SetRemoteCacheDirectory(str(tmp_path))
    folder = tmp_path / "MultiViewRegistrationChest"
    folder.mkdir()
    try:
        shutil.copy(chest_ct(), folder / "chest.nii.gz")
    except InputError as error:
        pytest.skip(str(error))
    yield tmp_path
    manager.SetRemoteCacheDirectory(before)


def test_slicers_own_tests_pass(host, cache):
    path = MODULE.parent / "Testing" / "slicer_tests" / "MultiViewRegistrationModuleTest.py"
    host.load_module(MODULE / "MultiViewRegistration.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    result = unittest.TestResult()
    unittest.TestLoader().loadTestsFromModule(tests).run(result)
    told = [trace for _, trace in result.failures + result.errors]
    assert result.testsRun and not told and not result.skipped, "\n".join(told)


@pytest.mark.parametrize("views", (False, True))
def test_reload_and_test_passes(host, cache, views):
    """views: without them, as where Slicer has no main window, the panel's own are not looked for."""
    module = host.load_module(MODULE / "MultiViewRegistration.py")
    host.open_module()
    if views:
        host.open_views(480, 320)
    module.MultiViewRegistrationTest().runTest()
    host.process()
