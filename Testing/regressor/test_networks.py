"""The networks: what they say, that they learn, and that they say the same again."""

import numpy as np
import pytest
import torch
from helpers.phantom import c_arm, slot_scan_of
from helpers.refusals import refuses
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.spatial import cKDTree

from MultiViewRegistrationLib import PoseNetwork, extensions
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import SlotScan
from MultiViewRegistrationLib.regressor.fusion import fuse, moved
from MultiViewRegistrationLib.regressor.images import Window
from MultiViewRegistrationLib.regressor.loss import in_cameras
from MultiViewRegistrationLib.regressor.network import (
    CellVotes,
    Poses,
    VotingNetwork,
    choose_landmarks,
    make_network,
)

CENTROID = np.array([5.0, -12.0, 30.0])
NOMINAL = rigid.translation(-CENTROID)
SEEN = {"source_to_detector_mm": 1010, "pixel_mm": (4.64, 4.64), "size": (64, 64)}
CAMERAS = [c_arm(0, 3, **SEEN), c_arm(80, 3, mirrored=True, **SEEN)]
POINTS = CENTROID + np.random.default_rng(1).uniform(-70, 70, (12, 3))
each = pytest.mark.parametrize("name", ["voting", "published"])


def network_of(name, seed=0):
    return make_network(name, CAMERAS, NOMINAL, CENTROID, POINTS, seed)


def small(name):
    torch.manual_seed(0)
    if name == "voting":
        return VotingNetwork(CAMERAS, POINTS, CENTROID, width=8)
    return PoseNetwork(CAMERAS, NOMINAL, CENTROID, width=8)


def batch(seed, count):
    """Poses (count, 4, 4), their images in both views, the views, and camera_from_ct.

    12 balls of different sizes float in nothing.
    """
    motions = np.random.default_rng(seed).uniform(-1, 1, (count, 6)) * np.repeat([0.15, 20], 3)
    poses = moved(np.broadcast_to(NOMINAL, (count, 4, 4)), motions, CENTROID)
    v, u = np.mgrid[:64, :64]
    radii = np.linspace(1.5, 5, len(POINTS))[:, None, None]
    images = np.ones((count, len(CAMERAS), 2, 64, 64), np.float32)
    for number, camera in enumerate(CAMERAS):
        pixels = camera.project(rigid.transform_points(poses[:, None], POINTS))[..., None, None]
        balls = np.exp(-((u - pixels[:, :, 0]) ** 2 + (v - pixels[:, :, 1]) ** 2) / (2 * radii**2))
        images[:, number, 0] = balls.sum(axis=1) * 3 - 1
    views = torch.arange(len(CAMERAS)).repeat(count)
    camera_from_ct = in_cameras(CAMERAS, torch.from_numpy(poses)).flatten(0, 1).float()
    return poses, torch.from_numpy(images).flatten(0, 1), views, camera_from_ct


def at_points(poses):
    return rigid.transform_points(poses[..., None, :, :], POINTS)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"body": torch.nn.Identity()}, "predicts no pose"),
        ({"more": torch.nn.Linear(2, 2)}, "does not use more.weight"),
    ],
)
def test_a_custom_network_that_cannot_learn_is_refused(change, fault, monkeypatch):
    class Custom(PoseNetwork):
        name = "custom"

        def __init__(self, cameras, world_from_ct, centroid):
            super().__init__(cameras, world_from_ct, centroid)
            for part, module in change.items():
                setattr(self, part, module)

    monkeypatch.setitem(extensions._given, ("network", "custom"), Custom)
    with refuses(f'The network "custom" .*{fault}.* Let __init__ set `stem` and `body`'):
        network_of("custom")


@each
def test_the_state_determines_what_a_network_says_and_how_sure_it_is(name):
    _, images, views, camera_from_ct = batch(0, 1)
    network = network_of(name, 1)
    said = network(images, views)
    uncalibrated = network.evidence(said, CAMERAS)[0].at(NOMINAL[None]).matrix
    network.calibrate(np.array([53.48, 1e9, 0.1]))  # ten times the median of chi squared
    calibrated = network.evidence(said, CAMERAS)[0].at(NOMINAL[None]).matrix
    assert_allclose(calibrated, uncalibrated / 10, rtol=1e-3, atol=1e-12)
    another = make_network(name, CAMERAS[::-1], np.eye(4), CENTROID + 1, POINTS - 1, 2)
    another.load_state_dict(network.state_dict())
    said, again = network(images, views), another(images, views)
    loss = network.loss(said, camera_from_ct, views)
    assert same(said, again) and loss.shape == (2,)
    assert torch.equal(loss, another.loss(again, camera_from_ct, views))
    for ours, theirs in zip(network.evidence(said, CAMERAS), another.evidence(again, CAMERAS)):
        assert_array_equal(ours.at(NOMINAL[None]).right, theirs.at(NOMINAL[None]).right)


SLOT_SCAN = Window.of(
    SlotScan(**slot_scan_of(90)).camera(), rigid.transform_points(NOMINAL, POINTS)
).camera


@pytest.mark.parametrize(
    "cameras", [CAMERAS, [CAMERAS[0], SLOT_SCAN]], ids=["C-arms", "and a slot scan"]
)
def test_perfect_votes_are_the_true_pose_in_either_kind_of_image(cameras):
    network = make_network("voting", cameras, NOMINAL, CENTROID, POINTS)
    poses, _, views, _ = batch(5, 1)
    camera_from_ct = in_cameras(cameras, torch.from_numpy(poses)).flatten(0, 1).float()
    true = network.project(camera_from_ct, views)
    for camera, found in zip(cameras, (true.permute(0, 2, 1).double().numpy() + 0.5) * 64 - 0.5):
        assert_allclose(found, camera.project(at_points(poses[0])), atol=1e-3)
    said = CellVotes(true[..., None].expand(-1, -1, -1, 64), torch.full((2, 12, 64), -3.0))
    pose = fuse(network.evidence(said, cameras), CENTROID, NOMINAL)[0].world_from_ct
    assert np.linalg.norm(at_points(pose) - at_points(poses[0]), axis=-1).max() < 0.05


def test_a_votes_likelihood_is_greatest_at_the_truth_and_at_its_own_distance():
    network = network_of("voting")
    _, _, views, camera_from_ct = batch(5, 1)
    true = network.project(camera_from_ct, views)[..., None].expand(-1, -1, -1, 64)
    off = true + 0.08 * torch.tensor([0.6, 0.8])[:, None, None]

    def loss(positions, scale):
        votes = CellVotes(positions, torch.full((2, 12, 64), np.log(scale)))
        return network.loss(votes, camera_from_ct, views).mean().item()

    assert loss(true, 0.04) < loss(off, 0.04)
    scales = np.linspace(0.02, 0.08, 61)
    assert scales[np.argmin([loss(off, scale) for scale in scales])] == pytest.approx(0.04)


def test_the_published_head_is_the_exponential_on_se3_in_the_axes_of_the_ct():
    """Against scipy's exponential of a matrix; its gradients against finite differences."""
    network = small("published")
    _, images, views, _ = batch(5, 1)
    twist = np.array([0.3, -0.2, 0.4, 30.0, -20.0, 50.0])
    for head, bias in ((network.rotation, twist[:3]), (network.translation, twist[3:])):
        torch.nn.init.zeros_(head.weight)
        head.bias.data[:] = torch.from_numpy(bias)
    predicted = network(images, views)
    matrix = np.zeros((4, 4))
    matrix[:3] = np.column_stack([np.cross(twist[:3], np.eye(3), axisb=0, axisc=0), twist[3:]])
    motion = rigid.about(CENTROID, expm(matrix))
    for camera, pose in zip(CAMERAS, predicted.camera_from_ct.detach().numpy()):
        assert_allclose(pose, camera.camera_from_world @ NOMINAL @ np.linalg.inv(motion), atol=2e-3)
    network = network.double()
    for start in (np.zeros(6), twist):
        moved = torch.from_numpy(np.stack([start, start])).requires_grad_()
        assert torch.autograd.gradcheck(lambda each: network.moved(each, views), moved, atol=1e-5)


def test_the_evidence_of_a_pose_is_that_pose_and_its_scales():
    network = network_of("published")
    poses, _, _, camera_from_ct = batch(5, 1)
    said = Poses(camera_from_ct)
    assert network.loss(said, camera_from_ct).tolist() == pytest.approx([0.0, 0.0], abs=1e-3)
    for guess, camera in zip(network.evidence(said, CAMERAS), CAMERAS):
        assert_allclose(guess.world_from_ct, poses[0], atol=1e-3)
        beam = camera.camera_from_world[2, :3]
        for part, unit in ((guess.covariance[3:, 3:], 30), (guess.covariance[:3, :3], 0.2)):
            assert np.sqrt(beam @ part @ beam) == pytest.approx(np.sqrt(2) * unit, rel=1e-4)


def nearest_mm(points):
    return cKDTree(points).query(points, k=2)[0][:, 1].min()


def test_voting_network_takes_weights_but_not_the_geometry_of_another_patient():
    centroid = CENTROID + [3.0, 40.0, -5.0]
    network = make_network("voting", CAMERAS[::-1], NOMINAL, centroid, POINTS + 1.0, 0)
    other = network_of("voting", seed=1)
    network.take_weights(other)
    assert same(network.parameters(), other.parameters())
    assert_allclose(network.centroid, centroid, rtol=1e-6)
    assert_allclose(network.known_landmarks(POINTS) - centroid, POINTS - CENTROID, atol=1e-4)


def test_landmarks_are_on_the_bone_and_far_apart(ct):
    centre = ct.centroid() + 20
    chosen, index = choose_landmarks(ct, centre, 16, 60.0), np.argwhere(ct.volume.values > 200)
    bone = rigid.transform_points(ct.volume.ct_from_index, index[:, ::-1])
    assert chosen.shape == (16, 3) and cKDTree(bone).query(chosen)[0].max() < 1e-6
    assert np.linalg.norm(chosen - centre, axis=1).max() <= 60
    near = bone[np.linalg.norm(bone - centre, axis=1) <= 60]
    drawn = np.random.default_rng(0).choice(near, 16, replace=False)
    assert nearest_mm(chosen) > 2 * nearest_mm(drawn)
