"""Preparing the kernels compiles all that a registration runs."""

from __future__ import annotations

import numba
import pytest
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.registration import kernels, similarity
from MultiViewRegistrationLib.registration.pipeline import PreparedCT, refine
from MultiViewRegistrationLib.rendering import cpu


@pytest.fixture(scope="module")
def compiled():
    """All kernels that are called from Python, by name."""
    return {
        name: thing
        for module in (cpu, similarity)
        for name, thing in vars(module).items()
        if isinstance(thing, numba.core.dispatcher.Dispatcher) and not name.startswith("_")
    }


def test_a_registration_after_it_compiles_nothing(compiled):
    kernels.prepare()
    before = {name: set(kernel.signatures) for name, kernel in compiled.items()}
    assert all(before.values())
    ct = make_ct()
    refine(PreparedCT(ct), make_views(ct), off(TRUE_POSE, [1, 2, 1], [2, 1, 2]))
    assert {name: set(kernel.signatures) for name, kernel in compiled.items()} == before
