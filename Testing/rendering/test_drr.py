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


def along_z(source, focal=1000.0, size=(1, 1), principal_point=(0, 0)):
    """A camera at `source` that looks along +z, its x and y those of the world."""
    camera_from_world = np.eye(4)
    camera_from_world[:3, 3] = -np.array(source, float)
    u, v = principal_point
    return Camera([[focal, 0, u], [0, focal, v], [0, 0, 1]], camera_from_world, size)


@pytest.mark.parametrize("as_type", [bool, np.uint8, float])
def test_chosen_rays_equal_those_of_the_whole_image(as_type):
    scene = random_scene(1)
    whole = rendered(scene)
    wanted = np.random.default_rng(0).random(whole.image.shape) < 0.3
    some = rendered(scene, wanted=wanted.astype(as_type))
    assert_array_equal(some.image, np.where(wanted, whole.image, 0))
    assert_array_equal(some.jacobian, np.where(wanted, whole.jacobian, 0))


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(devices, "SAMPLES_PER_TASK", 100)
    scene = random_scene(2)
    results = []
    for count in (1, 2, 3, 8):
        monkeypatch.setenv("MVREG_THREADS", str(count))
        results.append(rendered(scene))
    for result in results[1:]:
        assert_array_equal(result.image, results[0].image)
        assert_array_equal(result.jacobian, results[0].jacobian)


def test_what_lies_behind_the_source_is_not_seen():
    scene = random_scene(6)
    behind = np.diag([1.0, 1, -1, 1]) @ np.diag([-1.0, 1, 1, 1]) @ scene.camera.camera_from_world
    camera = Camera(scene.camera.intrinsics, behind, scene.camera.size)
    result = Projector(scene.volume).render(camera, scene.world_from_ct, jacobian=True)
    assert rendered(scene).image.max() > 0.1
    assert not result.image.any() and not result.jacobian.any()
    assert Projector(scene.volume, np.ones(6, bool)).seen(camera, scene.world_from_ct).all()


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


@pytest.mark.parametrize("side", [-0.9995, 9.9995])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_gradient_reaches_to_the_outer_edge_of_the_air(side, axis):
    """A ray along z through the cell between the last voxel and air, close to the air.

    10 planes, each with the full gradient.
    """
    volume = Volume(np.full((10, 10, 10), 0.02), np.eye(4))
    source = [4.3, 4.3, -1e6]
    source[axis] = side
    result = Projector(volume).render(along_z(source), np.eye(4), jacobian=True)
    outwards = -1 if side < 0 else 1
    assert result.image[0, 0] == pytest.approx(10 * 0.02 * 0.0005, rel=0.02)
    assert result.jacobian[3 + axis, 0, 0] == pytest.approx(10 * 0.02 * outwards, rel=1e-4)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_pose_that_is_not_finite_is_refused(wrong):
    pose = np.eye(4)
    pose[0, 3] = wrong
    projector = Projector(Volume(np.ones((5, 6, 7)), np.eye(4)), cut=np.ones(6, bool))
    for use in (projector.render, projector.seen):
        with refuses("world_from_ct: has numbers that are not finite"):
            use(along_z([3, 3, -100]), pose)


def test_more_voxels_than_32_bits_can_count_are_refused(monkeypatch):
    monkeypatch.setattr(drr, "MAX_VOXELS", 12**2 * 14 - 1)
    with refuses("the CT has 1e.03 voxels"):
        Projector(Volume(np.ones((10, 10, 10)), np.eye(4)))
    monkeypatch.setattr(drr, "MAX_VOXELS", 12**2 * 14)
    Projector(Volume(np.ones((10, 10, 10)), np.eye(4)))
