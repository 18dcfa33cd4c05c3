"""Real X-rays: a head's own scouts, and a head phantom by megavolts.

The scanner's pose of the scouts is worth some 1.5 mm (docs/scouts.md), that of the phantom, by an
independent renderer, 1 mm across and 3 mm in depth: right answers are not rejected, faults are.
"""

import numpy as np
import pytest
from helpers.file_io import write_json

from benchmarks import real
from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.causes import find_cause
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.localizer import study_with_localizers
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies import statistics

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head(shared_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "case.json"
    write_json(path, study_with_localizers(shared_data / "scout").case())
    case = Case.load(path)
    return case, PreparedCT(case.ct)


def test_far_starts_lead_to_one_pose_near_the_scanners(head):
    case, anatomy = head
    starts = statistics.perturbed(np.eye(4), anatomy.centroid, 18.0, 55.0, 20, seed=2)
    poses = np.stack([refine(anatomy, case.views, start).world_from_ct for start in starts])
    centres = rigid.transform_points(poses, anatomy.centroid)
    assert np.linalg.norm(centres - np.median(centres, axis=0), axis=1).max() < 0.3
    assert all(rigid.rotation_distance(pose, poses[0]) < np.radians(0.2) for pose in poses)
    mm, degrees = rigid.pose_difference(poses[0], case.truth_world_from_ct, anatomy.centroid)
    assert mm < 2.5 and degrees < 1.0


@pytest.fixture(scope="module")
def portal(shared_data):
    return real.portal(shared_data)


def assessed(portal, views):
    plan = portal.case.world_from_ct
    found = refine(portal.anatomy, views, plan)
    said = verdict.assess(portal.anatomy, views, found, plan)
    said = find_cause(said, CauseSearch(portal.anatomy, views, found, plan))
    return found.world_from_ct, said


def test_a_right_answer_of_three_views_is_not_rejected_and_its_risk_is_not_told(portal):
    pose, said = assessed(portal, [portal.case.views[i] for i in (0, 4, 5)])
    across_mm, depth_mm = portal.off_mm(pose, said.evidence.targets)
    assert across_mm < 1 and depth_mm < 3
    assert said.verdict != "reject" and said.cause is None
    assert said.has("unfamiliar-images") and said.risk is None
    assert across_mm < said.evidence.risk.upper95_mm < 6
    assert min(said.evidence.features.in_place) > 0.45


@pytest.mark.parametrize("fault", ["exchanged", "mirrored"])
def test_a_fault_is_rejected(portal, fault):
    """Whether the pose is wrong, or the others hold it where one view is mirrored."""
    views = [portal.case.views[i] for i in (0, 3, 5)]
    pose, said = assessed(portal, real.FAULTS[fault](views))
    off_mm = max(portal.off_mm(pose, said.evidence.targets))
    assert said.verdict == "reject" and (off_mm > 1.5 if fault == "exchanged" else off_mm < 1)
    assert min(said.evidence.features.in_place) < 0.3 and said.evidence.risk.is_familiar
