"""A CT made ready: its pyramid, and its bone alone."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, cut_tube, make_views, slab
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib.imaging.ct import BONE_PER_MM, CT, Volume, attenuation
from MultiViewRegistrationLib.registration.prepared_ct import (
    BODY,
    SCORING,
    STRUCTURE,
    PreparedCT,
    resolution_schedule,
)


@pytest.fixture(scope="module")
def camera(ct):
    return make_views(ct, size=64)[0].camera


def test_bones_are_what_attenuates_more_than_soft_tissue(ct, anatomy, camera):
    """The integral of the image over its rays is about that of the voxels."""
    bone = anatomy.projector(0, bones=True).render(camera, TRUE_POSE).image
    water = CT(Volume(np.minimum(ct.volume.values, 199.0), ct.volume.ct_from_index))
    assert PreparedCT(water).projector(0, bones=True).render(camera, TRUE_POSE).image.max() == 0
    assert (bone <= anatomy.projector(0).render(camera, TRUE_POSE).image + 1e-6).all()
    voxels = np.maximum(attenuation(ct).values - BONE_PER_MM, 0).sum() * 8
    assert bone.sum() * (160 / 64 * 0.7) ** 2 == pytest.approx(voxels, rel=0.1)


def test_rays_through_a_cut_end_are_nan_in_a_drr(camera):
    anatomy = PreparedCT(cut_tube())
    drr, finest = anatomy.drr(camera, np.eye(4)), anatomy.projector(0)
    seen = finest.seen(camera, np.eye(4)) > 0
    assert np.array_equal(np.isnan(drr), ~seen)
    assert 0.02 < np.isnan(drr).mean() < 0.9
    assert np.array_equal(drr[seen], finest.render(camera, np.eye(4)).image[seen])


@pytest.mark.parametrize("tilt_deg", [0, 10])
def test_a_cut_end_is_the_bodys_where_x_rays_show_air_beyond_it(ct, tilt_deg):
    part = slab(ct, slice(16, 40))
    cut = PreparedCT(part)
    angles = ((0, tilt_deg), (90, -tilt_deg))
    going_on = cut.ending_in_air(make_views(ct, angles), TRUE_POSE)
    assert going_on is cut and not cut.ends_in_air
    views = make_views(part, angles)
    ending = cut.ending_in_air(views, TRUE_POSE)
    for view in views:
        assert not cut.projector(0).seen(view.camera, TRUE_POSE).all()
        assert ending.projector(0).seen(view.camera, TRUE_POSE).all()
    assert ending.ends_in_air and ending.ending_in_air(views, TRUE_POSE) is ending


def test_a_structure_is_turned_about_its_own_centre_also_with_its_ct(ct, anatomy):
    mask = (np.indices(ct.volume.values.shape)[0] > 30) & (ct.volume.values > 300)
    structure = PreparedCT(replace(ct, mask=mask))
    assert_array_equal(structure.full_ct.centroid, structure.centroid)
    assert np.linalg.norm(structure.centroid - anatomy.centroid) > 5
    views = make_views(ct, size=64)
    kinds = {structure: STRUCTURE, anatomy: BODY}
    for each, compared in kinds.items():
        levels = each.levels(views, TRUE_POSE)
        assert [level.settings for level in levels] == [settings for settings, _, _ in compared]
    first = levels[0]
    coarser = {"pool": 2 * first.pool, "volume": first.volume + 1, "settings": SCORING}
    assert anatomy.scoring_level(first) == replace(first, **coarser)
    assert structure.scoring_level(first) is first


@pytest.mark.parametrize("extent_mm, columns", [(96.0, 128), (300.0, 128), (96.0, 512)])
def test_the_coarsest_image_has_32_pixels_across_what_is_imaged_and_voxels_as_large_as_pixels(
    ct, extent_mm, columns
):
    """The field is 112 mm wide at the depth of the anatomy, less than a body of 300 mm."""
    views = make_views(ct, size=columns)
    levels = resolution_schedule(views, TRUE_POSE[:3, 3], extent_mm, 0.5, 8, BODY)
    pixel_mm = 112 / columns
    assert 32 / np.sqrt(2) < min(extent_mm, 112) / pixel_mm / levels[0].pool < 32 * np.sqrt(2)
    for before, level in pairwise(levels):
        assert before.pool == 2 * level.pool
    for level in levels:
        assert 1 / 1.5 < 0.5 * 2**level.volume / (level.pool * pixel_mm) < 1.6
