"""The simulators' geometry is ours.

A ball lands where the camera says, a box is as thick as its faces cut the rays, edges coincide.
"""

import numpy as np
import pytest
from helpers.file_io import read_json, read_values
from helpers.phantom import SPACING, write_bony_ct
from helpers.refusals import refuses
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from benchmarks.simulation.body import (
    Body,
    single_bones,
)
from benchmarks.simulation.cases import random_cameras
from benchmarks.simulation.projector import MovedBones, RtkProjector
from benchmarks.simulation.simulator import SimulatedXRay
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume, load_ct

pytestmark = pytest.mark.usefixtures("rtk")


def posed(rng, mirrored, centre_ct, depth_mm=700):
    """A camera that sees centre_ct from anywhere, and a world_from_ct that is anything."""
    turn = Rotation.random(random_state=rng).as_matrix()
    world_from_ct = rigid.from_rotation_translation(turn, rng.uniform(-300, 300, 3))
    intrinsics = [
        [-1700.0 if mirrored else 1700.0, 0, rng.uniform(110, 150)],
        [0, 1650, rng.uniform(90, 130)],
        [0, 0, 1],
    ]
    R = Rotation.random(random_state=rng).as_matrix()
    there = [*rng.uniform(-15, 15, 2), depth_mm]
    shift = there - R @ rigid.transform_points(world_from_ct, centre_ct)
    camera = Camera(intrinsics, rigid.from_rotation_translation(R, shift), (256, 220))
    return camera, world_from_ct


def grid(rng, mirrored_index):
    """ct_from_index of an oblique CT with uneven spacing and an origin far away."""
    axes = Rotation.random(random_state=rng).as_matrix()
    if mirrored_index:
        axes[:, 1] *= -1
    return rigid.from_rotation_translation(axes * [0.8, 0.9, 1.5], rng.uniform(-500, 500, 3))


@pytest.mark.quick_variants("1-True-False")
@pytest.mark.parametrize(
    "seed, mirrored, mirrored_index", [(0, False, False), (1, True, False), (2, False, True)]
)
def test_ball_is_projected_to_its_pixel(seed, mirrored, mirrored_index):
    rng = np.random.default_rng(seed)
    ct_from_index = grid(rng, mirrored_index)
    indices = np.moveaxis(np.indices((40, 60, 70))[::-1], 0, -1)
    ball, middle = (
        rigid.transform_points(ct_from_index, np.array(at))
        for at in ([44.3, 17.8, 24.6], [35, 30, 20])
    )
    away = np.linalg.norm(rigid.transform_points(ct_from_index, indices) - ball, axis=-1)
    camera, world_from_ct = posed(rng, mirrored, middle, depth_mm=(700, 1500)[seed % 2])
    density = np.clip(5.5 - away, 0, 1)  # 10 mm of 1 g/cm^3, and of 2
    projector = RtkProjector(Body(density, 2 * density, ct_from_index))
    water, bone = projector.project(camera, world_from_ct)

    v, u = np.indices(water.shape)
    landed = np.array([(water * u).sum(), (water * v).sum()]) / water.sum()
    assert_allclose(landed, camera.project(rigid.transform_points(world_from_ct, ball)), atol=0.05)
    assert (water + bone).max() == pytest.approx(3.0, rel=0.05)
    assert_allclose(bone, 2 * water, rtol=1e-4, atol=1e-6)


def test_camera_with_skew_is_rejected():
    air = np.zeros((4, 4, 4))
    projector = RtkProjector(Body(air, air, np.eye(4)))
    skewed = Camera([[100, 2, 5], [0, 100, 5], [0, 0, 1]], np.eye(4), (10, 10))
    with refuses("skew of 2"):
        projector.project(skewed, np.eye(4))


@pytest.mark.slow
def test_edges_equal_those_of_another_simulation(shared_data):
    """The same CT, pose and cameras, simulated by others with RTK."""
    folder = shared_data / "sim" / "pelvis-oblique-2"
    case = read_json(folder / "case.json")
    projector = RtkProjector(Body.from_hu(load_ct(folder / case["ct"]).volume))
    for view in case["views"]:
        theirs = read_values(folder / view["image"])
        P, size = view["projection_matrix"], (512, 512)
        camera = Camera.from_projection_matrix(P, size, in_front=np.zeros(3))
        truth = np.array(case["truth"]["world_from_ct"])
        ours = SimulatedXRay(photons=1e5).take(projector, camera, truth, np.random.default_rng(0))
        shift, correlation = shift_px(details(ours), details(theirs))
        assert np.abs(shift).max() < 0.05
        assert correlation > 0.6


@pytest.mark.slow
def test_moved_bone_is_projected_at_its_new_pose(tmp_path):
    """The bone moves by whole voxels, so that the CT itself can be moved for comparison."""
    ct = load_ct(write_bony_ct(tmp_path / "ct.nii.gz")).volume
    camera = random_cameras(np.random.default_rng(0), 1, (0, 0))[0]
    middle = rigid.transform_points(ct.ct_from_index, np.array([46.0, 35, 30]))
    pose = rigid.translation(-middle)
    mask = single_bones(ct)[0]
    whole = RtkProjector(Body.from_hu(ct, 0))
    before = whole.project(camera, pose)
    labels = mask.astype(np.uint8)
    still = MovedBones(whole, ct, labels, {1: np.eye(4)})
    assert_allclose(still.project(camera, pose), before, atol=1e-4)

    # All else goes two voxels to the patient's left; seen from there, the bone has gone two to the
    # right.
    rest_from_bone = rigid.translation(np.array([2 * SPACING[0], 0, 0]))
    soft = np.where(mask, np.float32(40), ct.values)
    soft = np.roll(soft, 2, axis=2)
    soft[mask] = (
        ct.values[mask] + soft[mask] - 40
    )  # one over the other where they overlap, as line integrals add up
    expected = RtkProjector(Body.from_hu(Volume(soft, ct.ct_from_index), 0)).project(camera, pose)
    moved = MovedBones(whole, ct, labels, {1: rigid.inverse(rest_from_bone)})
    shown = moved.project(camera, pose @ rest_from_bone)
    assert np.abs(shown - before).max() > 1
    # Attenuation is made of HU by a line with a corner: where bones overlap the sum is not quite
    # that of the summed HU.
    assert np.percentile(np.abs(shown - expected), 99) < 0.1 * np.percentile(
        np.abs(shown - before), 99
    )


def details(image):
    log = np.log(image.astype(float) + 1)
    return (gaussian_filter(log, 1) - gaussian_filter(log, 6))[20:-20, 20:-20]


def shift_px(a, b):
    """Sub-pixel (u, v) by which b is a moved, least squares on the gradient of a.

    And their correlation.
    """
    gradient_v, gradient_u = np.gradient(a)
    columns = np.stack([gradient_u.ravel(), gradient_v.ravel(), a.ravel()], axis=1)
    u, v, gain = np.linalg.lstsq(columns, b.ravel(), rcond=None)[0]
    return np.array([u, v]) / -gain, np.corrcoef(a.ravel(), b.ravel())[0, 1]
