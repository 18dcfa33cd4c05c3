"""Real megavoltage X-rays of a head phantom: right answers are not rejected, faults are.

The pose is one to which an independent renderer came, worth 1 mm across and 3 mm in depth.
"""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import real
from MultiViewRegistrationLib.assessment import pieces, verdict
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
    """Whether the pose is wrong, or the others hold it where one view is mirrored."""
    views = [portal.case.views[i] for i in (0, 3, 5)]
    pose, said = assessed(portal, real.FAULTS[fault](views))
    off_mm = max(portal.off_mm(pose, said.targets))
    assert said.verdict == "reject" and (off_mm > 1.5 if fault == "exchanged" else off_mm < 1)
    assert min(said.features.in_place) < 0.3 and said.prediction.familiar


def test_the_neck_of_the_phantom_lies_elsewhere_as_images_without_a_common_one_say(portal):
    """The phantom is a stack of slices. So "check" is true of a pose that is right for the head."""
    bone = portal.anatomy.bone_points()
    for which in ((0, 2, 4), (1, 3, 5)):
        views = [portal.case.views[i] for i in which]
        neck, head = (
            pieces.ask(portal.anatomy, views, portal.truth, bone[np.abs(bone[:, 2] - z) < 30])
            for z in (-70, 30)
        )
        assert neck.elsewhere.mean() > 0.1 and head.elsewhere.mean() < 0.05
        assert head.appears.mean() > neck.appears.mean()
    measured = [replace(view, presumed_principal_point_sd_px=0.0) for view in portal.case.views]
    _, said = assessed(portal, [measured[i] for i in (1, 4, 5)])
    assert said.verdict == "check" and "part-displaced" in [each.code for each in said.reasons]
