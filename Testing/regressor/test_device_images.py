"""Training images made by Warp and PyTorch, on the CPU, against those of numba; on a CUDA device, too, where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.regressor.images import TrainingImages
from MultiViewRegistrationLib.regressor.motions import key_of, variant_of
from MultiViewRegistrationLib.regressor.randomise import BODY, BONE, CLEAN
from MultiViewRegistrationLib.regressor.window import Window

torch = pytest.importorskip("torch", reason="the kernels need torch: pip install torch")
pytest.importorskip("warp", reason="the kernels need Warp: pip install warp-lang")

from MultiViewRegistrationLib.regressor.device_images import DeviceImages  # noqa: E402

#: In units of the standardised image, whose deviation is 0.6.
TOLERANCE = 1e-4
ALL_FIELDS = dict(straight_share=1.0, round_share=1.0, text_share=1.0)
#: Of batches of three continuations of the body, one each.
KEYS_OF_THREE = [next(n for n in range(100) if variant_of(key_of(n), np.uint64(3)) == variant) for variant in range(3)]


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
    return np.stack(
        [off(TRUE_POSE, rng.uniform(-turn_deg, turn_deg, 3), rng.uniform(-15, 15, 3)) for _ in range(count)]
    )


def both(maker: TrainingImages, device: str, windows, poses: np.ndarray, key: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(n, views, 2, 64, 64) by numba, and on the device."""
    mine = DeviceImages(maker, device).batch(poses, windows, key_of(key))
    assert mine.device.type == device and mine.dtype == torch.float32
    return maker.batch(poses, windows, key_of(key)), mine.cpu().numpy()


def same(expected: np.ndarray, found: np.ndarray) -> None:
    np.testing.assert_array_equal(found[:, :, 1], expected[:, :, 1])
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(bone=(0.3, 2.0)),
        dict(soft=(0.3, 2.0)),
        dict(dense=(0.3, 2.0)),
        dict(soft_removed_share=1.0),
        dict(all_bone=1.0, bone=(2, 3)),
        dict(hardening=(0.5, 0.6)),
        dict(scatter=(1.0, 2.0)),
        dict(glare=(0.5, 1.0)),
        dict(photons=(50.0, 100.0)),
        dict(shading=0.5),
        dict(blur=(0.5, 1.0)),
        dict(blur=(-1.0, -0.5)),
        dict(saturation_share=1.0, saturation=(-0.5, 0.2)),
        dict(darkest_share=1.0, darkest=(-0.5, 0.2)),
        dict(metal_share=1.0),
        dict(bones_share=1.0),
        dict(tissue_share=1.0),
        dict(ghost_share=1.0),
        dict(straight_share=1.0),
        dict(round_share=1.0),
        dict(text_share=1.0),
        dict(**ALL_FIELDS, border_share=1.0),
    ],
    ids=lambda changes: "-".join(changes) or "clean",
)
def test_each_randomisation_is_that_of_numba(changes, ct, windows, device):
    same(*both(TrainingImages(ct, 1.75, CLEAN._replace(**changes), variants=1), device, windows[:1], poses(24)))


def test_they_can_be_hardened(ct, windows, device):
    maker = TrainingImages(ct, 1.75, variants=1)
    there = DeviceImages(maker, device)
    for images in (maker, there):
        images.harden(0.7)
    same(maker.batch(poses(24), windows[:1], key_of(3)), there.batch(poses(24), windows[:1], key_of(3)).cpu().numpy())


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
    for key in KEYS_OF_THREE:
        same(*both(maker, device, windows, around[:8], key))


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


def test_a_batch_made_part_by_part_is_the_whole(ct, windows, device):
    """By either, and of what moves by itself, too."""
    maker, around, key = (
        TrainingImages(replace(ct, mask=np.indices(ct.volume.values.shape)[0] > 26), 1.75),
        poses(9),
        key_of(1),
    )
    whole = maker.batch(around, windows, key)
    np.testing.assert_array_equal(
        np.concatenate([maker.batch(around[:4], windows, key), maker.batch(around[4:], windows, key, 4)]), whole
    )
    mine = DeviceImages(maker, device)
    same(
        whole, torch.cat([mine.batch(around[:4], windows, key), mine.batch(around[4:], windows, key, 4)]).cpu().numpy()
    )


def test_a_device_that_is_not_there_is_told(ct):
    with pytest.raises(InputError, match='the device is "cuda:7", but one of cpu.* is expected'):
        DeviceImages(TrainingImages(ct, 1.75, variants=1), "cuda:7")
