"""The verdict on a bone: `assessment.bone_verdict`, `assessment.bone_prediction` and the mask's features."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from MultiViewRegistrationLib.assessment.bone_prediction import (
    COLUMNS,
    FAULTS,
    BoneFeatures,
    BoneModel,
    fitted,
    mask_edges,
)
from MultiViewRegistrationLib.assessment.bone_verdict import OF_WHOLE, judge, predicted
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.imaging.ct import WATER, Volume

#: As of a vertebra that is right, on clean images.
RIGHT = BoneFeatures(
    similarity=0.8,
    noise_mm=0.05,
    split_half_mm=0.12,
    motion_sds=0.6,
    shown=1.0,
    level_ratio=1.7,
    left_out=0.3,
    soft=0.05,
    again_mm=0.06,
    all_again_mm=0.15,
    turned_deg=2.0,
)
VIEWS = ("AP", "lateral")


def judged(name="L1", views=VIEWS, in_doubt=False, **change):
    """Of a right bone, but for what is changed."""
    return judge(name, replace(RIGHT, **change), views, in_doubt=in_doubt)


def test_a_right_bone_is_accepted_without_a_reason():
    prediction, verdict, reasons = judged()
    assert verdict == "accept" and reasons == []
    assert (
        prediction.failure_probability < 0.05
        and 0 < prediction.mean_mm < prediction.upper95_mm <= 2
    )


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"level_ratio": 1.0}, "L1 fits about as well one level up or down: check the level."),
        ({"left_out": 1.6}, "Bone goes on outside the mask of L1: correct the mask."),
        ({"similarity": 0.2}, "L1 does not look like the X-rays (similarity 0.20)."),
        (
            {"motion_sds": 5.0},
            "L1 has moved against a neighbour by more than is usual: it may be another one.",
        ),
        (
            {"again_mm": 2.4},
            "Begun a little off, L1 ends up to 2.4 mm from here: the X-rays leave its place open.",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_accepted(change, sentence):
    _, verdict, reasons = judged(**change)
    assert verdict != "accept" and sentence in reasons


def test_what_was_not_looked_for_counts_as_usual():
    """In a sequence, bones are not begun off in every frame."""
    unknown, _ = predicted(replace(RIGHT, again_mm=np.nan, all_again_mm=np.nan))
    best, _ = predicted(replace(RIGHT, again_mm=0.0, all_again_mm=0.0))
    worst, _ = predicted(replace(RIGHT, again_mm=3.0, all_again_mm=3.0))
    assert best.failure_probability < unknown.failure_probability < worst.failure_probability


def test_a_bone_that_one_view_shows_is_not_accepted():
    _, verdict, reasons = judged(views=("AP",), shown=0.0)
    assert (
        verdict == "check"
        and "Only AP shows L1: its depth along that beam is uncertain." in reasons
    )


def test_a_bone_that_no_view_shows_is_not_rejected_but_not_shown():
    prediction, verdict, reasons = judged(views=(), noise_mm=np.inf)
    assert prediction is None and verdict == "not shown"
    assert "No X-ray shows enough of L1" in reasons[0]


def test_doubt_in_the_whole_is_doubt_in_its_bones():
    _, verdict, reasons = judged(in_doubt=True)
    assert (verdict, reasons) == ("check", [OF_WHOLE])


def test_no_verdict_but_accept_is_without_a_reason():
    rng = np.random.default_rng(0)
    for _ in range(300):
        numbers = {
            name: float(abs(rng.normal()) * 2 * value) for name, value in vars(RIGHT).items()
        }
        _, verdict, reasons = judged(**numbers)
        assert bool(reasons) == (verdict != "accept")


@pytest.mark.parametrize("name", list(COLUMNS))
def test_the_risk_never_falls_where_a_feature_gets_worse(name):
    into, value = COLUMNS[name], getattr(RIGHT, name)
    changed = replace(RIGHT, **{name: max(value * 1.5, value / 1.5, key=into)})
    assert (
        fitted().predict(changed).failure_probability
        >= fitted().predict(RIGHT).failure_probability - 1e-9
    )


def test_risk_and_bound_are_those_of_right_and_wrong_ones_together():
    """Log-normal about 0.3 mm, and about 8 mm with a probability by the intercept."""
    k = len(COLUMNS)
    model = BoneModel(
        *(np.zeros(k), np.ones(k), np.full(k, 99.0), -1.5, np.zeros(k)),
        *(np.r_[np.log(0.3), np.zeros(k)], 0.5, np.log(8), 0.6, 0.02, 0.5),
    )
    right, astray = scipy.stats.lognorm(0.5, scale=0.3), scipy.stats.lognorm(0.6, scale=8)
    wrong, prediction = scipy.special.expit(-1.5), model.predict(RIGHT)
    risk = wrong * astray.sf(2) + (1 - wrong) * right.sf(2)
    assert prediction.failure_probability == pytest.approx(risk, abs=0.002)
    beyond = [each.sf(prediction.upper95_mm) for each in (astray, right)]
    assert np.dot([wrong, 1 - wrong], beyond) == pytest.approx(0.05, abs=0.002)


def test_beyond_what_was_fitted_nothing_is_accepted():
    model = replace(fitted(), limits=np.full(len(COLUMNS), -99.0))
    assert predicted(RIGHT, fitted())[1] == "accept"
    assert predicted(RIGHT, model)[1] == "check"


def test_the_edge_of_a_mask_tells_whether_it_fits_its_bone():
    """A ball of bone, and masks of it that are right, eroded, dilated and moved."""
    k, j, i = np.indices((40, 40, 40)) - 19.5
    ball = k**2 + j**2 + i**2 < 12**2
    volume = Volume(np.where(ball, 2 * WATER, WATER).astype(np.float32), np.eye(4))
    masks = {
        "right": ball,
        "eroded": scipy.ndimage.binary_erosion(ball, iterations=2),
        "dilated": scipy.ndimage.binary_dilation(ball, iterations=2),
        "moved": np.roll(ball, 4, axis=0),
    }
    edges = {
        name: mask_edges(Structures((name,), mask.astype(np.uint8)), volume)[0]
        for name, mask in masks.items()
    }
    assert edges["right"].left_out < 0.05 and edges["right"].soft < 0.05
    assert edges["eroded"].left_out > FAULTS["left_out"].limit and edges["eroded"].soft < 0.05
    assert edges["dilated"].soft > FAULTS["soft"].limit and edges["dilated"].left_out == 0
    assert edges["moved"].left_out > 0.2 and edges["moved"].soft > 0.2


def test_bone_of_another_structure_is_not_left_out():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:6, 3:9, 3:9], labels[6:10, 3:9, 3:9] = 1, 2
    volume = Volume(np.where(labels > 0, 2 * WATER, WATER).astype(np.float32), np.eye(4))
    assert [edge.left_out for edge in mask_edges(Structures(("a", "b"), labels), volume)] == [0, 0]
    (alone,) = mask_edges(Structures(("a",), np.where(labels == 1, labels, 0)), volume)
    assert alone.left_out > 0.1
