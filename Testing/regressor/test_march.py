"""Line integrals of three volumes at once: held against chords of a box, the project's own renderer, and each lane by itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.regressor.bases import Bases, Stacks
from MultiViewRegistrationLib.regressor.march import BASES, LARGEST, project
from MultiViewRegistrationLib.rendering.drr import Grid, render


def line_integrals(bases: Bases, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
    """(3, rows, columns)."""
    stacks = Stacks(bases)
    rays = stacks.rays(camera, world_from_ct[None])
    s, (columns, rows) = rays.stack[0], camera.size
    out = np.empty((BASES, rows, columns), np.float32)
    project(
        stacks.words[s],
        stacks.shapes[s],
        stacks.stored[s],
        stacks.steps[s],
        rays.source[0],
        rays.directions[0],
        rays.world_from_index[0],
        out,
    )
    return out


def camera_before(centre, direction, roll: float, *, mirrored: bool = False) -> Camera:
    """64 x 48 pixels, 300 mm away, looking along `direction` at `centre`."""
    turn, _ = Rotation.align_vectors([[0, 0, 1]], [direction])
    R = Rotation.from_rotvec([0, 0, roll]).as_matrix() @ turn.as_matrix()
    intrinsics = [[-220.0 if mirrored else 220.0, 0, 33], [0, 220.0, 22], [0, 0, 1]]
    return Camera(intrinsics, rigid.from_rotation_translation(R, [0, 0, 300] - R @ centre), (64, 48))


def oblique_bases(rng) -> Bases:
    """Smooth tissue, with bone in the middle of it, on a grid that lies anyhow; 1.2 x 1 x 1.4 mm."""
    values = gaussian_filter(rng.normal(size=(BASES, 50, 60, 54)), (0, 5, 5, 5))
    values = np.maximum(0.5 + values / values.std(), 0) * np.array([0.02, 0.015, 0.03]).reshape(3, 1, 1, 1)
    for axis, size in enumerate(values.shape[1:], 1):
        fade = np.sin(np.pi * (np.arange(size) + 1) / (size + 1)) ** 2
        values = values * fade.reshape([-1 if a == axis else 1 for a in range(4)])
    axes = Rotation.random(random_state=rng).as_matrix() * [1.2, 1.0, 1.4]
    return Bases(values.astype(np.float32), rigid.from_rotation_translation(axes, rng.uniform(-200, 200, 3)))


def middle(bases: Bases) -> np.ndarray:
    return rigid.transform_points(bases.ct_from_index, (np.array(bases.values.shape[:0:-1]) - 1) / 2)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_they_are_those_of_the_renderer(seed, mirrored):
    rng = np.random.default_rng(seed)
    bases = oblique_bases(rng)
    pose = rigid.from_rotation_translation(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-100, 100, 3))
    camera = camera_before(
        rigid.transform_points(pose, middle(bases)), rng.normal(size=3), rng.uniform(-3, 3), mirrored=mirrored
    )
    found = line_integrals(bases, camera, pose)
    for values, image in zip(bases.values, found, strict=True):
        expected = render(Volume(values, bases.ct_from_index), camera, pose).image
        assert expected.max() > 0.2
        assert np.abs(image - expected).max() < 0.04 * expected.max()
        assert np.sqrt(np.mean((image - expected) ** 2)) < 0.008 * expected.max()
        assert abs((image - expected).mean()) < 0.002 * expected.max()


@pytest.mark.parametrize("axis", range(3))
def test_a_box_gives_the_chords_through_it(axis):
    """Within one of the doubled slices, over whose thickness its faces are smeared."""
    size = np.array([40, 44, 48])
    bases = Bases(np.stack([np.full(size, mu, np.float32) for mu in (0.02, 0.01, 0.0)]), np.eye(4))
    direction = np.full(3, 0.15)
    direction[axis] = 1.0
    camera = camera_before(middle(bases), direction, 0.3)
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(48)), axis=-1)
    rays = camera.ray_directions(pixels)
    to_faces = np.stack([-0.5 - camera.source, np.array(size[::-1]) - 0.5 - camera.source])[:, None, None] / rays
    chord = np.maximum(to_faces.max(axis=0).min(axis=-1) - to_faces.min(axis=0).max(axis=-1), 0)
    soft, bone, dense = line_integrals(bases, camera, np.eye(4))
    through = chord > 25
    assert through.sum() > 300
    np.testing.assert_allclose(soft[through] / 0.02, chord[through], atol=2.0)
    assert abs(soft[through].mean() / 0.02 - chord[through].mean()) < 0.1
    np.testing.assert_allclose(2 * bone, soft, atol=1e-6)
    assert not dense.any()


def test_a_lane_does_not_run_over_into_the_next():
    """Along 700 planes of the largest value, more than a lane can hold at a time."""
    words = np.zeros((704, 4, 4), np.uint32)
    words[1:702, 1:3, 1:3] = LARGEST | LARGEST << 10 | LARGEST << 20
    grid = Grid.of(words, np.eye(4))
    camera = Camera(
        [[4000, 0, 0], [0, 4000, 0], [0, 0, 1]],
        [[1, 0, 0, -1.5], [0, 1, 0, -1.5], [0, 0, 1, 3000], [0, 0, 0, 1]],
        (1, 1),
    )
    rays = grid.rays(camera, np.eye(4))
    out = np.empty((BASES, 1, 1), np.float32)
    steps = np.full(BASES, 1e-3)
    project(
        grid.values,
        np.array(grid.shape),
        np.array(grid.stored),
        steps,
        rays.source,
        rays.directions,
        rays.world_from_index,
        out,
    )
    np.testing.assert_allclose(out.ravel(), 701 * LARGEST * 1e-3, rtol=1e-5)


@pytest.mark.parametrize("lane", range(BASES))
def test_a_lane_does_not_depend_on_the_others(lane):
    bases = oblique_bases(np.random.default_rng(9))
    camera = camera_before(middle(bases), np.array([0.2, 1.0, 0.4]), 0.0)
    values = bases.values[:, ::-1].copy()
    values[lane] = bases.values[lane]
    found, among_others = (line_integrals(b, camera, np.eye(4)) for b in (bases, Bases(values, bases.ct_from_index)))
    np.testing.assert_array_equal(found[lane], among_others[lane])
    assert not np.array_equal(found[lane - 1], among_others[lane - 1])


def test_nothing_behind_the_source_counts():
    bases = Bases(np.full((BASES, 20, 20, 20), 0.01, np.float32), np.eye(4))
    camera = Camera(
        [[50, 0, 5], [0, 50, 5], [0, 0, 1]], rigid.from_rotation_translation(np.eye(3), [-9.5, -9.5, -30]), (11, 11)
    )
    assert not line_integrals(bases, camera, np.eye(4)).any()
