"""Assessments for tests that need a verdict without a registration."""

from MultiViewRegistrationLib.assessment.records import (
    FAILURE,
    NOT_SHOWN,
    Assessment,
    ExpectedError,
    Finding,
)

#: A finding that limits every use to a verdict.
LIMITING = {
    "check": Finding("unlike-known"),
    "not shown": Finding("bone-not-shown", NOT_SHOWN, values={"bone": "L1"}),
    "reject": Finding("most-likely-wrong", FAILURE, values={"risk": 0.9}),
}


def assessed(verdict, findings=(), *, position=None, overlay=None, **more):
    """Return an assessment with a verdict on the 3D position.

    If the findings do not limit the position to this verdict, a finding that does is added.

    Parameters
    ----------
    verdict
        None returns None: the pose was not assessed.
    position, overlay
        Expected error and its 95 % bound, mm.
    """
    if verdict is None:
        return None
    errors = {"overlay": overlay, "position": position}
    errors = {use: error and ExpectedError(*error) for use, error in errors.items()}
    assessment = Assessment(tuple(findings), errors, **more)
    if assessment.verdict != verdict:
        assessment = assessment.with_findings([LIMITING[verdict]], first=False)
    assert assessment.verdict == verdict
    return assessment
