"""One structure among others, registered before the rest of its CT."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, error_mm, largest_bone, make_views, misplaced, off
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.api import assess, register
from MultiViewRegistrationLib.assessment.metrics import target_errors
from MultiViewRegistrationLib.errors import Cancelled, unseen
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body, Structures
from MultiViewRegistrationLib.imaging.ct import CT, Volume, attenuation, masked
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.rendering.drr import Projector

pytestmark = pytest.mark.slow

#: Where the largest blob lies against all others.
MOVED = off(TRUE_POSE, [3.0, -2.0, 4.0], [3.0, 2.0, -3.0])
START = off(TRUE_POSE, [2.0, -2.0, 1.0], [6.0, -5.0, 4.0])


@pytest.fixture(scope="module")
def bone_ct(ct):
    """The phantom with its largest blob of bone as the structure."""
    return masked(ct, largest_bone(ct))


@pytest.fixture(scope="module")
def bone(bone_ct):
    return PreparedCT(bone_ct)


def xrays(ct, bone_ct, bone_pose=MOVED):
    """Views of the phantom with soft tissue for the blob, and of what the blob attenuates beyond that, at its own pose: two volumes."""
    hu, mask, place = ct.volume.values, bone_ct.mask, ct.volume.ct_from_index
    rest = CT(Volume(np.where(mask & (hu > 0), np.float32(0), hu), place))
    above = np.maximum(attenuation(ct).values - np.float32(0.0192), 0)
    beyond, found = Projector(Volume(np.where(mask, above, 0), place)), []
    for view in make_views(rest):
        bone = np.float32(1.3) * beyond.render(view.camera, bone_pose).image
        xray = replace(view.xray, line_integrals=view.xray.line_integrals + bone)
        found.append(replace(view, xray=xray))
    return found


def case_of(body, views, start=START):
    return Case((body,), list(views)).starting_at(start)


def found_in(bone_ct, views, start=START, progress=unseen):
    return register(case_of(Body(bone_ct), views, start), progress=progress)


def error_of(bone_ct, pose, true):
    """mm, root mean square over the structure."""
    index = np.argwhere(bone_ct.mask)[:, ::-1]
    points = rigid.transform_points(bone_ct.volume.ct_from_index, index)
    return np.sqrt(np.mean(target_errors(pose, true, points) ** 2))


@pytest.fixture(scope="module")
def moved_views(ct, bone_ct):
    return xrays(ct, bone_ct)


@pytest.fixture(scope="module")
def case(bone_ct, moved_views):
    return case_of(Body(bone_ct), moved_views)


@pytest.fixture(scope="module")
def registered(case):
    """What is found of it, and what was told on the way: progress, and results without an assessment."""
    reports, drawn = [], []
    return register(case, progress=reports.append, unassessed=drawn.append), reports, drawn


def test_a_moved_bone_is_found(case, bone_ct, registered):
    found, reports, drawn = registered
    assert error_mm(found.refinement.world_from_background) < 1.5, "the rest is there, nearly"
    assert error_of(bone_ct, found.world_from_ct, MOVED) < 0.3
    assert found.case is case and not found.together.bodies
    assert min(found.refinement.fit.similarity) > 0.9
    assert found.similarity(found.world_from_ct) == pytest.approx(
        found.refinement.fit.similarity, abs=0.01
    )
    assert min(found.similarity(START)) < 0.8
    fractions = [each.fraction for each in reports]
    assert fractions == sorted(fractions)
    assert drawn[0].anatomy is found.anatomy and drawn[0].assessment is None
    by_hand = assess(case, MOVED)
    assert by_hand.verdict == "check" and by_hand.predicted_tre_mm is None
    assert by_hand.assessed_views.keys() == by_hand.decisive.keys() == {"view1", "view2"}


def test_a_moved_bone_is_judged_as_a_label_of_it_would_be(bone_ct, moved_views, registered):
    found = registered[0]
    labels = bone_ct.mask.astype(np.uint8)
    whole = Body(replace(bone_ct, mask=None), bones=Structures(("blob",), labels))
    blob = register(case_of(whole, moved_views)).bodies["blob"]
    assert_allclose(found.world_from_ct, blob.world_from_ct, atol=0.02)
    assert found.uses["room"].verdict == blob.uses["room"].verdict != "reject"


def test_an_error_at_targets_far_from_the_structure_is_larger_and_not_accepted(
    case, bone, registered
):
    near = registered[0]
    far = register(replace(case, targets=bone.centroid + [[0, 0, 200.0], [150.0, 0, 0]]))
    bounds = [each.assessment.prediction.upper95_mm for each in (near, far)]
    assert bounds[1] > 1.4 * bounds[0]
    assert far.reasons[1].code == "targets-not-tested" and far.verdict == "check"


def test_a_bone_moved_far_is_found_from_its_own_start(ct, bone, bone_ct):
    motion = off(np.eye(4), [0, 0, 35.0], [9.0, 9.0, 9.0])
    far = rigid.about(rigid.transform_points(TRUE_POSE, bone.centroid), motion) @ TRUE_POSE
    near = off(far, [0, 0, 0], [1.0, -1.0, 1.0])
    found = found_in(bone_ct, xrays(ct, bone_ct, far), near).world_from_ct
    assert error_of(bone_ct, found, far) < 0.5


@pytest.mark.slow
def test_cameras_are_corrected_by_the_whole_ct(bone_ct, moved_views):
    first, second = moved_views
    wrong = misplaced(second, [2.0, 0.0, 3.0], [0.0, 4.0, 4.0])
    uncertain = replace(wrong, rotation_sd_deg=2.0, translation_sd_mm=4.0)
    found, as_given = (found_in(bone_ct, [first, view]) for view in (uncertain, wrong))
    assert error_of(bone_ct, found.world_from_ct, MOVED) < 0.7
    assert error_of(bone_ct, as_given.world_from_ct, MOVED) > 1.4
    assert found.views[1].rotation_sd_deg == 2.0  # what was said of it stays


def test_the_second_registration_can_be_cancelled(bone_ct, moved_views):
    with pytest.raises(Cancelled):
        found_in(bone_ct, moved_views, progress=lambda each: "bones" not in each.stage)
