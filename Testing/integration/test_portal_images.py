"""Real megavoltage X-rays of a head phantom: right answers are not rejected, faults are.

The pose is one to which an independent renderer came, worth 1 mm across and 3 mm in depth.
"""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import real
from MultiViewRegistrationLib.assessment import spine, verdict
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.bones import LEVELS, minimise, objective_at, ties_of
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


def test_the_neck_of_the_phantom_lies_elsewhere_as_images_without_a_common_one_say(
    portal, monkeypatch
):
    """The phantom is a stack of slices. So "check" is true of a pose that is right for the head."""
    with monkeypatch.context() as with_skull:
        with_skull.setattr(spine, "LARGEST_CAVITY_MM2", np.inf)
        slabs = spine._slabs(portal.anatomy)
    heights = np.array([slab.centroid[2] for slab in slabs])
    neck, head = (heights > -100) & (heights < -40), (heights > 0) & (heights < 60)
    moved = []
    for which in ((0, 2, 4), (1, 3, 5)):
        views, poses = [portal.case.views[i] for i in which], [portal.truth] * len(slabs)
        objective = objective_at(
            portal.anatomy, slabs, views, portal.truth, ties_of(slabs), LEVELS[1]
        )
        ends, _ = minimise(objective, poses, 20, LEVELS[1].tolerance_mm)
        middles = [slab.centroid for slab in slabs]
        there = [rigid.transform_points(*pair) for pair in zip(ends, middles, strict=True)]
        moved.append(np.array(there) - rigid.transform_points(portal.truth, np.array(middles)))
    first, second = (each[:, [0, 2]] for each in moved)  # across and along the body
    assert np.linalg.norm(first - second, axis=1)[neck | head].max() < 1.2  # of slabs of 18 mm
    for each in (first, second):
        assert each[neck, 0].max() < -1.1 and np.abs(each[head]).max() < 0.9
    measured = [replace(view, presumed_principal_point_sd_px=0.0) for view in portal.case.views]
    _, said = assessed(portal, [measured[i] for i in (1, 4, 5)])
    assert said.verdict == "check" and "part-displaced" in [each.code for each in said.reasons]
