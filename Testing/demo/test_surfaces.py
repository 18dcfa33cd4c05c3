"""gVirtualXray's geometry is ours: a ball lands where the camera says, a box is as thick as its faces cut the rays, edges are RTK's."""

import numpy as np
import pytest
from test_projector import details, grid, posed, shift_px

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.simulation.body import ENERGIES_KEV, SIGNAL_SHARE, WATER, Body, transmission
from MultiViewRegistrationLib.simulation.projector import Projector, SurfaceProjector, gvxr_scene
from MultiViewRegistrationLib.simulation.simulator import SimulatedXRay

pytestmark = pytest.mark.usefixtures("gvxr")


@pytest.mark.parametrize(
    "seed, mirrored, mirrored_index", [(0, False, False), (1, True, False), (2, False, True), (3, True, True)]
)
def test_a_ball_lands_where_the_camera_says(seed, mirrored, mirrored_index):
    rng = np.random.default_rng(seed)
    ct_from_index = grid(rng, mirrored_index)
    middle, centre = (
        ct_from_index[:3, :3] @ index + ct_from_index[:3, 3] for index in ([35, 30, 20], [44.3, 17.8, 24.6])
    )
    indices = np.moveaxis(np.indices((40, 60, 70))[::-1], 0, -1)
    away = np.linalg.norm(indices @ ct_from_index[:3, :3].T + ct_from_index[:3, 3] - centre, axis=-1)
    hu = -1000 + 1050 * np.clip((9 + 1 - away) / 2, 0, 1)
    camera, world_from_ct = posed(rng, mirrored, middle, depth_mm=(700, 1500)[seed % 2])

    water, bone = SurfaceProjector(Volume(hu, ct_from_index)).project(camera, world_from_ct)

    v, u = np.indices(water.shape)
    landed = np.array([(water * u).sum(), (water * v).sum()]) / water.sum()
    np.testing.assert_allclose(landed, camera.project(world_from_ct[:3, :3] @ centre + world_from_ct[:3, 3]), atol=0.05)
    assert (water + bone).max() == pytest.approx(1.8, rel=0.05)


@pytest.mark.parametrize("tissue_hu", [0.0, -100.0])
def test_a_box_attenuates_by_the_law_of_beer_and_lambert(tissue_hu):
    """By the chords of the rays in it and what gVirtualXray holds for its tissue, at each energy; that of 0 HU is much like water."""
    rng = np.random.default_rng(7)
    hu = np.full((70, 70, 70), -1000.0)
    hu[10:60, 10:60, 10:60] = tissue_hu
    camera, world_from_ct = posed(rng, False, [34.5, 34.5, 34.5])
    water, bone = SurfaceProjector(Volume(hu, np.eye(4))).project(camera, world_from_ct)

    ct_from_world = np.linalg.inv(world_from_ct)
    v, u = np.indices(water.shape)
    rays = camera.ray_directions(np.stack([u, v], -1)) @ ct_from_world[:3, :3].T
    source = ct_from_world[:3, :3] @ camera.source + ct_from_world[:3, 3]
    low, high = (np.full(3, 9.5) - source) / rays, (np.full(3, 59.5) - source) / rays
    chord_cm = np.maximum(np.maximum(low, high).min(-1) - np.minimum(low, high).max(-1), 0) / 10
    deep = chord_cm > 4
    assert deep.sum() > 1000
    per_cm = np.array([gvxr_scene().getMuFromHU(tissue_hu, float(energy), "keV") for energy in ENERGIES_KEV])
    if tissue_hu == 0:
        np.testing.assert_allclose(per_cm, WATER, rtol=0.1)
    expected = -np.log(SIGNAL_SHARE @ np.exp(-per_cm[:, None] * chord_cm[deep]))
    found = -np.log(transmission(water, bone, 0 * water))[deep]
    assert np.median(found / expected) == pytest.approx(1, abs=0.01)
    assert np.quantile(np.abs(found / expected - 1), 0.99) < 0.03  # along its edges the box is rounded
    assert np.quantile(np.abs(water[chord_cm == 0]), 0.99) < 1e-3


def test_edges_coincide_with_rtks(shared_data):
    """A pelvis, from voxels by RTK and from surfaces."""
    pytest.importorskip("itk.rtkJosephForwardProjectionImageFilterPython", reason="needs itk-rtk")
    whole = load_ct(shared_data / "pelvis" / "pelvis_2mm.nii.gz").volume
    projectors = Projector(Body.from_hu(whole, 0)), SurfaceProjector(whole)
    middle = whole.ct_from_index @ [*(np.array(whole.values.shape[::-1]) / 2), 1]
    for mirrored in (False, True):
        camera, world_from_ct = posed(np.random.default_rng(3), mirrored, middle[:3])
        rtk, gvxr = (
            details(SimulatedXRay(photons=1e6).take(each, camera, world_from_ct, np.random.default_rng(0)))
            for each in projectors
        )
        shift, correlation = shift_px(rtk, gvxr)
        assert np.abs(shift).max() < 0.1  # 0.04 mm, of voxels of 2 mm
        assert correlation > 0.9


def test_a_camera_with_skew_is_refused():
    ball = SurfaceProjector(Volume(np.pad(np.zeros((4, 4, 4)), 3, constant_values=-1000), np.eye(4)))
    with pytest.raises(InputError, match="skew of 2"):
        ball.project(Camera([[100, 2, 5], [0, 100, 5], [0, 0, 1]], np.eye(4), (10, 10)), np.eye(4))
