import numpy as np
import pytest
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from scipy import stats

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.studies import statistics as protocol

TRUE = rigid.turn_and_shift([0.4, -1.0, 0.2], [-200.0, 50, -900])
TARGETS = np.array([200.0, 100, 900]) + np.random.default_rng(1).uniform(-80, 80, (20, 3))
CENTRE = TARGETS.mean(axis=0)


def rotations_deg(poses):
    return np.degrees(rigid.rotation_distance(poses, TRUE))


def shifts_mm(poses, point_ct):
    return np.linalg.norm(
        rigid.transform_points(poses, point_ct) - rigid.transform_points(TRUE, point_ct), axis=-1
    )


def test_starting_poses_have_the_error_they_say():
    starts = protocol.starting_poses(TRUE, TARGETS, (0, 2, 4, 30), per_interval=10, seed=3)
    measured = [mtre(pose, TRUE, TARGETS) for pose in starts]
    for low, high, part in zip((0, 2, 4), (2, 4, 30), np.split(np.array(measured), 3), strict=True):
        assert np.all((part >= low) & (part < high))


def test_starting_errors_are_uniform_in_their_interval():
    starts = protocol.starting_poses(TRUE, TARGETS, (4, 6), per_interval=150, seed=0)
    assert (
        stats.kstest([mtre(pose, TRUE, TARGETS) for pose in starts], "uniform", args=(4, 2)).pvalue
        > 0.01
    )


def test_starting_poses_need_targets_that_a_rotation_moves():
    with refuses("targets"):
        protocol.starting_poses(TRUE, TARGETS[:1], (0, 2), 1, seed=0)


def test_perturbed_turns_and_shifts_by_exactly_what_is_asked():
    poses = protocol.perturbed(TRUE, CENTRE, rotation_deg=15, translation_mm=45, n=50, seed=2)
    assert_allclose(rotations_deg(poses), 15)
    assert_allclose(shifts_mm(poses, CENTRE), 45)
    directions = rigid.transform_points(poses, CENTRE) - rigid.transform_points(TRUE, CENTRE)
    assert np.linalg.norm(directions.mean(axis=0)) < 15, "directions point everywhere"


def test_success_is_below_the_threshold_and_no_answer_is_a_failure():
    rate = protocol.success_rate(np.array([0.2, 0.999, 1.0, 40, np.nan]))
    assert (rate.successes, rate.total, rate.rate) == (2, 5, 0.4)


@pytest.mark.parametrize("successes, total", [(0, 10), (2, 5), (95, 100), (40, 40)])
def test_interval_of_the_rate_is_wilsons(successes, total):
    expected = stats.binomtest(successes, total).proportion_ci(method="wilson")
    assert_allclose(protocol.SuccessRate(successes, total).interval, expected, atol=1e-9)
    nothing = protocol.success_rate(np.array([]))
    assert np.isnan(nothing.rate) and nothing.interval == (0, 1)


def capture(failed_starts, edges=(0, 2, 4, 6)):
    """Capture range of 20 registrations in each interval.

    Those that start nearest `failed_starts` fail.
    """
    start = np.arange(0.05, 6, 0.1)
    final = np.full(60, 0.1)
    for failed in failed_starts:
        final[np.argmin(np.abs(start - failed))] = 9
    return protocol.capture_range(start, final, edges)


def test_capture_range_ends_at_the_first_interval_below_95_percent():
    assert capture([]) == 6
    assert capture([2.5]) == 6, "19 of 20 are 95 %"
    assert capture([2.5, 3.5]) == 2, "18 of 20 are not, whatever comes after"
    assert capture([0.5, 1.5]) == 0


def test_capture_range_does_not_cross_an_interval_that_nobody_tried():
    assert capture([], edges=(0, 2, 4, 6, 8, 10)) == 6
    assert protocol.capture_range(np.array([1.0, 5.0]), np.array([0.1, 0.1]), (0, 2, 4, 6)) == 2


def test_consensus_leaves_the_outliers_out_and_tells_them():
    good = protocol.perturbed(TRUE, CENTRE, rotation_deg=0.3, translation_mm=0.2, n=17, seed=0)
    bad = protocol.perturbed(TRUE, CENTRE, rotation_deg=20, translation_mm=30, n=3, seed=1)
    agreed = protocol.consensus(np.concatenate([good, bad]), CENTRE)
    assert agreed.share == pytest.approx(17 / 20)
    assert mtre(agreed.world_from_ct, TRUE, CENTRE[None]) < 0.1
    assert rotations_deg(agreed.world_from_ct) < 0.2
    assert_allclose(agreed.rotation_deg[17:], 20, atol=0.3)
    assert_allclose(agreed.distance_mm[17:], 30, atol=0.2)
