"""Layers of attenuation, and how a body goes on where the CT ends."""

from __future__ import annotations

import numpy as np
import pytest

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import attenuation, ct_from_array
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.regressor.bases import KNOTS, Bases, varied


def test_layers_add_up_to_the_attenuation():
    rng = np.random.default_rng(0)
    mu = Volume(rng.uniform(0, 0.08, (31, 22, 17)).astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
    bases = Bases.of(mu, 4.0)
    pooled = mu.pooled((4, 4, 2))
    np.testing.assert_allclose(bases.values.sum(axis=0), pooled.values, atol=1e-6)
    np.testing.assert_allclose(bases.ct_from_index, pooled.ct_from_index)
    np.testing.assert_allclose(bases.spacing_mm, [4, 4, 4])


def test_a_layer_begins_where_the_last_one_ends():
    """Before anything is averaged: half a voxel of dense bone and half of air is no soft tissue."""
    hu = np.full((2, 2, 4), -1000.0)
    hu[..., 0], hu[..., 1], hu[..., 2] = 100, 500, 1500
    mu = attenuation(ct_from_array(hu, np.eye(4)))
    soft, bone, dense = Bases.of(mu, 1.0).values[:, 0, 0]
    np.testing.assert_allclose(soft, [KNOTS[0], KNOTS[0], KNOTS[0], 0], atol=2e-4)
    np.testing.assert_allclose(bone, [0, KNOTS[1] - KNOTS[0], KNOTS[1] - KNOTS[0], 0], atol=2e-4)
    assert dense[2] == pytest.approx(mu.values[0, 0, 2] - KNOTS[1], abs=1e-6) and not dense[:2].any()
    pooled = Bases.of(mu, 2.0).values[:, 0, 0]
    np.testing.assert_allclose(pooled[2], [0, dense[2] / 2], atol=1e-6)


def rod(slope=(0.0, 0.0)) -> Bases:
    """A rod of bone along j, in voxels of 2 x 1 x 3 mm, its middle moving by `slope` mm (along k, along i) for each mm of j."""
    k, j, i = np.indices((20, 40, 30))
    inside = np.hypot(3 * (k - 9) - slope[0] * j, 2 * (i - 14) - slope[1] * j) < 9
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = [-20, 30, 7]
    return Bases(inside * np.array([0.02, 0.01, 0.005], np.float32).reshape(3, 1, 1, 1), affine)


@pytest.mark.parametrize("end", [0, 1])
def test_a_shaft_runs_on_as_it_ran(end):
    bases = rod(slope=(0.3, -0.25))
    outwards = 1 if end else -1
    course = bases.course(1, end)
    np.testing.assert_allclose(course, [0.3 * outwards, -0.25 * outwards], atol=0.05)
    longer = bases.continued(1, end, 12.0, course, smooth_mm=0.1, bone_fade_mm=np.inf)
    assert longer.values.shape == (3, 20, 52, 30)
    kept = longer.values[:, :, :40] if end else longer.values[:, :, 12:]
    np.testing.assert_array_equal(kept, bases.values)
    added = longer.values[0, :, -1 if end else 0]
    k, i = (np.average(np.arange(n), weights=added.sum(axis=1 - axis)) for axis, n in enumerate(added.shape))
    j = 51 if end else -12
    expected = bases.ct_from_index @ [14 - 0.125 * j, j, 9 + 0.1 * j, 1]
    place = longer.ct_from_index @ [i, 51 if end else 0, k, 1]
    np.testing.assert_allclose(place, expected, atol=1.2)
    np.testing.assert_allclose(longer.values[1, :, -1 if end else 0], 0.5 * added, atol=1e-6)


def test_bone_fades_out_where_it_does_not_go_on():
    longer = rod().continued(1, 1, 30.0, np.zeros(2), smooth_mm=0.1, bone_fade_mm=5.0)
    assert longer.values[0, 9, -1, 14] == pytest.approx(0.02, rel=1e-3)
    assert longer.values[1, 9, -1, 14] < 0.01 * 0.01


def test_only_cut_ends_are_continued():
    bases, nothing = rod(), np.zeros(6, bool)
    same = varied(bases, nothing, np.random.default_rng(0), structure=True)
    np.testing.assert_array_equal(same.values, bases.values)
    cut = nothing.copy()
    cut[2] = True  # -j
    longer = varied(bases, cut, np.random.default_rng(0), structure=True)
    assert longer.values.shape[2] - 40 in range(120, 181)
    np.testing.assert_array_equal(longer.values[:, :, -40:], bases.values)
    last = rigid.transform_points(longer.ct_from_index, [0, longer.values.shape[2] - 1, 0])
    np.testing.assert_allclose(last, rigid.transform_points(bases.ct_from_index, [0, 39, 0]))


def test_the_largest_piece_is_the_body_with_its_lungs():
    values = np.zeros((3, 10, 40, 40), np.float32)
    values[0, :, 4:28, 5:35] = 0.02
    values[0, :, 10:20, 10:20] = 0.0005  # a lung
    values[0, :, 33:36, 2:38] = 0.03  # a couch
    kept = Bases(values, np.eye(4)).largest_piece().values
    np.testing.assert_array_equal(kept[:, :, :30], values[:, :, :30])
    assert not kept[:, :, 30:].any()
