"""Slicer's own tests of the module, those that ctest runs, on Slicer's stand-in."""

import importlib.util
import unittest
from dataclasses import replace
from pathlib import Path

import pytest
from gui_driver import GuiDriver
from phantom import TRUE_POSE
from phantom_scene import begun, make_registration, settle
from running_session import STARTED_AT

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


def test_the_walks_steps_about_other_modules_pass(host, ct, views):
    """Those of the walk through Slicer itself that a registered phantom will do for."""
    from MultiViewRegistrationLib.panel.self_test import Walk

    person, walk = GuiDriver(host), load("walk")
    registration = make_registration(host.scene, ct, views, STARTED_AT)
    person.begin("register", begun(registration))
    registration.world_from_ct = TRUE_POSE
    settle(person.session)
    person.session.history.add(replace(person.session.history.current, verdict="accept"))
    person.wait(lambda: "ACCEPT" in person.answer())
    steps = (
        "draws_a_segment_on_the_placed_ct",
        "shows_the_ct_everywhere",
        "takes_the_ct_elsewhere",
        "hardens_the_transform",
    )
    Walk(person.module_widget).run(*(getattr(walk, step) for step in steps))
