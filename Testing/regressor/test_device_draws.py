"""What is drawn for a batch, by Warp, against what numba draws from the same key; and its distributions against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from phantom import make_ct, make_views
from scipy import stats

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.regressor import drawn
from MultiViewRegistrationLib.regressor.motions import NEIGHBOURS, POSE, key_of, neighbours, states_of_images
from MultiViewRegistrationLib.regressor.poses import DiffPosePoses, PoseRange
from MultiViewRegistrationLib.regressor.randomise import BODY, BONE, CLEAN, draw

torch = pytest.importorskip("torch", reason="the kernels need torch: pip install torch")
wp = pytest.importorskip("warp", reason="the kernels need Warp: pip install warp-lang")

from MultiViewRegistrationLib.regressor import draw_kernels  # noqa: E402
from MultiViewRegistrationLib.regressor.device_motions import DeviceMotions, told  # noqa: E402
from MultiViewRegistrationLib.regressor.on_warp import as_struct  # noqa: E402
from MultiViewRegistrationLib.rendering.gpu import known_device, launch  # noqa: E402

POSES, VIEWS, FIRST = 300, 2, 5
#: All that may be drawn, in every image.
ALL = BONE._replace(
    soft_removed_share=1.0,
    saturation_share=1.0,
    darkest_share=1.0,
    metal_share=1.0,
    bones_share=1.0,
    tissue_share=1.0,
    ghost_share=1.0,
    straight_share=1.0,
    round_share=1.0,
    text_share=1.0,
    border_share=1.0,
)


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    return known_device(request.param)


@pytest.fixture(scope="module")
def camera():
    return make_views(make_ct())[0].camera


@pytest.mark.parametrize("how", [BODY, BONE, CLEAN, ALL], ids=["body", "bone", "clean", "all"])
def test_what_is_drawn_for_an_image_is_what_numba_draws(how, device):
    """Number by number; on the CPU bit by bit."""
    rows, columns, key = 64, 48, key_of(7, 1)
    mm = np.random.default_rng(0).uniform(0.5, 3.0, (POSES, VIEWS))
    count = POSES * VIEWS
    numbers = torch.empty((count, drawn.NUMBERS), dtype=torch.float64, device=device)
    capsules = torch.zeros((count, drawn.MOST_CAPSULES, drawn.CAPSULE), dtype=torch.float64, device=device)
    states, noise = (torch.empty(shape, dtype=torch.int64, device=device) for shape in ((count, 1), count))
    launch(
        draw_kernels.draw_images,
        (POSES, VIEWS),
        device,
        [
            as_struct(how),
            rows,
            columns,
            told(key, device),
            FIRST,
            torch.from_numpy(mm).to(device),
            states,
            numbers,
            capsules,
            noise,
        ],
    )

    expected, theirs, of_noise = np.empty((count, drawn.NUMBERS)), np.zeros(capsules.shape), np.empty(count, np.uint64)
    for n, state in enumerate(states_of_images(key, FIRST, POSES, VIEWS).T.ravel()):
        of_noise[n] = draw(how, rows, columns, mm.flat[n], np.array([state]), expected[n], theirs[n])
    rounding = 0.0 if device == "cpu" else 1e-9
    np.testing.assert_allclose(numbers.cpu().numpy(), expected, rtol=rounding, atol=rounding)
    np.testing.assert_allclose(capsules.cpu().numpy(), theirs, rtol=rounding, atol=rounding)
    np.testing.assert_array_equal(noise.cpu().numpy().view(np.uint64), of_noise)
    assert len(np.unique(of_noise)) == count
    varied = (np.diff(expected, axis=0) != 0).any(axis=0)
    assert varied[: drawn.GHOSTS if how is BODY else None].all() if how is not CLEAN else not varied.any()


def motions_of(name: str, camera):
    if name == "neighbours":
        return neighbours(np.array([3.0, -40.0, 90.0]), 8.0, 4.0)
    about = np.array([10.0, -20.0, 30.0])
    if name == "diffpose":
        return DiffPosePoses.about(camera, np.eye(4), about).motions()
    widths = dict(orbital_deg=15, tilt_deg=10, roll_deg=170, columns_mm=50, rows_mm=75, beam_mm=60)
    return PoseRange(camera=camera, world_from_ct=np.eye(4), centroid=about, **widths).motions()


@pytest.mark.parametrize("name", ["range", "diffpose", "neighbours"])
def test_motions_are_those_of_the_cpu(name, device, camera):
    motions, key = motions_of(name, camera), key_of(3, 0, 12)
    what = NEIGHBOURS if name == "neighbours" else POSE
    expected, mine = motions.sample(key, range(40), what), DeviceMotions(motions, device)
    found = mine.sample(key, range(40), what)
    assert found.device.type == device.partition(":")[0] and found.dtype == torch.float64
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(mine.sample(key, range(17, 40), what).cpu().numpy(), found[17:].cpu().numpy())
    assert np.abs(motions.sample(key_of(3, 0, 13), range(40), what) - expected).max() > 1


def test_neighbours_turn_about_the_centroid_and_shift():
    centroid = np.array([3.0, -40.0, 90.0])
    motions = neighbours(centroid, 8.0, 4.0).sample(key_of(1), range(4000), NEIGHBOURS)
    shifts = rigid.transform_points(motions, centroid) - centroid
    turns = np.degrees(rigid.log_so3(motions[:, :3, :3]))
    for number, sd in [*((turn, 8.0) for turn in turns.T), *((shift, 4.0) for shift in shifts.T)]:
        assert stats.kstest(number, stats.norm(0, sd).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(np.concatenate([turns, shifts], axis=1).T) - np.eye(6)).max() < 0.06


def test_poses_of_neighbouring_keys_have_nothing_to_do_with_each_other(camera):
    """As those of the steps of a training: together still even, and not alike at the same number."""
    motions = motions_of("range", camera)
    depths = np.stack(
        [motions.sample(key_of(0, stream, step), range(16))[:, 2, 3] for stream in (0, 2) for step in range(100)]
    )
    assert len(np.unique(depths)) == depths.size
    assert np.abs(np.corrcoef(depths.T) - np.eye(16)).max() < 0.3
    assert abs(np.corrcoef(depths[:100].ravel(), depths[100:].ravel())[0, 1]) < 0.08


def test_it_compiles_for_a_card_where_there_is_none(tmp_path):
    """To PTX, by the compiler that comes with Warp."""
    from MultiViewRegistrationLib.regressor import device_kernels

    if not hasattr(wp, "compile_aot_module"):
        pytest.skip("needs a Warp that compiles ahead of time")
    for module in (draw_kernels, device_kernels):
        wp.compile_aot_module(wp.get_module(module.__name__), arch=75, module_dir=tmp_path, use_ptx=True)
    assert sorted(len(path.read_text()) > 1000 for path in tmp_path.glob("*.ptx")) == [True, True]
