"""The refinement as a whole, and its search without a start: where they arrive, when they stop, what they report and refuse."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import START, TRUE_POSE, error_mm, off
from helpers.refusals import refuses
from numpy.testing import assert_array_equal
from scipy import ndimage

from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import CALIBRATED
from MultiViewRegistrationLib.registration import pipeline as module
from MultiViewRegistrationLib.registration.cameras import OWN
from MultiViewRegistrationLib.registration.objective import PoseFit
from MultiViewRegistrationLib.registration.optimizer import (
    MIN_CONVINCING_NCC,
    Descent,
    DescentStart,
    Progress,
    Range,
    SearchBudget,
    cluster_minima,
    is_plausible,
    prune,
)
from MultiViewRegistrationLib.registration.pipeline import RegistrationPipeline, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


@pytest.fixture(scope="module")
def plated(views):
    """Views with a plate beside the middle, which pulls the pose."""
    found = []
    for number, view in enumerate(views):
        image = view.xray.line_integrals.copy()
        plate = ndimage.gaussian_filter(np.random.default_rng(number).normal(size=image.shape), 2)
        image[20:100, 64:108] = (2.5 + 0.6 * plate / plate.std())[20:100, 64:108]
        found.append(view.with_xray(line_integrals=image))
    return found


def pipeline(anatomy, views, start=TRUE_POSE):
    return RegistrationPipeline(anatomy, views, start, lambda report: None, CALIBRATED)


def test_two_views_find_the_true_pose_and_report_progress(anatomy, views):
    reports: list[Progress] = []
    found = refine(anatomy, views, START, reports.append)
    assert error_mm(found.world_from_ct) < 0.1 and error_mm(START) > 8
    rigid.check_rigid(found.world_from_ct, "result")
    assert all(similarity > 0.9 for similarity in found.fit.similarity)
    fractions = [progress.fraction for progress in reports]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] < 1
    assert_array_equal(reports[-1].world_from_ct, found.world_from_ct)
    assert found.levels[-1].name == "128 x 128 px"  # without outliers there is no further level


def test_what_the_ct_does_not_hold_is_left_out_of_the_last_steps(anatomy, plated):
    """The fit that is told is that of all pixels."""
    registration = pipeline(anatomy, plated)
    (best,) = registration.descend(3, [DescentStart(TRUE_POSE)])
    end = registration._without_outliers(best)
    assert error_mm(end.world_from_ct) < 0.5 * error_mm(best.world_from_ct)
    assert end.fit.pixels == best.fit.pixels
    whole = anatomy.fit(plated, end.world_from_ct, TRUE_POSE)
    assert end.fit.cost == pytest.approx(whole.cost, rel=1e-3)
    found = registration.refine_to_finest(registration.descend(1, [DescentStart(TRUE_POSE)]))
    assert found.levels[-1].name == "128 x 128 px, outliers left out"


@pytest.mark.slow
def test_correct_start_is_kept_if_tools_occlude_the_images(anatomy, views):
    """Bars over a fifth of each image mislead the coarse levels."""
    barred, (rows, columns) = [], np.indices((128, 128))
    for number, view in enumerate(views):
        image = view.xray.line_integrals.copy()
        for bar in range(4):
            away = abs(rows + (bar - 1.5 + 0.3 * number) * columns - (20 + 30 * bar))
            image[away < 4 * np.hypot(1, bar - 1.5)] += 6.0
        barred.append(view.with_xray(line_integrals=image))
    start = off(TRUE_POSE, [0.3, -0.2, 0.3], [0.4, 0.3, -0.4])
    found = refine(anatomy, barred, start)
    assert found.fit.min_similarity < MIN_CONVINCING_NCC and error_mm(found.world_from_ct) < 0.5


@pytest.mark.parametrize("shift, masked", [([0, 900, 0], False), ([0, 0, 300], True)])
def test_a_start_beside_the_images_or_behind_a_source_is_refused(ct, views, shift, masked):
    given = replace(ct, mask=ct.volume.values > 300) if masked else ct
    with refuses("world_from_ct: "):
        refine(PreparedCT(given), views, off(TRUE_POSE, [0, 0, 0], shift))


REACH = Range(35, 60)
FAR = off(TRUE_POSE, [20, -15, 20], [25, -30, 25])


def minimum(shift_mm, similarity, *origins, turn_deg=0.0):
    fit = PoseFit(cost=0.3, by_view=(), pixels=(1000,), shown=(1000,), similarity=(similarity,))
    pose = off(TRUE_POSE, [0, turn_deg, 0], [shift_mm, 0, 0])
    return Descent(pose, np.zeros(2 * OWN + 6), fit, [], frozenset(origins))


@pytest.fixture
def registration(anatomy, views):
    """From the true pose."""
    return pipeline(anatomy, views)


def test_near_minima_are_one_and_the_best_of_them_stays():
    first, better, other = minimum(0, 0.8, 0), minimum(2.9, 0.9, 1, 2), minimum(6.1, 0.95, 3)
    most, second = cluster_minima([first], [better, other], np.zeros(3))
    assert most.fit is other.fit and second.fit is better.fit, "most evidence first"
    assert (most.n_descents, set(most.origins)) == (1, {3})
    assert (second.n_descents, set(second.origins)) == (2, {0, 1, 2})
    (same,) = cluster_minima([better], [first], np.zeros(3))
    assert same.fit is better.fit and same.n_descents == 2


@pytest.mark.parametrize("limit, most, stay", [(1.3, 3, 3), (1.3, 2, 2), (1.05, 3, 1)])
def test_minima_with_much_less_evidence_are_pruned_and_too_many_of_them(limit, most, stay):
    minima = [minimum(10 * n, similarity) for n, similarity in enumerate((0.9, 0.88, 0.86, 0.7))]
    kept, pruned = prune(minima, limit, most)
    gone = minima[stay:]
    assert kept == minima[:stay]
    ratios = [minima[0].fit.evidence / each.fit.evidence for each in gone]
    assert [ratio for ratio, _ in pruned] == pytest.approx(ratios)
    assert all(pose is each.world_from_ct for (_, pose), each in zip(pruned, gone, strict=True))


def test_the_alternative_is_the_likeliest_of_all_that_are_elsewhere(anatomy, registration):
    minima = [minimum(0, 0.9), minimum(3, 0.89), minimum(30, 0.8), minimum(10, 0.85, turn_deg=5.0)]
    best, second = minima[0], minima[3]
    assert registration._alternative(TRUE_POSE) is None
    assert registration.keep(minima, 1.0, 1) == [best]
    other = registration._alternative(TRUE_POSE)
    assert other.world_from_ct is second.world_from_ct
    assert other.rotation_deg == pytest.approx(5.0)
    assert other.evidence_ratio == pytest.approx(best.fit.evidence / second.fit.evidence)
    away, _ = rigid.pose_difference(second.world_from_ct, TRUE_POSE, anatomy.centroid)
    assert other.distance_mm == pytest.approx(away)


def test_a_pose_is_plausible_if_it_looks_like_every_x_ray():
    fit = PoseFit(cost=0.3, by_view=(), pixels=(9, 9), shown=(9, 9), similarity=(0.9, 0.7))
    one = replace(minimum(0, 0.9), fit=fit)
    assert not is_plausible([]) and not is_plausible([one])
    assert is_plausible([replace(one, fit=replace(fit, similarity=(0.9, 0.8)))])


def test_answers_beyond_the_range_are_none(anatomy, views):
    """The true pose lies 30 mm from its middle: descents lead there."""
    centre, reach = off(TRUE_POSE, [0, 0, 0], [0, 0, 30]), Range(5, 5)
    registration = pipeline(anatomy, views, centre)
    (end,) = registration.descend(0, [DescentStart(centre)])
    assert not reach.holds(end.world_from_ct, centre, anatomy.centroid)
    minima, _ = registration.search(0, centre, reach, SearchBudget(32, 32, 4), with_start=True)
    assert all(reach.holds(each.world_from_ct, centre, anatomy.centroid) for each in minima)


POOR, GOOD = minimum(25, 0.3), minimum(0, 0.7)


@pytest.mark.parametrize("found, start", [(POOR, GOOD), (GOOD, POOR)])
def test_initial_pose_is_selected_if_it_has_more_evidence(registration, monkeypatch, found, start):
    """Each simulated descent ends at its start."""

    def ended(number, starts, steps=None):
        ends = []
        for each in starts:
            end = GOOD if (each.world_from_ct == GOOD.world_from_ct).all() else POOR
            ends.append(replace(end, origins=each.origins))
        return sorted(ends, key=lambda end: -end.fit.evidence)

    monkeypatch.setattr(registration, "descend", ended)
    monkeypatch.setattr(registration, "_without_outliers", lambda best: None)
    refined = registration.refine_to_finest([found], [start.world_from_ct])
    assert_array_equal(refined.world_from_ct, GOOD.world_from_ct)
    # The end of a worse start is not an alternative.
    assert refined.alternative is None or found is POOR


@pytest.mark.slow
def test_the_pose_is_found_from_far_away_and_the_same_bits_on_any_number_of_threads(
    anatomy, views, monkeypatch
):
    """Progress comes on the caller's thread, and can cancel."""
    reports, threads = [], set()

    def progress(report):
        reports.append(report)
        threads.add(threading.current_thread())

    found = refine(anatomy, views, FAR, progress, reach=REACH, seed=3)
    assert error_mm(found.world_from_ct) < 0.1
    assert found.search_seconds > 0 and found.refined < found.candidates
    fractions = [report.fraction for report in reports]
    assert threads == {threading.current_thread()}
    assert fractions == sorted(fractions) and "searching" in reports[0].stage
    monkeypatch.setenv("MVREG_THREADS", "1")
    again = refine(anatomy, views, FAR, reach=REACH, seed=3)
    assert_array_equal(again.world_from_ct, found.world_from_ct)
    with pytest.raises(Cancelled):
        refine(anatomy, views, FAR, lambda report: False, reach=REACH)


def test_it_stops_early_when_sure_and_goes_on_when_not(anatomy, views):
    """One descent alone never finds the same answer twice in a round: it takes two rounds to be sure."""

    def tried(descents):
        budget = SearchBudget(64, 4096, descents)
        return refine(anatomy, views, TRUE_POSE, reach=Range(10, 10), budget=budget).candidates

    assert tried(4) == 64 < tried(1)


@pytest.mark.parametrize(
    "similarities, converged",
    [
        ((0.9, 0.9, 0.86), False),  # another is as good
        ((0.9, 0.9, 0.7), True),  # the best one twice
        ((0.9, 0.7, 0.7), False),  # the other one twice
        ((0.9, 0.9), True),  # one alone twice
        ((0.9,), False),  # once
    ],
)
def test_it_is_sure_of_what_was_found_again_if_nothing_else_is_nearly_as_good(
    registration, monkeypatch, similarities, converged
):
    """Ends of descents by their similarity, all at two places."""
    ends = [minimum(0 if similarity == 0.9 else 30, similarity) for similarity in similarities]
    monkeypatch.setattr(module, "descend", lambda *arguments: ends)
    assert registration.search(0, TRUE_POSE, REACH, SearchBudget(32, 32, 3))[1] == converged


def test_view_that_does_not_show_the_ct_within_the_search_range_is_named(anatomy, views):
    away = rigid.translation([0, 600, 0]) @ views[1].camera.camera_from_world
    given = [views[0], views[1].with_camera(camera_from_world=away)]
    with refuses("does view2 show enough of the CT"):
        refine(anatomy, given, TRUE_POSE, reach=Range(5, 20))
