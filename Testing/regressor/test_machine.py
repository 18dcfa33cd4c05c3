"""Machines that are drawn are of their kind."""

import numpy as np
import pytest

from MultiViewRegistrationLib.regressor.machine import KINDS, Machine, draw_machine


@pytest.mark.slow_variants("flat panel")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_lies_within_its_kind_and_all_else_is_as_usual(kind):
    rng, drawn, usual = np.random.default_rng(7), KINDS[kind], Machine()._asdict()
    number = list(KINDS).index(kind)
    machines = [draw_machine(number, rng) for _ in range(400)]
    for field, default in usual.items():
        values = np.array([getattr(machine, field) for machine in machines])
        if field not in drawn:
            assert (values == default).all()
            continue
        low, high, logarithmic, share = drawn[field]
        own = values[values != default] if share < 1 else values
        assert len(own) / len(values) == pytest.approx(share, abs=0.1)
        assert low <= own.min() and own.max() <= high
        middle = np.sqrt(low * high) if logarithmic else (low + high) / 2
        assert np.median(own) == pytest.approx(middle, rel=0.2)
