"""Instruments over the sample's X-rays, which are another simulator's (RTK).

What they hide is lost, what is next to them is not.
"""

import numpy as np
import pytest

from benchmarks.simulation.simulator import FULL_SCALE, OVERLAYS
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.registration import pipeline
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


@pytest.fixture(scope="module")
def anatomy(sample):
    return PreparedCT(sample.ct)


def behind_tools(sample, seed):
    """The views with instruments over a tenth to a quarter of each."""
    put, views = OVERLAYS["tools"](np.random.default_rng(seed)), []
    for view in sample.views:
        open_field = np.full(view.xray.valid.shape, FULL_SCALE, np.uint16)
        through = put(open_field, view.camera) / FULL_SCALE
        image = (view.xray.line_integrals - np.log(through)).astype(np.float32)
        views.append(view.with_xray(line_integrals=image))
    return views


@pytest.mark.slow
def test_tools_cost_little(sample, anatomy, monkeypatch):
    truth = sample.truth_world_from_ct

    def registered(views):
        found = pipeline.refine(anatomy, views, truth)
        return found, mtre(found.world_from_ct, truth, sample.targets)

    hidden = [behind_tools(sample, seed) for seed in (0, 1, 4)]
    without, clean = registered(sample.views)
    assert "outliers" not in without.levels[-1].name
    found, errors = zip(*map(registered, hidden), strict=True)
    assert np.mean(errors) < 1.5 * clean
    for views, each in zip(hidden, found, strict=True):
        assert each.levels[-1].name == "128 x 128 px, outliers left out" and each.levels[-1].steps
        whole = anatomy.fit(views, each.world_from_ct, truth)
        assert each.fit.pixels == whole.pixels, "the fit is that of all pixels"
    monkeypatch.setattr(pipeline, "outliers", lambda objective, projections: None)
    assert np.mean(errors) < 0.7 * np.mean([registered(views)[1] for views in hidden])
