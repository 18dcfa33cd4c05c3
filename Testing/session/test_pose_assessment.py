"""The verdict on a pose that was set by hand: asked for, and stale once the pose or an image changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE
from phantom_scene import make_registration
from running_session import ELSEWHERE, new_session

from MultiViewRegistrationLib.assessment.verdict import DIAGNOSIS_STOPPED
from MultiViewRegistrationLib.errors import InputError


@pytest.fixture
def assessment():
    from MultiViewRegistrationLib.session import assessment

    return assessment


@pytest.fixture
def registration(scene, ct, views):
    return make_registration(scene, ct, views, TRUE_POSE)


@pytest.fixture
def session(registration):
    return new_session(registration)


def assessed(session, assessment):
    assessment.assess(session)
    session.finish()
    return session.history.current


def test_a_pose_that_was_set_is_assessed_where_it_is(session, registration, assessment):
    assert assessment.describe(session) == ["Verdict: not assessed. Look at the overlays of every X-ray."]
    entry = assessed(session, assessment)
    assert entry.verdict == "check" == assessment.verdict(session) and entry.assessed and not entry.fingerprint
    lines = assessment.describe(session)
    assert lines[0].startswith("Verdict: check.") and "Predicted error: below" in lines[0]
    assert "The pose was set, not registered: the failure probability was not measured for such poses." in lines
    assert (
        session.stale_reason() == "This pose is no result of a registration."
    )  # an export needs an override, as before


def test_it_is_stale_once_the_ct_moves(session, registration, assessment):
    assessed(session, assessment)
    registration.world_from_ct = ELSEWHERE
    assert assessment.describe(session)[:2] == [
        "Verdict: not assessed. Look at the overlays of every X-ray.",
        assessment.MOVED_SINCE,
    ]
    assert assessment.verdict(session) == ""
    entry = assessed(session, assessment)
    assert entry.verdict == "reject" == assessment.verdict(session)


def test_it_is_stale_once_an_image_changes(session, registration, assessment):
    assessed(session, assessment)
    registration.xrays[0].change(rotation_sd_deg=2.0)
    assert "stale" in assessment.outdated_reason(session) and assessment.verdict(session) == ""
    before = session.result
    assessed(session, assessment)
    assert (
        session.result is not before
        and assessment.outdated_reason(session) == ""
        and assessment.verdict(session) == "check"
    )


def test_of_a_registered_pose_the_registrations_own_verdict_stays(session, registration, assessment):
    session.register("given")
    session.finish()
    before = session.history.current
    assert assessed(session, assessment) == before
    assert (
        assessment.verdict(session) == before.verdict
        and assessment.outdated_reason(session) == session.stale_reason() == ""
    )


@pytest.mark.slow
def test_a_likely_cause_that_was_not_looked_for_to_the_end_is_when_it_is_assessed(scene, ct, views, assessment):
    """One image is mirrored, and the registration had no time to find that out."""
    mirrored = replace(views[1].xray, line_integrals=np.ascontiguousarray(views[1].xray.line_integrals[:, ::-1]))
    session = new_session(make_registration(scene, ct, [views[0], replace(views[1], xray=mirrored)], TRUE_POSE))
    session.register("given")
    session.finish()
    entry, known = session.history.current, session.result
    entries = len(session.history.entries)
    left = replace(known.assessment, cause=None, diagnosis_incomplete=True, reasons=[DIAGNOSIS_STOPPED])
    session.remember(session.history.amend(reasons=[DIAGNOSIS_STOPPED]), replace(known, assessment=left))
    amended = assessed(session, assessment)
    assert amended.key == entry.key and len(session.history.entries) == entries
    assert (
        amended.reasons[0].startswith("view2 seems to be mirrored left to right")
        and DIAGNOSIS_STOPPED not in amended.reasons
    )
    assert session.result.assessment.cause.cause == "mirrored"
    assert assessed(session, assessment) == amended  # there is nothing left to look for


def test_a_pose_at_which_no_x_ray_shows_the_ct_is_refused_in_words(session, registration, assessment):
    registration.world_from_ct = TRUE_POSE + [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 300], [0, 0, 0, 0]]
    with pytest.raises(InputError, match="outside every view"):
        assessment.assess(session)
    assert not session.running and assessment.verdict(session) == ""
