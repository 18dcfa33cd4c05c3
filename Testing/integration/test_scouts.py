"""The head CT registered to its own scouts, real X-rays whose truth is the scanner's.

Worth some 1.5 mm (docs/scouts.md).
"""

from dataclasses import replace

import numpy as np
import pytest
from file_io import write_json

from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.slot_scan import SlotScan
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.localizer import find_study, read_slot_scan, study_case
from MultiViewRegistrationLib.registration.optimizer import pose_difference
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies import statistics

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head(shared_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "case.json"
    write_json(path, study_case(shared_data / "scout"))
    case = Case.load(path)
    return case, PreparedCT(case.ct)


def test_far_starts_lead_to_one_pose_near_the_scanners(head):
    case, anatomy = head
    starts = statistics.perturbed(np.eye(4), anatomy.centroid, 18.0, 55.0, 20, seed=2)
    poses = np.stack([refine(anatomy, case.views, start).world_from_ct for start in starts])
    centres = rigid.transform_points(poses, anatomy.centroid)
    assert np.linalg.norm(centres - np.median(centres, axis=0), axis=1).max() < 0.3
    assert all(rigid.rotation_distance(pose, poses[0]) < np.radians(0.2) for pose in poses)
    mm, degrees = pose_difference(poses[0], case.truth_world_from_ct, anatomy.centroid)
    assert mm < 2.5 and degrees < 1.0


def test_a_tube_on_the_other_side_fits_worse(head, shared_data):
    """The X-rays themselves tell on which side it was, and the cause is named."""
    case, anatomy = head
    localizers = find_study(shared_data / "scout").localizers
    wrong = []
    for view in case.views:
        values = read_slot_scan(localizers[view.name]).values
        turned = {"isocentre_to_source": -np.array(values["isocentre_to_source"])}
        wrong.append(replace(view, camera=SlotScan(**{**values, **turned}).camera()))
    right, found = (refine(anatomy, views, np.eye(4)) for views in (case.views, wrong))
    assert right.fit.min_similarity > 0.7 > 0.5 > found.fit.min_similarity
    cause = CauseSearch(anatomy, wrong, found, np.eye(4)).cause()
    assert (cause.cause, cause.views) == ("tube side", ())
    assert "The tubes of all X-rays" in cause.reason
