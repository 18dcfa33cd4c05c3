"""The model that turns features into an error to expect.

Its mixture, its direction, and the one that comes with the program.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy
from helpers.file_io import read_json

from MultiViewRegistrationLib.assessment import prediction
from MultiViewRegistrationLib.assessment.prediction import (
    COLUMNS,
    WRONG_MM,
    Model,
    calibrated,
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
    return Model(
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
    of_images, both = told.image_failure_probability, np.hypot(right, cameras)
    drawn = np.where(random.random(COUNT) < of_images, astray, both)
    assert of_images == model.predict(GOOD).failure_probability
    of_cameras = np.mean(cameras > WRONG_MM)
    assert told.camera_failure_probability == pytest.approx(of_cameras, abs=0.003)
    assert told.typical_mm == pytest.approx(np.median(drawn), rel=0.02)
    assert told.upper95_mm == pytest.approx(np.quantile(drawn, 0.95), rel=0.03)
    # A right answer's own error beyond WRONG_MM is part of the wrong ones already.
    beyond = np.mean(both > WRONG_MM) - np.mean(right > WRONG_MM)
    expected = of_images + (1 - of_images) * beyond
    assert told.failure_probability == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("by_size", [False, True])
def test_where_views_disagree_the_error_is_about_what_makes_them_agree(model, by_size):
    disagree = {"disagreement_mm": 1.5, "disagreement_by_size": float(by_size)}
    numbers, random = {**GOOD, **disagree, "disagreement": 0.05}, np.random.default_rng(2)
    told = model.predict(numbers, ScaledChiSquare(0.4, 2.0))
    shift, sd = (model.sized, model.sized_sd) if by_size else (model.apart, model.apart_sd)
    off = (1.5 + prediction.LIMITS.pad_mm) * np.exp(shift + sd * random.normal(size=COUNT))
    _, astray = right_and_astray(model, GOOD, random)
    another = random.random(COUNT) < model.predict(GOOD).image_failure_probability
    with_cameras = np.hypot(off, np.sqrt(0.4 * random.chisquare(2.0, size=COUNT)))
    drawn = np.where(another, astray, with_cameras)
    assert told.upper95_mm == pytest.approx(np.quantile(drawn, 0.95), rel=0.03)
    wrong, exact = (np.mean(another | (mm > WRONG_MM)) for mm in (drawn, off))
    assert told.failure_probability == pytest.approx(wrong, abs=0.01)
    assert told.image_failure_probability == pytest.approx(exact, abs=0.01)


def test_views_that_hardly_disagree_are_as_those_that_agree(model):
    little = {"disagreement": 0.9 * prediction.LIMITS.disagree, "disagreement_mm": 1.5}
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
    assert told.agree is agree
    assert (told.known_upper95_mm is None) == (not agree)
    assert told.failure_probability == (expected.failure_probability if agree else 0.6)
    assert told.image_failure_probability == expected.image_failure_probability


def test_what_was_tested_lowers_the_odds_of_a_wrong_answer(model):
    risks = [model.predict({**GOOD, **more}).failure_probability for more in ({}, {"odds": 0.1})]
    prior, told = scipy.special.logit(risks)
    assert told == pytest.approx(prior + np.log(0.1))


@pytest.mark.parametrize("kind", prediction.KINDS)
def test_the_models_of_the_program_tell_good_from_bad(kind):
    model = calibrated(kind)
    good, bad = model.predict(GOOD), model.predict(BAD)
    assert good.failure_probability < model.accept < model.reject < bad.failure_probability
    assert good.mean_mm < good.upper95_mm < 1 < WRONG_MM < bad.mean_mm < bad.upper95_mm
    assert good.bounded


@pytest.mark.parametrize("kind", prediction.KINDS)
@pytest.mark.parametrize("name", COLUMNS)
def test_nothing_bad_makes_it_more_certain(kind, name):
    model, worse = calibrated(kind), np.linspace(GOOD[name], BAD[name], 5)
    told = [model.predict({**GOOD, name: value}) for value in worse]
    assert (np.diff([each.failure_probability for each in told]) >= 0).all()
    assert (np.diff([each.upper95_mm for each in told]) >= -1e-9).all()


def test_of_a_ct_that_was_fitted_the_model_of_the_others_judges():
    content = read_json(Path(prediction.__file__).with_name("prediction.json"))
    fitted = list(content["body"]["without"])
    assert fitted and all(
        calibrated("body", one).intercept != calibrated("body").intercept for one in fitted
    )
    assert calibrated("body", "another CT").intercept == calibrated("body").intercept


def test_xrays_that_the_model_does_not_know_have_the_risk_that_carries_over(model):
    """Only where noise is unusual and the model alone has doubts; where both have, it is the model's."""
    bad = {**BAD, "noise_mm": 20.0, "disagreement": 0.001}
    wrong = model.predict(bad)
    assert wrong.familiar and wrong.image_failure_probability > model.reject
    assert model.predict({**bad, "carried_risk": 0.9}) == wrong
    other = model.predict({**bad, "carried_risk": 0.01})
    assert not other.familiar and other.image_failure_probability == pytest.approx(0.01)
    assert other.typical_mm < wrong.typical_mm and "was not measured" in str(other)
    assert " %" in str(wrong) and " %" not in str(other)
    for familiar in (GOOD, {**bad, "noise_mm": GOOD["noise_mm"]}):
        placed = model.predict({**familiar, "carried_risk": 0.001})
        assert placed == replace(model.predict(familiar), in_place=True)


def test_of_a_body_of_which_a_part_may_lie_elsewhere_no_number_is_told(model):
    told = model.predict(GOOD).elsewhere(proven=False)
    assert told.known_risk is None and "not measured" in str(told) and " mm" not in str(told)
    assert str(model.predict(GOOD).elsewhere(proven=True)).startswith("85 % risk")


def test_the_worst_features_are_named_and_what_lies_beyond_the_fit(model):
    assert model.worse_than_usual(GOOD) == [] and set(model.worse_than_usual(BAD)) == set(COLUMNS)
    worse = {**GOOD, "single_view_shift_sds": 5.0, "similarity": 0.85}
    assert model.worse_than_usual(worse) == ["single_view_shift_sds", "similarity"]
    assert (
        model.predict(BAD).bounded
        and not replace(model, limits=columns(GOOD) + 0.1).predict(BAD).bounded
    )


@pytest.mark.parametrize("mm, precise", [(1.9, True), (40.0, False)])
def test_what_a_cause_says_of_the_error_is_that_of_a_sampled_mixture(model, mm, precise):
    sd_mm, sd_share, misnamed_share = prediction.LIMITS.move_errors[precise]
    bound = 0.95 if precise else 0.99 * 0.8
    told, random = model.predict(BAD), np.random.default_rng(0)
    moved = told.moved(mm, precise=precise)
    error = mm + (sd_mm + sd_share * mm) * random.normal(size=COUNT)
    misnamed = random.random(COUNT) < misnamed_share
    elsewhere = random.random(COUNT) < told.failure_probability
    wrong = np.where(misnamed, elsewhere, error > WRONG_MM)
    assert moved.failure_probability == pytest.approx(wrong.mean(), abs=0.003)
    within = ~misnamed & (error < moved.upper95_mm)  # those misnamed counted as beyond
    assert within.mean() == pytest.approx(bound, abs=0.002)
    assert moved.mean_mm == mm and moved.bounded == told.bounded
