"""NCC in torch against numpy, scipy, and nanodrr's own."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import ndimage

from MultiViewRegistrationLib.published import refine


def images(seed, shape=(24, 31)):
    rng = np.random.default_rng(seed)
    a = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    b = 0.7 * a + 0.5 * ndimage.gaussian_filter(rng.normal(size=shape), 1.0)
    return torch.from_numpy(3 * a + 5), torch.from_numpy(b - 2)


VALID = torch.ones((24, 31), dtype=torch.bool)
VALID[:4] = VALID[10:13, 20:] = VALID[17, 6] = False


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


@pytest.mark.parametrize("size, floor", [(3, 1e-5), (9, 0.3)])
def test_patch_ncc_is_the_mean_over_whole_patches(size, floor):
    a, b = images(1)
    ours = refine.patch_ncc(a[None], b[None], VALID, size, floor)
    assert ours.item() == pytest.approx(
        ncc_by_hand(a.numpy(), b.numpy(), VALID.numpy(), size, floor), rel=1e-9
    )
    single = refine.patch_ncc(a[None].float(), b[None].float(), VALID, size, floor)
    assert single.item() == pytest.approx(ours.item(), abs=1e-4)


@pytest.mark.quick_variants("5", "9")
@pytest.mark.parametrize("size", [None, 5, 9])
def test_nanodrr_gives_the_same(size):
    metrics = pytest.importorskip(
        "nanodrr.metrics.ncc", reason="needs nanodrr: pip install nanodrr"
    )
    a, b = images(3)
    theirs = metrics.NormalizedCrossCorrelation2d(size, eps=1e-4)(
        a[None, None], b[None, None]
    ).item()
    ours = refine.ncc(a.ravel(), b.ravel(), 1e-4)
    if size:
        ours = refine.patch_ncc(a[None], b[None], torch.ones_like(VALID), size, 1e-4)
    assert ours.item() == pytest.approx(theirs, rel=1e-9)


def test_gradients_are_sobels():
    a, b = images(4)
    derivatives = [
        [ndimage.sobel(x.numpy(), axis=axis, mode="constant") for axis in (1, 0)] for x in (a, b)
    ]
    assert_allclose(refine.sobel(a), derivatives[0], atol=1e-12)
    inner = ndimage.binary_erosion(VALID.numpy(), np.ones((3, 3)))
    expected = np.mean([ncc_by_hand(x, y, inner, 7, 1e-5) for x, y in zip(*derivatives)])
    assert refine.gradient_ncc(a, b, VALID, 7).item() == pytest.approx(expected, rel=1e-9)


def test_gradients_go_through():
    a, b = images(7, (14, 15))
    valid = VALID[:14, :15]
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: refine.gradient_ncc(x, b, valid, 5), a)
    assert torch.autograd.gradcheck(lambda x: refine.patch_ncc(x[None], b[None], valid, 5), a)
