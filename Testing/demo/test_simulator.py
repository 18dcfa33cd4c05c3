"""An X-ray is taken as its physics says: noise, scatter, blades, metal, mineral."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.simulation.body import BONE, BONE_DENSITY, WATER, at_energy
from MultiViewRegistrationLib.simulation.simulator import Ball, SimulatedXRay, Wire, chord_lengths


class Slab:
    """Stands in for a Projector: water and bone of a given thickness (g/cm^2), all over or (rows, columns)."""

    def __init__(self, water, bone=0.0):
        self.materials = water, bone

    def project(self, camera, world_from_ct):
        shape = camera.size[::-1]
        return np.stack([np.broadcast_to(each, shape).astype(np.float32) for each in self.materials])


def camera(size=(200, 160), fx=1500.0):
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = Rotation.from_rotvec([0.2, -0.5, 0.1]).as_matrix()
    camera_from_world[:3, 3] = [3, -8, 700]
    return Camera([[fx, 0, 95], [0, 1480, 83], [0, 0, 1]], camera_from_world, size)


def take(xray, water=20.0, seed=0, bone=0.0):
    return xray.take(Slab(water, bone), camera(), np.eye(4), np.random.default_rng(seed))


def test_an_image_is_16_bit_and_repeats_with_its_seed():
    first, again, other = take(SimulatedXRay()), take(SimulatedXRay()), take(SimulatedXRay(), seed=1)
    assert first.dtype == np.uint16 and first.shape == (160, 200)
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


@pytest.mark.parametrize("photons", [200, 5000])
def test_the_noise_is_that_of_so_many_photons(photons):
    image = take(SimulatedXRay(photons=photons, scatter_to_primary=0, detector_sd_mm=0, vignetting=0)).astype(float)
    assert image.std() / image.mean() == pytest.approx(photons**-0.5, rel=0.04)  # the offset is below 1 %


def test_scatter_takes_contrast():
    water = np.where(np.arange(200) < 100, 20.0, 15.0)
    images = [take(SimulatedXRay(photons=1e6, scatter_to_primary=ratio), water) for ratio in (0, 1)]
    contrast = [np.log(image[:, 150:].mean() / image[:, :50].mean()) for image in images]
    assert contrast[1] < 0.8 * contrast[0]


def test_bone_that_loses_mineral_gets_marrow_for_it():
    """The same attenuation as of a body made of so much less bone and so much more water."""
    ideal = {"photons": 1e9, "scatter_to_primary": 0, "focal_spot_sd_mm": 0, "detector_sd_mm": 0, "vignetting": 0}

    def logarithm(mineral):
        image = take(SimulatedXRay(**ideal, mineral=mineral), 15.0, bone=2.0 * np.linspace(0, 1, 200)).astype(float)
        return np.log(image[80, 1] / image[80, -1])  # of the gain and the field nothing is left

    at_60 = at_energy(BONE, 60) * 2.0, at_energy(WATER, 60) * 2.0 / BONE_DENSITY
    expected = (0.5 * at_60[0] + 0.5 * at_60[1]) / at_60[0]
    assert logarithm(0.5) / logarithm(1.0) == pytest.approx(expected, abs=0.05)


def test_fields_and_blades_hide_what_they_cover():
    image = take(SimulatedXRay(round_field=True))
    assert image[0, 0] == 0 and image[80, 5] == 0 and image[80, 195] == 0
    assert image[80, 100] > 0 and image[3, 100] > 0 and image[156, 100] > 0

    image = take(SimulatedXRay(collimation=(30, 10, 0, 20))).astype(float)
    level = np.median(image[20:130, 40:])
    for covered in (image[:, :25], image[:6], image[145:]):
        assert covered.mean() < 0.05 * level
    assert image[20:130, 190:].mean() > 0.7 * level

    soft = take(SimulatedXRay(collimation=(60, 0, 0, 0), blade_sd_mm=2.5, photons=1e5, vignetting=0)).astype(float)
    assert soft[40:120, 59:61].mean() == pytest.approx(0.5 * soft[40:120, 120:].mean(), rel=0.1)

    pixels = np.array([[100.0, 80.0], [40.0, 80.0], [100.0, 135.0], [190.0, 80.0], [100.0, 10.0]])
    shown = SimulatedXRay(collimation=(50, 0, 0, 30)).shows(pixels, (200, 160))
    np.testing.assert_array_equal(shown, [True, False, False, False, True])


def test_chords_are_those_found_by_walking_along_the_ray():
    view, wire = camera(), Wire((-12.0, 5.0, -30.0), (20.0, -9.0, 18.0), 4.0)
    chords = chord_lengths(view, wire)
    start, axis = np.array(wire.start), np.subtract(wire.end, wire.start)
    length = np.linalg.norm(axis)
    rng = np.random.default_rng(0)
    hit = rng.permutation(np.argwhere(chords > 0))[:60]
    missed = np.argwhere(chords == 0)[::997]
    t = np.arange(600, 800, 0.02)
    for v, u in np.concatenate([hit, missed]):
        points = view.source + t[:, None] * view.ray_directions([u, v]) - start
        along = points @ axis / length
        across2 = (points**2).sum(1) - along**2
        walked = ((along >= 0) & (along <= length) & (across2 <= 4)).sum() * 0.02
        assert chords[v, u] == pytest.approx(walked, abs=0.2)


def test_a_wire_seen_end_on_is_as_long_as_it_is_and_metal_is_dark():
    view = camera()
    direction = view.ray_directions(np.array([95.0, 83.0]))
    start = view.source + 650 * direction
    along = Wire(tuple(start), tuple(start + 40 * direction), 3.0)
    assert chord_lengths(view, along)[83, 95] == pytest.approx(40, abs=0.01)

    across = Wire((-20.0, 0.0, 0.0), (20.0, 0.0, 0.0), 3.0)
    image = take(SimulatedXRay(photons=1e5, vignetting=0, metal=(across,))).astype(float)
    u, v = np.rint(view.project([0.0, 0.0, 0.0])).astype(int)
    assert image[v, u] < 0.6 * np.median(image)


def test_a_ball_is_as_thick_as_pythagoras_says():
    view, ball = camera(), Ball((4.0, -6.0, 10.0), 30.0)
    chords = chord_lengths(view, ball)
    u, v = np.meshgrid(np.arange(200), np.arange(160))
    rays = view.ray_directions(np.stack([u, v], axis=-1))
    off = np.linalg.norm(np.cross(rays, np.subtract(ball.centre, view.source)), axis=-1)
    inside = off < 15
    np.testing.assert_allclose((chords[inside] / 2) ** 2 + off[inside] ** 2, 15**2, rtol=1e-3)
    assert (chords[~inside] == 0).all() and inside.sum() > 2000
    moved = ball.moved(np.diag([-1.0, 1, 1]), np.array([1.0, 2, 3]))
    assert moved == Ball((-3.0, -4.0, 13.0), 30.0)
