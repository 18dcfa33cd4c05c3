"""One structure of a CT, selected by a mask, which has moved against the rest of the body."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.bent_spine import POSE, START, bent_case
from helpers.phantom import error_mm, misplaced

from MultiViewRegistrationLib.api import assess, register
from MultiViewRegistrationLib.assessment.metrics import target_errors
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.imaging.ct import masked
from MultiViewRegistrationLib.io.case import Case

pytestmark = pytest.mark.slow

#: The label of L2, and its pose.
LABEL, MOVED = 3, POSE @ bent_case().motions[2]


def case_of(views):
    spine = bent_case()
    body = Body(masked(spine.ct, spine.labels == LABEL))
    return Case((body,), list(views)).starting_at(START)


def points():
    """The voxels of the structure, CT mm."""
    index = np.argwhere(bent_case().labels == LABEL)[:, ::-1]
    return rigid.transform_points(bent_case().ct.volume.ct_from_index, index)


def error_of(pose):
    """Root mean square over the structure, mm."""
    return np.sqrt(np.mean(target_errors(pose, MOVED, points()) ** 2))


@pytest.fixture(scope="module")
def case():
    return case_of(bent_case().views)


@pytest.fixture(scope="module")
def registered(case):
    return register(case)


def test_structure_that_moved_is_registered(case, registered):
    assert error_mm(registered.refinement.world_from_background, POSE) < 1.5
    assert error_of(registered.world_from_ct) < 0.3 < 1.0 < error_of(POSE)
    assert min(registered.refinement.fit.similarity) > 0.9
    by_hand = assess(case, MOVED)
    assert by_hand.verdict == "check" and by_hand.predicted_tre_mm is None


def test_targets_far_from_the_structure_have_a_larger_bound(case, registered):
    targets = points().mean(axis=0) + [[0, 0, 200.0], [150.0, 0, 0]]
    far = register(replace(case, targets=targets))
    bounds = [each.assessment.errors["position"].upper95_mm for each in (registered, far)]
    assert bounds[1] > bounds[0]
    assert (registered.verdict, far.verdict) == ("accept", "check")
    assert far.assessment.has("targets-far-from-bone")


def test_uncertain_camera_is_corrected_with_the_whole_ct():
    first, second = bent_case().views
    wrong = misplaced(second, [2.0, 0.0, 3.0], [0.0, 4.0, 4.0])
    uncertain = replace(wrong, rotation_sd_deg=2.0, translation_sd_mm=4.0)
    corrected, exact = (register(case_of([first, view])) for view in (uncertain, wrong))
    assert error_of(corrected.world_from_ct) < 0.7
    assert error_of(exact.world_from_ct) > 1.4
    assert corrected.views[1].rotation_sd_deg == 2.0


def test_registration_of_the_structure_can_be_cancelled(case):
    with pytest.raises(Cancelled):
        register(case, progress=lambda each: "bones" not in each.stage)
