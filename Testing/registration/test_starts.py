"""From several poses, right and wrong ones: which wins, and how far around it is searched."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.fake_model import FakeModel, missed
from helpers.phantom import TRUE_POSE, error_mm, masked, off
from helpers.refusals import refuses
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.variants import (
    REMAINING_DEVIATION,
    Start,
    refine_along_least_certain_axis,
    refine_from,
)
from MultiViewRegistrationLib.regressor.initialise import CONFIDENT_MM, predict_poses

REACH = Range(25, 40)


def start(off_mm, expected_mm, seed=0):
    return Start(missed(TRUE_POSE, np.zeros(3), off_mm, np.random.default_rng(seed)), expected_mm)


def test_a_near_start_needs_no_coarse_level(anatomy, views):
    near = refine_from(anatomy, views, [start(4, 3)])
    assert error_mm(near.world_from_ct) < 0.1 and near.selected_start == 0
    assert near.search_seconds == 0 and near.candidates == 0
    assert [level.name for level in near.levels] == [
        "64 x 64 px",
        "64 x 64 px, as at the finest",
        "128 x 128 px",
    ]


def test_uncertain_start_is_searched_within_its_expected_error(anatomy, views):
    found = refine_from(anatomy, views, [start(24, 24, seed=24)])
    assert error_mm(found.world_from_ct) < 0.1 and found.selected_start == 0
    assert found.candidates >= 128 and found.levels[0].name == "32 x 32 px"


def test_correct_start_is_selected_among_wrong_starts(anatomy, views):
    """The wrong starts have the smaller expected errors."""
    starts = [start(60, 1, seed=1), start(50, 3, seed=2), start(6, 6, seed=3)]
    found = refine_from(anatomy, views, starts)
    assert error_mm(found.world_from_ct) < 0.1
    assert found.selected_start == 2


@pytest.mark.parametrize("about", [{}, {"centre": TRUE_POSE, "reach": REACH}])
def test_starts_that_show_nothing_are_refused(anatomy, views, about):
    hidden = [masked(view, False) for view in views]
    with refuses("from none of the poses"):
        refine_from(anatomy, hidden, [start(2, 2), start(9, 9)], **about)


def astray(view, anatomy, mm):
    """The true pose moved along a view's beam, and a covariance that is wide along it alone."""
    centre = rigid.transform_points(TRUE_POSE, anatomy.centroid)
    beam = rigid.unit(centre - view.camera.source)
    covariance = np.diag([1e-6] * 3 + [0.04] * 3)
    covariance[3:, 3:] += abs(mm) ** 2 / 2 * np.outer(beam, beam)
    return off(TRUE_POSE, [0, 0, 0], mm * beam), covariance


@pytest.mark.parametrize("mm, alone", [(12.0, False), (30.0, True)])
def test_the_depth_along_the_beam_is_found(anatomy, views, mm, alone):
    """To half a step of the tries, and what they tell."""
    shown = views[:1] if alone else views
    pose, covariance = astray(views[0], anatomy, mm)
    found, left = refine_along_least_certain_axis(anatomy, shown, pose, covariance)
    assert error_mm(found, TRUE_POSE) < 0.3 * abs(mm)
    expected = REMAINING_DEVIATION**2 * np.linalg.eigvalsh(covariance)[-1]
    assert np.linalg.eigvalsh(left)[-1] == pytest.approx(expected, rel=0.01)
    assert np.linalg.eigvalsh(left)[0] > 0


def test_an_angle_counts_by_how_far_it_moves_the_anatomy(anatomy, views):
    """A turn of 0.1 is 6 mm at 60 mm from the centre, more than shifts of 4 mm."""
    centre = rigid.transform_points(TRUE_POSE, anatomy.centroid)
    pose = rigid.about(centre, rigid.exp_se3([0, 0.12, 0, 0, 0, 0])) @ TRUE_POSE
    covariance = np.diag([1e-6, 0.1**2, 1e-6, 16.0, 9.0, 9.0])
    found, left = refine_along_least_certain_axis(anatomy, views, pose, covariance)
    assert rigid.rotation_distance(found, TRUE_POSE) < 0.04
    expected = [1e-6, (REMAINING_DEVIATION * 0.1) ** 2, 1e-6, 16, 9, 9]
    assert_allclose(np.diag(left), expected, atol=1e-9)


@pytest.mark.parametrize(
    "more_mm, of_structure, asked", [(-1, False, 0), (4, True, 0), (4, False, 1)]
)
def test_only_an_uncertain_pose_of_a_body_is_moved_along_its_axis(
    anatomy, views, ct, more_mm, of_structure, asked
):
    of = PreparedCT(replace(ct, mask=ct.volume.values > 300)) if of_structure else anatomy
    mm = CONFIDENT_MM + more_mm
    model = FakeModel(TRUE_POSE, anatomy.centroid, together_mm=mm, expects_mm=mm)
    plain, found = model.candidates(views, None), predict_poses(model, of, views, None)
    assert len(found) == len(plain) + asked
    for each, same in zip(found[asked:], plain, strict=True):
        assert_array_equal(each.world_from_ct, same.world_from_ct)
    assert not asked or found[0].expected_mm() < plain[0].expected_mm()


def test_a_pose_outside_the_images_stays(anatomy, views):
    beside = off(TRUE_POSE, [0, 0, 0], [0, 0, 400])
    covariance = np.diag([1e-6] * 3 + [4.0, 1.0, 1.0])
    found, left = refine_along_least_certain_axis(anatomy, views, beside, covariance)
    assert np.array_equal(found, beside) and np.array_equal(left, covariance)
