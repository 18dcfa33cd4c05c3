"""The grid and its pyramid, against SimpleITK and against blobs whose centres are known."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.file_io import placed
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.imaging.ct import Volume, pyramid


def test_pooled_equals_bin_shrink(oblique):
    values = np.random.default_rng(1).normal(size=(12, 20, 18)).astype(np.float32)
    shrunk = sitk.BinShrink(placed(values, oblique), [3, 2, 4])
    pooled = Volume(values, oblique).pooled((3, 2, 4))
    assert_allclose(pooled.values, sitk.GetArrayFromImage(shrunk), atol=1e-5)
    for index in ((0, 0, 0), (5, 9, 2)):
        place = shrunk.TransformIndexToPhysicalPoint(index)
        assert_allclose((pooled.ct_from_index @ [*index, 1])[:3], place, atol=1e-6)


@pytest.mark.parametrize(
    "spacing, expected",
    [
        ((0.7, 0.7, 2.5), [(0.7, 0.7, 2.5), (1.4, 1.4, 2.5), (2.8, 2.8, 2.5), (5.6, 5.6, 5.0)]),
        ((0.7, 0.7, 0.5), [(0.7, 0.7, 0.5), (1.4, 1.4, 1.5), (2.8, 2.8, 3.0), (5.6, 5.6, 5.5)]),
    ],
)
def test_pyramid_halves_resolution_and_equalises_spacing(spacing, expected):
    levels = pyramid(Volume(np.zeros((40, 40, 40)), np.diag([*spacing, 1])), 4)
    assert_allclose([level.spacing_mm for level in levels], expected)


@pytest.mark.parametrize("shape", [(21, 32, 30), (5, 9, 40)])
def test_pyramid_levels_are_pooled_from_the_finest(shape):
    values = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    volume = Volume(values, np.diag([0.7, 0.7, 0.5, 1]))
    for level in pyramid(volume, 5)[1:]:
        pooled = volume.pooled(tuple(np.rint(level.spacing_mm / volume.spacing_mm).astype(int)))
        assert_allclose(level.values, pooled.values, atol=1e-6)
        assert_allclose(level.ct_from_index, pooled.ct_from_index)
