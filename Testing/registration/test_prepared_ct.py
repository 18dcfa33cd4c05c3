"""A CT made ready: its pyramid, and its bone alone."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from phantom import TRUE_POSE, make_ct, make_views, off

from MultiViewRegistrationLib.imaging.ct import BONE_PER_MM, CT, Volume, attenuation
from MultiViewRegistrationLib.registration import similarity
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT, warm_up
from MultiViewRegistrationLib.rendering import cpu


@pytest.fixture(scope="module")
def camera(ct):
    return make_views(ct, size=64)[0].camera


def test_bones_are_what_attenuates_more_than_soft_tissue(ct, anatomy, camera):
    mu = attenuation(ct)
    bone = PreparedCT(CT(ct.volume)).projector(0, bones=True).render(camera, TRUE_POSE).image
    water = CT(Volume(np.minimum(ct.volume.values, 199.0), ct.volume.ct_from_index))
    assert PreparedCT(water).projector(0, bones=True).render(camera, TRUE_POSE).image.max() == 0
    assert bone.max() > 0.1
    assert (bone <= anatomy.projector(0).render(camera, TRUE_POSE).image + 1e-6).all()
    # All that is taken away, summed over the volume: the integral of the image over its rays is about that of the voxels.
    voxels = np.maximum(mu.values - BONE_PER_MM, 0).sum() * 8
    pixels = bone.sum() * (160 / 64 * 0.7) ** 2
    assert pixels == pytest.approx(voxels, rel=0.1)


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


@pytest.fixture(scope="module")
def compiled():
    """The kernels of a registration that Python calls, by name."""
    return {
        name: thing
        for module in (cpu, similarity)
        for name, thing in vars(module).items()
        if isinstance(thing, numba.core.dispatcher.Dispatcher) and not name.startswith("_")
    }


def test_a_registration_after_it_compiles_nothing(compiled):
    warm_up()
    before = {name: set(kernel.signatures) for name, kernel in compiled.items()}
    assert all(before.values())
    ct = make_ct()
    refine(PreparedCT(ct), make_views(ct), off(TRUE_POSE, [1, 2, 1], [2, 1, 2]))
    assert {name: set(kernel.signatures) for name, kernel in compiled.items()} == before
