"""The one entry to rendering.

Which rays it follows, on how many threads, what lies where, what it refuses.
"""

import numpy as np
import pytest
from helpers.refusals import refuses
from numpy.testing import assert_array_equal
from scenes import random_scene

from MultiViewRegistrationLib import Camera, Volume
from MultiViewRegistrationLib.rendering import devices, drr
from MultiViewRegistrationLib.rendering.drr import Projector


def rendered(scene, **more):
    return Projector(scene.volume).render(
        scene.camera, scene.world_from_ct, jacobian=True, pivot=scene.pivot, **more
    )


def test_selected_rays_equal_those_of_the_whole_image():
    scene = random_scene(1)
    whole = rendered(scene)
    wanted = np.random.default_rng(0).random(whole.image.shape) < 0.3
    some = rendered(scene, wanted=wanted)
    assert_array_equal(some.image, np.where(wanted, whole.image, 0))
    assert_array_equal(some.jacobian, np.where(wanted, whole.jacobian, 0))


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(devices, "SAMPLES_PER_TASK", 100)
    scene = random_scene(2)
    results = []
    for count in (1, 3):
        monkeypatch.setenv("MVREG_THREADS", str(count))
        results.append(rendered(scene))
    for result in results[1:]:
        assert_array_equal(result.image, results[0].image)
        assert_array_equal(result.jacobian, results[0].jacobian)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("axis", range(3))
def test_a_source_within_the_body_sees_what_lies_before_it(axis, direction):
    """From 10.5 voxels deep in a box of 40, along one axis."""
    volume = Volume(np.full((40, 40, 40), 0.02), np.eye(4))
    z = np.roll([0, 0, direction], axis + 1)
    x = np.roll(z, 1)
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = [x, np.cross(z, x), z]
    camera_from_world[:3, 3] = -camera_from_world[:3, :3] @ np.where(z == 0, 20.3, 10.5)
    camera = Camera([[500, 0, 3], [0, 500, 3], [0, 0, 1]], camera_from_world, (7, 7))
    planes = 29 if direction > 0 else 11
    assert Projector(volume).render(camera, np.eye(4)).image[3, 3] == pytest.approx(
        0.02 * planes, rel=1e-5
    )


def test_pose_that_is_not_finite_is_refused():
    scene = random_scene(1)
    projector = Projector(scene.volume, cut=np.ones(6, bool))
    for use in (projector.render, projector.seen):
        with refuses("world_from_ct: has numbers that are not finite"):
            use(scene.camera, scene.world_from_ct * np.nan)


def test_more_voxels_than_32_bits_can_count_are_refused(monkeypatch):
    monkeypatch.setattr(drr, "MAX_VOXELS", 12**2 * 14 - 1)
    with refuses("the CT has 1e.03 voxels"):
        Projector(Volume(np.ones((10, 10, 10)), np.eye(4)))
    monkeypatch.setattr(drr, "MAX_VOXELS", 12**2 * 14)
    Projector(Volume(np.ones((10, 10, 10)), np.eye(4)))
