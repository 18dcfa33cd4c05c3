import numpy as np
import pytest
from helpers.phantom import BONES, write_bony_ct
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.simulation.body import (
    BONE,
    WATER,
    Body,
    at_energy,
    base_materials,
    bone_points,
    single_bones,
    transmission,
    without_couch,
)
from MultiViewRegistrationLib.imaging.ct import Volume, load_ct

OBLIQUE = np.array(
    [[0.0, -2.0, 0.0, 10.0], [-1.0, 0.0, 0.0, -20.0], [0.0, 0.0, 3.0, 30.0], [0.0, 0.0, 0.0, 1.0]]
)


def test_base_materials_have_attenuation_of_hu():
    hu = np.array([-1000, -500, 0, 60, 100, 400, 1000, 1500], np.float32)
    water, bone = base_materials(hu)
    found = (water * at_energy(WATER, 70) + bone * at_energy(BONE, 70)) / at_energy(WATER, 70)
    assert_allclose(found, 1 + hu / 1000, atol=1e-5)
    assert not bone[hu <= 100].any() and (np.diff(bone[hu >= 100]) > 0).all()


def test_without_couch_keeps_lungs():
    k, j, i = np.indices((20, 90, 100))
    body = np.hypot((j - 40) / 30, (i - 50) / 40) < 1
    lung = np.hypot((j - 40) / 12, (i - 35) / 12) < 1
    couch = (j > 78) & (j < 84)
    hu = np.where(body, 40.0, -1000.0)
    hu[lung], hu[couch] = -850, 300
    clean = without_couch(Volume(hu, np.eye(4))).values
    assert (clean[couch] == -1000).all()
    assert_array_equal(clean[body], hu[body])


def test_body_continues_beyond_ct_with_drift():
    hu = np.full((4, 30, 40), -1000.0)
    hu[:, 5:15, 10:20] = 0
    body = Body.from_hu(Volume(hu, OBLIQUE), beyond_mm=30, drift=(0.5, -0.25))
    k, j, i = np.moveaxis(np.argwhere(body.water > 0.5), -1, 0)
    points = np.stack([i, j, k, np.ones_like(i)], -1) @ body.ct_from_index.T
    assert k.max() - k.min() == 23  # 4 slices of the CT, 10 on either side
    for z in np.unique(points[:, 2]):
        away = max(0, 30 - z, z - 39)
        # i runs along -y with 1 mm, j along -x with 2 mm
        expected = [10 - 2 * 9.5 + 0.25 * away, -20 - 14.5 - 0.5 * away]
        assert_allclose(points[points[:, 2] == z, :2].mean(0), expected, atol=0.6)


def test_bone_points_exclude_vessels():
    k, j, i = np.indices((40, 80, 80))
    hu = np.full(k.shape, 40.0)
    hu[np.hypot(i - 20, j - 40) < 8] = 400  # 16 mm of contrast agent
    shell = np.abs(np.hypot(i - 58, j - 40) - 10) < 2
    hu[shell] = 800
    points = bone_points(Volume(hu, np.eye(4) + np.outer([1, 1, 1, 0], [0, 0, 0, 5])))
    assert len(points) > 100
    assert (np.abs(np.hypot(points[:, 0] - 63, points[:, 1] - 45) - 10) < 4).all()


def test_transmission_hardens_beam():
    water = np.array([0.0, 10.0, 20.0])
    left = transmission(water, 0 * water, 0 * water)
    assert left[0] == pytest.approx(1)
    first, second = -np.diff(np.log(left)) / 10
    assert WATER.min() < second < first < WATER.max()


@pytest.mark.slow
def test_single_bones_are_sorted_by_size_without_contrast_agent(tmp_path):
    ct = load_ct(write_bony_ct(tmp_path / "ct.nii.gz")).volume
    masks = single_bones(ct)
    assert len(masks) == 2
    for mask, (centre, axes) in zip(masks, BONES, strict=True):
        assert_allclose(np.argwhere(mask).mean(axis=0)[::-1], centre, atol=0.7)
        volume = 4 / 3 * np.pi * np.prod(axes)
        assert mask.sum() == pytest.approx(volume, rel=0.15)
    assert not (masks[0] & masks[1]).any()
    assert single_bones(Volume(np.minimum(ct.values, 100), ct.ct_from_index)) == []
