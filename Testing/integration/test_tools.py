"""Instruments over the sample's X-rays, which are another simulator's (RTK): what they hide is lost, what is next to them is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.registration import pipeline
from MultiViewRegistrationLib.registration.objective import outliers
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.simulation.simulator import FULL_SCALE, OVERLAYS


@pytest.fixture(scope="module")
def anatomy(sample):
    return PreparedCT(sample.ct)


def behind_tools(sample, seed):
    """The views with instruments over a tenth to a quarter of each, and where these are."""
    put = OVERLAYS["tools"](np.random.default_rng(seed))
    views, tools = [], []
    for view in sample.views:
        through = put(np.full(view.xray.valid.shape, FULL_SCALE, np.uint16), view.camera) / FULL_SCALE
        image = (view.xray.line_integrals - np.log(through)).astype(np.float32)
        views.append(replace(view, xray=replace(view.xray, line_integrals=image)))
        tools.append(through < 1)
    return views, tools


def left_out(anatomy, views, pose):
    objective = anatomy.objective(views, anatomy.levels(views, pose)[-1], pose)
    projections = objective.project(pose)
    objective.linearise(projections)
    return outliers(objective, projections)


def test_what_is_left_out_lies_at_the_tools(sample, anatomy):
    views, tools = behind_tools(sample, 0)
    found = left_out(anatomy, views, sample.truth_world_from_ct)
    for pixels, tool, view in zip(found, tools, views, strict=True):
        side = view.camera.size[0] // pixels.shape[1]
        tool = (
            tool[: pixels.shape[0] * side, : pixels.shape[1] * side]
            .reshape(pixels.shape[0], side, pixels.shape[1], side)
            .any((1, 3))
        )
        near = np.zeros_like(tool)
        for rows, columns in np.argwhere(tool):
            near[max(rows - 7, 0) : rows + 8, max(columns - 7, 0) : columns + 8] = True
        assert pixels[tool].mean() > 0.5 and pixels[near].mean() > 10 * pixels[~near].mean()


def test_without_tools_nothing_is_left_out(sample, anatomy):
    assert left_out(anatomy, sample.views, sample.truth_world_from_ct) is None


@pytest.mark.slow
def test_tools_cost_little(sample, anatomy, monkeypatch):
    def error(views):
        found = pipeline.refine(anatomy, views, sample.truth_world_from_ct)
        return found, mtre(found.world_from_ct, sample.truth_world_from_ct, sample.targets)

    hidden = [behind_tools(sample, seed)[0] for seed in (0, 1, 4)]
    _, clean = error(sample.views)
    found, errors = zip(*map(error, hidden), strict=True)
    assert np.mean(errors) < 1.5 * clean
    for views, each in zip(hidden, found, strict=True):
        assert each.levels[-1].name == "128 x 128 px, outliers left out" and each.levels[-1].steps
        assert each.fit.pixels == anatomy.fit(views, each.world_from_ct, sample.truth_world_from_ct).pixels, (
            "the fit is that of all pixels"
        )
    monkeypatch.setattr(pipeline, "outliers", lambda objective, projections: None)
    assert np.mean(errors) < 0.7 * np.mean([error(views)[1] for views in hidden])
