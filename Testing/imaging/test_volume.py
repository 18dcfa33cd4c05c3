"""The grid and its pyramid, against SimpleITK and against blobs whose centres are known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from MultiViewRegistrationLib.imaging.volume import Volume, pyramid


def blobs(ct_from_index: np.ndarray, shape=(40, 64, 56)) -> tuple[Volume, np.ndarray]:
    """A few Gaussian blobs on a grid, and the centre of mass (CT mm) by which they were made."""
    rng = np.random.default_rng(0)
    extent = np.array(shape[::-1])
    centres = extent * rng.uniform(0.35, 0.65, (5, 3))
    weights = rng.uniform(0.5, 1, 5)
    k, j, i = np.indices(shape)
    spacing = np.linalg.norm(ct_from_index[:3, :3], axis=0)
    values = np.zeros(shape)
    for centre, weight in zip(centres, weights):
        distance = (np.stack([i, j, k], -1) - centre) * spacing
        values += weight * np.exp(-(distance**2).sum(-1) / (2 * 3.0**2))
    middle = (weights @ centres) / weights.sum()
    return Volume(values, ct_from_index), (ct_from_index @ [*middle, 1])[:3]


def centre_of_mass(volume: Volume) -> np.ndarray:
    k, j, i = np.indices(volume.values.shape)
    mass = volume.values.astype(float)
    index = [(axis * mass).sum() / mass.sum() for axis in (i, j, k)]
    return (volume.ct_from_index @ [*index, 1])[:3]


def test_place_and_spacing(oblique):
    volume = Volume(np.zeros((4, 5, 6)), oblique)
    assert volume.values.dtype == np.float32 and volume.values.flags.c_contiguous
    np.testing.assert_allclose(volume.spacing_mm, [0.7, 0.9, 2.5])
    np.testing.assert_allclose(volume.index_from_ct @ oblique @ [3, 2, 1, 1], [3, 2, 1, 1], atol=1e-9)


def test_pooled_is_simpleitks_bin_shrink(oblique):
    values = np.random.default_rng(1).normal(size=(12, 20, 18)).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    spacing = np.linalg.norm(oblique[:3, :3], axis=0)
    image.SetSpacing(spacing)
    image.SetDirection((oblique[:3, :3] / spacing).ravel())
    image.SetOrigin(oblique[:3, 3])
    shrunk = sitk.BinShrink(image, [3, 2, 4])
    pooled = Volume(values, oblique).pooled((3, 2, 4))
    np.testing.assert_allclose(pooled.values, sitk.GetArrayFromImage(shrunk), atol=1e-5)
    for index in ((0, 0, 0), (5, 9, 2)):
        np.testing.assert_allclose(
            (pooled.ct_from_index @ [*index, 1])[:3], shrunk.TransformIndexToPhysicalPoint(index), atol=1e-6
        )


def test_a_block_cut_by_the_end_is_the_mean_of_what_is_there():
    volume = Volume(np.arange(7.0).reshape(7, 1, 1), np.eye(4)).pooled((2, 1, 3))
    np.testing.assert_allclose(volume.values.ravel(), [1, 4, 6])
    np.testing.assert_allclose(volume.ct_from_index @ [0, 0, 2, 1], [0.5, 0, 7, 1])


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 9)] * 3), factors=st.tuples(*[st.integers(1, 5)] * 3))
def test_pooled_keeps_a_linear_ramp(shape, factors):
    """Where blocks are whole, the value at a new voxel is the ramp's value at its centre."""
    k, j, i = np.indices(shape)
    pooled = Volume(2.0 * i - j + 3 * k, np.eye(4)).pooled(factors)
    for nk, nj, ni in np.ndindex(pooled.values.shape):
        if all((n + 1) * f <= size for n, f, size in zip((ni, nj, nk), factors, shape[::-1])):
            x, y, z = (pooled.ct_from_index @ [ni, nj, nk, 1])[:3]
            assert pooled.values[nk, nj, ni] == pytest.approx(2 * x - y + 3 * z, abs=1e-4)


def test_blobs_stay_where_they_are_at_every_level(oblique):
    volume, centre = blobs(oblique)
    for level in pyramid(volume, 4):
        np.testing.assert_allclose(centre_of_mass(level), centre, atol=0.01 * level.spacing_mm.max())


@pytest.mark.parametrize(
    "spacing, expected",
    [
        ((0.7, 0.7, 2.5), [(0.7, 0.7, 2.5), (1.4, 1.4, 2.5), (2.8, 2.8, 2.5), (5.6, 5.6, 5.0)]),
        ((0.7, 0.7, 0.5), [(0.7, 0.7, 0.5), (1.4, 1.4, 1.5), (2.8, 2.8, 3.0), (5.6, 5.6, 5.5)]),
        ((1, 1, 1), [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8)]),
    ],
)
def test_each_level_is_about_twice_as_coarse_and_evens_out_the_spacing(spacing, expected):
    levels = pyramid(Volume(np.zeros((40, 40, 40)), np.diag([*spacing, 1])), 4)
    np.testing.assert_allclose([level.spacing_mm for level in levels], expected)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 2.5), (0.7, 0.7, 0.5)])
@pytest.mark.parametrize("shape", [(24, 32, 32), (21, 32, 30), (5, 9, 40)])
def test_each_level_is_as_if_pooled_from_the_finest(shape, spacing):
    volume = Volume(np.random.default_rng(2).normal(size=shape).astype(np.float32), np.diag([*spacing, 1]))
    for level in pyramid(volume, 5)[1:]:
        pooled = volume.pooled(tuple(np.rint(level.spacing_mm / volume.spacing_mm).astype(int)))
        np.testing.assert_allclose(level.values, pooled.values, atol=1e-6)
        np.testing.assert_allclose(level.ct_from_index, pooled.ct_from_index)


def test_tissue_at_a_cut_end_keeps_its_density():
    for level in pyramid(Volume(np.full((9, 9, 9), 0.02), np.eye(4)), 4):
        np.testing.assert_allclose(level.values, 0.02, rtol=1e-5)


def test_shapes_that_are_no_volume_are_refused():
    with pytest.raises(ValueError, match="4x4"):
        Volume(np.zeros((2, 2, 2)), np.eye(3))
