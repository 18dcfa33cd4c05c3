"""The plain torch renderer of the published refinements, against the reference by another way of sampling."""

import numpy as np
import pytest
import reference_renderer as reference
import torch
from numpy.testing import assert_allclose

from MultiViewRegistrationLib.published.renderer import TorchRays, TorchVolume, line_integrals


@pytest.fixture(scope="module")
def here(scene):
    """Volume, rays and pose in a precision."""
    volume, camera, pose = scene
    columns, rows = camera.size
    pixels = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)

    def make(dtype=torch.float64):
        ready = TorchVolume.of(volume, dtype=dtype)
        return ready, TorchRays.of(camera, pixels, ready.values), torch.from_numpy(pose).to(dtype)

    return make


def test_image_and_gradient_come_to_the_reference_with_finer_steps(here, scene):
    volume, camera, pose = scene
    values, (ready, rays, _) = torch.from_numpy(volume.values).double(), here()

    def both(render):
        at = torch.from_numpy(pose).requires_grad_()
        image = render(at).ravel()
        (gradient,) = torch.autograd.grad(
            (image * torch.linspace(-1, 1, len(image)).double()).sum(), at
        )
        return image.detach(), gradient[:3, 3]

    expected, by_shift = both(lambda at: reference.render(values, volume.ct_from_index, camera, at))
    assert 0.02 < (expected == 0).float().mean() < 0.8
    for step_mm, tolerance in ((2.0, 0.02), (0.2, 5e-3)):
        ours, gradient = both(lambda at, mm=step_mm: line_integrals(ready, rays, at, mm))
        assert (ours - expected).abs().max() < tolerance * expected.max()
    assert (ours - expected).square().mean().sqrt() < 1e-3 * expected.max()
    assert_allclose(gradient, by_shift, atol=0.02 * float(by_shift.abs().max()))


def test_its_gradient_is_its_own_finite_difference(here):
    ready, rays, pose = here()
    weights = (
        torch.rand(
            len(rays.directions), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        - 0.5
    )

    def loss(shift):
        at = pose.clone()
        at[:3, 3] = pose[:3, 3] + shift
        return (weights * line_integrals(ready, rays, at, 0.2)).sum()

    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(loss(shift), shift)
    steps = 0.05 * torch.eye(3, dtype=torch.float64)
    measured = torch.stack([(loss(step) - loss(-step)) / 0.1 for step in steps])
    assert_allclose(ours, measured, atol=0.02 * float(measured.abs().max()))


def test_any_number_of_rays_is_rendered_alike_in_either_precision(here):
    ready, rays, pose = here()
    whole = line_integrals(ready, rays, pose, 1.0)
    for count in (1, 16, 37):
        chosen = torch.randperm(
            len(rays.directions), generator=torch.Generator().manual_seed(count)
        )[:count]
        assert_allclose(line_integrals(ready, rays[chosen], pose, 1.0), whole[chosen], atol=1e-12)
    assert (line_integrals(*here(torch.float32), 1.0) - whole).abs().max() < 2e-3 * whole.max()


def test_rays_that_miss_are_0_and_have_no_gradient(here):
    ready, rays, pose = here()
    away = pose.clone()
    away[:3, 3] += 1e4
    image = line_integrals(ready, rays, away.requires_grad_(), 1.0)
    image.sum().backward()
    assert not image.any() and not away.grad.any()
