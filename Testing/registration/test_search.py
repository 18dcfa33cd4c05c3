"""The search: what it finds without a start, when it stops, what it reports, and what it refuses."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_views, off
from scipy import ndimage

from MultiViewRegistrationLib.errors import Cancelled, InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration import pipeline
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, OWN
from MultiViewRegistrationLib.registration.objective import PoseFit
from MultiViewRegistrationLib.registration.optimizer import (
    FALLBACK_RANGE,
    LOCAL_RANGE,
    SECOND_LEVEL_BUDGET,
    Descent,
    DescentStart,
    Range,
    SearchBudget,
    cluster_minima,
    distance,
)
from MultiViewRegistrationLib.registration.pipeline import (
    RegistrationPipeline,
    is_plausible,
    pose_difference,
    prune,
    refine,
)
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

REACH = Range(35, 60)
FAR = off(TRUE_POSE, [20, -15, 20], [25, -30, 25])


def minimum(shift_mm, similarity, *origins, turn_deg=0.0) -> Descent:
    fit = PoseFit(0.3, np.zeros(6), np.zeros((6, 6)), (1000,), (1000,), (similarity,), ())
    return Descent(
        off(TRUE_POSE, [0, turn_deg, 0], [shift_mm, 0, 0]),
        np.zeros(2 * OWN + 6),
        fit,
        [],
        frozenset(origins),
    )


def test_near_minima_are_one_and_the_best_of_them_stays():
    first, better, other = minimum(0, 0.8, 0), minimum(2.9, 0.9, 1, 2), minimum(6.1, 0.95, 3)
    found = cluster_minima([first], [better, other], np.zeros(3))
    assert [each.world_from_ct.tolist() for each in found] == [
        each.world_from_ct.tolist() for each in (other, better)
    ], "most evidence first"
    assert [each.n_descents for each in found] == [1, 2] and [
        set(each.origins) for each in found
    ] == [{3}, {0, 1, 2}]
    (same,) = cluster_minima([better], [first], np.zeros(3))
    assert same.fit is better.fit and same.n_descents == 2


def test_minima_with_much_less_evidence_are_pruned_and_too_many_of_them():
    minima = [minimum(10 * n, similarity) for n, similarity in enumerate((0.9, 0.88, 0.86, 0.7))]
    evidence = [each.fit.evidence for each in minima]
    for limit, most, stay in ((1.3, 3, 3), (1.3, 2, 2), (1.05, 3, 1), (0.0, 1, 1), (9.0, 9, 4)):
        kept, pruned = prune(minima, limit, most)
        assert kept == minima[:stay]
        assert [ratio for ratio, _ in pruned] == pytest.approx(
            [evidence[0] / each for each in evidence[stay:]]
        )
        assert all(
            pose is each.world_from_ct
            for (_, pose), each in zip(pruned, minima[stay:], strict=True)
        )


def test_the_alternative_is_the_likeliest_of_all_that_are_elsewhere(anatomy, views):
    registration = RegistrationPipeline(anatomy, views, TRUE_POSE, lambda report: None, CALIBRATED)
    minima = [minimum(0, 0.9), minimum(3, 0.89), minimum(30, 0.8), minimum(10, 0.85, turn_deg=5.0)]
    assert registration._alternative(TRUE_POSE) is None
    nothing = replace(minima[0], fit=replace(minima[0].fit, cost=np.inf))
    assert (
        registration.merge([], [nothing]) == []
        and registration.merge(minima[:1], [nothing]) == minima[:1]
    )
    assert registration.keep(minima, 1.0, 1) == minima[:1]
    other = registration._alternative(TRUE_POSE)
    assert other.world_from_ct is minima[3].world_from_ct and other.rotation_deg == pytest.approx(
        5.0
    )
    assert other.evidence_ratio == pytest.approx(minima[0].fit.evidence / minima[3].fit.evidence)
    assert other.distance_mm == pytest.approx(
        pose_difference(minima[3].world_from_ct, TRUE_POSE, anatomy.centroid)[0]
    )


def test_a_pose_is_plausible_if_it_looks_like_every_x_ray():
    fit = PoseFit(0.3, np.zeros(6), np.zeros((6, 6)), (9, 9), (9, 9), (0.9, 0.7), ())
    one = replace(minimum(0, 0.9), fit=fit)
    assert not is_plausible([]) and not is_plausible([one])
    assert is_plausible([replace(one, fit=replace(fit, similarity=(0.9, 0.8)))])


def test_answers_beyond_the_range_are_none(anatomy, views):
    """The true pose lies 30 mm from its middle: descents lead there."""
    centre, reach = off(TRUE_POSE, [0, 0, 0], [0, 0, 30]), Range(5, 5)
    registration = RegistrationPipeline(anatomy, views, centre, lambda report: None, CALIBRATED)
    (end,) = registration.descend(0, [DescentStart(centre)])
    assert not reach.holds(end.world_from_ct, centre, anatomy.centroid)
    minima, _ = registration.search(0, centre, reach, SearchBudget(32, 32, 4), with_start=True)
    assert all(reach.holds(each.world_from_ct, centre, anatomy.centroid) for each in minima)


def test_the_start_is_refined_first_and_what_is_refined_lies_apart(anatomy, views, monkeypatch):
    rounds = []

    def spied(objective, starts, *options):
        rounds.append([start.world_from_ct for start in starts])
        return []

    monkeypatch.setattr(pipeline, "descend", spied)
    registration = RegistrationPipeline(anatomy, views, TRUE_POSE, lambda report: None, CALIBRATED)
    registration.search(0, TRUE_POSE, Range(10, 15), SearchBudget(64, 128, 3), with_start=True)
    assert [len(each) for each in rounds] == [3, 3]
    first, *others = poses = [*rounds[0], *rounds[1]]
    assert first is TRUE_POSE and all(error_mm(pose) > 1 for pose in others)
    assert min(distance(a, b, anatomy.centroid) for a, b in combinations(poses, 2)) > 8
    registration.search(0, TRUE_POSE, Range(10, 15), SearchBudget(64, 64, 3))
    any_poses = Range(10, 15).poses(
        TRUE_POSE, anatomy.centroid, np.random.default_rng(0).random((64, 6))
    )
    assert 1 < np.mean([*map(error_mm, rounds[-1])]) < 0.8 * np.mean([*map(error_mm, any_poses)])


def test_where_no_answer_is_plausible_the_start_wins_if_it_has_more_evidence(
    anatomy, views, monkeypatch
):
    """Of descents that end where they began."""
    poor, good = minimum(25, 0.3), minimum(0, 0.7)
    by_pose = {each.world_from_ct.tobytes(): each for each in (poor, good)}

    def ended(number, starts, steps=None):
        ends = [
            replace(by_pose[start.world_from_ct.tobytes()], origins=start.origins)
            for start in starts
        ]
        return sorted(ends, key=lambda end: -end.fit.evidence)

    for found, start, winner in ((poor, good, good), (good, poor, good), (good, good, good)):
        registration = RegistrationPipeline(
            anatomy, views, TRUE_POSE, lambda report: None, CALIBRATED
        )
        monkeypatch.setattr(registration, "descend", ended)
        monkeypatch.setattr(registration, "_without_outliers", lambda best: None)
        refined = registration.refine_to_finest([found], [start.world_from_ct])
        np.testing.assert_array_equal(refined.world_from_ct, winner.world_from_ct)
        assert refined.alternative is None or found is poor, (
            "where a worse start leads is no alternative"
        )


@pytest.mark.parametrize(
    "end, followed",
    [
        pytest.param((8, 0.6), False, id="on its way to the answer"),
        pytest.param((8, 0.8), True, id="better"),
        pytest.param((11, 0.6), True, id="on its way elsewhere"),
    ],
)
def test_another_start_is_given_up_on_its_way_to_the_answer(
    anatomy, views, monkeypatch, end, followed
):
    registration = RegistrationPipeline(anatomy, views, TRUE_POSE, lambda report: None, CALIBRATED)
    descents = []

    def ended(number, starts, steps=None):
        descents.append(steps)
        return [minimum(*end)]

    monkeypatch.setattr(registration, "descend", ended)
    minima = registration._with_others(2, [minimum(0, 0.7)], [minimum(2, 0.6), minimum(10, 0.5)])
    assert descents == [pipeline.TRIED_STEPS, None][: 1 + followed]
    assert len(minima) == 1 + followed


def test_at_the_coarsest_level_cameras_count_as_exact(anatomy, views):
    uncertain = [views[0], replace(views[1], rotation_sd_deg=1.0, translation_sd_mm=3.0)]
    registration = RegistrationPipeline(
        anatomy, uncertain, TRUE_POSE, lambda report: None, CALIBRATED
    )
    start = [DescentStart(off(TRUE_POSE, [1, 0, 0], [1, 2, 0]))]
    coarse, fine = (registration.descend(level, start)[0] for level in (0, 1))
    assert not coarse.corrections.any() and fine.corrections[OWN : OWN + 6].all()


@pytest.mark.parametrize(
    "converged, similarity, second, ranges",
    [
        (True, 0.8, 0, [LOCAL_RANGE]),
        (False, 0.8, 1, [LOCAL_RANGE]),
        (True, 0.7, 1, [LOCAL_RANGE]),
        (True, 0.4, 2, [LOCAL_RANGE, FALLBACK_RANGE]),
    ],
    ids=["sure and like all X-rays", "not sure", "not like all", "unlike one"],
)
def test_it_looks_farther_the_less_the_x_rays_look_like_the_ct(
    anatomy, views, monkeypatch, converged, similarity, second, ranges
):
    asked, end = [], minimum(0, similarity)

    def search(self, number, centre, reach, budget, *, with_start=False):
        asked.append((number, reach))
        return [end], converged

    monkeypatch.setattr(RegistrationPipeline, "search", search)
    monkeypatch.setattr(
        RegistrationPipeline, "descend", lambda self, number, starts: [end] if starts else []
    )
    monkeypatch.setattr(RegistrationPipeline, "_without_outliers", lambda self, best: None)
    assert refine(anatomy, views, TRUE_POSE).fit is end.fit
    assert [reach for number, reach in asked if number == 0] == ranges
    assert sum(number == 1 for number, _ in asked) == second


@pytest.mark.parametrize("seed", [0, 1])
def test_the_pose_is_found_from_far_away(anatomy, views, seed):
    found = refine(anatomy, views, FAR, reach=REACH, seed=seed)
    assert error_mm(found.world_from_ct) < 0.1
    assert found.search_seconds > 0 and found.refined < found.candidates


def test_it_stops_early_when_sure_and_goes_on_when_not(anatomy, views):
    sure = refine(anatomy, views, TRUE_POSE, reach=Range(10, 10), budget=SearchBudget(64, 4096, 4))
    assert sure.candidates == 64
    # One descent alone never finds the same answer twice in a round: it takes at least two rounds
    # to be sure.
    assert (
        refine(
            anatomy, views, TRUE_POSE, reach=Range(10, 10), budget=SearchBudget(64, 4096, 1)
        ).candidates
        > 64
    )


@pytest.mark.parametrize(
    "similarities, converged",
    [
        ((0.9, 0.9, 0.86), False),
        ((0.9, 0.9, 0.7), True),
        ((0.9, 0.7, 0.7), False),
        ((0.9, 0.9), True),
        ((0.9,), False),
    ],
    ids=[
        "another is as good",
        "the best one twice",
        "the other one twice",
        "one alone twice",
        "once",
    ],
)
def test_it_is_sure_of_what_was_found_again_if_nothing_else_is_nearly_as_good(
    anatomy, views, monkeypatch, similarities, converged
):
    """Ends of descents by their similarity, all at two places."""
    ends = [minimum(0 if similarity == 0.9 else 30, similarity) for similarity in similarities]
    monkeypatch.setattr(pipeline, "descend", lambda *arguments: ends)
    registration = RegistrationPipeline(anatomy, views, TRUE_POSE, lambda report: None, CALIBRATED)
    assert registration.search(0, TRUE_POSE, REACH, SearchBudget(32, 32, 3))[1] == converged


@pytest.mark.slow
def test_an_unconvincing_result_is_searched_at_a_second_level(anatomy, views, monkeypatch):
    once = refine(anatomy, views, FAR, reach=REACH)
    monkeypatch.setattr(pipeline, "COARSE_NCC", 1.1)
    monkeypatch.setattr(pipeline, "is_plausible", lambda minima: False)
    fractions = []
    again = refine(
        anatomy, views, FAR, lambda progress: fractions.append(progress.fraction), reach=REACH
    )
    assert (
        again.candidates == once.candidates + SECOND_LEVEL_BUDGET.poses
        and again.refined > once.refined
    )
    np.testing.assert_allclose(again.world_from_ct, once.world_from_ct, atol=0.05)
    assert fractions == sorted(fractions)


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(anatomy, views, monkeypatch):
    once = refine(anatomy, views, FAR, reach=REACH, seed=3).world_from_ct
    monkeypatch.setenv("MVREG_THREADS", "1")
    np.testing.assert_array_equal(
        refine(anatomy, views, FAR, reach=REACH, seed=3).world_from_ct, once
    )


def spine() -> CT:
    """Four like vertebrae, 30 mm apart, of which the second is the structure.

    The last one differs a little.
    """
    k, j, i = np.indices((80, 40, 40), float)
    hu = np.full(k.shape, -1000.0)
    hu[(j - 20) ** 2 + (i - 20) ** 2 < 18**2] = 0
    for z in (10, 25, 40, 55):
        body = ((k - z) / 5) ** 2 + ((j - 16) / 6) ** 2 + ((i - 20) / 8) ** 2 < 1
        process = (abs(k - z) < 2) & (abs(i - 20) < 10) & (abs(j - 26) < 2)
        hu[body | process] = 700
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-40, -40, -65]
    return CT(
        Volume(ndimage.gaussian_filter(hu, 0.7).astype(np.float32), affine),
        mask=(abs(k - 25) < 7.5) & (hu > 300),
    )


@pytest.mark.slow
def test_a_neighbouring_vertebra_is_reported_as_the_alternative():
    vertebrae = spine()
    views = make_views(replace(vertebrae, mask=None), ((10, 5), (80, 0)))
    found = refine(
        PreparedCT(vertebrae), views, off(TRUE_POSE, [0, 0, 0], [0, 0, 12]), reach=Range(12, 40)
    )
    assert found.alternative is not None
    assert found.alternative.evidence_ratio < 1.3 and 27 < found.alternative.distance_mm < 63


def test_progress_comes_on_the_callers_thread_and_can_cancel(anatomy, views):
    reports = []
    refine(
        anatomy,
        views,
        FAR,
        lambda progress: reports.append((progress, threading.current_thread())),
        reach=REACH,
    )
    assert {thread for _, thread in reports} == {threading.current_thread()}
    fractions = [progress.fraction for progress, _ in reports]
    assert fractions == sorted(fractions) and "searching" in reports[0][0].stage
    with pytest.raises(Cancelled):
        refine(anatomy, views, FAR, lambda progress: False, reach=REACH)


def test_a_range_that_never_shows_the_ct_is_refused(anatomy, views):
    with pytest.raises(
        InputError,
        match="at no pose within 5 degrees and 20 mm .* view1, view2 show enough of the CT",
    ):
        refine(anatomy, views, off(TRUE_POSE, [0, 0, 0], [0, 0, 400]), reach=Range(5, 20))


def test_a_view_that_never_shows_the_ct_is_named(anatomy, views):
    camera = views[1].camera
    aside = replace(
        camera,
        camera_from_world=rigid.from_rotation_translation(np.eye(3), [0, 600, 0])
        @ camera.camera_from_world,
    )
    with pytest.raises(InputError, match="does view2 show enough of the CT"):
        refine(anatomy, [views[0], replace(views[1], camera=aside)], TRUE_POSE, reach=Range(5, 20))
