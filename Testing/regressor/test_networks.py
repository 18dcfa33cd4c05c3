"""The two networks: what they say, that they learn, and that they say the same again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.imaging.ct import CT, masked
from MultiViewRegistrationLib.regressor.fusion import fuse, moved
from MultiViewRegistrationLib.regressor.loss import in_cameras
from MultiViewRegistrationLib.regressor.model import NAMES, calibrate, make_network
from MultiViewRegistrationLib.regressor.network import Network
from MultiViewRegistrationLib.regressor.optimiser import Muon, Optimiser, orthogonal, rate
from MultiViewRegistrationLib.regressor.posehead import PoseNetwork
from MultiViewRegistrationLib.regressor.voting import CellVotes, VotingNetwork, choose_landmarks

CENTROID = np.array([5.0, -12.0, 30.0])
NOMINAL = rigid.from_rotation_translation(np.eye(3), -CENTROID)
CAMERAS = [
    CArm(
        source_to_detector_mm=1010,
        source_to_isocentre_mm=700,
        pixel_mm=(4.64, 4.64),
        size=(64, 64),
        rao_lao_deg=angle,
        cra_cau_deg=3,
        mirrored=mirrored,
    ).camera()
    for angle, mirrored in ((0, False), (80, True))
]
POINTS = CENTROID + np.random.default_rng(1).uniform(-70, 70, (12, 3))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network_of(name: str, seed: int = 0) -> Network:
    return make_network(name, CAMERAS, NOMINAL, CENTROID, POINTS, seed)


def small(name: str) -> Network:
    torch.manual_seed(0)
    return (
        VotingNetwork(CAMERAS, POINTS, CENTROID, width=8)
        if name == "voting"
        else PoseNetwork(CAMERAS, NOMINAL, CENTROID, width=8)
    )


def batch(rng: np.random.Generator, count: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Poses (count, 4, 4), their images in both views, the views, and camera_from_ct: 12 balls of different sizes float in nothing."""
    poses = moved(
        np.broadcast_to(NOMINAL, (count, 4, 4)), rng.uniform(-1, 1, (count, 6)) * np.repeat([0.15, 20], 3), CENTROID
    )
    v, u = np.mgrid[:64, :64]
    images = np.zeros((count, len(CAMERAS), 2, 64, 64), np.float32)
    images[:, :, 1] = 1
    for number, camera in enumerate(CAMERAS):
        pixels = camera.project(rigid.transform_points(poses[:, None], POINTS))[..., None, None]
        radii = np.linspace(1.5, 5, len(POINTS))[:, None, None]
        images[:, number, 0] = (
            np.exp(-((u - pixels[:, :, 0]) ** 2 + (v - pixels[:, :, 1]) ** 2) / (2 * radii**2))
        ).sum(axis=1) * 3 - 1
    views = torch.arange(len(CAMERAS)).repeat(count)
    camera_from_ct = in_cameras(CAMERAS, torch.from_numpy(poses)).flatten(0, 1).float()
    return poses, torch.from_numpy(images).flatten(0, 1), views, camera_from_ct


def errors_mm(network: Network, poses: np.ndarray, images: torch.Tensor, views: torch.Tensor) -> np.ndarray:
    """(n,) mean distance at POINTS, of both views together."""
    found = []
    with torch.no_grad():
        for n in range(len(poses)):
            pair = slice(len(CAMERAS) * n, len(CAMERAS) * (n + 1))
            found.append(
                fuse(network.evidence(network(images[pair], views[pair]), CAMERAS), CENTROID, NOMINAL)[0].world_from_ct
            )
    apart = rigid.transform_points(np.stack(found)[:, None], POINTS) - rigid.transform_points(poses[:, None], POINTS)
    return np.linalg.norm(apart, axis=-1).mean(axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_and_how_wrong_it_is(name):
    network = network_of(name)
    _, images, views, camera_from_ct = batch(np.random.default_rng(0), 3)
    said = network(images, views)
    loss = network.loss(said, camera_from_ct, views)
    assert loss.shape == (6,) and torch.isfinite(loss).all()
    evidence = network.evidence(network(images[:2], views[:2]), CAMERAS)
    assert [each.at(NOMINAL[None]).matrix.shape for each in evidence] == 2 * [(1, 6, 6)]
    if name == "voting":
        assert said.positions.shape == (6, 2, 12, 64) and said.log_scales.shape == (6, 12, 64)
    else:
        assert said.camera_from_ct.shape == (6, 4, 4) and said.log_scales.shape == (6, 6)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_reached_by_a_gradient(name):
    network = small(name)
    optimiser = Optimiser(network)
    _, images, views, camera_from_ct = batch(np.random.default_rng(0), 4)
    for step in range(3):  # at first the blocks' second halves count 0, so that their first ones have none
        network.loss(network(images, views), camera_from_ct, views).mean().backward()
        lacking = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        optimiser.step((step + 1) / 10)
    assert lacking == []


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides(name):
    _, images, views, _ = batch(np.random.default_rng(0), 1)
    before = torch.random.get_rng_state()
    one, same, other = (network_of(name, seed)(images, views) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, same))
    assert not all(torch.equal(a, b) for a, b in zip(one, other))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_its_state_is_all_there_is(name):
    _, images, views, camera_from_ct = batch(np.random.default_rng(0), 1)
    network = network_of(name, 1)
    calibrate(network, np.array([50.0, 60.0, 70.0]))
    other = make_network(name, CAMERAS[::-1], np.eye(4), CENTROID + 1, POINTS - 1, 2)
    other.load_state_dict(network.state_dict())
    said, again = network(images, views), other(images, views)
    assert all(torch.equal(a, b) for a, b in zip(said, again))
    assert torch.equal(network.loss(said, camera_from_ct, views), other.loss(again, camera_from_ct, views))
    for one, two in zip(network.evidence(said, CAMERAS), other.evidence(again, CAMERAS)):
        np.testing.assert_array_equal(one.at(NOMINAL[None]).right, two.at(NOMINAL[None]).right)


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match='"unet" is not known, expected one of voting, pose'):
        network_of("unet")


@pytest.mark.parametrize("name, limit_mm", [("voting", 8.0), ("pose", 10.0)])
def test_it_learns_where_a_constellation_of_balls_is(name, limit_mm):
    """From poses 9 degrees and 20 mm around, 18 mm off on average, in seconds."""
    network, rng = small(name), np.random.default_rng(0)
    optimiser, steps = Optimiser(network), 200
    for step in range(steps):
        _, images, views, camera_from_ct = batch(rng, 8)
        network.loss(network(images, views), camera_from_ct, views).mean().backward()
        optimiser.step(step / steps)
    poses, images, views, _ = batch(np.random.default_rng(99), 20)
    nothing = np.linalg.norm(
        rigid.transform_points(poses[:, None], POINTS) - rigid.transform_points(NOMINAL, POINTS), axis=-1
    ).mean()
    assert nothing > 18
    assert np.median(errors_mm(network, poses, images, views)) < limit_mm


def test_perfect_votes_are_the_true_pose_in_either_kind_of_image():
    network = network_of("voting")
    poses, _, views, camera_from_ct = batch(np.random.default_rng(5), 1)
    true = network.project(camera_from_ct, views)
    pixels = (true.permute(0, 2, 1).double().numpy() + 0.5) * 64 - 0.5
    for camera, found in zip(CAMERAS, pixels):
        np.testing.assert_allclose(found, camera.project(rigid.transform_points(poses[0], POINTS)), atol=1e-3)
    said = CellVotes(true[..., None].expand(-1, -1, -1, 64), torch.full((2, 12, 64), -3.0))
    pose = fuse(network.evidence(said, CAMERAS), CENTROID, NOMINAL)[0].world_from_ct
    assert (
        np.linalg.norm(rigid.transform_points(pose, POINTS) - rigid.transform_points(poses[0], POINTS), axis=1).max()
        < 0.05
    )


def test_a_votes_likelihood_is_greatest_at_the_truth_and_at_its_own_distance():
    network = network_of("voting")
    _, _, views, camera_from_ct = batch(np.random.default_rng(5), 1)
    true = network.project(camera_from_ct, views)[..., None].expand(-1, -1, -1, 64)
    off = true + 0.08 * torch.tensor([0.6, 0.8])[:, None, None]

    def loss(positions, scale):
        return (
            network.loss(CellVotes(positions, torch.full((2, 12, 64), np.log(scale))), camera_from_ct, views)
            .mean()
            .item()
        )

    assert loss(true, 0.04) < loss(off, 0.04)
    assert min((loss(off, scale), scale) for scale in np.linspace(0.02, 0.08, 61))[1] == pytest.approx(0.04)


def test_a_pose_network_begins_at_the_nominal_pose_and_moves_about_the_centroid():
    network = network_of("pose")
    _, images, views, camera_from_ct = batch(np.random.default_rng(5), 1)
    nominal = in_cameras(CAMERAS, torch.from_numpy(NOMINAL)).float()
    for head in (network.rotation, network.translation):
        torch.nn.init.zeros_(head.weight)
    assert torch.allclose(network(images, views).camera_from_ct, nominal, atol=1e-3)
    network.rotation.bias.data[:] = torch.tensor([1.0, -0.5, 0.3])
    turned = network(images, views).camera_from_ct
    centre = torch.tensor(CENTROID).float()
    assert torch.allclose(
        turned[:, :3, :3] @ centre + turned[:, :3, 3], nominal[:, :3, :3] @ centre + nominal[:, :3, 3], atol=1e-3
    )
    turn = rigid.rotation_angle(turned[0].double().detach().numpy() @ np.linalg.inv(nominal[0].numpy()))
    assert turn == pytest.approx(0.2 * np.linalg.norm([1, -0.5, 0.3]), rel=1e-3)


def test_the_evidence_of_a_pose_is_that_pose_and_its_scales():
    network = network_of("pose")
    poses, images, views, camera_from_ct = batch(np.random.default_rng(5), 1)
    scales = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 2.0])
    said = network(images, views)._replace(camera_from_ct=camera_from_ct, log_scales=scales.log().expand(2, 6))
    assert network.loss(said, camera_from_ct, views).tolist() == pytest.approx(
        2 * [scales.log().mean().item()], abs=1e-3
    )
    for guess, camera in zip(network.evidence(said, CAMERAS), CAMERAS):
        np.testing.assert_allclose(guess.world_from_ct, poses[0], atol=1e-3)
        beam = camera.camera_from_world[2, :3]
        assert np.sqrt(beam @ guess.covariance[3:, 3:] @ beam) == pytest.approx(np.sqrt(2) * 2.0 * 30, rel=1e-4)
        assert np.sqrt(beam @ guess.covariance[:3, :3] @ beam) == pytest.approx(np.sqrt(2) * 0.3 * 0.2, rel=1e-4)
    error = network._error(said.camera_from_ct, in_cameras(CAMERAS, torch.from_numpy(NOMINAL)).float())
    moved_there = moved(poses[0], np.zeros(6), CENTROID)
    assert error.abs().max() > 0.05 and np.allclose(moved_there, poses[0])


def test_the_scales_alone_can_be_learnt():
    network = network_of("pose")
    _, images, views, camera_from_ct = batch(np.random.default_rng(5), 2)
    network.scale_loss(network(images, views), camera_from_ct).mean().backward()
    assert network.rotation.weight.grad is None and network.translation.weight.grad is None
    assert network.spread.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_calibrated_evidence_is_as_wrong_as_it_says(name):
    network = network_of(name)
    _, images, views, _ = batch(np.random.default_rng(5), 1)
    said = network(images, views)
    before = network.evidence(said, CAMERAS)[0].at(NOMINAL[None]).matrix
    calibrate(network, np.array([53.48, 1e9, 0.1]))
    np.testing.assert_allclose(network.evidence(said, CAMERAS)[0].at(NOMINAL[None]).matrix, before / 10, rtol=1e-3)


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (8, 8)])
def test_the_step_of_muon_is_the_nearest_orthogonal_matrix_or_nearly(shape):
    matrix = torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.linalg.matrix_norm(orthogonal(matrix) - u @ v) < 0.3 * torch.linalg.matrix_norm(u @ v)
    values = torch.linalg.svdvals(orthogonal(100 * matrix))
    assert values.min() > 0.6 and values.max() < 1.25


def test_muon_goes_downhill():
    kernel = torch.nn.Parameter(torch.zeros(4, 3, 2, 2))
    target = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 2, 2))).float()
    optimiser = Muon([kernel], lr=0.05, momentum=0.9, decay=0.0)
    for _ in range(200):
        kernel.grad = kernel.detach() - target
        optimiser.step()
    assert (kernel - target).norm() < 0.2 * target.norm()


def test_training_goes_on_where_it_stopped():
    def trained(network, optimiser, steps):
        for step in steps:
            _, images, views, camera_from_ct = batch(np.random.default_rng(step), 2)
            network.loss(network(images, views), camera_from_ct, views).mean().backward()
            optimiser.step(step / 10)
        return network, optimiser

    network = small("voting")
    unbroken, _ = trained(network, Optimiser(network), range(1, 6))
    network = small("voting")
    network, optimiser = trained(network, Optimiser(network), range(1, 4))
    other = small("voting")
    again = Optimiser(other)
    other.load_state_dict(network.state_dict())
    again.load_tensors(optimiser.tensors())
    resumed, _ = trained(other, again, range(4, 6))
    assert all(torch.equal(a, b) for a, b in zip(unbroken.state_dict().values(), resumed.state_dict().values()))


def test_a_gradient_that_is_not_finite_changes_nothing():
    network = small("voting")
    optimiser = Optimiser(network)
    _, images, views, camera_from_ct = batch(np.random.default_rng(0), 1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.loss(network(images * torch.nan, views), camera_from_ct, views).mean().backward()
    assert not np.isfinite(optimiser.step(0.5))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_rate_rises_and_falls():
    rates = np.array([rate(progress) for progress in np.linspace(0, 1, 101)])
    assert rates[0] == 0 and rates[-1] == pytest.approx(0) and 0.98 < rates.max() <= 1
    assert (np.diff(rates[:6]) > 0).all() and (np.diff(rates[6:]) < 0).all()
    assert rate(1.5) == pytest.approx(0)


def test_landmarks_are_on_the_bone_and_far_apart(ct):
    chosen = choose_landmarks(ct, 16, 60.0)
    values, index = ct.volume.values, np.argwhere(ct.volume.values > 200)
    bone = rigid.transform_points(ct.volume.ct_from_index, index[:, ::-1])
    assert chosen.shape == (16, 3)
    assert cKDTree(bone).query(chosen)[0].max() < 1e-6
    assert np.linalg.norm(chosen - ct.centroid(), axis=1).max() <= 60
    near = bone[np.linalg.norm(bone - ct.centroid(), axis=1) <= 60]
    random = np.random.default_rng(0).choice(near, 16, replace=False)
    assert nearest_mm(chosen) > 2 * nearest_mm(random)
    np.testing.assert_array_equal(chosen, choose_landmarks(ct, 16, 60.0))
    assert values.ndim == 3


def nearest_mm(points: np.ndarray) -> float:
    return cKDTree(points).query(points, k=2)[0][:, 1].min()


def test_landmarks_of_a_structure_are_on_it(ct):
    mask = np.zeros(ct.volume.values.shape, bool)
    middle = np.array(mask.shape) // 2
    mask[tuple(slice(m - 6, m + 6) for m in middle)] = True
    structure = masked(CT(ct.volume, ct.unit), mask)
    index = rigid.transform_points(ct.volume.index_from_ct, choose_landmarks(structure, 12))
    assert (np.abs(index[:, ::-1] - (middle - 0.5)) < 6).all()
