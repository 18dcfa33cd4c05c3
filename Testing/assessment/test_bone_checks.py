"""Findings on a bone and its risk: `assessment.bone_checks`, `assessment.risk` and the mask's features."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from MultiViewRegistrationLib.assessment.bone_checks import FEATURE_LIMITS, bone_findings
from MultiViewRegistrationLib.assessment.bone_features import BoneFeatures, mask_edges
from MultiViewRegistrationLib.assessment.records import USES, Assessment
from MultiViewRegistrationLib.assessment.risk import BONE_COLUMNS, BoneRiskModel, bone_risk_model
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


def checked(name="L1", views=VIEWS, model=None, **change):
    """Return the risk and the assessment of a correct bone with some features changed."""
    risk, findings = bone_findings(name, replace(RIGHT, **change), views, model)
    return risk, Assessment(tuple(findings))


def codes_of(assessment):
    return [finding.code for finding in assessment.findings]


def test_a_correct_bone_is_accepted_without_findings():
    risk, assessment = checked()
    assert assessment.verdict == "accept" and not assessment.findings
    assert risk.failure < 0.05 and 0 < risk.typical_mm < risk.upper95_mm <= 2


@pytest.mark.parametrize(
    "change, code",
    [
        ({"level_ratio": 1.0}, "other-level"),
        ({"left_out": 1.6}, "mask-too-small"),
        ({"similarity": 0.2}, "bone-not-like-ct"),
        ({"motion_sds": 5.0}, "unusual-motion"),
        ({"again_mm": 2.4}, "not-reproduced"),
    ],
)
def test_a_feature_beyond_its_limit_is_found_and_nothing_is_accepted(change, code):
    _, assessment = checked(**change)
    (finding,) = (each for each in assessment.findings if each.code == code)
    (value,) = change.values()
    assert finding.values == {"bone": "L1", "value": value, "kind": "vertebra"}
    assert all(assessment.verdict_for(use) != "accept" for use in USES)


def test_a_feature_that_was_not_measured_counts_as_usual():
    """In a sequence bones are not registered again from a displaced start in every frame."""
    again = [(np.nan, np.nan), (0.0, 0.0), (3.0, 3.0)]
    unknown, best, worst = (
        checked(again_mm=own, all_again_mm=largest)[0].failure for own, largest in again
    )
    assert best < unknown < worst


def test_a_bone_that_one_view_shows_is_not_accepted_for_the_position():
    _, assessment = checked(views=("AP",), shown=0.0)
    (finding,) = assessment.findings
    assert (finding.code, finding.views) == ("bone-in-one-view", ("AP",))
    assert assessment.verdict == "check" and assessment.verdict_for("overlay") == "accept"


def test_a_bone_that_no_view_shows_is_not_rejected_but_not_shown():
    risk, assessment = checked(views=(), noise_mm=np.inf)
    assert risk is None and assessment.verdict == "not shown"
    assert codes_of(assessment) == ["bone-not-shown"]


@pytest.mark.parametrize("name", BONE_COLUMNS)
def test_the_risk_never_falls_if_a_feature_gets_worse(name):
    value = getattr(RIGHT, name)
    changed = replace(RIGHT, **{name: max(value * 1.5, value / 1.5, key=BONE_COLUMNS[name])})
    model = bone_risk_model()
    assert model.predict(changed).failure >= model.predict(RIGHT).failure - 1e-9


def test_risk_and_bound_are_those_of_the_mixture_of_correct_and_wrong_poses():
    """Log-normal about 0.3 mm, and about 8 mm with a probability by the intercept."""
    k = len(BONE_COLUMNS)
    model = BoneRiskModel(
        *(np.zeros(k), np.ones(k), np.full(k, 99.0), -1.5, np.zeros(k)),
        *(np.r_[np.log(0.3), np.zeros(k)], 0.5, np.log(8), 0.6, 0.02, 0.5),
    )
    right, astray = scipy.stats.lognorm(0.5, scale=0.3), scipy.stats.lognorm(0.6, scale=8)
    wrong, risk = scipy.special.expit(-1.5), model.predict(RIGHT)
    expected = wrong * astray.sf(2) + (1 - wrong) * right.sf(2)
    assert risk.failure == pytest.approx(expected, abs=0.002)
    beyond = [each.sf(risk.upper95_mm) for each in (astray, right)]
    assert np.dot([wrong, 1 - wrong], beyond) == pytest.approx(0.05, abs=0.002)


def test_nothing_is_accepted_beyond_the_range_of_the_fit():
    model = replace(bone_risk_model(), limits=np.full(len(BONE_COLUMNS), -99.0))
    _, assessment = checked(model=model)
    assert (assessment.verdict, codes_of(assessment)) == ("check", ["unlike-known"])


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
    assert (
        edges["eroded"].left_out > FEATURE_LIMITS["left_out"].limit and edges["eroded"].soft < 0.05
    )
    assert edges["dilated"].soft > FEATURE_LIMITS["soft"].limit and edges["dilated"].left_out == 0
    assert edges["moved"].left_out > 0.2 and edges["moved"].soft > 0.2


def test_bone_of_another_structure_is_not_left_out():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:6, 3:9, 3:9], labels[6:10, 3:9, 3:9] = 1, 2
    volume = Volume(np.where(labels > 0, 2 * WATER, WATER).astype(np.float32), np.eye(4))
    assert [edge.left_out for edge in mask_edges(Structures(("a", "b"), labels), volume)] == [0, 0]
    (alone,) = mask_edges(Structures(("a",), np.where(labels == 1, labels, 0)), volume)
    assert alone.left_out > 0.1
