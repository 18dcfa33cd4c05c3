"""NCC in torch against numpy, scipy, and nanodrr's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch", reason="the published refinements need torch: pip install torch")
from MultiViewRegistrationLib.published import comparison  # noqa: E402


def images(seed, shape=(24, 31)):
    rng = np.random.default_rng(seed)
    a = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    b = 0.7 * a + 0.5 * ndimage.gaussian_filter(rng.normal(size=shape), 1.0)
    return torch.from_numpy(3 * a + 5), torch.from_numpy(b - 2)


def some_valid(shape=(24, 31)):
    valid = np.ones(shape, bool)
    valid[:4] = valid[10:13, 20:] = False
    valid[17, 6] = False
    return torch.from_numpy(valid)


def ncc_by_hand(a, b, valid, size, floor):
    """Mean over the wholly valid patches, each by its definition."""
    found = []
    for r in range(a.shape[0] - size + 1):
        for c in range(a.shape[1] - size + 1):
            part = np.s_[r : r + size, c : c + size]
            if valid[part].all():
                x, y = a[part] - a[part].mean(), b[part] - b[part].mean()
                found.append((x * y).mean() / np.sqrt((x.var() + floor) * (y.var() + floor)))
    return np.mean(found)


def test_global_ncc_is_the_correlation_coefficient():
    a, b = images(0)
    expected = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert comparison.ncc(a.ravel(), b.ravel(), floor=0).item() == pytest.approx(expected, rel=1e-12)
    assert comparison.ncc(a, b, floor=0).shape == (24,)


@pytest.mark.parametrize("size", [3, 9])
@pytest.mark.parametrize("floor", [1e-5, 0.3])
def test_patch_ncc_is_the_mean_over_whole_patches(size, floor):
    a, b = images(1)
    valid = some_valid()
    ours = comparison.patch_ncc(a[None], b[None], valid, size, floor)
    assert ours.item() == pytest.approx(ncc_by_hand(a.numpy(), b.numpy(), valid.numpy(), size, floor), rel=1e-9)


def test_what_invalid_pixels_hold_does_not_matter():
    a, b = images(2)
    valid = some_valid()
    for compare in (
        lambda x: comparison.patch_ncc(x[None], b[None], valid, 5),
        lambda x: comparison.gradient_ncc(x, b, valid, 5),
    ):
        assert compare(torch.where(valid, a, 1e3)).item() == pytest.approx(compare(a).item(), rel=1e-9)


@pytest.mark.parametrize("size", [None, 5, 9])
def test_nanodrr_gives_the_same(size):
    metrics = pytest.importorskip("nanodrr.metrics.ncc", reason="needs nanodrr: pip install nanodrr")
    a, b = images(3)
    theirs = metrics.NormalizedCrossCorrelation2d(size, eps=1e-4)(a[None, None], b[None, None]).item()
    everywhere = torch.ones(a.shape, dtype=torch.bool)
    ours = (
        comparison.patch_ncc(a[None], b[None], everywhere, size, 1e-4)
        if size
        else comparison.ncc(a.ravel(), b.ravel(), 1e-4)
    )
    assert ours.item() == pytest.approx(theirs, rel=1e-9)


def test_gradients_are_sobels():
    a, b = images(4)
    by_column, by_row = comparison.sobel(a)
    np.testing.assert_allclose(by_column, ndimage.sobel(a.numpy(), axis=1, mode="constant"), atol=1e-12)
    np.testing.assert_allclose(by_row, ndimage.sobel(a.numpy(), axis=0, mode="constant"), atol=1e-12)
    valid = some_valid()
    inner = ndimage.binary_erosion(valid.numpy(), np.ones((3, 3)))
    expected = np.mean(
        [
            ncc_by_hand(ndimage.sobel(a.numpy(), axis=axis), ndimage.sobel(b.numpy(), axis=axis), inner, 7, 1e-5)
            for axis in (0, 1)
        ]
    )
    assert comparison.gradient_ncc(a, b, valid, 7).item() == pytest.approx(expected, rel=1e-9)


def test_equal_images_are_1_and_single_precision_is_enough():
    a, b = (image.float() for image in images(5))
    valid = some_valid()
    assert comparison.patch_ncc(a[None], a[None], valid, 9, 0).item() == pytest.approx(1, abs=1e-3)
    double = comparison.patch_ncc(a[None].double(), b[None].double(), valid, 9)
    assert comparison.patch_ncc(a[None], b[None], valid, 9).item() == pytest.approx(double.item(), abs=1e-4)


def test_standardised_images_lie_between_0_and_1_before_their_mean_and_deviation():
    a, _ = images(6)
    scaled = 0.1 * comparison.standardised(a, 0.15, 0.1) + 0.15
    assert scaled.min().item() == pytest.approx(0) and scaled.max().item() == pytest.approx(1, abs=1e-5)


def test_gradients_go_through():
    a, b = images(7, (14, 15))
    valid = some_valid()[:14, :15]
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: comparison.gradient_ncc(x, b, valid, 5), a)
    assert torch.autograd.gradcheck(lambda x: comparison.patch_ncc(x[None], b[None], valid, 5), a)
