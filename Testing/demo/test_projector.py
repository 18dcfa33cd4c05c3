"""RTK's geometry is ours: a ball lands where the camera says, a box is as thick as its faces cut the rays."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.simulation.body import Body
from MultiViewRegistrationLib.simulation.projector import Projector
from MultiViewRegistrationLib.simulation.simulator import SimulatedXRay

pytest.importorskip(
    "itk.rtkJosephForwardProjectionImageFilterPython",
    reason='needs itk-rtk: pip install "multiview-registration[demo]"',
)


def posed(rng, mirrored, centre_ct, depth_mm=700):
    """A camera that sees centre_ct from anywhere, and a world_from_ct that is anything."""
    world_from_ct = np.eye(4)
    world_from_ct[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    world_from_ct[:3, 3] = rng.uniform(-300, 300, 3)
    intrinsics = [
        [-1700.0 if mirrored else 1700.0, 0, rng.uniform(110, 150)],
        [0, 1650, rng.uniform(90, 130)],
        [0, 0, 1],
    ]
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    centre = world_from_ct[:3, :3] @ centre_ct + world_from_ct[:3, 3]
    camera_from_world[:3, 3] = [*rng.uniform(-15, 15, 2), depth_mm] - camera_from_world[:3, :3] @ centre
    return Camera(intrinsics, camera_from_world, (256, 220)), world_from_ct


def grid(rng, mirrored_index):
    """ct_from_index of an oblique CT with uneven spacing and an origin far away."""
    axes = Rotation.random(random_state=rng).as_matrix()
    if mirrored_index:
        axes[:, 1] *= -1
    ct_from_index = np.eye(4)
    ct_from_index[:3, :3] = axes * [0.8, 0.9, 1.5]
    ct_from_index[:3, 3] = rng.uniform(-500, 500, 3)
    return ct_from_index


@pytest.mark.parametrize(
    "seed, mirrored, mirrored_index", [(0, False, False), (1, True, False), (2, False, True), (3, True, True)]
)
def test_a_ball_lands_where_the_camera_says(seed, mirrored, mirrored_index):
    rng = np.random.default_rng(seed)
    ct_from_index = grid(rng, mirrored_index)
    indices = np.moveaxis(np.indices((40, 60, 70))[::-1], 0, -1)
    points = indices @ ct_from_index[:3, :3].T + ct_from_index[:3, 3]
    ball = ct_from_index[:3, :3] @ [44.3, 17.8, 24.6] + ct_from_index[:3, 3]
    density = np.clip(5.5 - np.linalg.norm(points - ball, axis=-1), 0, 1)
    middle = ct_from_index[:3, :3] @ [35, 30, 20] + ct_from_index[:3, 3]
    camera, world_from_ct = posed(rng, mirrored, middle, depth_mm=(700, 700, 1500, 700)[seed])

    water, bone = Projector(Body(density, 2 * density, ct_from_index)).project(camera, world_from_ct)

    v, u = np.indices(water.shape)
    landed = np.array([(water * u).sum(), (water * v).sum()]) / water.sum()
    expected = camera.project(world_from_ct[:3, :3] @ ball + world_from_ct[:3, 3])
    np.testing.assert_allclose(landed, expected, atol=0.05)
    assert water.max() == pytest.approx(1.0, rel=0.05)  # 10 mm of 1 g/cm^3
    np.testing.assert_allclose(bone, 2 * water, rtol=1e-4, atol=1e-6)


def test_a_box_has_the_thickness_that_the_rays_cut():
    rng = np.random.default_rng(7)
    ct_from_index = np.diag([1.0, 1.0, 1.0, 1.0])
    density = np.zeros((50, 60, 70))
    density[10:40, 15:45, 20:50] = 0.5
    camera, world_from_ct = posed(rng, False, [34.5, 29.5, 24.5])
    water, _ = Projector(Body(density, 0 * density, ct_from_index)).project(camera, world_from_ct)

    ct_from_world = np.linalg.inv(world_from_ct)
    v, u = np.indices(water.shape)
    rays = camera.ray_directions(np.stack([u, v], -1)) @ ct_from_world[:3, :3].T
    source = ct_from_world[:3, :3] @ camera.source + ct_from_world[:3, 3]
    low, high = (np.array([19.5, 14.5, 9.5]) - source) / rays, (np.array([49.5, 44.5, 39.5]) - source) / rays
    thickness = np.minimum(low, high).max(-1), np.maximum(low, high).min(-1)
    exact = np.maximum(thickness[1] - thickness[0], 0) * 0.5 / 10
    inside = exact > 1
    assert inside.sum() > 1000
    np.testing.assert_allclose(water[inside], exact[inside], atol=0.05)  # 1 mm of 0.5 g/cm^3: the voxels at the faces
    assert np.mean(water[inside] - exact[inside]) == pytest.approx(0, abs=0.003)


def test_a_camera_with_skew_is_refused():
    body = Body(np.ones((4, 4, 4)), np.ones((4, 4, 4)), np.eye(4))
    with pytest.raises(InputError, match="skew of 2"):
        Projector(body).project(Camera([[100, 2, 5], [0, 100, 5], [0, 0, 1]], np.eye(4), (10, 10)), np.eye(4))


@pytest.mark.slow
def test_edges_coincide_with_those_of_another_simulation(shared_data):
    """The same CT, pose and cameras, simulated by others with RTK."""
    folder = shared_data / "sim" / "pelvis-oblique-2"
    case = json.loads((folder / "case.json").read_text())
    projector = Projector(Body.from_hu(load_ct(folder / case["ct"]).volume))
    for view in case["views"]:
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / view["image"])))
        camera = Camera.from_projection_matrix(view["projection_matrix"], (512, 512), in_front=np.zeros(3))
        xray = SimulatedXRay(photons=1e5)
        ours = xray.take(projector, camera, np.array(case["truth"]["world_from_ct"]), np.random.default_rng(0))
        shift, correlation = shift_px(details(ours), details(theirs))
        assert np.abs(shift).max() < 0.05
        assert correlation > 0.6


def details(image):
    log = np.log(image.astype(float) + 1)
    return (gaussian_filter(log, 1) - gaussian_filter(log, 6))[20:-20, 20:-20]


def shift_px(a, b):
    """Sub-pixel (u, v) by which b is a moved, least squares on the gradient of a; and their correlation."""
    gradient_v, gradient_u = np.gradient(a)
    columns = np.stack([gradient_u.ravel(), gradient_v.ravel(), a.ravel()], axis=1)
    u, v, gain = np.linalg.lstsq(columns, b.ravel(), rcond=None)[0]
    return np.array([u, v]) / -gain, np.corrcoef(a.ravel(), b.ravel())[0, 1]
