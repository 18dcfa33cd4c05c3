"""Slicer's own tests of the module, those that ctest runs, on Slicer's stand-in."""

import importlib.util
import unittest
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
SLICER_TESTS = MODULE.parent / "Testing" / "slicer_tests"


def load(name: str):
    """A module of SLICER_TESTS."""
    spec = importlib.util.spec_from_file_location(name, SLICER_TESTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_slicers_own_tests_pass(host, sample):
    host.load_module(MODULE / "MultiViewRegistration.py")
    tests = load("MultiViewRegistrationModuleTest")
    result = unittest.TestResult()
    unittest.TestLoader().loadTestsFromModule(tests).run(result)
    failures = [trace for _, trace in result.failures + result.errors]
    assert result.testsRun and not failures and not result.skipped, "\n".join(failures)


def test_reload_and_test_passes(host, sample):
    module = host.load_module(MODULE / "MultiViewRegistration.py")
    host.open_module()
    module.MultiViewRegistrationTest().runTest()
    host.process()


@pytest.mark.parametrize("testing", [False, True])
def test_reload_and_test_asks_for_what_is_missing_and_is_left_out_without(
    host, monkeypatch, testing
):
    from MultiViewRegistrationLib.panel import packages

    module = host.load_module(MODULE / "MultiViewRegistration.py")
    host.open_module()
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    monkeypatch.setattr(type(host.app), "testingEnabled", lambda app: testing)
    host.answers.yes = False
    test = module.MultiViewRegistrationTest()
    said = []
    test.delayDisplay = said.append
    test.runTest()
    assert "numba" in said[-1]
    assert bool(host.shown("question")) == (not testing)
