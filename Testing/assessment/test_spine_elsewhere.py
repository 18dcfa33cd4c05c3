"""Vertebrae that have moved among ribs that stay: `assessment.spine`."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import scipy
from bent_spine import POSE, START, spine, xrays
from phantom import masked
from scipy.ndimage import binary_closing, binary_fill_holes

from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.spine import (
    _enclosed,
    fit_slabs,
    slabs,
    spine_elsewhere,
)
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


@lru_cache(maxsize=1)
def chest() -> tuple[CT, np.ndarray]:
    """The spine of four vertebrae in a cage of ribs, and its labels."""
    ct, labels = spine()
    k, j, i = np.indices(labels.shape) - (np.array(labels.shape) - 1)[:, None, None, None] / 2
    cage = np.abs(np.hypot(i / 38, j / 31) - 1) < 0.05
    ribs = cage & (np.mod(k + 0.3 * j, 12) < 4) & (np.abs(i) > 6)
    hu = ct.volume.values.copy()
    hu[ribs & (labels == 0)] = 700
    return CT(Volume(hu, ct.volume.ct_from_index)), labels


@lru_cache(maxsize=2)
def assessed(mm: float):
    ct, labels = chest()
    moved = rigid.translation([0.8 * mm, 0.6 * mm, 0.0])
    anatomy, views = PreparedCT(ct), xrays(ct, labels, [moved] * 4, POSE)
    found = refine(anatomy, views, START)
    return verdict.assess(anatomy, views, found, START), anatomy, found


def test_slabs_hold_the_spine_and_no_ribs_at_the_sides():
    ct, labels = chest()
    bones = slabs(PreparedCT(ct))
    points = np.concatenate([bone.surface for bone in bones])
    index = np.rint(rigid.transform_points(ct.volume.index_from_ct, points)).astype(int)[:, ::-1]
    assert len(bones) >= 3 and np.mean(labels[tuple(index.T)] > 0) > 0.8


def test_an_unbent_chest_is_accepted():
    assessment, anatomy, found = assessed(0.0)
    assert assessment.verdict == "accept"
    assert not fit_slabs(
        anatomy, slabs(anatomy), found.views, found.views, found.world_from_ct
    ).moved


def test_a_chest_whose_vertebrae_have_moved_is_not_accepted(monkeypatch):
    _, anatomy, found = assessed(4.0)
    monkeypatch.setattr(verdict, "elsewhere", lambda *_: None)  # the parts see it, too
    assessment = verdict.assess(anatomy, found.views, found, START)
    shown = anatomy, found.views, found.views, found.world_from_ct
    apart = spine_elsewhere(*shown, assessment.targets)
    assert apart.reason in assessment.reasons and assessment.verdict != "accept"
    assert len(assessment.elsewhere) == len(apart.points) > 0
    assert spine_elsewhere(*shown, np.array([[300.0, 0.0, 0.0]])) is None  # beside the spine
    monkeypatch.setattr(verdict, "spine_elsewhere", lambda *_: None)
    assert verdict.assess(anatomy, found.views, found, START).verdict == "accept"


def test_a_covered_spine_is_not_said_to_have_moved():
    """Where nothing of it is uncovered, it is asked as it is shown, but tools may be why."""
    _, anatomy, found = assessed(4.0)
    shown = found.views, [masked(view, False) for view in found.views], found.world_from_ct
    apart = spine_elsewhere(anatomy, *shown, anatomy.bone_points())
    assert apart.reason.code == "part-hidden"


def test_slabs_of_a_skull_are_none_of_the_spine():
    ct, _ = chest()
    hu = ct.volume.values.copy()
    k, j, i = np.indices(hu.shape) - (np.array(hu.shape) - 1)[:, None, None, None] / 2
    skull = (np.abs(np.hypot(i / 38, j / 31) - 1) < 0.15) & (k > 0)
    hu[skull] = 900
    below = slabs(PreparedCT(CT(replace(ct.volume, values=hu))))
    assert 0 < len(below) < len(slabs(PreparedCT(ct)))
    assert max(slab.centroid[2] for slab in below) < 0


def test_cavities_are_those_that_scipy_fills_slice_by_slice():
    noise = np.random.default_rng(1).normal(size=(4, 60, 70))
    bone = scipy.ndimage.gaussian_filter(noise, (0, 2, 2)) > 0.03
    expected = [np.count_nonzero(binary_fill_holes(binary_closing(each)) & ~each) for each in bone]
    assert min(expected) > 0
    np.testing.assert_array_equal(_enclosed(bone), expected)


def test_a_ct_without_bone_or_that_lies_askew_has_no_spine():
    ct, _ = chest()
    soft = CT(replace(ct.volume, values=np.minimum(ct.volume.values, 40)))
    askew = ct.volume.ct_from_index[:, [2, 0, 1, 3]]
    for each in (PreparedCT(soft), PreparedCT(CT(Volume(ct.volume.values, askew)))):
        assert slabs(each) == []


@pytest.mark.parametrize("slice_mm, asked", [(3.0, True), (5.0, False)])
def test_the_spine_is_not_asked_in_a_ct_of_larger_voxels_than_it_was_measured_on(slice_mm, asked):
    volume = chest()[0].volume
    thicker = np.diag([1.0, 1.0, slice_mm / volume.spacing_mm[2], 1.0])
    assert (
        bool(slabs(PreparedCT(CT(Volume(volume.values, volume.ct_from_index @ thicker))))) == asked
    )
