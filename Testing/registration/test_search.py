"""The search: what it finds without a start, when it stops, what it reports, and what it refuses."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from phantom import TRUE_POSE, error_mm, off
from refusals import refuses

from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration import pipeline
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, OWN
from MultiViewRegistrationLib.registration.objective import PoseFit
from MultiViewRegistrationLib.registration.optimizer import (
    FALLBACK_RANGE,
    LOCAL_RANGE,
    Descent,
    DescentStart,
    Range,
    SearchBudget,
    cluster_minima,
    is_plausible,
    pose_difference,
    prune,
)
from MultiViewRegistrationLib.registration.pipeline import RegistrationPipeline, refine

REACH = Range(35, 60)
FAR = off(TRUE_POSE, [20, -15, 20], [25, -30, 25])


def minimum(shift_mm, similarity, *origins, turn_deg=0.0) -> Descent:
    fit = PoseFit(cost=0.3, by_view=(), pixels=(1000,), shown=(1000,), similarity=(similarity,))
    pose = off(TRUE_POSE, [0, turn_deg, 0], [shift_mm, 0, 0])
    return Descent(pose, np.zeros(2 * OWN + 6), fit, [], frozenset(origins))


@pytest.fixture
def registration(anatomy, views) -> RegistrationPipeline:
    """From the true pose."""
    return from_pose(anatomy, views, TRUE_POSE)


def from_pose(anatomy, views, start) -> RegistrationPipeline:
    return RegistrationPipeline(anatomy, views, start, lambda report: None, CALIBRATED)


def test_near_minima_are_one_and_the_best_of_them_stays():
    first, better, other = minimum(0, 0.8, 0), minimum(2.9, 0.9, 1, 2), minimum(6.1, 0.95, 3)
    most, second = cluster_minima([first], [better, other], np.zeros(3))
    assert most.fit is other.fit and second.fit is better.fit, "most evidence first"
    assert (most.n_descents, set(most.origins)) == (1, {3})
    assert (second.n_descents, set(second.origins)) == (2, {0, 1, 2})
    (same,) = cluster_minima([better], [first], np.zeros(3))
    assert same.fit is better.fit and same.n_descents == 2


@pytest.mark.parametrize(
    "limit, most, stay", [(1.3, 3, 3), (1.3, 2, 2), (1.05, 3, 1), (0.0, 1, 1), (9.0, 9, 4)]
)
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
    away, _ = pose_difference(second.world_from_ct, TRUE_POSE, anatomy.centroid)
    assert other.distance_mm == pytest.approx(away)


def test_a_descent_that_ends_nowhere_is_no_minimum(registration):
    one = minimum(0, 0.9)
    nothing = replace(one, fit=replace(one.fit, cost=np.inf))
    assert registration.merge([], [nothing]) == [] and registration.merge([one], [nothing]) == [one]


def test_a_pose_is_plausible_if_it_looks_like_every_x_ray():
    fit = PoseFit(cost=0.3, by_view=(), pixels=(9, 9), shown=(9, 9), similarity=(0.9, 0.7))
    one = replace(minimum(0, 0.9), fit=fit)
    assert not is_plausible([]) and not is_plausible([one])
    assert is_plausible([replace(one, fit=replace(fit, similarity=(0.9, 0.8)))])


def test_answers_beyond_the_range_are_none(anatomy, views):
    """The true pose lies 30 mm from its middle: descents lead there."""
    centre, reach = off(TRUE_POSE, [0, 0, 0], [0, 0, 30]), Range(5, 5)
    registration = from_pose(anatomy, views, centre)
    (end,) = registration.descend(0, [DescentStart(centre)])
    assert not reach.holds(end.world_from_ct, centre, anatomy.centroid)
    minima, _ = registration.search(0, centre, reach, SearchBudget(32, 32, 4), with_start=True)
    assert all(reach.holds(each.world_from_ct, centre, anatomy.centroid) for each in minima)


POOR, GOOD = minimum(25, 0.3), minimum(0, 0.7)


@pytest.mark.parametrize("found, start", [(POOR, GOOD), (GOOD, POOR), (GOOD, GOOD)])
def test_where_no_answer_is_plausible_the_start_wins_if_it_has_more_evidence(
    registration, monkeypatch, found, start
):
    """Of descents that end where they began."""

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
    # Where a worse start leads is no alternative.
    assert refined.alternative is None or found is POOR


@pytest.mark.parametrize(
    "converged, similarity, second, ranges",
    [
        pytest.param(True, 0.8, 0, [LOCAL_RANGE], id="sure and like all X-rays"),
        pytest.param(False, 0.8, 1, [LOCAL_RANGE], id="not sure"),
        pytest.param(True, 0.7, 1, [LOCAL_RANGE], id="not like all"),
        pytest.param(True, 0.4, 2, [LOCAL_RANGE, FALLBACK_RANGE], id="unlike one"),
    ],
)
def test_it_looks_farther_the_less_the_x_rays_look_like_the_ct(
    anatomy, views, monkeypatch, converged, similarity, second, ranges
):
    asked, end = [], minimum(0, similarity)

    def search(self, number, centre, reach, budget, *, with_start=False):
        asked.append((number, reach))
        return [end], converged

    monkeypatch.setattr(RegistrationPipeline, "search", search)
    monkeypatch.setattr(RegistrationPipeline, "descend", lambda *a: [end] if a[2] else [])
    monkeypatch.setattr(RegistrationPipeline, "_without_outliers", lambda *_: None)
    assert refine(anatomy, views, TRUE_POSE).fit is end.fit
    assert [reach for number, reach in asked if number == 0] == ranges
    assert sum(number == 1 for number, _ in asked) == second


def test_the_pose_is_found_from_far_away_and_the_same_bits_on_any_number_of_threads(
    anatomy, views, monkeypatch
):
    """Progress comes on the caller's thread, and can cancel."""
    reports, threads = [], set()

    def progress(report) -> None:
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

    def tried(descents: int) -> int:
        budget = SearchBudget(64, 4096, descents)
        return refine(anatomy, views, TRUE_POSE, reach=Range(10, 10), budget=budget).candidates

    assert tried(4) == 64 < tried(1)


@pytest.mark.parametrize(
    "similarities, converged",
    [
        pytest.param((0.9, 0.9, 0.86), False, id="another is as good"),
        pytest.param((0.9, 0.9, 0.7), True, id="the best one twice"),
        pytest.param((0.9, 0.7, 0.7), False, id="the other one twice"),
        pytest.param((0.9, 0.9), True, id="one alone twice"),
        pytest.param((0.9,), False, id="once"),
    ],
)
def test_it_is_sure_of_what_was_found_again_if_nothing_else_is_nearly_as_good(
    registration, monkeypatch, similarities, converged
):
    """Ends of descents by their similarity, all at two places."""
    ends = [minimum(0 if similarity == 0.9 else 30, similarity) for similarity in similarities]
    monkeypatch.setattr(pipeline, "descend", lambda *arguments: ends)
    assert registration.search(0, TRUE_POSE, REACH, SearchBudget(32, 32, 3))[1] == converged


@pytest.mark.parametrize(
    "start, aside, sentence",
    [
        (
            [0, 0, 400],
            0,
            "at no pose within 5 degrees and 20 mm .* view1, view2 show enough of the",
        ),
        ([0, 0, 0], 600, "does view2 show enough of the CT"),
    ],
    ids=["all", "one"],
)
def test_views_that_never_show_the_ct_in_a_range_are_named(anatomy, views, start, aside, sentence):
    there = rigid.translation([0, aside, 0]) @ views[1].camera.camera_from_world
    given = [views[0], views[1].with_camera(camera_from_world=there)]
    with refuses(sentence):
        refine(anatomy, given, off(TRUE_POSE, [0, 0, 0], start), reach=Range(5, 20))
