"""What is plotted of a registration: it begins where the refinement began and ends at what the result says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from phantom import TRUE_POSE, make_views, off

from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.cameras import CALIBRATED
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.session import curves

NEAR = off(TRUE_POSE, [1.0, -1.0, 0.5], [4.0, 2.0, -3.0])


@pytest.fixture(scope="module")
def result(ct, anatomy):
    views = make_views(ct)
    found = refine(anatomy, views, NEAR)
    told = assess(anatomy, views, found, NEAR)
    return SimpleNamespace(
        case=SimpleNamespace(views=views, shared_unknowns=CALIBRATED),
        views=found.views,
        refinement=found,
        assessment=told,
        world_from_ct=found.world_from_ct,
    )


def test_similarity_ends_at_what_the_result_has(result):
    named = dict(curves.similarity(result))
    assert list(named) == ["view1", "view2"]
    assert [points[-1][1] for points in named.values()] == pytest.approx(list(result.refinement.fit.similarity))
    numbers = [number for number, _ in named["view1"]]
    assert numbers == list(range(1, 1 + sum(len(points) for _, points in curves.cost(result))))


def test_the_predicted_error_falls_to_that_of_the_result(result):
    expected, bound = (np.array(points)[:, 1] for _, points in curves.predicted(result))
    prediction = result.assessment.prediction
    last = result.refinement.levels[-1].steps[-1].world_from_ct
    assert np.allclose(last, result.world_from_ct)
    assert (expected[-1], bound[-1]) == (prediction.mean_mm, prediction.upper95_mm)
    first = result.refinement.levels[0].steps[0].world_from_ct
    way = np.linalg.norm(
        rigid.transform_points(first, result.assessment.targets)
        - rigid.transform_points(result.world_from_ct, result.assessment.targets),
        axis=1,
    )
    assert way.min() < expected[0] < np.hypot(way.max(), prediction.mean_mm) and (expected <= bound).all()


def test_nothing_is_told_of_what_was_not_assessed(result):
    result = SimpleNamespace(**{**vars(result), "assessment": replace(result.assessment, prediction=None)})
    assert curves.predicted(result) == []
