"""The model that turns features into an error to expect.

Its mixture, its direction, and the one that comes with the program.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy
from helpers.file_io import read_json

from MultiViewRegistrationLib.assessment import risk
from MultiViewRegistrationLib.assessment.records import WRONG_MM
from MultiViewRegistrationLib.assessment.risk import (
    COLUMNS,
    BodyRiskModel,
    body_risk_model,
    columns,
)
from MultiViewRegistrationLib.assessment.uncertainty import ScaledChiSquare

GOOD = {
    "noise_mm": 0.03,
    "single_view_shift_sds": 1.0,
    "split_half_mm": 0.05,
    "similarity": 0.9,
    "wider_similarity": 0.95,
    "outlier_fraction": 0.0,
    "tension": 0.4,
    "disagreement": 0.001,
    "disagreement_mm": 0.4,
    "disagreement_by_size": 0.0,
}
BAD = {
    "noise_mm": 0.2,
    "single_view_shift_sds": 12.0,
    "split_half_mm": 0.8,
    "similarity": 0.3,
    "wider_similarity": 0.4,
    "outlier_fraction": 0.7,
    "tension": 3.0,
    "disagreement": 0.1,
    "disagreement_mm": 3.0,
    "disagreement_by_size": 0.0,
}


COUNT = 200_000


def right_and_astray(model, numbers, random):
    """(COUNT,) errors of answers that are right, and of those that are elsewhere, mm."""
    near = model.near[0] + columns(numbers) @ model.near[1:]
    right = np.exp(near + model.near_sd * random.normal(size=COUNT))
    return right, np.exp(model.far + model.far_sd * random.normal(size=COUNT))


@pytest.fixture
def model():
    k = len(COLUMNS)
    return BodyRiskModel(
        *(np.zeros(k), np.ones(k), np.full(k, 10.0), -2.0, np.full(k, 0.3)),
        *(np.concatenate([[-1.0], np.full(k, 0.2)]), 0.4, 2.0, 0.8, 0.02, 0.5),
        *(0.1, 0.5, -0.4, 0.7, GOOD, 0.0),
    )


@pytest.mark.parametrize("spread, freedom", [(1.5, 5.0)])
def test_the_error_of_the_cameras_adds_to_a_right_answers_by_squares(model, spread, freedom):
    """By sampling; the X-rays know nothing of it."""
    told, random = model.predict(GOOD, ScaledChiSquare(spread, freedom)), np.random.default_rng(1)
    right, astray = right_and_astray(model, GOOD, random)
    cameras = np.sqrt(spread * random.chisquare(freedom, size=COUNT))
    of_images, both = told.image_failure, np.hypot(right, cameras)
    drawn = np.where(random.random(COUNT) < of_images, astray, both)
    assert of_images == model.predict(GOOD).failure
    of_cameras = np.mean(cameras > WRONG_MM)
    assert told.camera_failure == pytest.approx(of_cameras, abs=0.003)
    assert told.typical_mm == pytest.approx(np.median(drawn), rel=0.02)
    assert told.upper95_mm == pytest.approx(np.quantile(drawn, 0.95), rel=0.03)
    # A right answer's own error beyond WRONG_MM is part of the wrong ones already.
    beyond = np.mean(both > WRONG_MM) - np.mean(right > WRONG_MM)
    expected = of_images + (1 - of_images) * beyond
    assert told.failure == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("by_size", [False, True])
def test_where_views_disagree_the_error_is_about_what_makes_them_agree(model, by_size):
    disagree = {"disagreement_mm": 1.5, "disagreement_by_size": float(by_size)}
    numbers, random = {**GOOD, **disagree, "disagreement": 0.05}, np.random.default_rng(2)
    told = model.predict(numbers, ScaledChiSquare(0.4, 2.0))
    shift, sd = (
        (model.size_ratio, model.size_ratio_sd)
        if by_size
        else (model.motion_ratio, model.motion_ratio_sd)
    )
    off = (1.5 + risk.LIMITS.pad_mm) * np.exp(shift + sd * random.normal(size=COUNT))
    _, astray = right_and_astray(model, GOOD, random)
    another = random.random(COUNT) < model.predict(GOOD).image_failure
    with_cameras = np.hypot(off, np.sqrt(0.4 * random.chisquare(2.0, size=COUNT)))
    drawn = np.where(another, astray, with_cameras)
    assert told.upper95_mm == pytest.approx(np.quantile(drawn, 0.95), rel=0.03)
    wrong, exact = (np.mean(another | (mm > WRONG_MM)) for mm in (drawn, off))
    assert told.failure == pytest.approx(wrong, abs=0.01)
    assert told.image_failure == pytest.approx(exact, abs=0.01)


def test_views_that_hardly_disagree_are_as_those_that_agree(model):
    little = {"disagreement": 0.9 * risk.LIMITS.disagree, "disagreement_mm": 1.5}
    assert model.predict({**GOOD, **little}) == model.predict(GOOD)


@pytest.mark.parametrize(
    "tension, disagreement, agree", [(2.0, 0.0019, True), (2.0, 0.0021, False), (0.4, 0.009, True)]
)
def test_views_agree_by_their_score_and_by_what_would_make_them(
    model, tension, disagreement, agree
):
    model = replace(model, contradicted_risk=0.6)
    told = model.predict({**GOOD, "tension": tension, "disagreement": disagreement})
    expected = model.predict(GOOD)
    assert told.views_agree is agree
    assert (told.position_error.upper95_mm is None) == (not agree)
    assert told.failure == (expected.failure if agree else 0.6)
    assert told.image_failure == expected.image_failure


def test_what_was_tested_lowers_the_odds_of_a_wrong_answer(model):
    risks = [model.predict(GOOD, odds=odds).failure for odds in (1.0, 0.1)]
    prior, told = scipy.special.logit(risks)
    assert told == pytest.approx(prior + np.log(0.1))


@pytest.mark.parametrize("kind", risk.KINDS)
def test_the_models_of_the_program_tell_good_from_bad(kind):
    model = body_risk_model(kind)
    good, bad = model.predict(GOOD), model.predict(BAD)
    assert good.failure < model.accept < model.reject < bad.failure
    assert good.typical_mm < good.upper95_mm < 1 < WRONG_MM < bad.typical_mm < bad.upper95_mm
    assert good.is_within_fit


@pytest.mark.parametrize("kind", risk.KINDS)
@pytest.mark.parametrize("name", COLUMNS)
def test_nothing_bad_makes_it_more_certain(kind, name):
    model, worse = body_risk_model(kind), np.linspace(GOOD[name], BAD[name], 5)
    told = [model.predict({**GOOD, name: value}) for value in worse]
    assert (np.diff([each.failure for each in told]) >= 0).all()
    assert (np.diff([each.upper95_mm for each in told]) >= -1e-9).all()


def test_of_a_ct_that_was_fitted_the_model_of_the_others_judges():
    content = read_json(Path(risk.__file__).with_name("prediction.json"))
    fitted = list(content["body"]["without"])
    assert fitted and all(
        body_risk_model("body", one).intercept != body_risk_model("body").intercept
        for one in fitted
    )
    assert body_risk_model("body", "another CT").intercept == body_risk_model("body").intercept


def test_unfamiliar_xrays_have_the_risk_of_the_votes(model):
    """Only if noise is unusual and the model alone has doubts; if both have, the risk is that of the model."""
    bad = {**BAD, "noise_mm": 20.0, "disagreement": 0.001}
    wrong = model.predict(bad)
    assert wrong.is_familiar and wrong.image_failure > model.reject
    assert model.predict({**bad, "vote_risk": 0.9}) == wrong
    other = model.predict({**bad, "vote_risk": 0.01})
    assert not other.is_familiar and other.image_failure == pytest.approx(0.01)
    assert other.typical_mm < wrong.typical_mm and other.position_error.upper95_mm is None
    for familiar in (GOOD, {**bad, "noise_mm": GOOD["noise_mm"]}):
        placed = model.predict({**familiar, "vote_risk": 0.001})
        assert placed == replace(model.predict(familiar), has_tiles_in_place=True)


def test_a_pose_with_its_tiles_in_place_is_not_most_likely_wrong(model):
    wrong = model.predict(BAD)
    assert model.is_likely_wrong(wrong)
    assert not model.is_likely_wrong(replace(wrong, has_tiles_in_place=True))


def test_unusual_features_are_named_and_so_is_what_is_beyond_the_fit(model):
    assert model.worse_than_usual(GOOD) == [] and set(model.worse_than_usual(BAD)) == set(COLUMNS)
    worse = {**GOOD, "single_view_shift_sds": 5.0, "similarity": 0.85}
    assert model.worse_than_usual(worse) == ["single_view_shift_sds", "similarity"]
    beyond = replace(model, limits=columns(GOOD) + 0.1).predict(BAD)
    assert model.predict(BAD).is_within_fit and not beyond.is_within_fit


@pytest.mark.parametrize("mm, is_clear", [(1.9, True), (40.0, False)])
def test_the_risk_of_a_cause_is_that_of_a_sampled_mixture(model, mm, is_clear):
    sd_mm, sd_fraction, misdiagnosed_fraction = risk.LIMITS.move_errors[is_clear]
    bound = 0.95 if is_clear else 0.99 * 0.8
    told, random = model.predict(BAD), np.random.default_rng(0)
    moved = told.if_moved(mm, is_clear=is_clear)
    error = mm + (sd_mm + sd_fraction * mm) * random.normal(size=COUNT)
    misdiagnosed = random.random(COUNT) < misdiagnosed_fraction
    displaced = random.random(COUNT) < told.failure
    wrong = np.where(misdiagnosed, displaced, error > WRONG_MM)
    assert moved.failure == pytest.approx(wrong.mean(), abs=0.003)
    within = ~misdiagnosed & (error < moved.upper95_mm)  # misdiagnosed ones counted as beyond
    assert within.mean() == pytest.approx(bound, abs=0.002)
    assert moved.typical_mm == mm and moved.is_within_fit == told.is_within_fit
