"""Test of bone near points for a displacement: `assessment.displacement`."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest
import scipy
from helpers.bent_spine import POSE, START, spine, xrays
from helpers.phantom import masked
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.assessment import displacement, records, verdict
from MultiViewRegistrationLib.assessment.displacement import Displacement, find_displacement
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


def find(mm, points, **options):
    anatomy, refinement = registered(mm)
    pose = refinement.world_from_ct
    return find_displacement(anatomy, refinement.views, pose, points, **options)


def assess(mm=0.0, targets=None):
    anatomy, refinement = registered(mm)
    return verdict.assess(anatomy, refinement.views, refinement, START, targets)


def codes_of(assessment):
    return [finding.code for finding in assessment.findings]


def vertebrae():
    ct, labels = chest()
    inside = scipy.ndimage.binary_erosion(labels > 0, iterations=3)
    points = rigid.transform_points(
        ct.volume.ct_from_index, np.argwhere(inside)[:, ::-1].astype(float)
    )
    return rigid.some_of(points, 8)


@pytest.mark.slow
def test_an_unbent_chest_is_accepted_and_its_vertebrae_are_in_place():
    assert assess().verdict == "accept"
    assert assess(targets=vertebrae()).tested.are_targets
    assert find(0.0, vertebrae()).points.in_place.all()


def test_one_x_ray_confirms_the_overlay_rather_than_the_depth():
    anatomy, refinement = registered(0.0)
    pose = refinement.world_from_ct
    points = find_displacement(anatomy, refinement.views[:1], pose, vertebrae()).points
    overlay, position = points.confirmed("overlay"), points.confirmed("position")
    assert overlay[position].all() and overlay.sum() > position.sum()


def test_a_view_that_alone_contradicts_targets_prevents_their_confirmation():
    anatomy, refinement = registered(0.0)
    *others, last = refinement.views
    aside = rigid.translation([0.0, 4.0, 0.0]) @ last.camera.camera_from_world
    views = [*others, last.with_camera(camera_from_world=aside)]
    found = partial(find_displacement, anatomy, views, refinement.world_from_ct)
    *good, off = found(vertebrae()).view_fractions
    assert min(good) > 0.8 and off < 0.2
    assert not found(vertebrae(), are_targets=True).points.overlay_in_place.any()
    bone = found(anatomy.bone_points())
    assert bone.is_bent[-1] and not bone.confirms("overlay")


def test_neighbouring_points_are_tested_by_their_mean_and_distant_ones_alone():
    points = np.array([[0.0, 0, 0], [10, 0, 0], [35, 0, 0], [200, 0, 0]])
    moved = np.array([2.0, 4, 9, 30])[:, None, None, None] * np.ones((4, 2, 2, 3))
    evidence = displacement._Evidence(moved, moved[:, :, None], np.ones((4, 1, 3), bool))
    assert evidence.of_groups(points, 6).moved[:, 0, 0, 0].tolist() == [5, 5, 5, 30]
    assert evidence.of_groups(points, 2).by_view[:, 0, 0, 0, 0].tolist() == [3, 3, 6.5, 30]


def test_a_view_is_bent_if_one_side_of_the_bone_is_likelier_displaced_as_one():
    points = np.arange(16.0)[:, None] * [1, 0, 0]
    by_view = np.full((16, 2, 3, 2, 16), -2.0)
    by_view[10:, :, 1, 0, 5] = 1  # in one direction
    by_view[range(16), :, 2, 0, range(16)] = 4  # each in another
    evidence = displacement._Evidence(by_view[:, :, 0], by_view, np.ones((16, 1, 16), bool))
    assert evidence.views_displaced_on_one_side(points).tolist() == [False, True, False]


@pytest.mark.parametrize("use", ["overlay", "position"])
def test_each_user_target_must_be_in_place_and_a_fraction_of_other_points(use):
    in_place = np.arange(8) > 0
    points = records.TestedPoints(np.zeros((8, 3)), in_place, in_place, ~in_place & False)
    by_view = np.ones((2, 8), bool)
    found = Displacement(points, by_view, by_view, np.zeros(2, bool))
    assert found.confirms(use)
    assert not replace(found, points=replace(points, are_targets=True)).confirms(use)
    confirmed = records.TestedPoints(
        np.zeros((8, 3)), in_place | True, in_place | True, ~in_place & False
    )
    assert replace(found, points=replace(confirmed, are_targets=True)).confirms(use)
    assert not replace(found, points=replace(points, displaced=~in_place)).confirms(use)


def stitched(view, pixels):
    """A view of which the lower half lies aside."""
    image = view.xray.line_integrals.copy()
    half = len(image) // 2
    image[half:] = np.roll(image[half:], pixels, axis=1)
    return replace(view, xray=replace(view.xray, line_integrals=image))


@pytest.mark.slow
def test_targets_in_the_good_half_of_a_stitched_x_ray_are_not_accepted(monkeypatch):
    anatomy, refinement = registered(0.0)
    *others, last = refinement.views
    views = [*others, stitched(last, 6)]
    found = refine(anatomy, views, START)
    upper = vertebrae()[vertebrae()[:, 2].argsort()[-4:]]
    assess = partial(verdict.assess, anatomy, views, found, START, upper)
    assessment = assess()
    assert assessment.verdict_for("overlay") == assessment.verdict == "check"
    (finding,) = [each for each in assessment.findings if each.code == "view-bent"]
    assert finding.views == (last.name,)
    limits = replace(displacement.LIMITS, side_displaced=np.inf)
    monkeypatch.setattr(displacement, "LIMITS", limits)
    assert assess().verdict_for("overlay") == "accept"


@pytest.mark.slow
def test_targets_where_bones_meet_of_which_one_moved_are_not_accepted():
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
    assessment = verdict.assess(anatomy, views, found, START, targets)
    assert assessment.verdict_for("overlay") == assessment.verdict == "check"
    assert not assessment.tested.in_place.any()


def noisy(rng, view, sd):
    image = view.xray.line_integrals
    image = image + rng.normal(0, sd, image.shape)
    return replace(view, xray=replace(view.xray, line_integrals=image))


@pytest.mark.slow
def test_targets_are_tested_together_behind_noise():
    def points(mm, sd, **options):
        anatomy, refinement = registered(mm)
        rng = np.random.default_rng(0)
        views = [noisy(rng, view, sd) for view in refinement.views]
        pose = refinement.world_from_ct
        return find_displacement(anatomy, views, pose, vertebrae(), **options).points

    assert not points(0.0, 0.3).in_place.all() and points(0.0, 0.3, are_targets=True).in_place.all()
    together = points(4.0, 0.6, are_targets=True)
    assert together.displaced.sum() > points(4.0, 0.6).displaced.sum()


@pytest.mark.slow
def test_a_chest_with_displaced_vertebrae_is_not_accepted():
    found = find(4.0, vertebrae())
    assert not found.points.in_place.any() and found.points.displaced.any()
    assert found.distance_mm == pytest.approx(4, abs=1)
    assessment = assess(4.0, vertebrae())
    assert assessment.verdict == assessment.verdict_for("overlay") == "check"
    assert assessment.tested.displaced.any() and "part-displaced" in codes_of(assessment)
    assert not any(assessment.errors.values())  # they would hold for bone in place


def test_more_points_need_a_larger_gain_to_count_as_displaced(monkeypatch):
    limits = []

    def record(_, min_gain):
        limits.append(min_gain)
        return np.zeros(1, bool)

    monkeypatch.setattr(displacement._Evidence, "displaced", record)
    bone = registered(0.0)[0].bone_points()
    for points in (bone[:1], bone[:100]):
        find(0.0, points)
    count = displacement.LIMITS.points
    assert limits == [displacement.LIMITS.displaced, displacement.LIMITS.displaced + np.log(count)]


def test_bone_that_would_not_be_visible_is_not_called_displaced():
    gain = np.full((1, 1, 2, len(displacement.MOTIONS_MM)), -1.0)
    gain[0, 0, 0, 0] = 20
    for power in (0.5, 10.0):
        gain[:, :, 1] = 2 * power
        visible = np.ones((1, 1, gain.shape[-1]), bool)
        evidence = displacement._Evidence(gain, gain[:, :, None], visible)
        assert evidence.displaced(10.0).tolist() == [power > displacement.LIMITS.min_power]


def test_targets_without_visible_bone_nearby_are_not_accepted(monkeypatch):
    anatomy, refinement = registered(0.0)
    hidden = [masked(view, False) for view in refinement.views]
    pose = refinement.world_from_ct
    found = find_displacement(anatomy, hidden, pose, vertebrae(), are_targets=True)
    assert not (found.points.in_place.any() or found.points.displaced.any())
    distant = find(0.0, np.array([[300.0, 0.0, 0.0]])).points
    assert not (distant.in_place.any() or distant.displaced.any())
    monkeypatch.setattr(verdict, "find_displacement", lambda *_, **_options: found)
    assessment = assess(targets=vertebrae())
    assert assessment.verdict == "check" and not any(assessment.errors.values())
    (finding,) = [each for each in assessment.findings if each.code == "targets-not-tested"]
    assert (finding.values["count"], finding.values["total"]) == (0, 8)


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
