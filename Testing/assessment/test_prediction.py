"""The model that turns features into an error to expect: its mixture, its direction, and the one that comes with the program."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from MultiViewRegistrationLib.assessment import prediction
from MultiViewRegistrationLib.assessment.prediction import COLUMNS, Model, calibrated, columns

GOOD = {
    "noise_mm": 0.03,
    "basin_shift_mm": 0.0,
    "single_view_shift_sds": 1.0,
    "tension": 0.5,
    "split_half_mm": 0.05,
    "similarity": 0.9,
    "wider_similarity": 0.95,
    "outlier_fraction": 0.0,
}
BAD = {
    "noise_mm": 0.2,
    "basin_shift_mm": 3.0,
    "single_view_shift_sds": 12.0,
    "tension": 3.0,
    "split_half_mm": 0.8,
    "similarity": 0.3,
    "wider_similarity": 0.4,
    "outlier_fraction": 0.7,
}


@pytest.fixture
def model():
    k = len(COLUMNS)
    return Model(
        np.zeros(k),
        np.ones(k),
        -2.0,
        np.full(k, 0.3),
        np.concatenate([[-1.0], np.full(k, 0.2)]),
        0.4,
        2.0,
        0.8,
        GOOD,
        np.full(k, 10.0),
        0.02,
        0.5,
    )


def test_mean_and_bound_are_those_of_a_sampled_mixture(model):
    for numbers in (GOOD, BAD, {**GOOD, "outlier_fraction": 3.0}):
        told = model.predict(numbers)
        random = np.random.default_rng(0)
        near = model.near[0] + columns(numbers) @ model.near[1:]
        right = np.exp(near + model.near_sd * random.normal(size=400_000))
        astray = np.exp(model.far + model.far_sd * random.normal(size=400_000))
        drawn = np.where(random.random(400_000) < told.failure_probability, astray, right)
        assert told.upper95_mm == pytest.approx(np.quantile(drawn, 0.95), rel=0.03)
        assert told.mean_mm == pytest.approx(drawn[drawn < told.upper95_mm].mean(), rel=0.02)


@pytest.mark.parametrize("kind", prediction.KINDS)
def test_the_models_of_the_program_tell_good_from_bad(kind):
    model = calibrated(kind)
    good, bad = model.predict(GOOD), model.predict(BAD)
    assert good.failure_probability < model.accept < model.reject < bad.failure_probability
    assert good.mean_mm < good.upper95_mm < 1 < prediction.WRONG_MM < bad.mean_mm < bad.upper95_mm
    assert good.bounded
    for name in COLUMNS:  # nothing bad makes it more certain
        told = [model.predict({**GOOD, name: value}) for value in np.linspace(GOOD[name], BAD[name], 5)]
        for a, b in pairwise(told):
            assert b.failure_probability >= a.failure_probability and b.upper95_mm >= a.upper95_mm - 1e-9


def test_the_worst_features_are_named_and_what_lies_beyond_the_fit(model):
    assert model.worse_than_usual(GOOD) == [] and set(model.worse_than_usual(BAD)) == set(COLUMNS)
    worse = {**GOOD, "single_view_shift_sds": 5.0, "similarity": 0.85}
    assert model.worse_than_usual(worse) == ["single_view_shift_sds", "similarity"]
    assert model.predict(BAD).bounded and not replace(model, limits=columns(GOOD) + 0.1).predict(BAD).bounded


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("mm", [0.3, 1.9, 40.0])
def test_what_a_cause_says_of_the_error_is_that_of_a_sampled_mixture(model, mm, clear):
    sd_mm, sd_share, misnamed_share, bound = (
        (prediction.MOVE_SD_MM, prediction.MOVE_SD_SHARE, prediction.MISNAMED, 0.95)
        if clear
        else (prediction.SLIGHT_SD_MM, prediction.SLIGHT_SD_SHARE, prediction.SLIGHT_MISNAMED, 0.99 * 0.8)
    )
    told = model.predict(BAD)
    random = np.random.default_rng(0)
    moved = told.moved(mm, clear=clear)
    error = mm + (sd_mm + sd_share * mm) * random.normal(size=400_000)
    misnamed = random.random(400_000) < misnamed_share
    wrong = np.where(misnamed, random.random(400_000) < told.failure_probability, error > prediction.WRONG_MM)
    assert moved.failure_probability == pytest.approx(wrong.mean(), abs=0.003)
    assert (error[~misnamed] < moved.upper95_mm).sum() / 400_000 == pytest.approx(
        bound, abs=0.002
    )  # those misnamed counted as beyond
    assert moved.mean_mm == mm and moved.bounded == told.bounded
