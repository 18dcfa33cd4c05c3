"""The search: what it finds without a start, when it stops, what it reports, and what it refuses."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_views, off
from scipy import ndimage

from MultiViewRegistrationLib.errors import Cancelled, InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration import pipeline
from MultiViewRegistrationLib.registration.optimizer import SECOND_LEVEL_BUDGET, Range, SearchBudget
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

REACH = Range(35, 60)
FAR = off(TRUE_POSE, [20, -15, 20], [25, -30, 25])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_pose_is_found_from_far_away(anatomy, views, seed):
    found = refine(anatomy, views, FAR, reach=REACH, seed=seed)
    assert error_mm(found.world_from_ct) < 0.1
    assert found.search_seconds > 0 and found.refined < found.candidates


def test_it_stops_early_when_sure_and_goes_on_when_not(anatomy, views):
    sure = refine(anatomy, views, TRUE_POSE, reach=Range(10, 10), budget=SearchBudget(64, 4096, 4))
    assert sure.candidates == 64
    # One descent alone never finds the same answer twice in a round: it takes at least two rounds to be sure.
    assert refine(anatomy, views, TRUE_POSE, reach=Range(10, 10), budget=SearchBudget(64, 4096, 1)).candidates > 64


@pytest.mark.slow
def test_an_unconvincing_result_is_searched_at_a_second_level(anatomy, views, monkeypatch):
    once = refine(anatomy, views, FAR, reach=REACH)
    monkeypatch.setattr(pipeline, "MIN_CONVINCING_NCC", 1.1)
    fractions = []
    again = refine(anatomy, views, FAR, lambda progress: fractions.append(progress.fraction), reach=REACH)
    assert again.candidates == once.candidates + SECOND_LEVEL_BUDGET.poses and again.refined > once.refined
    np.testing.assert_allclose(again.world_from_ct, once.world_from_ct, atol=0.05)
    assert fractions == sorted(fractions)


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(anatomy, views, monkeypatch):
    once = refine(anatomy, views, FAR, reach=REACH, seed=3).world_from_ct
    monkeypatch.setenv("MVREG_THREADS", "1")
    np.testing.assert_array_equal(refine(anatomy, views, FAR, reach=REACH, seed=3).world_from_ct, once)


def spine() -> CT:
    """Four like vertebrae, 30 mm apart, of which the second is the structure; the last one differs a little."""
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
        Volume(ndimage.gaussian_filter(hu, 0.7).astype(np.float32), affine), mask=(abs(k - 25) < 7.5) & (hu > 300)
    )


@pytest.mark.slow
def test_a_neighbouring_vertebra_is_reported_as_the_alternative():
    vertebrae = spine()
    views = make_views(replace(vertebrae, mask=None), ((10, 5), (80, 0)))
    found = refine(PreparedCT(vertebrae), views, off(TRUE_POSE, [0, 0, 0], [0, 0, 12]), reach=Range(12, 40))
    assert found.alternative is not None
    assert found.alternative.evidence_ratio < 1.3 and 27 < found.alternative.distance_mm < 63


def test_progress_comes_on_the_callers_thread_and_can_cancel(anatomy, views):
    reports = []
    refine(anatomy, views, FAR, lambda progress: reports.append((progress, threading.current_thread())), reach=REACH)
    assert {thread for _, thread in reports} == {threading.current_thread()}
    fractions = [progress.fraction for progress, _ in reports]
    assert fractions == sorted(fractions) and "searching" in reports[0][0].stage
    with pytest.raises(Cancelled):
        refine(anatomy, views, FAR, lambda progress: False, reach=REACH)


def test_a_range_that_never_shows_the_ct_is_refused(anatomy, views):
    with pytest.raises(InputError, match="at no pose within 5 degrees and 20 mm .* view1, view2 show enough of the CT"):
        refine(anatomy, views, off(TRUE_POSE, [0, 0, 0], [0, 0, 400]), reach=Range(5, 20))


def test_a_view_that_never_shows_the_ct_is_named(anatomy, views):
    camera = views[1].camera
    aside = replace(
        camera, camera_from_world=rigid.from_rotation_translation(np.eye(3), [0, 600, 0]) @ camera.camera_from_world
    )
    with pytest.raises(InputError, match="does view2 show enough of the CT"):
        refine(anatomy, [views[0], replace(views[1], camera=aside)], TRUE_POSE, reach=Range(5, 20))
