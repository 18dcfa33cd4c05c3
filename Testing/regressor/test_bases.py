"""Attenuation bases of a CT, how they go on beyond its ends, and their line integrals, held against the renderer's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib import Camera, Volume
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import SlotScanCamera
from MultiViewRegistrationLib.imaging.ct import attenuation, ct_from_array
from MultiViewRegistrationLib.regressor.bases import BASES, KNOTS, Bases, Stacks, project, varied
from MultiViewRegistrationLib.rendering.drr import Projector


def line_integrals(bases, camera, world_from_ct):
    """(3, rows, columns)."""
    stacks = Stacks.of(bases)
    out = np.empty((BASES, *camera.size[::-1]), np.float32)
    project(stacks, *stacks.rays(camera, world_from_ct[None]), 0, out)
    return out


def camera_before(centre, direction, roll, *, mirrored=False, kind=Camera):
    """64 x 48 pixels, 300 mm away, looking along `direction` at `centre`."""
    turn, _ = Rotation.align_vectors([[0, 0, 1]], [direction])
    R = Rotation.from_rotvec([0, 0, roll]).as_matrix() @ turn.as_matrix()
    down = 220.0 if kind is Camera else 0.75  # rows of a slot scan in a mm
    intrinsics = [[-220.0 if mirrored else 220.0, 0, 33], [0, down, 22], [0, 0, 1]]
    return kind(intrinsics, rigid.from_rotation_translation(R, [0, 0, 300] - R @ centre), (64, 48))


def oblique_bases(rng):
    """Smooth tissue, with bone in the middle of it, on a grid that lies anyhow.

    1.2 x 1 x 1.4 mm.
    """
    values = gaussian_filter(rng.normal(size=(BASES, 50, 60, 54)), (0, 5, 5, 5))
    values = np.maximum(0.5 + values / values.std(), 0)
    values *= np.reshape([0.02, 0.015, 0.03], (3, 1, 1, 1))
    fades = [np.sin(np.pi * np.linspace(0, 1, size + 2)[1:-1]) ** 2 for size in (50, 60, 54)]
    values *= np.einsum("k,j,i->kji", *fades)
    axes = Rotation.random(random_state=rng).as_matrix() * [1.2, 1.0, 1.4]
    place = rigid.from_rotation_translation(axes, rng.uniform(-200, 200, 3))
    return Bases(values.astype(np.float32), place)


@pytest.mark.parametrize("kind", [Camera, SlotScanCamera])
@pytest.mark.parametrize("seed, mirrored", [(0, False), (1, True)])
def test_images_agree_with_the_renderer_and_bases_are_independent(seed, mirrored, kind):
    rng = np.random.default_rng(seed)
    bases = oblique_bases(rng)
    turn = Rotation.random(random_state=rng).as_matrix()
    pose = rigid.from_rotation_translation(turn, rng.uniform(-100, 100, 3))
    middle = (np.array(bases.values.shape[:0:-1]) - 1) / 2
    at = rigid.transform_points(pose @ bases.ct_from_index, middle)
    camera = camera_before(at, rng.normal(size=3), rng.uniform(-3, 3), mirrored=mirrored, kind=kind)
    found = line_integrals(bases, camera, pose)
    for values, image in zip(bases.values, found, strict=True):
        expected = Projector(Volume(values, bases.ct_from_index)).render(camera, pose).image
        off = (image - expected) / expected.max()
        assert expected.max() > 0.2 and np.abs(off).max() < 0.04
        assert np.sqrt(np.mean(off**2)) < 0.008 and abs(off.mean()) < 0.002
    values = bases.values[:, ::-1].copy()
    values[seed] = bases.values[seed]
    among_others = line_integrals(Bases(values, bases.ct_from_index), camera, pose)
    assert_array_equal(found[seed], among_others[seed])
    assert not np.array_equal(found[seed - 1], among_others[seed - 1])


def test_a_layer_begins_where_the_last_one_ends():
    """Before anything is averaged: half a voxel of dense bone and half of air is no soft tissue."""
    hu = np.full((2, 2, 4), -1000.0)
    hu[..., 0], hu[..., 1], hu[..., 2] = 100, 500, 1500
    mu = attenuation(ct_from_array(hu, np.eye(4)))
    soft, bone, dense = Bases.of(mu, 1.0).values[:, 0, 0]
    assert_allclose(soft, [KNOTS[0], KNOTS[0], KNOTS[0], 0], atol=2e-4)
    assert_allclose(bone, [0, KNOTS[1] - KNOTS[0], KNOTS[1] - KNOTS[0], 0], atol=2e-4)
    assert (
        dense[2] == pytest.approx(mu.values[0, 0, 2] - KNOTS[1], abs=1e-6) and not dense[:2].any()
    )
    coarse, pooled = Bases.of(mu, 2.0), mu.pooled((2, 2, 2))
    assert_allclose(coarse.values[2, 0, 0], [0, dense[2] / 2], atol=1e-6)
    assert_allclose(coarse.values.sum(axis=0), pooled.values, atol=1e-6)
    assert_allclose(coarse.ct_from_index, pooled.ct_from_index)


def rod(slope=(0.0, 0.0)):
    """A rod of bone along j, in voxels of 2 x 1 x 3 mm, its middle moving by `slope` mm (along k, along i) for each mm of j."""
    k, j, i = np.indices((20, 40, 30))
    inside = np.hypot(3 * (k - 9) - slope[0] * j, 2 * (i - 14) - slope[1] * j) < 9
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = [-20, 30, 7]
    return Bases(inside * np.array([0.02, 0.01, 0.005], np.float32).reshape(3, 1, 1, 1), affine)


@pytest.mark.parametrize("end, last, outwards", [(0, 0, -1), (1, -1, 1)])
def test_a_shaft_runs_on_as_it_ran(end, last, outwards):
    bases = rod(slope=(0.3, -0.25))
    course = bases.course(1, end)
    assert_allclose(course, [0.3 * outwards, -0.25 * outwards], atol=0.05)
    longer, fading = (
        bases.continued(1, end, 12.0, course, smooth_mm=0.1, bone_fade_mm=mm) for mm in (np.inf, 2)
    )
    assert longer.values.shape == (3, 20, 52, 30)
    assert_array_equal(longer.values[:, :, 12 * (1 - end) :][:, :, :40], bases.values)
    added = longer.values[0, :, last]
    k, i = (np.average(np.arange(n), weights=added.sum(axis=a)) for n, a in ((20, 1), (30, 0)))
    j = 51 if end else -12
    place = longer.ct_from_index @ [i, 51 * end, k, 1]
    assert_allclose(place, bases.ct_from_index @ [14 - 0.125 * j, j, 9 + 0.1 * j, 1], atol=1.2)
    assert_allclose(longer.values[1, :, last], 0.5 * added, atol=1e-6)
    assert_allclose(fading.values[1, :, last], 0.5 * np.exp(-6) * added, atol=1e-6)


def test_only_cut_ends_are_continued():
    bases, cut = rod(), np.zeros(6, bool)
    same = varied(bases, cut, np.random.default_rng(0), structure=True)
    assert_array_equal(same.values, bases.values)
    cut[2] = True  # -j
    longer = varied(bases, cut, np.random.default_rng(0), structure=True)
    assert longer.values.shape[2] - 40 in range(120, 181)
    assert_array_equal(longer.values[:, :, -40:], bases.values)
    last = rigid.transform_points(longer.ct_from_index, [0, longer.values.shape[2] - 1, 0])
    assert_allclose(last, rigid.transform_points(bases.ct_from_index, [0, 39, 0]))


def test_the_largest_piece_is_the_body_with_its_lungs():
    values = np.zeros((3, 10, 40, 40), np.float32)
    values[0, :, 4:28, 5:35] = 0.02
    values[0, :, 10:20, 10:20] = 0.0005  # a lung
    values[0, :, 33:36, 2:38] = 0.03  # a couch
    kept = Bases(values, np.eye(4)).largest_piece().values
    assert_array_equal(kept[:, :, :30], values[:, :, :30])
    assert not kept[:, :, 30:].any()
