"""The renderer in PyTorch, on the processor, and Triton's kernels, interpreted there, against that of numba.

The kernels on a CUDA device where there is one.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.refusals import warns
from numpy.testing import assert_allclose
from scenes import random_scene, slot_scene

from MultiViewRegistrationLib import Volume
from MultiViewRegistrationLib.rendering.drr import Projector

torch = pytest.importorskip("torch", reason="it is in PyTorch: pip install torch")

from MultiViewRegistrationLib.rendering import torch_drr  # noqa: E402 (it needs PyTorch)

#: Without a card nothing runs, but all becomes code for one, for Turing and later.
COMPILES = """
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from MultiViewRegistrationLib.rendering import triton_drr as kernels

tile = {"ROWS": 8, "COLUMNS": 16}
given = {"values": "*fp32", "wanted": "*u8", "images": "*fp32", "by_pose": "*fp32"}
given |= {"beams": "*fp64", "end_slices": "*u8", "seen": "*u8", "step_mm": "fp32"}
cases = [(kernels._mark_unseen, {})]
for asked in (False, True):
    options = {"WANTED": asked, "JACOBIAN": asked, "SAMPLED": tl.float32}
    cases.append((kernels._project, options))
for kernel, options in cases:
    fixed = options | tile
    names = kernel.arg_names
    types = {name: "constexpr" if name in fixed else given.get(name, "i32") for name in names}
    values = {(names.index(name),): value for name, value in fixed.items()}
    for architecture in (75, 80, 90):
        target = GPUTarget("cuda", architecture, 32)
        made = compile(ASTSource(kernel, types, values), target=target)
        assert len(made.asm["cubin"]) > 1000
"""


@pytest.fixture(params=["cpu", "cuda" if torch.cuda.is_available() else "interpreted"])
def device(request, monkeypatch):
    if request.param != "interpreted":
        return request.param
    pytest.importorskip("triton", reason="the kernels are Triton's: pip install triton")
    from MultiViewRegistrationLib.rendering import triton_drr

    monkeypatch.setattr(triton_drr, "TILE", (64, 64))  # which takes fewer steps
    monkeypatch.setattr(torch_drr, "kernels_on", lambda _device: triton_drr)
    return "cpu"


def scene_of(seed):
    return random_scene(
        seed, leading=[0, 1, 2, None][seed % 4], mirrored=seed % 2 == 0, left_handed=seed > 3
    )


def some_poses(scene, count=3):
    return np.stack(
        [scene.moved(0.1 * n * np.array([1, -1, 0.5, 20, -10, 5])) for n in range(count)]
    )


def drawn(there, cameras, poses, pivot=(0.0, 0.0, 0.0), **options):
    """Images, and derivatives if they are asked for."""
    columns, rows = cameras[0].size
    return there.project(there.beams(cameras, poses, pivot), rows, columns, **options)


def seen_by(there, cameras, poses):
    columns, rows = cameras[0].size
    return there.unhidden(there.beams(cameras, poses, (0.0, 0.0, 0.0)), rows, columns).cpu().numpy()


def same(image, jacobian, expected):
    """Within a share of the largest value."""
    close(image, expected.image, 1e-5)
    for mine, theirs in zip(jacobian, expected.jacobian, strict=True):
        close(mine, theirs, 1e-4)


def close(mine, theirs, tolerance):
    assert_allclose(mine.cpu(), theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.slow_variants("interpreted-0", "interpreted-5", "interpreted-7")
@pytest.mark.parametrize("seed", [0, 2, 5, 7])
def test_images_and_jacobians_are_those_of_numba(device, seed):
    scene = scene_of(seed)
    projector = Projector(scene.volume)
    poses = some_poses(scene)
    there = torch_drr.TorchProjector(projector, device)
    images, jacobians = drawn(there, [scene.camera] * len(poses), poses, scene.pivot, jacobian=True)
    assert images.shape == (3, 36, 46) and jacobians.shape == (6, 3, 36, 46)
    for n, pose in enumerate(poses):
        expected = projector.render(scene.camera, pose, jacobian=True, pivot=scene.pivot)
        assert expected.image.any()
        same(images[n], jacobians[:, n], expected)


@pytest.mark.slow_variants("interpreted-1", "interpreted-2")
@pytest.mark.parametrize("axis", range(3))
def test_rays_that_go_on_beyond_a_cut_end_are_those_of_numba(device, axis):
    """A rod that is cut off at both ends, seen from poses at which some rays leave it through them."""
    scene = random_scene(5 + axis, leading=(axis + 1) % 3)
    values = np.zeros((28, 40, 34), np.float32)
    middle = [slice(size // 4, 3 * size // 4) for size in values.shape]
    middle[2 - axis] = slice(None)
    values[tuple(middle)] = 0.03
    projector = Projector(Volume(values, scene.volume.ct_from_index))
    assert projector.cut.any()
    poses = some_poses(scene)
    seen = seen_by(torch_drr.TorchProjector(projector, device), [scene.camera] * 3, poses)
    expected = np.stack([projector.seen(scene.camera, pose) for pose in poses])
    assert 0 < expected.mean() < 1
    assert np.mean(seen != expected) < 1e-3  # rounding at an edge


@pytest.mark.quick_variants("cpu-0-0", "cpu-1-1")
@pytest.mark.parametrize("seed, leading", [(0, 0), (1, 1)])
def test_slot_scans_are_those_of_numba(device, seed, leading):
    """Images, Jacobians, and rays beyond cut ends, of the whole scan and of a part of it in one batch."""
    volume, scan, world_from_ct = slot_scene(seed, leading, seed == 1)
    full = Volume(np.full_like(volume.values, 0.03), volume.ct_from_index)  # tissue up to all faces
    projector, camera = Projector(full), scan.camera()
    cameras, poses = (
        [camera.cropped(0, row, 46, 30) for row in (0, 6)],
        np.stack([world_from_ct] * 2),
    )
    batch, pivot = torch_drr.TorchProjector(projector, device), world_from_ct[:3, 3]
    images, jacobians = drawn(batch, cameras, poses, pivot, jacobian=True)
    seen = seen_by(batch, cameras, poses)
    assert 0 < seen.mean() < 1
    for n, part in enumerate(cameras):
        expected = projector.render(part, world_from_ct, jacobian=True, pivot=pivot)
        same(images[n], jacobians[:, n], expected)
        assert np.mean(seen[n] != projector.seen(part, world_from_ct)) < 1e-3


def test_rays_that_are_not_wanted_are_left_out(device):
    scene = scene_of(2)
    there = torch_drr.TorchProjector(Projector(scene.volume), device)
    of_one = there, [scene.camera], scene.world_from_ct[None]
    whole, _ = drawn(*of_one, jacobian=False)
    wanted = torch.rand(whole.shape, device=whole.device) > 0.5
    found, _ = drawn(*of_one, jacobian=False, wanted=wanted)
    assert torch.equal(found, torch.where(wanted, whole, 0))


def test_a_card_without_triton_is_said_once_and_goes_step_by_step(monkeypatch):
    from MultiViewRegistrationLib import rendering

    monkeypatch.delattr(rendering, "triton_drr", raising=False)
    monkeypatch.setitem(sys.modules, f"{rendering.__name__}.triton_drr", None)
    torch_drr.kernels_on.cache_clear()
    with warns("Triton does not work here") as caught:
        for _ in range(2):
            assert torch_drr.kernels_on(torch.device("cuda")) is None
    assert len(caught) == 1


@pytest.mark.slow
def test_the_kernels_compile_for_cards_that_are_not_there():
    pytest.importorskip("triton", reason="the kernels are Triton's: pip install triton")
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    done = subprocess.run([sys.executable, "-c", COMPILES], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_more_voxels_than_can_be_counted_are_left_to_the_processor(monkeypatch):
    projector = Projector(scene_of(0).volume)
    monkeypatch.setattr(torch_drr, "MAX_VOXELS", 2 * projector.grid.values.size - 1)
    with pytest.raises(MemoryError, match="a device can hold"):
        torch_drr.TorchProjector(projector)
