"""Records of an assessment: the verdict for each use, and their content in a file."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.refusals import refuses

from MultiViewRegistrationLib.assessment import records
from MultiViewRegistrationLib.assessment.causes import Cause
from MultiViewRegistrationLib.assessment.records import (
    FAILURE,
    NOT_SHOWN,
    NOTE,
    OVERLAY,
    POSITION,
    RELATIVE,
    VERDICTS,
    Assessment,
    ExpectedError,
    Finding,
    Severity,
    UseAssessment,
    least_reliable,
)
from MultiViewRegistrationLib.io.files import JsonObject, plain
from MultiViewRegistrationLib.io.result_json import assessment_json, read_assessment

#: Of each severity, with values of each type.
FINDINGS = (
    Finding("risk", uses=POSITION, values={"risk": 0.26, "accepted": 0.03}),
    Finding("view-bent", views=("AP", "lateral")),
    Finding("neighbour-rejected", FAILURE, RELATIVE, values={"bone": "L1", "other": "L2"}),
    Finding("neighbour-not-shown", NOT_SHOWN, RELATIVE, values={"bone": "L1", "other": "L3"}),
    Finding("points-tested", NOTE, values={"count": 2, "total": 2, "points": "targets"}),
)
YES = np.array([True, False])
ASSESSMENT = Assessment(
    FINDINGS,
    {
        "overlay": ExpectedError(0.2, 0.4),
        "position": ExpectedError(2.9, 6.0),
        "relative": None,
    },
    risk=0.26,
    tested=records.TestedPoints(np.arange(6.0).reshape(2, 3), ~YES, YES, ~YES, are_targets=True),
)


@pytest.mark.parametrize("severity", Severity)
def test_the_verdict_for_a_use_is_that_of_its_most_severe_finding(severity):
    note = Finding("unfamiliar-images", NOTE)
    limiting = Finding("overlay-error-bound", severity, OVERLAY)
    assessment = Assessment((note, limiting, replace(limiting, severity=NOTE)))
    assert assessment.verdict_for("overlay") == VERDICTS[severity]
    assert assessment.verdict == assessment.verdict_for("relative") == "accept"
    rejected = assessment.with_findings([Finding("not-shown", FAILURE)])
    assert {rejected.verdict_for(use) for use in ("overlay", "position")} == {"reject"}


def test_the_error_of_a_pose_that_is_not_accepted_is_withheld_if_it_is_small():
    """It holds for correct poses; a large one explains the verdict."""
    small, large = ExpectedError(0.3, 0.7), ExpectedError(0.5, 2.4)
    for finding, error, shown in (
        (Finding("risk", NOTE), small, small),
        (Finding("risk"), small, (None, None)),
        (Finding("risk"), large, large),
    ):
        uses = Assessment((finding,), {"position": error}).uses
        assert uses == {"position": UseAssessment(finding_verdict(finding), *shown)}


def finding_verdict(finding):
    return VERDICTS[finding.severity]


def test_findings_are_added_once_and_removed_by_code():
    first, second = FINDINGS[:2]
    assessment = Assessment((first,)).with_findings([first, second])
    assert assessment.findings == (second, first)
    assert assessment.with_findings([second]) is assessment
    assert assessment.with_findings([FINDINGS[2]], first=False).findings[-1] == FINDINGS[2]
    assert assessment.without("risk").findings == (second,)
    assert assessment.has("risk", "other") and not assessment.has("other")


def test_views_are_in_the_state_of_the_findings_on_them():
    caution, failure = Finding("view-bent", views=("AP",)), Finding("not-shown", FAILURE)
    cause = Cause("mirrored", ("lateral",), 2.0, (0.9,), np.eye(4))
    views = ["AP", "lateral"]
    states = {
        (): "good good",
        (caution,): "check good",
        (caution, failure): "bad bad",
        (caution, replace(failure, views=("lateral",))): "good bad",
    }
    for findings, expected in states.items():
        assert [*Assessment(findings).view_states(views).values()] == expected.split()
    caused = Assessment((caution,), cause=cause)
    assert caused.view_states(views) == {"AP": "good", "lateral": "check"}


def test_the_least_reliable_verdict_counts():
    assert least_reliable(["accept", None, "check"]) is None
    assert least_reliable(["accept", "reject", "not shown"]) == "reject"


@pytest.fixture
def content():
    return plain(assessment_json(ASSESSMENT))


def test_an_assessment_that_was_written_is_read_as_it_was(content):
    read = read_assessment(JsonObject("result.json", "", content))
    assert read.findings == FINDINGS
    assert [finding.values for finding in read.findings] == [f.values for f in FINDINGS]
    assert (read.uses, read.risk) == (ASSESSMENT.uses, ASSESSMENT.risk)
    assert read.uses["relative"] == UseAssessment("reject")
    for name, value in vars(ASSESSMENT.tested).items():
        assert np.array_equal(vars(read.tested)[name], value)
    assert plain(assessment_json(read)) == content


def test_a_pose_without_an_assessment_is_read_as_it_was():
    assert read_assessment(JsonObject("result.json", "", assessment_json(None))) is None


@pytest.mark.parametrize("use", ["overlay", "position", "relative"])
def test_a_verdict_that_does_not_follow_from_the_findings_is_refused(content, use):
    stated = "check" if use == "relative" else "accept"
    if use == "overlay":
        stated = "reject"
    content["uses"][use]["verdict"] = stated
    with refuses("verdict .* follows from the findings"):
        read_assessment(JsonObject("result.json", "", content))


def test_findings_without_the_one_that_limits_a_use_are_refused(content):
    del content["findings"][2]
    with refuses("verdict for relative is reject"):
        read_assessment(JsonObject("result.json", "", content))
