"""A CT made ready: its pyramid, and its bone alone."""

from __future__ import annotations

import numpy as np
import pytest
from phantom import TRUE_POSE, make_views

from MultiViewRegistrationLib.imaging.ct import BONE_PER_MM, CT, attenuation, masked
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


@pytest.fixture(scope="module")
def camera(ct):
    return make_views(ct, size=64)[0].camera


def test_a_level_has_voxels_no_larger_than_asked_for(anatomy):
    sizes = [anatomy.projector(level).voxel_mm for level in range(4)]  # 2, 4, 8, 16 mm
    for level, size in enumerate(sizes):
        assert anatomy.level(1.01 * size) == level
    assert anatomy.level(0.1) == 0


def test_bones_are_what_attenuates_more_than_soft_tissue(ct, anatomy, camera):
    mu = attenuation(ct)
    bone = PreparedCT(CT(ct.volume)).bones(0).render(camera, TRUE_POSE).image
    water = CT(Volume(np.minimum(ct.volume.values, 199.0), ct.volume.ct_from_index))
    assert PreparedCT(water).bones(0).render(camera, TRUE_POSE).image.max() == 0
    assert bone.max() > 0.1
    assert (bone <= anatomy.projector(0).render(camera, TRUE_POSE).image + 1e-6).all()
    # All that is taken away, summed over the volume: the integral of the image over its rays is about that of the voxels.
    voxels = np.maximum(mu.values - BONE_PER_MM, 0).sum() * 8
    pixels = bone.sum() * (160 / 64 * 0.7) ** 2
    assert pixels == pytest.approx(voxels, rel=0.1)


def test_a_structure_is_bone_as_a_whole(ct):
    structure = PreparedCT(masked(ct, ct.volume.values > 500))
    assert structure.bones(1) is structure.projector(1)


def test_rays_through_a_cut_end_are_nan_in_a_drr(camera):
    tube = np.full((12, 30, 30), -1000.0, np.float32)
    tube[:, 8:22, 8:22] = 100
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-43, -43, -16]
    anatomy = PreparedCT(CT(Volume(tube, affine)))
    drr = anatomy.drr(camera, np.eye(4))
    seen = anatomy.projector(0).seen(camera, np.eye(4)) > 0
    assert np.array_equal(np.isnan(drr), ~seen)
    assert 0.02 < np.isnan(drr).mean() < 0.9
    assert np.array_equal(drr[seen], anatomy.projector(0).render(camera, np.eye(4)).image[seen])
