"""Training images made by Warp and PyTorch, on the CPU, against those of numba; on a CUDA device, too, where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.regressor.images import TrainingImages
from MultiViewRegistrationLib.regressor.randomise import BODY, BONE, CLEAN
from MultiViewRegistrationLib.regressor.window import Window

torch = pytest.importorskip("torch", reason="the kernels need torch: pip install torch")
pytest.importorskip("warp", reason="the kernels need Warp: pip install warp-lang")

from MultiViewRegistrationLib.regressor.device_images import DeviceImages  # noqa: E402

#: In units of the standardised image, whose deviation is 0.6.
TOLERANCE = 1e-4
ALL_FIELDS = dict(straight_share=1.0, round_share=1.0, text_share=1.0)


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    return request.param


@pytest.fixture(scope="module")
def ct():
    return make_ct()


@pytest.fixture(scope="module")
def windows(ct):
    return [Window.of(view.camera) for view in make_views(ct)]


def poses(count: int, turn_deg: float = 20.0) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([off(TRUE_POSE, rng.uniform(-turn_deg, turn_deg, 3), rng.uniform(-15, 15, 3)) for _ in range(count)])


def both(maker: TrainingImages, device: str, windows, poses: np.ndarray, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(n, views, 2, 64, 64) by numba, and on the device."""
    mine = DeviceImages(maker, device).batch(poses, windows, np.random.default_rng(seed))
    assert mine.device.type == device and mine.dtype == torch.float32
    return maker.batch(poses, windows, np.random.default_rng(seed)), mine.cpu().numpy()


def same(expected: np.ndarray, found: np.ndarray) -> None:
    np.testing.assert_array_equal(found[:, :, 1], expected[:, :, 1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("changes", [
    {}, dict(bone=(0.3, 2.0)), dict(soft=(0.3, 2.0)), dict(dense=(0.3, 2.0)), dict(soft_removed_share=1.0), dict(all_bone=1.0, bone=(2, 3)),
    dict(hardening=(0.5, 0.6)), dict(scatter=(1.0, 2.0)), dict(glare=(0.5, 1.0)), dict(photons=(50.0, 100.0)), dict(shading=0.5),
    dict(blur=(0.5, 1.0)), dict(blur=(-1.0, -0.5)), dict(saturation_share=1.0, saturation=(-0.5, 0.2)),
    dict(darkest_share=1.0, darkest=(-0.5, 0.2)), dict(metal_share=1.0), dict(bones_share=1.0), dict(tissue_share=1.0),
    dict(ghost_share=1.0), dict(straight_share=1.0), dict(round_share=1.0), dict(text_share=1.0), dict(**ALL_FIELDS, border_share=1.0),
], ids=lambda changes: "-".join(changes) or "clean")
def test_each_randomisation_is_that_of_numba(changes, ct, windows, device):
    same(*both(TrainingImages(ct, 1.75, CLEAN._replace(**changes), variants=1), device, windows[:1], poses(24)))


@pytest.mark.parametrize("how", [BODY, BONE], ids=["body", "bone"])
def test_all_of_them_together(how, ct, windows, device):
    """Two views, so that each draws its own."""
    expected, found = both(TrainingImages(ct, 1.75, how, variants=2), device, windows, poses(40))
    same(expected, found)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1


def test_poses_from_all_sides_take_all_stacks(ct, windows, device):
    maker = TrainingImages(ct, 1.75, BODY, variants=3)
    around = poses(40, turn_deg=180.0)
    stacks = [maker.stacks[0].rays(window.camera, around).stack for window in windows]
    assert set(np.concatenate(stacks)) >= {3, 4, 5}
    for seed in range(3):  # another variant each
        same(*both(maker, device, windows, around[:8], seed))


def test_what_lies_around_a_structure_moves_alike(ct, windows, device):
    half = replace(ct, mask=np.indices(ct.volume.values.shape)[0] > 26)
    maker = TrainingImages(half, 1.75, variants=2)
    assert maker.others
    same(*both(maker, device, windows, poses(12)))


def test_each_view_may_have_a_pose_of_its_own(ct, windows, device):
    two = poses(2)
    same(*both(TrainingImages(ct, 1.75, variants=1), device, windows, np.stack([[two[0], two[1]], [two[1], two[0]]])))


def test_many_planes_do_not_run_over(windows, device):
    """Through more planes than a lane holds at a time."""
    from MultiViewRegistrationLib.imaging.ct import CT
    from MultiViewRegistrationLib.imaging.volume import Volume

    affine = np.diag([4.0, 4.0, 0.2, 1.0])
    affine[:3, 3] = -30, -30, -60
    long = CT(Volume(np.full((600, 16, 16), 1500.0, np.float32), affine))
    top = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # the beam along k
    maker = TrainingImages(long, 0.2, BODY, variants=1)
    rays = maker.stacks[0].rays(windows[0].camera, top[None])
    assert maker.stacks[0].shapes[rays.stack[0]][2] > 256
    same(*both(maker, device, windows[:1], np.repeat(top[None], 4, axis=0)))


def test_parts_that_are_made_at_once_are_those_made_one_by_one(ct, windows, device):
    """Each with a variant of its own."""
    maker, around = TrainingImages(ct, 1.75, BODY, variants=4), poses(9)

    def parts() -> list[tuple[np.ndarray, np.random.Generator]]:
        return [(around[:4], np.random.default_rng(1)), (around[4:], np.random.default_rng(2))]

    assert len({maker.scenes(part, windows, rng)[0].variant for part, rng in parts()}) == 2
    same(maker.batches(parts(), windows), DeviceImages(maker, device).batches(parts(), windows).cpu().numpy())


@pytest.mark.parametrize("how", [BODY, BONE], ids=["body", "bone"])
def test_what_goes_to_the_device_for_a_step_is_a_block_of_numbers(how, ct, windows, device, monkeypatch):
    """Of a step's 32 images, half of what their pixels would be at most; and nobody waits for it."""
    gone, send = [], torch.Tensor.to

    def counted(tensor, *arguments, **options):
        if arguments[:1] == (maker._device,):
            gone.append((tensor.nbytes, options))
        return send(tensor, *arguments, **options)

    maker = DeviceImages(TrainingImages(ct, 1.75, how, variants=1), device)
    monkeypatch.setattr(torch.Tensor, "to", counted)
    made = maker.batch(poses(16), windows, np.random.default_rng(0))
    assert 2e4 < sum(count for count, _ in gone) < made.nbytes / 2 and len(gone) == 2
    assert all(options == {"non_blocking": True} for _, options in gone)


def test_a_device_that_is_not_there_is_told(ct):
    with pytest.raises(InputError, match='the device is "cuda:7", but one of cpu.* is expected'):
        DeviceImages(TrainingImages(ct, 1.75, variants=1), "cuda:7")
