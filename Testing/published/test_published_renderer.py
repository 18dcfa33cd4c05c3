"""The plain torch renderer of the published refinements, against the reference by another way of sampling."""

from __future__ import annotations

import numpy as np
import pytest
from published_scenes import scene

torch = pytest.importorskip("torch", reason="the published refinements need torch: pip install torch")
import reference_renderer as reference  # noqa: E402

from MultiViewRegistrationLib.published.renderer import Rays, TorchVolume, line_integrals  # noqa: E402


def pixels_of(camera):
    columns, rows = camera.size
    return np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)


@pytest.fixture(scope="module")
def here():
    volume, camera, pose = scene()
    ready = TorchVolume.of(volume, dtype=torch.float64)
    return ready, Rays.of(camera, pixels_of(camera), ready.values), torch.from_numpy(pose)


def test_it_comes_to_the_reference_with_finer_steps(here):
    volume, camera, pose = scene()
    expected = reference.render(torch.from_numpy(volume.values).double(), volume.ct_from_index, camera, pose).ravel()
    assert 0.02 < (expected == 0).float().mean() < 0.8
    for step_mm, tolerance in ((2.0, 0.02), (0.2, 5e-3)):
        ours = line_integrals(*here, step_mm)
        assert (ours - expected).abs().max() < tolerance * expected.max()
    assert (ours - expected).square().mean().sqrt() < 1e-3 * expected.max()


def test_its_gradient_is_its_own_finite_difference(here):
    ready, rays, pose = here
    weights = torch.rand(len(rays.directions), generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5

    def loss(shift):
        at = pose.clone()
        at[:3, 3] = pose[:3, 3] + shift
        return (weights * line_integrals(ready, rays, at, 0.2)).sum()

    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(loss(shift), shift)
    steps = 0.05 * torch.eye(3, dtype=torch.float64)
    measured = torch.stack([(loss(step) - loss(-step)) / 0.1 for step in steps])
    np.testing.assert_allclose(ours, measured, atol=0.02 * float(measured.abs().max()))


def test_its_gradient_is_that_of_the_reference(here):
    volume, camera, pose = scene()
    values = torch.from_numpy(volume.values).double()
    gradients = []
    for render in (
        lambda at: reference.render(values, volume.ct_from_index, camera, at).ravel(),
        lambda at: line_integrals(*here[:2], at, 0.2),
    ):
        at = torch.from_numpy(pose).requires_grad_()
        image = render(at)
        gradients.append(torch.autograd.grad((image * torch.linspace(-1, 1, len(image)).double()).sum(), at)[0][:3])
    np.testing.assert_allclose(
        gradients[1][:, 3], gradients[0][:, 3], atol=0.02 * float(gradients[0][:, 3].abs().max())
    )


@pytest.mark.parametrize("count", [1, 16, 37])
def test_any_number_of_rays_is_rendered_alike(here, count):
    ready, rays, pose = here
    chosen = torch.randperm(len(rays.directions), generator=torch.Generator().manual_seed(count))[:count]
    whole = line_integrals(ready, rays, pose, 1.0)
    np.testing.assert_allclose(line_integrals(ready, rays[chosen], pose, 1.0), whole[chosen], atol=1e-12)


def test_rays_that_miss_are_0_and_have_no_gradient(here):
    ready, rays, pose = here
    away = pose.clone()
    away[:3, 3] += 1e4
    away.requires_grad_()
    image = line_integrals(ready, rays, away, 1.0)
    image.sum().backward()
    assert not image.any() and not away.grad.any()


def test_single_precision_is_enough(here):
    volume, camera, pose = scene()
    ready = TorchVolume.of(volume)
    single = line_integrals(
        ready, Rays.of(camera, pixels_of(camera), ready.values), torch.from_numpy(pose).float(), 1.0
    )
    double = line_integrals(*here, 1.0)
    assert (single - double).abs().max() < 2e-3 * double.max()
