"""A DRR is shown in the greys of its X-ray."""

from __future__ import annotations

import numpy as np
import pytest

from MultiViewRegistrationLib.session.drawing import ToneMatch

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")
DRR = np.linspace(1, 5, 4000, dtype=np.float32).reshape(50, 80)


def greys_of(line_integrals, drr=DRR, valid=None):
    return ToneMatch.of(line_integrals, np.ones(drr.shape, bool) if valid is None else valid, drr)


def test_gain_and_offset_are_found():
    greys = greys_of(0.7 * DRR + 2)
    assert greys.window(2.7, 5.5) == pytest.approx((1, 5))
    assert greys.window(2.0, 2.7) == pytest.approx((0, 1), abs=1e-5)


def test_only_what_both_show_counts():
    line_integrals, drr, valid = (0.7 * DRR + 2).astype(np.float32), DRR.copy(), np.ones(DRR.shape, bool)
    line_integrals[:10], valid[:10] = 11, False  # a blade
    drr[40:] = np.nan  # beyond the CT's end
    assert greys_of(line_integrals, drr, valid).window(2.7, 5.5) == pytest.approx((1, 5))


def test_a_few_pixels_of_metal_decide_nothing():
    line_integrals = (0.7 * DRR + 2).astype(np.float32)
    line_integrals.ravel()[::200] = 9
    assert greys_of(line_integrals).window(2.7, 5.5) == pytest.approx((1, 5), abs=0.1)


def test_without_anything_in_common_there_are_none():
    assert greys_of(DRR, np.full_like(DRR, np.nan)) is None
    assert greys_of(DRR, valid=np.zeros(DRR.shape, bool)) is None


def test_a_drr_alone_fills_the_window():
    assert ToneMatch.alone(DRR, (10, 20)).window(10, 20) == pytest.approx((1.04, 4.96), abs=0.01)
    assert np.isfinite(ToneMatch.alone(np.full_like(DRR, np.nan), (10, 20)).window(10, 20)).all()


def test_greys_that_are_much_alike_stay():
    one = greys_of(0.7 * DRR + 2)
    assert one.suits(greys_of(0.72 * DRR + 2.1), 2.7, 5.5)
    assert not one.suits(greys_of(0.4 * DRR + 2), 2.7, 5.5)


def test_a_drr_in_the_units_of_its_x_ray():
    greys = greys_of(0.7 * DRR + 2)
    assert np.allclose(greys.as_xray(DRR), 0.7 * DRR + 2, atol=1e-5)
    assert np.isnan(greys.as_xray(np.array([np.nan]))).all()
