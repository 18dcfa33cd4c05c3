"""Slicer's own tests of the module, those that ctest runs, on Slicer's stand-in."""

import runpy
import unittest

import pytest
from gui_driver import MODULE

from MultiViewRegistrationLib.io.datasets.chest import demo_case
from MultiViewRegistrationLib.panel import packages

SLICER_TESTS = MODULE.parent / "Testing/slicer_tests"
TESTS = SLICER_TESTS / "MultiViewRegistrationModuleTest.py"


@pytest.fixture
def module(host):
    module = host.load_module(MODULE / "MultiViewRegistration.py")
    host.open_module()
    return module


@pytest.mark.slow
def test_slicers_own_tests_pass(module, sample):
    case, result = (
        runpy.run_path(str(TESTS))["MultiViewRegistrationModuleTest"],
        unittest.TestResult(),
    )
    unittest.TestLoader().loadTestsFromTestCase(case).run(result)
    failures = [trace for _, trace in result.failures + result.errors]
    assert result.testsRun and not failures and not result.skipped, "\n".join(failures)


@pytest.mark.slow
def test_the_walk_by_widgets_passes(module, sample, monkeypatch):
    monkeypatch.syspath_prepend(SLICER_TESTS)
    import panel_walk

    walk = panel_walk.Walk(panel_walk.open_panel())
    module.loadSample(demo_case())
    walk.wait(lambda: walk.registration is not None, "the sample is read")
    walk.run(*panel_walk.SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("testing", [False, True])
def test_reload_and_test_asks_for_what_is_missing_and_is_left_out_without(
    host, module, monkeypatch, testing
):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr(type(host.app), "testingEnabled", lambda app: testing)
    host.answers.yes = False
    test, said = module.MultiViewRegistrationTest(), []
    test.delayDisplay = said.append
    test.runTest()
    assert "numba" in said[-1] and bool(host.shown("question")) == (not testing)
