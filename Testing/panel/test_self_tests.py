"""Slicer's own tests of the module, those that ctest runs, on Slicer's stand-in."""

import importlib.util
import unittest
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"


def test_slicers_own_tests_pass(host, sample):
    path = MODULE.parent / "Testing" / "slicer_tests" / "MultiViewRegistrationModuleTest.py"
    host.load_module(MODULE / "MultiViewRegistration.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    result = unittest.TestResult()
    unittest.TestLoader().loadTestsFromModule(tests).run(result)
    failures = [trace for _, trace in result.failures + result.errors]
    assert result.testsRun and not failures and not result.skipped, "\n".join(failures)


@pytest.mark.parametrize("views", (False, True))
def test_reload_and_test_passes(host, sample, views):
    """views: without them, as where Slicer has no main window, the panel's own are not looked for."""
    module = host.load_module(MODULE / "MultiViewRegistration.py")
    host.open_module()
    if views:
        host.open_views(480, 320)
    module.MultiViewRegistrationTest().runTest()
    host.process()
