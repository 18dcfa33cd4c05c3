"""Real megavoltage X-rays of a head phantom: right answers are not rejected, faults are.

The pose is one to which an independent renderer came, worth 1 mm across and 3 mm in depth.
"""

from __future__ import annotations

import pytest

from benchmarks import real
from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch
from MultiViewRegistrationLib.registration.pipeline import refine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def portal(shared_data):
    return real.portal(shared_data)


def assessed(portal, views):
    plan = portal.case.world_from_ct
    found = refine(portal.anatomy, views, plan)
    said = verdict.assess(portal.anatomy, views, found, plan)
    said = verdict.find_cause(said, CauseSearch(portal.anatomy, views, found, plan))
    return found.world_from_ct, said


def test_a_right_answer_of_three_views_is_not_rejected_and_its_risk_is_not_told(portal):
    pose, said = assessed(portal, [portal.case.views[i] for i in (0, 4, 5)])
    across_mm, depth_mm = portal.off_mm(pose, said.targets)
    assert across_mm < 1 and depth_mm < 3
    assert said.verdict != "reject" and said.cause is None and said.prediction.carries
    assert not said.prediction.familiar and "was not measured" in said.summary
    assert across_mm < said.prediction.upper95_mm < 6
    assert min(said.features.in_place) > 0.45


@pytest.mark.parametrize("fault", ["exchanged", "mirrored"])
def test_a_fault_is_rejected(portal, fault):
    views = [portal.case.views[i] for i in (0, 3, 5)]
    pose, said = assessed(portal, real.FAULTS[fault](views))
    assert said.verdict == "reject" and max(portal.off_mm(pose, said.targets)) > 1.5
    assert min(said.features.in_place) < 0.3 and said.prediction.familiar
