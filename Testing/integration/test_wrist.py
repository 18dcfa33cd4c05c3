"""Real biplane radiographs of a wrist.

Do all starts lead to one pose, and does it predict what is seen to move?
"""

import numpy as np
import pytest

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.sequence.tracker import PACES, Tracked, Tracker
from MultiViewRegistrationLib.studies import statistics as protocol
from MultiViewRegistrationLib.studies.motion_check import check_motion

pytestmark = pytest.mark.slow
STARTS = 4


@pytest.fixture(scope="module")
def registered(shared_data):
    """Case, anatomy and pose of each bone and instant, refined from the case's own rough start."""
    anatomies, found = {}, {}
    for name in "radius_0002 radius_0099 radius_0158 ulna_0099 ulna_0158".split():
        case = Case.load(shared_data / "wrist" / f"{name}.json")
        bone = name.split("_")[0]
        anatomy = anatomies.setdefault(bone, PreparedCT(case.ct))
        found[name] = case, anatomy, refine(anatomy, case.views, case.world_from_ct).world_from_ct
    return found


def agree(anatomy, *poses) -> bool:
    return (
        protocol.consensus(np.stack(poses), anatomy.centroid, within_deg=1.5, within_mm=0.3).share
        == 1.0
    )


@pytest.mark.parametrize("name", ["radius_0002", "radius_0158", "ulna_0099"])
def test_starts_8_degrees_and_8_mm_off_lead_to_one_pose(registered, name):
    case, anatomy, pose = registered[name]
    starts = protocol.perturbed(pose, anatomy.centroid, 8.0, 8.0, STARTS, seed=11)
    assert agree(
        anatomy, pose, *(refine(anatomy, case.views, start).world_from_ct for start in starts)
    )


@pytest.mark.parametrize("bone", ["radius", "ulna"])
def test_the_poses_predict_the_motion_that_is_tracked_in_the_images(registered, bone):
    """In camera 2; in camera 1 radius and ulna lie over each other."""
    (first, _, pose), (second, _, other) = (
        registered[f"{bone}_{instant}"] for instant in ("0099", "0158")
    )

    def checked(there):
        return check_motion(first.ct, first.views[1], second.views[1], pose, there)

    motion = checked(other)
    assert motion.patches >= 30
    assert np.hypot(*motion.tracked_px) > 5
    assert np.hypot(*motion.error_px) < 0.5
    wrong = rigid.translation([0.5, -0.5, 0.5]) @ other
    assert np.hypot(*checked(wrong).error_px) > 1


def test_a_bone_is_followed_through_the_instants_to_the_poses_that_their_own_starts_lead_to(
    registered,
):
    """About a hundred images and then sixty of the recording lie between them.

    The first step has to be found again.
    """
    (case, anatomy, pose), *later = (
        registered[f"radius_{instant}"] for instant in ("0002", "0099", "0158")
    )
    tracker = Tracker(anatomy, PACES["thorough"], Range(**case.search))
    similarity = anatomy.fit(case.views, pose, pose).similarity
    tracker.memory.keep(Tracked(0, "registered", pose, "check", [], similarity))
    for number, (frame, _, expected) in enumerate(later, start=1):
        found = tracker.follow(number, frame.views)
        tracker.memory.keep(found)
        assert found.verdict == "check"  # as any structure
        assert agree(anatomy, expected, found.world_from_ct)
