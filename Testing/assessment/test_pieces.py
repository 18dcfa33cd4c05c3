"""Bone about a place that would have been seen to lie elsewhere, and does not: `assessment.pieces`."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest
import scipy
from helpers.bent_spine import POSE, START, spine, xrays
from helpers.phantom import masked
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.assessment import pieces, verdict
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.tiles import moved_detail


@lru_cache(maxsize=1)
def chest():
    """The spine of four vertebrae in a cage of ribs, and its labels."""
    ct, labels = spine()
    k, j, i = np.indices(labels.shape) - (np.array(labels.shape) - 1)[:, None, None, None] / 2
    cage = np.abs(np.hypot(i / 38, j / 31) - 1) < 0.05
    ribs = cage & (np.mod(k + 0.3 * j, 12) < 4) & (np.abs(i) > 6)
    hu = ct.volume.values.copy()
    hu[ribs & (labels == 0)] = 700
    return CT(Volume(hu, ct.volume.ct_from_index)), labels


@lru_cache(maxsize=2)
def registered(mm):
    """The chest, and where it was found in X-rays of it with vertebrae that have moved."""
    ct, labels = chest()
    moved = rigid.from_rotation_translation(np.eye(3), [0.8 * mm, 0.6 * mm, 0.0])
    anatomy, views = PreparedCT(ct), xrays(ct, labels, [moved] * 4, POSE)
    return anatomy, refine(anatomy, views, START)


def asked(mm, points):
    anatomy, found = registered(mm)
    return pieces.ask(anatomy, found.views, found.world_from_ct, points)


def vertebrae():
    ct, labels = chest()
    inside = scipy.ndimage.binary_erosion(labels > 0, iterations=3)
    points = rigid.transform_points(
        ct.volume.ct_from_index, np.argwhere(inside)[:, ::-1].astype(float)
    )
    return rigid.some_of(points, 8)


@pytest.mark.slow
def test_an_unbent_chest_is_accepted_and_its_vertebrae_are_in_place():
    anatomy, found = registered(0.0)
    assert verdict.assess(anatomy, found.views, found, START).verdict == "accept"
    assert verdict.assess(anatomy, found.views, found, START, vertebrae()).asked.given
    assert asked(0.0, vertebrae()).in_place.all()


def test_one_x_ray_shows_where_bone_appears_rather_than_its_depth():
    anatomy, found = registered(0.0)
    told = pieces.ask(anatomy, found.views[:1], found.world_from_ct, vertebrae())
    overlay, position = told.sure("overlay"), told.sure("position")
    assert overlay[position].all() and overlay.sum() > position.sum()


def test_each_view_alone_tells_whether_its_own_overlay_is_off():
    anatomy, found = registered(0.0)
    *others, last = found.views
    aside = rigid.translation([0.0, 4.0, 0.0]) @ last.camera.camera_from_world
    views = [*others, last.with_camera(camera_from_world=aside)]
    told = pieces.ask(anatomy, views, found.world_from_ct, vertebrae())
    *shown, off = told.in_views.mean(axis=1)
    assert min(shown) > 0.8 and off < 0.2 and not told.enough("overlay")
    assert asked(0.0, vertebrae()).least_alone > 0.8
    seen = replace(told, in_place=told.appears | True, elsewhere=told.elsewhere & False)
    (reason,) = pieces.untested(seen, [view.name for view in views])
    assert reason.code == "view-disagrees" and reason.headline == f"{last.name} disagrees"


def test_places_next_to_each_other_are_asked_by_their_mean_and_those_far_away_alone():
    points = np.array([[0.0, 0, 0], [10, 0, 0], [35, 0, 0], [200, 0, 0]])
    moved = np.array([2.0, 4, 9, 30])[:, None, None, None] * np.ones((4, 2, 2, 3))
    told = pieces.Evidence(moved, moved[:, :, None], np.ones((4, 1, 3), bool))
    assert told.of_groups(points, 6).moved[:, 0, 0, 0].tolist() == [5, 5, 5, 30]
    assert told.of_groups(points, 2).alone[:, 0, 0, 0, 0].tolist() == [3, 3, 6.5, 30]


def test_an_image_shows_one_side_elsewhere_if_that_is_likelier_where_all_of_it_moves_as_one():
    points = np.arange(16.0)[:, None] * [1, 0, 0]
    alone = np.full((16, 2, 3, 2, 16), -2.0)
    alone[10:, :, 1, 0, 5] = 1  # one way
    alone[range(16), :, 2, 0, range(16)] = 4  # each its own way
    told = pieces.Evidence(alone[:, :, 0], alone, np.ones((16, 1, 16), bool))
    assert told.sides_elsewhere(points).tolist() == [False, True, False]


def stitched(view, pixels):
    """A view of which the lower half lies aside."""
    image = view.xray.line_integrals.copy()
    half = len(image) // 2
    image[half:] = np.roll(image[half:], pixels, axis=1)
    return replace(view, xray=replace(view.xray, line_integrals=image))


@pytest.mark.slow
def test_targets_are_not_accepted_of_which_one_x_ray_is_stitched(monkeypatch):
    anatomy, found = registered(0.0)
    *others, last = found.views
    views = [*others, stitched(last, 6)]
    found = refine(anatomy, views, START)
    assess = partial(verdict.assess, anatomy, views, found, START, vertebrae())
    doubted = assess()
    assert doubted.overlay == doubted.position == "check"
    (reason,) = [each for each in doubted.reasons if each.code == "view-bent"]
    assert reason.headline == f"{last.name} may be stitched or bent"
    assert doubted.suspects == (last.name,)
    monkeypatch.setattr(pieces, "LIMITS", replace(pieces.LIMITS, side_elsewhere=np.inf))
    assert assess().overlay == "accept"


@pytest.mark.slow
def test_targets_where_bones_meet_of_which_one_moved_are_not_accepted(monkeypatch):
    ct, labels = chest()
    above = np.indices(labels.shape)[0]
    own = labels == 2
    middle = np.median(above[own])
    moved = rigid.translation([2.8, 2.1, 0.0])
    anatomy = PreparedCT(ct)
    views = xrays(ct, (own & (above > middle)).astype(labels.dtype), [moved], POSE)
    found = refine(anatomy, views, START)
    meeting = own & (above > middle) & (above <= middle + 2)
    points = np.argwhere(meeting)[:, ::-1].astype(float)
    targets = rigid.some_of(rigid.transform_points(ct.volume.ct_from_index, points), 16)
    assess = partial(verdict.assess, anatomy, views, found, START, targets)
    assert assess().overlay == assess().position == "check"
    monkeypatch.setattr(pieces, "LIMITS", replace(pieces.LIMITS, small_mm=(8.0, 26.0)))
    assert assess().overlay == assess().position == "accept"


def noisy(rng, view, sd):
    image = view.xray.line_integrals
    image = image + rng.normal(0, sd, image.shape)
    return replace(view, xray=replace(view.xray, line_integrals=image))


@pytest.mark.slow
def test_behind_noise_targets_that_are_asked_together_are_in_place_or_displaced():
    def told(mm, sd, **how):
        anatomy, found = registered(mm)
        rng = np.random.default_rng(0)
        views = [noisy(rng, view, sd) for view in found.views]
        return pieces.ask(anatomy, views, found.world_from_ct, vertebrae(), **how)

    assert not told(0.0, 0.3).in_place.all() and told(0.0, 0.3, given=True).in_place.all()
    assert not told(4.0, 0.8).elsewhere.any() and told(4.0, 0.8, given=True).elsewhere.any()


@pytest.mark.slow
def test_a_chest_whose_vertebrae_have_moved_is_not_accepted(monkeypatch):
    anatomy, found = registered(4.0)
    monkeypatch.setattr(verdict, "elsewhere", lambda *_: None)  # the parts see it, too
    told = asked(4.0, vertebrae())
    assert (
        not told.in_place.any()
        and told.elsewhere.any()
        and told.moved_mm == pytest.approx(4, abs=1)
    )
    assessment = verdict.assess(anatomy, found.views, found, START, vertebrae())
    assert assessment.verdict == assessment.overlay == "check"
    assert len(assessment.elsewhere) == told.elsewhere.sum()
    assert not any(assessment.errors.values())  # which would hold of bone in place


@pytest.mark.slow
def test_without_targets_bone_is_asked_where_x_rays_and_ct_are_least_alike(monkeypatch):
    anatomy, found = registered(4.0)
    monkeypatch.setattr(verdict, "elsewhere", lambda *_: None)
    every = anatomy, found.views, found.world_from_ct, anatomy.bone_points()
    told = pieces.ask(*every, doubtful=True)
    assert told.elsewhere.mean() > 1.5 * pieces.ask(*every).elsewhere.mean()
    yes = np.ones(1, bool)
    missed = pieces.Asked(np.zeros((1, 3)), yes, ~yes, yes, yes[None], ~yes)
    monkeypatch.setattr(
        verdict, "ask", lambda *_, doubtful=False, **_given: told if doubtful else missed
    )
    assessment = verdict.assess(anatomy, found.views, found, START)
    assert assessment.verdict == assessment.overlay == "check"
    assert assessment.reasons[0].code == "part-displaced" and not any(assessment.errors.values())


def test_targets_about_which_the_x_rays_would_not_tell_are_not_accepted(monkeypatch):
    anatomy, found = registered(0.0)
    hidden = [masked(view, False) for view in found.views]
    told = pieces.ask(anatomy, hidden, found.world_from_ct, vertebrae(), given=True)
    assert not (told.in_place.any() or told.elsewhere.any())
    far = pieces.ask(anatomy, found.views, found.world_from_ct, np.array([[300.0, 0.0, 0.0]]))
    assert not (far.in_place.any() or far.elsewhere.any())  # no bone is about it
    monkeypatch.setattr(verdict, "ask", lambda *_, **_how: told)
    assessment = verdict.assess(anatomy, found.views, found, START, vertebrae())
    assert assessment.verdict == "check"
    assert assessment.reasons[-1].startswith("Only 0 of 8 targets are surely within 2 mm")
    assert not any(assessment.errors.values()) and "If no bone is displaced" in assessment.summary


def test_likelihood_of_moved_shells_is_that_by_scipy():
    rng = np.random.default_rng(3)
    shells = np.pad(rng.normal(size=(2, 15, 17)), [(0, 0), (8, 8), (8, 8)])
    weight, pull = rng.uniform(0, 1, (31, 33)), rng.normal(size=(31, 33))
    step = np.array([2.3, -1.4])
    moved = [
        scipy.ndimage.shift(shell, share * step[::-1], order=1)
        for shell, share in zip(shells, (0.5, 1), strict=True)
    ]
    change = np.sum(moved - shells, axis=0)
    expected = (pull * change - weight * change**2 / 2).sum(), (weight * change**2).sum()
    single = (each.astype(np.float32) for each in (weight, pull))
    found = moved_detail(shells.astype(np.float32), step[None], *single)
    assert_allclose(found[:, 0], expected, rtol=1e-4)
