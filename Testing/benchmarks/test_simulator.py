"""An X-ray is taken as its physics says: noise, scatter, blades, metal, mineral.

What makes it hard to register is there as asked.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.simulation.body import BONE, BONE_DENSITY, WATER, at_energy
from benchmarks.simulation.cases import random_cameras
from benchmarks.simulation.simulator import (
    OVERLAYS,
    Ball,
    SimulatedXRay,
    Wire,
    chord_lengths,
    overlays_with,
    random_implant,
)
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera


class Slab:
    """Stands in for a MaterialProjector.

    Water and bone of a given thickness (g/cm^2), all over or (rows, columns).
    """

    def __init__(self, water, bone=0.0):
        self.materials = water, bone

    def project(self, camera, world_from_ct):
        shape = camera.size[::-1]
        return np.stack(
            [np.broadcast_to(each, shape).astype(np.float32) for each in self.materials]
        )


def camera(size=(200, 160), fx=1500.0):
    camera_from_world = rigid.turn_and_shift([0.2, -0.5, 0.1], [3, -8, 700])
    return Camera([[fx, 0, 95], [0, 1480, 83], [0, 0, 1]], camera_from_world, size)


def take(xray, water=20.0, seed=0, bone=0.0):
    return xray.take(Slab(water, bone), camera(), np.eye(4), np.random.default_rng(seed))


def test_image_is_16_bit_and_reproducible():
    first = take(SimulatedXRay())
    assert first.dtype == np.uint16 and first.shape == (160, 200)
    assert_array_equal(first, take(SimulatedXRay()))
    assert (first != take(SimulatedXRay(), seed=1)).mean() > 0.9


def test_noise_is_that_of_photons():
    photons = 200
    image = take(
        SimulatedXRay(photons=photons, scatter_to_primary=0, detector_sd_mm=0, vignetting=0)
    ).astype(float)
    assert image.std() / image.mean() == pytest.approx(
        photons**-0.5, rel=0.04
    )  # the offset is below 1 %


def test_scatter_reduces_contrast():
    water = np.where(np.arange(200) < 100, 20.0, 15.0)
    images = [take(SimulatedXRay(photons=1e6, scatter_to_primary=ratio), water) for ratio in (0, 1)]
    contrast = [np.log(image[:, 150:].mean() / image[:, :50].mean()) for image in images]
    assert contrast[1] < 0.8 * contrast[0]


def test_mineral_loss_replaces_bone_by_marrow():
    """The same attenuation as of a body made of so much less bone and so much more water."""
    ideal = {
        "photons": 1e9,
        "scatter_to_primary": 0,
        "focal_spot_sd_mm": 0,
        "detector_sd_mm": 0,
        "vignetting": 0,
    }

    def logarithm(mineral):
        image = take(
            SimulatedXRay(**ideal, mineral=mineral), 15.0, bone=2.0 * np.linspace(0, 1, 200)
        ).astype(float)
        return np.log(image[80, 1] / image[80, -1])  # of the gain and the field nothing is left

    at_60 = at_energy(BONE, 60) * 2.0, at_energy(WATER, 60) * 2.0 / BONE_DENSITY
    expected = (0.5 * at_60[0] + 0.5 * at_60[1]) / at_60[0]
    assert logarithm(0.5) / logarithm(1.0) == pytest.approx(expected, abs=0.05)


def test_field_and_blades_cover_pixels():
    image = take(SimulatedXRay(round_field=True))
    assert image[0, 0] == 0 and image[80, 5] == 0 and image[80, 195] == 0
    assert image[80, 100] > 0 and image[3, 100] > 0 and image[156, 100] > 0

    image = take(SimulatedXRay(collimation=(30, 10, 0, 20))).astype(float)
    level = np.median(image[20:130, 40:])
    for covered in (image[:, :25], image[:6], image[145:]):
        assert covered.mean() < 0.05 * level
    assert image[20:130, 190:].mean() > 0.7 * level

    pixels = np.array([[100.0, 80.0], [40.0, 80.0], [100.0, 135.0], [190.0, 80.0], [100.0, 10.0]])
    shown = SimulatedXRay(collimation=(50, 0, 0, 30)).shows(pixels, (200, 160))
    assert_array_equal(shown, [True, False, False, False, True])


def test_chord_lengths_of_wire_equal_sampled_rays():
    view, wire = camera(), Wire((-12.0, 5.0, -30.0), (20.0, -9.0, 18.0), 4.0)
    chords = chord_lengths(view, wire)
    start, axis = np.array(wire.start), np.subtract(wire.end, wire.start)
    length = np.linalg.norm(axis)
    hit = np.random.default_rng(0).permutation(np.argwhere(chords > 0))[:20]
    t = np.arange(600, 800, 0.02)
    for v, u in np.concatenate([hit, np.argwhere(chords == 0)[::2997]]):
        points = view.source + t[:, None] * view.ray_directions([u, v]) - start
        along = points @ axis / length
        across2 = (points**2).sum(1) - along**2
        walked = ((along >= 0) & (along <= length) & (across2 <= 4)).sum() * 0.02
        assert chords[v, u] == pytest.approx(walked, abs=0.2)


def test_chord_lengths_of_ball():
    view, ball = camera(), Ball((4.0, -6.0, 10.0), 30.0)
    chords = chord_lengths(view, ball)
    u, v = np.meshgrid(np.arange(200), np.arange(160))
    rays = view.ray_directions(np.stack([u, v], axis=-1))
    off = np.linalg.norm(np.cross(rays, np.subtract(ball.centre, view.source)), axis=-1)
    inside = off < 15
    assert_allclose((chords[inside] / 2) ** 2 + off[inside] ** 2, 15**2, rtol=1e-3)
    assert (chords[~inside] == 0).all() and inside.sum() > 2000


PIXELS = 128
CAMERAS = [camera.pooled(4) for camera in random_cameras(np.random.default_rng(1), 3, (60, 60))]


@pytest.fixture
def image():
    ramp = np.linspace(8000, 50000, PIXELS)
    return (ramp[None] + 4000 * np.sin(np.arange(PIXELS) / 3)[:, None]).astype(np.uint16)


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_changes_image_reproducibly(name, image):
    (put,), (again,) = (overlays_with(np.random.default_rng(3), [name]) for _ in range(2))
    for camera in CAMERAS:
        before = image.copy()
        after = put(image, camera)
        assert after.shape == image.shape and after.dtype == image.dtype
        assert (after != image).mean() > 0.003
        assert_array_equal(image, before)
        assert_array_equal(again(image, camera), after)


@pytest.mark.parametrize("seed", range(2))
def test_random_implant_is_thick_metal_in_the_field(seed):
    implant = random_implant(np.random.default_rng(seed))
    thickness = sum(chord_lengths(CAMERAS[0], part) for part in implant)
    assert thickness.max() > 12 and 0.02 < (thickness > 3).mean() < 0.25
